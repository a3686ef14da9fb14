"""Who reviews, what is refused to them and why, and the item they have at hand.

Belongs here: what leases and verdicts share. Not here: either of them (leases.py, reviewing.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from learning_pipelines.errors import LearningError
from learning_pipelines.storage import audit
from learning_pipelines.storage import review_queue as queue
from learning_pipelines.storage import reviews as storage
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.review_queue import Seat
from learning_pipelines.storage.reviews import Item


class Reason(StrEnum):
    """Why something is refused."""

    UNKNOWN = "unknown"
    OWN = "own"
    STATE = "state"
    VALUE = "value"


class Refused(LearningError):
    """A review that is not taken. Nothing was changed. `field` names the key at fault."""

    def __init__(self, reason: Reason, cause: str, advice: str, field: str = "example_id") -> None:
        super().__init__(cause, advice)
        self.reason = reason
        self.field = field


@dataclass(frozen=True, slots=True)
class Expert:
    """Who reviews. `name` is the external id, `actor` how the audit log calls them."""

    organization_id: UUID
    id: UUID
    name: str
    actor: str


def locked(connection: Connection, expert: Expert, example_id: str) -> tuple[Item, list[Seat]]:
    """The item, locked for this transaction, and what every expert did with it last. Raises Refused."""
    item = storage.lock(connection, expert.organization_id, expert.id, [example_id]).get(example_id)
    if item is None:
        raise unknown()
    return item, queue.seats(connection, expert.organization_id, [example_id])[example_id]


def unknown() -> Refused:
    return Refused(Reason.UNKNOWN, "There is no such example for you.", "Take its id from GET /annotations/queue.")


def own_example(item: Item) -> Refused:
    return Refused(Reason.OWN, f"{item.example_id} is made of what you said or did yourself.", "Another expert has to review it.")


def record(
    connection: Connection, expert: Expert, action: str, subject: str, fields: Sequence[str] = (), *, kind: str = "example",
    before: Any = None, after: Any = None,
) -> None:  # fmt: skip
    """An entry of the audit log, in the name of the expert."""
    audit.record(connection, expert.organization_id, actor=expert.actor, action=action, kind=kind, subject=subject, fields=fields, before=before, after=after)
