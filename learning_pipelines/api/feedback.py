"""Routes of feedback: one, many, statistics, issues.

Belongs here: paths, roles, shapes of answers. Not here: what a record must be (feedback/), SQL (storage/).
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Header, Query, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel
from starlette.responses import Response

from learning_pipelines.api import ingest
from learning_pipelines.api.openapi import record_body
from learning_pipelines.api.service import Application, Sender, Serving, User, json_body
from learning_pipelines.feedback import summary

router = APIRouter(tags=["feedback"])


class FeedbackStored(BaseModel):
    feedback_id: str
    status: Literal["stored", "unchanged"]
    pending_execution: bool


@router.post(
    "/feedback", status_code=201, response_model=FeedbackStored, openapi_extra=record_body("feedback"),
    responses={201: {"content": {"application/json": {"example": {"feedback_id": "fb-1", "status": "stored", "pending_execution": False}}}}},
)  # fmt: skip
async def post_feedback(
    request: Request, who: Sender, service: Serving,
    idempotency_key: Annotated[str | None, Header(description="Makes a request without feedback_id repeatable.")] = None,
) -> Response:  # fmt: skip
    """Stores one feedback: thumb, stars, dimensions, issues, comment and correction in any combination. 201 means it is on disk."""
    identity, settled = await ingest.store_one(service, who, "feedback", await json_body(request), idempotency_key)
    body = {"feedback_id": identity, "status": settled.status, "pending_execution": settled.pending}
    return Response(orjson.dumps(body), 201, media_type="application/json")


@router.post("/feedback/batch", response_model=ingest.BatchAnswer, openapi_extra=record_body("feedback", many=True))
async def post_feedback_batch(request: Request, who: Application, service: Serving) -> Response:
    """Stores up to 10,000; each is answered for itself, in order, and refusals of some leave the others stored."""
    return await ingest.store_many(service, who, "feedback", await json_body(request))


class Period(BaseModel):
    days: int
    first: dt.date
    last: dt.date


class FeedbackStatistics(BaseModel):
    """Over the period's days, of what is in force. A mean or rate without anything behind it is null."""

    total_feedback: int
    avg_rating: float | None
    ratings: int
    dimensions: dict[str, float | None]
    thumbs_up: int
    thumbs_down: int
    corrections: int
    feedback_rate: float | None
    executions: int
    simulated_feedback: int
    period: Period


Days = Annotated[int, Query(ge=1, le=3650, description="How many days back, today included.")]


@router.get("/feedback/stats/{agent_id}", response_model=FeedbackStatistics)
async def get_statistics(agent_id: str, who: User, service: Serving, days: Days = 30) -> dict[str, Any]:
    """What people said about an agent, exact up to this moment."""

    def read() -> dict[str, Any]:
        with service.aggregating(who) as connection:
            return summary.summary(connection, service.agent(connection, who, agent_id), days, service.settings.timezone)

    return await run_in_threadpool(read)


class Issue(BaseModel):
    """`share` of all issues named in the period (0–1); `change` against the period of the same length before."""

    category: str
    count: int
    share: float
    change: int


class Issues(BaseModel):
    issues: list[Issue]


@router.get("/feedback/issues/{agent_id}", response_model=Issues)
async def get_issues(agent_id: str, who: User, service: Serving, limit: Annotated[int, Query(ge=1, le=100)] = 10, days: Days = 30) -> dict[str, Any]:
    """The issue categories people named most."""

    def read() -> dict[str, Any]:
        with service.aggregating(who) as connection:
            return {"issues": summary.issues(connection, service.agent(connection, who, agent_id), days, limit, service.settings.timezone)}

    return await run_in_threadpool(read)
