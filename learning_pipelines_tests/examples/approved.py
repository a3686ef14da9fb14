"""Approved examples of the agent `desk`, and the dataset made of them.

Belongs here: rows and the refresh that tests of versions, pairs and exports share. Not here: assertions.
"""

from __future__ import annotations

from typing import Any

from learning_pipelines.examples.datasets import DatasetVersion, refresh_dataset
from learning_pipelines.examples.similarity import DuplicateRule
from learning_pipelines.storage import versions
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.versions import Version
from learning_pipelines_tests.feedback.rows import agent_ref

SHARES = (0.5, 0.2, 0.3)
TEXT_ONLY = DuplicateRule(cosine=None)
_WORDS = (
    "anchor", "barley", "copper", "damson", "ember", "falcon", "garnet", "hazel", "indigo", "juniper", "kettle", "lantern", "marble", "nutmeg",
    "oyster", "pepper", "quartz", "raisin", "saddle", "timber",
)  # fmt: skip


def question(number: int) -> str:
    """An input unlike every other one."""
    return " ".join(_WORDS[(number // 20**place + place * 7) % 20] for place in range(4)) + f" in {number * 7919 % 100_003}"


def example(number: int, **more: Any) -> dict[str, Any]:
    return {
        "example_id": f"x{number:05}", "agent": "desk", "input_text": question(number), "expected_output": f"Answer {number}.",
        "review_status": "approved", **more,
    }  # fmt: skip


def correction(number: int, **more: Any) -> dict[str, Any]:
    return example(number, original_output=f"Wrong answer {number}.", **more)


def choice(number: int, preferred: str = "A", **more: Any) -> dict[str, Any]:
    outputs = {"output_a": f"First {number}.", "output_b": f"Second {number}."}
    return example(number, example_type="preference", preferred_output=preferred, preference_strength=4, **outputs, **more)


def refresh(connection: Connection, organization: str = "default") -> DatasetVersion:
    return refresh_dataset(connection, agent_ref(connection, organization=organization), rule=DuplicateRule(cosine=None), shares=SHARES)


def dataset(connection: Connection, number: int | None = None, organization: str = "default") -> Version:
    found = versions.find_version(connection, agent_ref(connection, organization=organization), number)
    assert found is not None
    return found
