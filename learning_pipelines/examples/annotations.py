"""What experts said about an example, as a reader may see it.

Belongs here: putting annotations and their diffs together. Not here: who sees what (row-level security), storing them (reviewing.py).
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from learning_pipelines.examples.experts import Expert, unknown
from learning_pipelines.examples.word_diff import word_diff
from learning_pipelines.storage import reviews as storage
from learning_pipelines.storage.database import Connection


def said_about(connection: Connection, expert: Expert, example_id: str) -> list[dict[str, Any]]:
    """The annotations this expert may see, oldest first. Raises Refused for an example that is not there."""
    if not storage.exists(connection, expert.organization_id, example_id):
        raise unknown()
    return [with_diff(one) for one in storage.annotations_of(connection, expert.organization_id, example_id)]


def with_diff(annotation: dict[str, Any]) -> dict[str, Any]:
    """The annotation with the word diff of its correction instead of the text it replaced."""
    shown = {name: value for name, value in annotation.items() if name != "base_output"}
    corrected = annotation["corrected_output"]
    return {**shown, "diff": None if corrected is None else [asdict(piece) for piece in word_diff(annotation["base_output"] or "", corrected)]}
