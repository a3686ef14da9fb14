"""Demonstrations that tests of behaviour write: import lines, and the way from a file to what learning sees.

Belongs here: makers of rows. Not here: fixtures (conftest.py), assertions.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from learning_pipelines.examples.refresh import refresh_examples
from learning_pipelines.storage.database import Connection
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.feedback.rows import AGENT, Row, agent_ref


def demonstration(name: str, *types: str, task: str | None = None, **more: Any) -> Row:
    """A demonstration whose actions have these types; its task names it unless it is given."""
    actions = [{"type": kind} for kind in types or ("look", "answer")]
    return {
        "demonstration_id": name, "agent": "desk", "task_description": task or f"Task of {name} and of nothing else", "actions": actions,
        "final_output": f"Result of {name}.",
    } | more  # fmt: skip


def shown_by(load: Load, pipeline: Connection, rows: Iterable[Row], organization: str = "default") -> None:
    """Imports demonstrations (and their agent) and makes their examples; every line must be taken."""
    load("agents", [AGENT], organization)
    result = load("demonstrations", rows, organization)
    assert result.rejected == 0, result.errors
    refresh_examples(pipeline, agent_ref(pipeline, organization=organization))
