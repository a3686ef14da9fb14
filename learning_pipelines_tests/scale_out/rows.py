"""Rows of many agents, and what has to become of them.

Belongs here: import lines, counts that follow from them. Not here: importing, looking (checks.py).
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

APPROVED, CORRECTED = 8, 4
"""Per agent: examples that are approved already, and executions that people correct."""
FILES = 3
"""Per agent: formats that its dataset has rows enough for (the two of OpenAI need ten)."""
Row = dict[str, Any]


def names(agents: int) -> list[str]:
    return [f"agent-{number:04}" for number in range(agents)]


def rows(kind: str, agents: int, seed: int) -> Iterator[Row]:
    """Lines of one kind, the same for the same seed; texts of 12 to 40 made-up words, so that no two are near-duplicates."""
    chance = random.Random(f"{seed} {kind}")
    letters = "abcdefghijklmnopqrstuvwxyz"
    vocabulary = ["".join(chance.choices(letters, k=chance.randint(3, 9))) for _ in range(20_000)]

    def words() -> str:
        return " ".join(chance.choices(vocabulary, k=chance.randint(12, 40)))

    for agent in names(agents):
        if kind == "agents":
            yield {"agent": agent, "system_prompt": "You answer questions about returns.", "domain": "tax"}
        for number in range(APPROVED if kind == "examples" else 0):
            yield {
                "example_id": f"{agent}-x{number}", "agent": agent, "example_type": "correction", "input_text": words(), "original_output": words(),
                "expected_output": words(), "user": f"{agent}-user-{number}", "review_status": "approved",
            }  # fmt: skip
        for number in range(CORRECTED):
            about = f"{agent}-e{number}"
            if kind == "executions":
                yield {"execution_id": about, "agent": agent, "input": words(), "output": words(), "user": f"{agent}-asker-{number}"}
            if kind == "feedback":
                yield {
                    "feedback_id": f"{agent}-f{number}", "execution_id": about, "agent": agent, "feedback_type": "correction", "correction_text": words(),
                    "user": f"{agent}-asker-{number}",
                }  # fmt: skip
