"""Demonstrations out of a file, to score a policy on.

Belongs here: from records of the kind demonstrations to values. Not here: lines and what is wrong with them (feedback/), scoring (policy/evaluation.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from learning_pipelines.behavior.demonstrations import as_text
from learning_pipelines.behavior.task import Action, Shown
from learning_pipelines.errors import BadInput
from learning_pipelines.feedback.checked_files import CheckedFile
from learning_pipelines.feedback.kinds import DemonstrationRecord
from learning_pipelines.feedback.records import Window


@dataclass
class DemonstrationFile(CheckedFile[Shown]):
    """`items`: those that succeeded; `failed` ones are counted."""

    failed: int = 0


def read_demonstrations(path: Path, agent: str, window: Window) -> DemonstrationFile:
    """The demonstrations of one agent in a file (.jsonl, .jsonl.gz). An equal line again counts once.

    Raises BadInput for a file that cannot be read, and where it holds no demonstration of the agent that succeeded.
    """
    found = DemonstrationFile()
    for checked in found.records(path, DemonstrationRecord.kind, agent, window):
        record = checked.record
        assert isinstance(record, DemonstrationRecord)
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
    if found.failed and not found.errors:
        return f"{found.failed} of its {found.read} lines show how not to do it"
    return found.instead()
