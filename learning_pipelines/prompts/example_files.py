"""Examples out of a file, to score a prompt on: checked as an import checks them, and not stored.

Belongs here: from lines of the kind examples to items. Not here: reading and checking lines (feedback/), scoring (evaluation.py).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from learning_pipelines.errors import BadInput
from learning_pipelines.feedback.importing import ERRORS_LISTED, checked_lines
from learning_pipelines.feedback.kinds import ExampleRecord
from learning_pipelines.feedback.records import Refusal, Window
from learning_pipelines.prompts.task import Item


@dataclass
class ExampleFile:
    """`items` of the agent, in the order of the file, each id once; `rejected` lines, of which the first are listed; lines of `others` by their agent."""

    items: list[Item] = field(default_factory=list)
    read: int = 0
    rejected: int = 0
    errors: list[dict[str, Any]] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)

    def reject(self, line: int, refusal: Refusal) -> None:
        self.rejected += 1
        if len(self.errors) < ERRORS_LISTED:
            self.errors.append({"line": line, "field": refusal.field, "reason": refusal.reason})


def read_examples(path: Path, agent: str, window: Window) -> ExampleFile:
    """The examples of one agent in a file (.jsonl, .jsonl.gz) of the kind examples. An equal line again counts once.

    Raises BadInput for a file that cannot be read, and where it holds no usable example of the agent.
    """
    found, known = ExampleFile(), dict[str, bytes]()
    for number, checked in checked_lines(path, ExampleRecord.kind, window):
        found.read += 1
        if isinstance(checked, Refusal):
            found.reject(number, checked)
            continue
        record = checked.record
        assert isinstance(record, ExampleRecord)
        if record.agent != agent:
            found.others[record.agent] += 1
        elif checked.id not in known:
            known[checked.id] = checked.content_hash
            found.items.append(Item(checked.id, record.input_text, record.expected_output, {**(record.model_extra or {}), **(record.input_context or {})}))
        elif known[checked.id] != checked.content_hash:
            found.reject(number, Refusal("example_id", f"conflict: {checked.id!r} stands in this file with other content"))
    if not found.items:
        raise BadInput(
            f"{path} holds no example of {agent} to score a prompt on: {_instead(found)}.", "Every line needs agent, input_text and expected_output."
        )
    return found


def _instead(found: ExampleFile) -> str:
    if found.errors:
        first = found.errors[0]
        return f"{found.rejected} of {found.read} lines are refused, the first (line {first['line']}) because {first['field'] or 'it'} {first['reason']}"
    return f"its {found.read} lines are of {', '.join(sorted(found.others)[:5])}" if found.others else "it is empty"
