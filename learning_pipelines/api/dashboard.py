"""The route of the dashboard: aggregates of the organization or of one agent, for everybody who is signed in.

Belongs here: path, role, shapes, the ETag. Not here: how the numbers come about (reports/dashboard.py).
"""

from __future__ import annotations

import datetime as dt
import hashlib
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Header, Query
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field
from starlette.responses import Response

from learning_pipelines.api.etags import is_current
from learning_pipelines.api.service import Serving, User
from learning_pipelines.reports.dashboard import dashboard

router = APIRouter(tags=["overview"])


class Rate(BaseModel):
    value: Annotated[float | None, Field(description="0–1; null without anything behind it.")]
    n: int
    interval: Annotated[list[float] | None, Field(description="95 %: lower and upper end.", examples=[[0.18, 0.27]])]


class Rating(BaseModel):
    value: Annotated[float | None, Field(description="Mean of the stars in force, 1–5; null without anything behind it.")]
    n: int
    interval: Annotated[list[float] | None, Field(description="95 %: lower and upper end.", examples=[[3.9, 4.2]])]
    weighted: Annotated[float | None, Field(description="The mean with each rating counted by its rater's weight.")]


class Dimension(BaseModel):
    mean: float | None
    n: int


class IssueCount(BaseModel):
    """`share` of all issues named in the period (null: none was); `change` against the period of the same length before."""

    category: str
    count: int
    share: float | None
    change: int


class DashboardPeriod(BaseModel):
    days: int
    first: dt.date
    last: dt.date
    timezone: Annotated[str, Field(examples=["UTC"])]


class Targets(BaseModel):
    feedback_rate: float
    average_rating: float


class ExampleCounts(BaseModel):
    """Active examples now; today begins at midnight of the period's time zone."""

    pending: int
    approved: int
    collected_today: int
    annotated_today: int


class Before(BaseModel):
    executions: int
    feedback: int
    feedback_rate: Rate
    average_rating: Rating
    corrections: int


class TrendDay(BaseModel):
    day: dt.date
    executions: int
    executions_with_feedback: int
    feedback: int
    thumbs_up: int
    thumbs_down: int
    corrections: int
    average_rating: Rating


class AgentLine(BaseModel):
    agent: str
    pending: int
    approved: int
    executions: int
    feedback: int
    simulated_feedback: int
    feedback_rate: Rate
    average_rating: Rating
    thumbs_up: int
    thumbs_down: int
    corrections: int


class Freshness(BaseModel):
    """Stored sums of days, and what is newer: changes of `live_agents` were counted for this answer; those of `waiting_agents` are not in it yet."""

    computed_at: Annotated[dt.datetime | None, Field(description="When the newest of the stored days was computed.")]
    live_agents: int
    as_of: Annotated[dt.datetime | None, Field(description="Where changes wait: what is counted was known then. Null: nothing waits, or never computed.")]
    waiting_agents: int
    waiting_entries: int
    waiting_entries_at_least: Annotated[bool, Field(description="There are more waiting entries than were looked at.")]


class Dashboard(BaseModel):
    """Every number is over the period's days, of feedback in force; `before`: the period of the same length before it."""

    organization: str
    agent: str | None
    period: DashboardPeriod
    targets: Targets
    examples: ExampleCounts
    executions: int
    executions_with_feedback: int
    feedback: int
    simulated_feedback: Annotated[int, Field(description="Of `feedback`: what its sender marked as simulated.")]
    feedback_rate: Rate
    average_rating: Rating
    thumbs_up: int
    thumbs_down: int
    corrections: int
    dimensions: Annotated[dict[str, Dimension], Field(examples=[{"accuracy": {"mean": 4.1, "n": 120}}])]
    before: Before
    trend: list[TrendDay]
    issues: list[IssueCount]
    agents: list[AgentLine]
    agents_left_out: int
    freshness: Freshness


@router.get("/dashboard", response_model=Dashboard, responses={304: {"description": "The numbers are those that If-None-Match names."}})
async def get_dashboard(
    who: User, service: Serving, agent: Annotated[str | None, Query(max_length=255)] = None,
    days: Annotated[int, Query(ge=1, le=366, description="How many days back, today included.")] = 30,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:  # fmt: skip
    """Examples, feedback rate and ratings against their targets, trend, dimensions, issues, agents. Its cost follows days and agents, never feedback."""
    def read() -> dict[str, Any]:
        with service.aggregating(who) as connection:
            chosen = service.agent(connection, who, agent, "agent") if agent else None
            return dashboard(connection, (who.organization_id, who.organization), chosen, days, service.settings.zone)

    body = orjson.dumps(await run_in_threadpool(read))
    headers = {"ETag": f'"{hashlib.sha256(body).hexdigest()[:32]}"', "Cache-Control": "private, no-cache", "Vary": "Authorization, Cookie"}
    if is_current(headers["ETag"], if_none_match):
        return Response(status_code=304, headers=headers)
    return Response(body, 200, headers, "application/json")
