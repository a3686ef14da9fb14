"""The person who is erased, as every step sees them.

Belongs here: one value. Not here: finding the person, and what is erased.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Person:
    """`name` is what the application calls them (external id), `user_id` the id that follows from it; `tombstone` the name that stands in its place."""

    organization_id: UUID
    organization: str
    user_id: UUID
    name: str
    tombstone: str
    erasure_id: UUID
