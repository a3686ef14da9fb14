"""Demonstrations out of a file, to score a policy on: checked as an import checks them, and not stored.

Belongs here: from lines of the kind demonstrations to values. Not here: reading and checking lines (feedback/), scoring (policy/evaluation.py).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from learning_pipelines.behavior.demonstrations import as_text
from learning_pipelines.behavior.task import Action, Shown
from learning_pipelines.errors import BadInput
from learning_pipelines.feedback.importing import ERRORS_LISTED, checked_lines
from learning_pipelines.feedback.kinds import DemonstrationRecord
from learning_pipelines.feedback.records import Refusal, Window


@dataclass
class DemonstrationFile:
    """`items` of the agent that succeeded, in the order of the file, each id once; `failed` ones are counted, `rejected` lines too, of which the first are
    listed; lines of `others` by their agent."""

    items: list[Shown] = field(default_factory=list)
    read: int = 0
    failed: int = 0
    rejected: int = 0
    errors: list[dict[str, Any]] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)

    def reject(self, line: int, refusal: Refusal) -> None:
        self.rejected += 1
        if len(self.errors) < ERRORS_LISTED:
            self.errors.append({"line": line, "field": refusal.field, "reason": refusal.reason})


def read_demonstrations(path: Path, agent: str, window: Window) -> DemonstrationFile:
    """The demonstrations of one agent in a file (.jsonl, .jsonl.gz). An equal line again counts once.

    Raises BadInput for a file that cannot be read, and where it holds no demonstration of the agent that succeeded.
    """
    found, known = DemonstrationFile(), dict[str, bytes]()
    for number, checked in checked_lines(path, DemonstrationRecord.kind, window):
        found.read += 1
        if isinstance(checked, Refusal):
            found.reject(number, checked)
            continue
        record = checked.record
        assert isinstance(record, DemonstrationRecord)
        if record.agent != agent:
            found.others[record.agent] += 1
        elif checked.id in known:
            if known[checked.id] != checked.content_hash:
                found.reject(number, Refusal("demonstration_id", f"conflict: {checked.id!r} stands in this file with other content"))
        else:
            known[checked.id] = checked.content_hash
            if record.outcome == "failure":
                found.failed += 1
            else:
                found.items.append(_shown(checked.id, record))
    if not found.items:
        raise BadInput(
            f"{path} holds no demonstration of {agent} to score a policy on: {_instead(found)}.", "Every line needs agent, task_description and actions."
        )
    return found


def _shown(name: str, record: DemonstrationRecord) -> Shown:
    actions = tuple(Action(step.type, step.arguments, step.context) for step in record.actions)
    return Shown(name, record.task_description, actions, task_type=record.task_type or "", given=as_text(record.input_state))


def _instead(found: DemonstrationFile) -> str:
    if found.errors:
        first = found.errors[0]
        return f"{found.rejected} of {found.read} lines are refused, the first (line {first['line']}) because {first['field'] or 'it'} {first['reason']}"
    if found.failed:
        return f"{found.failed} of its {found.read} lines show how not to do it"
    return f"its {found.read} lines are of {', '.join(sorted(found.others)[:5])}" if found.others else "it is empty"
