"""Routes of review: the annotation queue, leases, annotations and what follows from them.

Belongs here: paths, roles, which refusal is which status. Not here: shapes (review_models.py), rules (examples/).
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.concurrency import run_in_threadpool

from learning_pipelines.api.ingest import PathId
from learning_pipelines.api.principals import Principal
from learning_pipelines.api.problems import Problem
from learning_pipelines.api.review_models import AnnotationStored, Filters, Leased, Queue, ReviewBody
from learning_pipelines.api.service import Expert, Service, Serving
from learning_pipelines.examples import reviewing
from learning_pipelines.examples.queue_items import shown
from learning_pipelines.examples.reviewing import Reason, Refused
from learning_pipelines.storage import review_queue
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.review_queue import Wanted

router = APIRouter(prefix="/annotations", tags=["review"])
_STATUS = {Reason.UNKNOWN: 404, Reason.OWN: 403, Reason.STATE: 409, Reason.VALUE: 422}
ExampleId = Annotated[str, PathId]


@contextmanager
def reviewing_as(service: Service, who: Principal) -> Iterator[tuple[Connection, reviewing.Expert]]:
    """A transaction as an expert, also for an admin: whoever judges is blind to the opinions of others until they have judged."""
    if who.user_id is None:
        raise Problem(403, "A review needs a person.")
    expert = reviewing.Expert(who.organization_id, who.user_id, who.user or who.actor, who.actor)
    try:
        with service.acting(replace(who, role="expert")) as connection:
            yield connection, expert
    except Refused as refused:
        raise Problem(_STATUS[refused.reason], str(refused), field=refused.field) from None


async def _run(work: Callable[[], Any]) -> Any:
    return await run_in_threadpool(work)


def wanted(service: Service, connection: Connection, who: Principal, expert: reviewing.Expert, filters: Filters) -> Wanted:
    """The filters with the agent looked up. Raises 404."""
    agent = None if filters.agent is None else service.agent(connection, who, filters.agent).agent_id
    return Wanted(who.organization_id, expert.id, agent, filters.domain, filters.type, filters.status)


@router.get("/queue", response_model=Queue)
async def get_queue(filters: Annotated[Filters, Query()], who: Expert, service: Serving) -> dict[str, Any]:
    """What is open to this expert, the most valuable review first: not their own, not judged or skipped by them, not with another expert."""

    def read() -> dict[str, Any]:
        with reviewing_as(service, who) as (connection, expert):
            chosen = wanted(service, connection, who, expert, filters)
            return {"queue": shown(connection, chosen, filters.limit), "total": review_queue.total(connection, chosen)}

    found: dict[str, Any] = await _run(read)
    return found


@router.post("", status_code=201, response_model=AnnotationStored)
async def post_annotation(body: ReviewBody, who: Expert, service: Serving) -> dict[str, Any]:
    """Judges an item, or comments on it. The answer says what became of the item."""

    def write() -> dict[str, Any]:
        with reviewing_as(service, who) as (connection, expert):
            done = reviewing.review(connection, expert, reviewing.review_of(body.model_dump()), uuid.uuid4())
            return {"annotation_id": done.annotation_id, "example_id": done.example_id, "review_status": done.status}

    stored: dict[str, Any] = await _run(write)
    return stored


@router.post("/queue/{example_id}/lease", response_model=Leased)
async def post_lease(example_id: ExampleId, who: Expert, service: Serving) -> dict[str, Any]:
    """Reserves an item for this expert, or prolongs their lease."""

    def write() -> dict[str, Any]:
        with reviewing_as(service, who) as (connection, expert):
            return {"example_id": example_id, "lease_until": reviewing.lease(connection, expert, example_id)}

    leased: dict[str, Any] = await _run(write)
    return leased


@router.post("/queue/{example_id}/release", response_model=Leased)
async def post_release(example_id: ExampleId, who: Expert, service: Serving) -> dict[str, Any]:
    """Gives a lease back."""

    def write() -> dict[str, Any]:
        with reviewing_as(service, who) as (connection, expert):
            reviewing.release(connection, expert, example_id)
        return {"example_id": example_id, "lease_until": None}

    released: dict[str, Any] = await _run(write)
    return released


@router.post("/queue/{example_id}/skip", response_model=Leased)
async def post_skip(example_id: ExampleId, who: Expert, service: Serving) -> dict[str, Any]:
    """Takes an item out of this expert's queue; others still get it."""

    def write() -> dict[str, Any]:
        with reviewing_as(service, who) as (connection, expert):
            reviewing.skip(connection, expert, example_id)
        return {"example_id": example_id, "lease_until": None}

    skipped: dict[str, Any] = await _run(write)
    return skipped
