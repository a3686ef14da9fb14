"""A dataset version's life: which status follows which, and what a use by a training run leaves behind.

Belongs here: the statuses, using, archiving. Not here: what a version contains (datasets.py), SQL (storage/versions.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from learning_pipelines.errors import BadInput
from learning_pipelines.storage import versions as storage
from learning_pipelines.storage.database import Connection, database_errors
from learning_pipelines.storage.tenants import AgentRef

Status = Literal["draft", "collecting", "processing", "ready", "in_use", "archived"]

TRANSITIONS: Mapping[Status, frozenset[Status]] = {
    "draft": frozenset({"collecting", "archived"}),
    "collecting": frozenset({"processing", "archived"}),
    "processing": frozenset({"ready", "archived"}),
    "ready": frozenset({"in_use", "archived"}),
    "in_use": frozenset({"archived"}),
    "archived": frozenset(),
}
"""What a status may become. The database enforces the same (migration 0012): from `ready` on a version is sealed, only its status changes."""

SEALED: frozenset[Status] = frozenset({"ready", "in_use", "archived"})
TRAINED_ON = ("train",)
"""The splits whose examples count as used: what validates or tests was looked at, but not learnt from."""


@dataclass(frozen=True, slots=True)
class Used:
    """What `mark_used` did: `counted` is False where this training run had reported the version before."""

    counted: bool
    examples: int


def change_status(connection: Connection, agent: AgentRef, dataset_id: UUID, status: Status) -> None:
    """Moves a version to another status; the same status again changes nothing. BadInput: unknown version, or a status that cannot follow."""
    with database_errors(f"changing a dataset of {agent.partition}"), connection.transaction():
        now = storage.lock_status(connection, agent, dataset_id)
        if now is None:
            raise BadInput(f"{agent.partition} has no dataset {dataset_id}.", "`learning-pipelines datasets AGENT` lists what there is.")
        if now == status:
            return
        allowed = TRANSITIONS[now]  # type: ignore[index]
        if status not in allowed:
            may = ", ".join(sorted(allowed)) or "nothing any more"
            raise BadInput(f"A dataset version that is {now} cannot become {status}.", f"It may become: {may}.")
        storage.set_status(connection, agent, dataset_id, status)


def mark_used(connection: Connection, agent: AgentRef, dataset_id: UUID, training_run_id: UUID, *, splits: Sequence[str] = TRAINED_ON) -> Used:
    """Records that a training run learnt from a version. Called by whatever trains, as often as it likes: a run counts once per version.

    The examples of `splits` get times_used_in_training + 1 and last_used_at, and a `ready` version becomes `in_use` (an archived one may
    still be used again: it stays archived). One transaction. BadInput: unknown version, or one that is not sealed yet.
    """
    with database_errors(f"recording a use of a dataset of {agent.partition}"), connection.transaction():
        now = storage.lock_status(connection, agent, dataset_id)
        if now is None:
            raise BadInput(f"{agent.partition} has no dataset {dataset_id}.", "`learning-pipelines datasets AGENT` lists what there is.")
        if now not in SEALED:
            raise BadInput(f"The dataset {dataset_id} is {now}: its content may still change.", "Train on a version that is ready.")
        examples = storage.record_use(connection, agent, dataset_id, training_run_id, splits)
        if examples is None:
            return Used(counted=False, examples=0)
        if now == "ready":
            storage.set_status(connection, agent, dataset_id, "in_use")
    return Used(counted=True, examples=examples)
