"""Who a request comes from, and what that permits.

Belongs here: the value and the rule of roles. Not here: reading credentials (authentication.py), row-level security (storage/).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal
from uuid import UUID

from learning_pipelines.api.keys import Role
from learning_pipelines.api.problems import Problem, forbidden
from learning_pipelines.feedback.identity import user_id
from learning_pipelines.storage.sessions import Acting

Kind = Literal["key", "person", "execution"]


@dataclass(frozen=True, slots=True)
class Principal:
    """`key`: an application with an API key; `person`: a JWT or a session; `execution`: a token for the feedback on one execution.

    `user` is the person it acts for (external id), None for a key that acts for whoever a body names, and for an anonymous token.
    `user_id` is that person, for a key without one its service user, None for an anonymous token.
    """

    kind: Kind
    organization: str
    organization_id: UUID
    role: str
    actor: str
    user: str | None = None
    user_id: UUID | None = None
    key_id: UUID | None = None
    execution_id: str | None = None

    @property
    def acting(self) -> Acting:
        """What the transaction is told."""
        return Acting(self.organization_id, self.user_id, self.role, application=self.kind == "key")

    def speaking_for(self, user: str | None) -> Principal:
        """The principal of a write whose body names a user: a key without a person acts for that one. Raises 403 if it acts for somebody else."""
        if user is None or user == self.user:
            return self
        if self.kind != "key" or self.user is not None:
            raise Problem(403, "These credentials act for one user and cannot speak for another.", field="user")
        return replace(self, user=user, user_id=user_id(self.organization_id, user), actor=f"{self.actor} for user:{user}")

    def require(self, role: Role) -> None:
        """Raises 403 unless the role suffices; a token for one execution suffices for nothing but what asks for it by name."""
        if self.kind == "execution" or not permits(self.role, role):
            raise forbidden(role)

    def require_key(self) -> None:
        """Raises 403 for everybody but an application's API key."""
        if self.kind != "key":
            raise Problem(403, "This needs an API key: it is for applications, not for persons.")


def permits(role: str, needed: Role) -> bool:
    """Each of the other roles includes user, admin includes all."""
    return needed == "user" or role in (needed, "admin")
