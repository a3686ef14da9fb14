"""Routes of weekly reports: which there are, one with all its numbers, the same as a page or as Markdown.

Belongs here: paths, roles, shapes, the policy that the page is served with. Not here: SQL (storage/summaries.py), numbers and pages (reports/).
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel
from starlette.responses import Response

from learning_pipelines.api.problems import Problem
from learning_pipelines.api.service import Principal, Service, Serving, User
from learning_pipelines.errors import BadInput
from learning_pipelines.reports.files import content
from learning_pipelines.reports.page import content_policy
from learning_pipelines.reports.week import format_week, parse_week
from learning_pipelines.storage import summaries

router = APIRouter(tags=["overview"])
Week = Annotated[str, Path(examples=["2026-W47"])]
_CONTENT: dict[str, Any] = {"text/html": {}, "text/markdown": {}, "application/json": {"schema": {"type": "object"}}}
_TYPES = {"html": "text/html; charset=utf-8", "md": "text/markdown; charset=utf-8", "json": "application/json"}


class Headline(BaseModel):
    """A stored report at a glance. Numbers without anything behind them are null; `actions`: what it suggests, the most urgent first."""

    week: str
    starts: dt.date
    ends: dt.date
    computed_at: dt.datetime
    executions: int
    feedback: int
    ratings: int
    feedback_rate: float | None
    feedback_rate_interval: list[float] | None
    avg_rating: float | None
    rating_interval: list[float] | None
    approved: int
    adopted: int
    drift_alarms: int
    actions: list[str]


class Reports(BaseModel):
    """Newest first. `next_before`: ask with it for older ones; null where there are none."""

    reports: list[Headline]
    next_before: str | None


@router.get("/reports", response_model=Reports)
async def list_reports(
    who: User, service: Serving,
    limit: Annotated[int, Query(ge=1, le=200)] = 53,
    before: Annotated[str | None, Query(description="Only weeks before this one.", examples=["2026-W47"])] = None,
) -> dict[str, Any]:  # fmt: skip
    """The weeks that have a report, with the numbers at their top."""
    monday = None if before is None else _monday(before, "before")

    def read() -> dict[str, Any]:
        with service.acting(who) as connection:
            rows = summaries.report_list(connection, who.organization_id, monday, limit + 1)
        shown = [{**row, "week": format_week(row["starts"]), "ends": row["starts"] + dt.timedelta(days=6)} for row in rows[:limit]]
        return {"reports": shown, "next_before": shown[-1]["week"] if len(rows) > limit else None}

    return await run_in_threadpool(read)


@router.get("/reports/{week}", response_model=dict[str, Any])
async def get_report(week: Week, who: User, service: Serving) -> dict[str, Any]:
    """The numbers of a closed week, as the weekly job stored them."""
    return await run_in_threadpool(_stored, service, who, week)


@router.get(
    "/reports/{week}/{form}",
    response_class=Response,
    responses={200: {"description": "The report as a file.", "content": _CONTENT}},
)
async def get_report_file(week: Week, form: Annotated[Literal["html", "md", "json"], Path(examples=["html"])], who: User, service: Serving) -> Response:
    """The report as one file: a self-contained page, Markdown, or JSON; the same bytes as in the artifact store."""

    def read() -> bytes:
        found = _stored(service, who, week)
        if "headline" not in found:
            raise Problem(409, f"The report of {week} was made by an earlier version: materialize learning_report for that week again.", field="week")
        return content(found, form, service.settings.page_link)

    body = await run_in_threadpool(read)
    name = f"learning-report-{week}.{form}"
    headers = {"Content-Disposition": f'{"inline" if form == "html" else "attachment"}; filename="{name}"', "Cache-Control": "private, no-cache"}
    return Response(body, media_type=_TYPES[form], headers={**headers, **({"Content-Security-Policy": content_policy()} if form == "html" else {})})


def _stored(service: Service, who: Principal, week: str) -> dict[str, Any]:
    monday = _monday(week, "week")
    with service.acting(who) as connection:
        found = summaries.report(connection, who.organization_id, monday)
    if found is None:
        raise Problem(404, f"There is no report of {week} yet: the job learning_report makes it after the week has ended.", field="week")
    return found


def _monday(week: str, field: str) -> dt.date:
    try:
        return parse_week(week)
    except BadInput as error:
        raise Problem(422, str(error), field=field) from None
