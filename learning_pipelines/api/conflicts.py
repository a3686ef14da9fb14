"""Routes of conflicts: examples with nearly the same input that contradict each other.

Belongs here: paths, roles, shapes, the cursor. Not here: what contradicts what and who may dismiss it (examples/), verdicts on one example (review.py).
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from learning_pipelines.api.cursors import read_cursor, write_cursor
from learning_pipelines.api.review_acting import as_expert
from learning_pipelines.api.review_models import ExampleType, Name, ReviewStatus, Speaker, Text
from learning_pipelines.api.service import Expert as ExpertRole
from learning_pipelines.api.service import Serving
from learning_pipelines.examples.dismissal import dismiss
from learning_pipelines.examples.experts import Expert
from learning_pipelines.storage import curation
from learning_pipelines.storage.database import Connection

router = APIRouter(prefix="/conflicts", tags=["review"])


class Side(BaseModel):
    """One of two examples that contradict each other."""

    example_id: str
    example_type: ExampleType
    input_text: str
    original_output: str | None
    expected_output: str | None
    output_a: str | None
    output_b: str | None
    preferred_output: str | None
    review_status: ReviewStatus


class Conflict(BaseModel):
    """`reason`: what the contradiction is."""

    agent: str
    reason: str
    found_at: dt.datetime
    first: Side
    second: Side


class Conflicts(BaseModel):
    """`cursor`: asks for what comes after; null: there is no more."""

    conflicts: list[Conflict]
    cursor: str | None


class Dismissal(BaseModel):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"example_ids": ["ex-1", "ex-2"], "notes": "Both happen."}})
    example_ids: Annotated[list[Name], Field(min_length=2, max_length=2)]
    notes: Text | None = None
    user: Speaker = None


class Dismissed(BaseModel):
    example_ids: list[str]
    status: str


@router.get("", response_model=Conflicts)
async def list_conflicts(
    who: ExpertRole, service: Serving, agent: Annotated[Name | None, Query()] = None, limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(max_length=2000)] = None, user: Annotated[Speaker, Query()] = None,
) -> dict[str, Any]:  # fmt: skip
    """Examples with nearly the same input that contradict each other, the longest known first; none of one's own. Rejecting or correcting one of the two
    settles it, and so does dismissing it."""
    after = None if cursor is None else read_cursor(cursor, _pair)

    def read(connection: Connection, expert: Expert) -> dict[str, Any]:
        only = None if agent is None else service.agent(connection, who, agent, "agent").agent_id
        found = curation.open_conflicts(connection, who.organization_id, limit=limit + 1, agent_id=only, reader=expert.id, after=after)
        rest = found[limit - 1] if len(found) > limit else None
        return {"conflicts": found[:limit], "cursor": None if rest is None else write_cursor(rest["found_at"], _identity(rest))}

    return await as_expert(service, who, read, user)


@router.post("/dismiss", response_model=Dismissed)
async def post_dismissal(body: Dismissal, who: ExpertRole, service: Serving) -> dict[str, Any]:
    """Says that both examples are right. The conflict stays settled until one of their outputs changes. Notes are stored without personal data."""

    def write(connection: Connection, expert: Expert) -> dict[str, Any]:
        one, other = body.example_ids
        dismiss(connection, who.organization_id, (one, other), body.notes, by=expert, actor=expert.actor)
        return {"example_ids": [one, other], "status": "dismissed"}

    return await as_expert(service, who, write, body.user)


def _identity(row: dict[str, Any]) -> str:
    return orjson.dumps([row["first"]["example_id"], row["second"]["example_id"]]).decode()


def _pair(identity: str) -> tuple[str, str]:
    first, second = orjson.loads(identity)
    if not isinstance(first, str) or not isinstance(second, str) or "\x00" in first + second:
        raise ValueError(identity)
    return first, second
