"""Who decides about proposals, what a decision led to, and why one is refused.

Belongs here: plain values that approving shares with what it changes. Not here: the decisions themselves (approval.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from learning_pipelines.errors import LearningError


class Reason(StrEnum):
    """Why something is refused."""

    UNKNOWN = "unknown"
    STATE = "state"
    VALUE = "value"
    ROLE = "role"


class Refused(LearningError):
    """A review, rollback or change of an experiment that is not done. Nothing was changed. `field`: the name of what was given that is at fault."""

    def __init__(self, reason: Reason, cause: str, advice: str, field: str | None = None) -> None:
        super().__init__(cause, advice)
        self.reason = reason
        self.field = field
        self.exit_code = 1 if reason is Reason.STATE else 2


@dataclass(frozen=True, slots=True)
class Reviewer:
    """Who decides. `actor` is what the audit log calls them; `user_id` the person, where it is one."""

    actor: str
    user_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Reviewed:
    """What a review led to. `changed` is False where the same had been done before; `version` is what serves now, if a label was moved (0 is
    the base index, or nothing learnt); `experiment`: the rollout that was begun or ended."""

    id: UUID
    state: str
    agent: str
    kind: str
    changed: bool
    version: int | None = None
    before: int | None = None
    experiment: UUID | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "id": str(self.id), "state": self.state, "agent": self.agent, "kind": self.kind, "changed": self.changed, "version": self.version,
            "before": self.before, "experiment": None if self.experiment is None else str(self.experiment),
        }  # fmt: skip


OPERATOR, AUTO = Reviewer("operator"), Reviewer("LEARNING_AUTO_APPROVE")
