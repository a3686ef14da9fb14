"""Where a sensor that reads the outbox stands.

Belongs here: the cursor as a value and as text. Not here: reading (storage/outbox.py), sensors (sensors.py); dagster is not imported.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field

from learning_pipelines.storage.outbox import Position

BY_OUTBOX = ("new_feedback", "new_documents")
"""Sensors whose lag is counted in entries: they come to every one."""


@dataclass(frozen=True)
class Cursor:
    """A place in the outbox of one cluster, and the changed days that were not asked for yet (while a backlog lasts)."""

    cluster: str
    xid: int
    id: int
    days: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, text: str | None) -> Cursor | None:
        return cls(**json.loads(text)) if text else None

    @classmethod
    def at(cls, position: Position, days: list[str] | None = None) -> Cursor:
        return cls(position.cluster, position.xid, position.id, days or [])

    @property
    def text(self) -> str:
        return json.dumps(asdict(self))

    @property
    def position(self) -> Position:
        return Position(self.cluster, self.xid, self.id)


def position_of(text: str | None) -> Position | None:
    """The place that the text of a cursor names; None where a sensor never read."""
    cursor = Cursor.read(text)
    return None if cursor is None else cursor.position


def key_of(position: Position) -> str:
    """For run keys: the same place is asked for once."""
    return f"{position.cluster}/{position.xid}/{position.id}"
