"""Examples out of a file, to score a prompt on.

Belongs here: from records of the kind examples to items. Not here: lines and what is wrong with them (feedback/), scoring (evaluation.py).
"""

from __future__ import annotations

from pathlib import Path

from learning_pipelines.errors import BadInput
from learning_pipelines.feedback.checked_files import CheckedFile
from learning_pipelines.feedback.kinds import ExampleRecord
from learning_pipelines.feedback.records import Window
from learning_pipelines.prompts.task import Item


def read_examples(path: Path, agent: str, window: Window) -> CheckedFile[Item]:
    """The examples of one agent in a file (.jsonl, .jsonl.gz) of the kind examples. An equal line again counts once.

    Raises BadInput for a file that cannot be read, and where it holds no usable example of the agent.
    """
    found = CheckedFile[Item]()
    for checked in found.records(path, ExampleRecord.kind, agent, window):
        record = checked.record
        assert isinstance(record, ExampleRecord)
        found.items.append(Item(checked.id, record.input_text, record.expected_output, {**(record.model_extra or {}), **(record.input_context or {})}))
    if not found.items:
        raise BadInput(
            f"{path} holds no example of {agent} to score a prompt on: {found.instead()}.", "Every line needs agent, input_text and expected_output."
        )
    return found
