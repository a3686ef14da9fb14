"""Ids that follow from names: organization, agent and user ids need no look-up anywhere.

Belongs here: name to uuid. Not here: whether such a thing exists (storage).
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from uuid import UUID, uuid5

from learning_pipelines.errors import BadInput
from learning_pipelines.feedback.kinds import ORGANIZATION_PATTERN


def organization_id(slug: str) -> UUID:
    """The id of an organization; the same rule as the SQL function learning.organization_id. Raises BadInput for an impossible slug."""
    if not re.fullmatch(ORGANIZATION_PATTERN, slug):
        advice = "Use lower-case letters, digits and dashes, at most 63 of them, starting with a letter or digit."
        raise BadInput(f"{slug!r} cannot be an organization.", advice)
    return UUID(hashlib.md5(f"learning_pipelines/organization/{slug}".encode(), usedforsecurity=False).hexdigest())


def agent_id(organization: UUID, slug: str) -> UUID:
    """The id an agent gets when it is first seen."""
    return uuid5(organization, f"agent/{slug}")


@lru_cache(maxsize=65536)
def user_id(organization: UUID, external_id: str) -> UUID:
    """The id of a user or expert, from whatever the outside calls them."""
    return uuid5(organization, f"user/{external_id}")


def fingerprint(organization: UUID, external_id: str) -> bytes:
    """SHA-256 of organization id and external id: whoever knows the name of an erased person can tell whether it was them, nobody can read it."""
    return hashlib.sha256(f"{organization}/{external_id}".encode()).digest()
