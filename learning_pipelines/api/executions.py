"""Routes of executions: taking them in, listing them, one with its feedback.

Belongs here: paths, roles, filters, the cursor. Not here: SQL (storage/executions.py).
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Literal
from uuid import UUID

import orjson
from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import AwareDatetime, BaseModel
from starlette.responses import Response

from learning_pipelines.api import archived as archived_rows
from learning_pipelines.api import ingest
from learning_pipelines.api.cursors import read_cursor, write_cursor
from learning_pipelines.api.openapi import record_body
from learning_pipelines.api.principals import Principal
from learning_pipelines.api.problems import Problem, not_found, without_nul
from learning_pipelines.api.service import Application, Serving, User, json_body
from learning_pipelines.feedback.identity import user_id
from learning_pipelines.feedback.kinds import IssueCategory
from learning_pipelines.storage import execution_details as details
from learning_pipelines.storage import executions as storage

router = APIRouter(tags=["executions"])


@router.post("/executions", status_code=201, response_model=ingest.Stored, openapi_extra=record_body("executions"))
async def post_execution(request: Request, who: Application, service: Serving) -> Response:
    """Stores one execution; feedback that came before it joins it."""
    identity, settled = await ingest.store_one(service, who, "executions", await json_body(request), None)
    return Response(orjson.dumps({"id": identity, "status": settled.status}), 201, media_type="application/json")


@router.post("/executions/batch", response_model=ingest.BatchAnswer, openapi_extra=record_body("executions", many=True))
async def post_executions(request: Request, who: Application, service: Serving) -> Response:
    """Stores up to 10,000; each is answered for itself, in order."""
    return await ingest.store_many(service, who, "executions", await json_body(request))


class Execution(BaseModel):
    execution_id: str
    agent: str
    user: str | None
    session_id: str | None
    parent_id: str | None
    input: str
    output: str
    tags: list[str]
    environment: str | None
    prompt_version: str | None
    latency_ms: float | None
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: float | None
    created_at: dt.datetime


class Executions(BaseModel):
    """`cursor`: asks for what comes after; null: there is no more. `searched_to`: the page looked back to here and found fewer than were asked for; the
    cursor goes on there."""

    executions: list[Execution]
    cursor: str | None
    searched_to: dt.datetime | None = None


Name = Annotated[str | None, Query(max_length=255)]


@router.get("/executions", response_model=Executions)
async def list_executions(
    who: User, service: Serving, agent: Name = None, user: Name = None, session_id: Name = None, environment: Name = None, tag: Name = None,
    prompt_version: Name = None,
    with_feedback: Annotated[bool | None, Query(description="Only executions with feedback that the caller may see, or only those without.")] = None,
    rating_max: Annotated[int | None, Query(ge=1, le=5, description="Only executions rated with so many stars at most.")] = None,
    issue: Annotated[IssueCategory | None, Query(description="Only executions reported so.")] = None,
    corrected: Annotated[bool | None, Query(description="Only executions with a correction, or only those without.")] = None,
    days: Annotated[int | None, Query(ge=1, le=36_500, description="Only executions of so many days up to now.")] = None,
    after: Annotated[AwareDatetime | None, Query(description="Only executions that happened at this time or later.")] = None,
    before: Annotated[AwareDatetime | None, Query(description="Only executions that happened earlier than this.")] = None,
    excerpt: Annotated[int | None, Query(ge=1, le=100_000, description="So many characters of input and output at most.")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50, cursor: Annotated[str | None, Query(max_length=1000)] = None,
    archived: Annotated[bool, Query(description="Those that were archived, instead of those that are in the database; not by feedback.")] = False,
) -> dict[str, Any]:  # fmt: skip
    """Executions, newest first. A person with role user sees their own.

    Of feedback counts what is in force. By agent, user and session a page is always full; whatever else is filtered by is looked for in so many executions
    at most, and `searched_to` says how far back that was."""
    texts = {"agent": agent, "user": user, "session_id": session_id, "environment": environment, "tag": tag, "prompt_version": prompt_version}
    without_nul(**texts)
    position = None if cursor is None else read_cursor(cursor, str)
    since = after if days is None else max(filter(None, (after, dt.datetime.now(dt.UTC) - dt.timedelta(days=days))))
    by_feedback = {"with_feedback": with_feedback, "rating_max": rating_max, "issue": issue, "corrected": corrected}
    if archived and (asked := next((name for name, value in by_feedback.items() if value is not None), None)):
        raise Problem(422, f"Archived executions cannot be filtered by {asked}.", field=asked)

    def read() -> dict[str, Any]:
        with service.acting(who) as connection:
            ref = service.agent(connection, who, agent, "agent") if agent is not None else None
            wanted = storage.Wanted(
                agent_id=ref.agent_id if ref else None, user_id=_person(who, user), session_id=session_id, environment=environment, tag=tag,
                prompt_version=prompt_version, with_feedback=with_feedback, rating_max=rating_max, issue=issue, corrected=corrected, after=since,
                before=before, position=position,
            )  # fmt: skip
            if not archived:
                page = storage.page(connection, who.organization_id, wanted, limit, excerpt)
        if archived:
            rows = archived_rows.page(service, who, wanted, limit, excerpt)
            rest = (rows[-1]["created_at"], rows[-1]["execution_id"]) if len(rows) == limit else None
            return {"executions": rows, "cursor": None if rest is None else write_cursor(*rest), "searched_to": None}
        return {"executions": page.rows, "cursor": None if page.rest is None else write_cursor(*page.rest), "searched_to": page.searched_to}

    return await run_in_threadpool(read)


def _person(who: Principal, user: str | None) -> UUID | None:
    """Whose executions are listed: of whom is asked for, else of a person who sees their own only (their index, not a walk past everybody's)."""
    if user is not None:
        return user_id(who.organization_id, user)
    return who.user_id if who.kind != "key" and who.role == "user" else None


Facet = Literal["thumb", "rating", "dimensions", "issues", "correction"]


class GivenFeedback(BaseModel):
    feedback_id: str
    user: str | None
    feedback_type: str
    rating: int | None
    dimensions: dict[str, int | None]
    issue_categories: list[str]
    feedback_text: str | None
    correction_text: str | None
    withdrawn: bool
    superseded: list[Facet] = []
    created_at: dt.datetime


class Passage(BaseModel):
    """A retrieved text as it is now. `place`: of its entry in `retrieved`. Without a chunk_id the beginning of the document; `is_active` false: it is not
    searched any more."""

    place: int
    chunk_id: str | None
    document_id: str
    title: str | None
    heading: str | None
    text: str
    is_active: bool


class ExecutionWithFeedback(Execution):
    """`passages`: texts of what is in `retrieved`, where they are known. Of feedback, `superseded` names what the same person said something newer about."""

    messages: list[Any] | None
    retrieved: list[Any] | None
    context: dict[str, Any]
    feedback: list[GivenFeedback]
    passages: list[Passage] = []
    archived: bool = False


@router.get("/executions/{execution_id}", response_model=ExecutionWithFeedback)
async def get_execution(execution_id: Annotated[str, ingest.PathId], who: User, service: Serving) -> dict[str, Any]:
    """One execution with everything said about it that the caller may see. Old ones are read from the archive."""

    def read() -> dict[str, Any]:
        with service.acting(who) as connection:
            found = details.one(connection, who.organization_id, execution_id)
            if found is not None:
                said = details.feedback_of(connection, who.organization_id, execution_id)
                return {**found, "feedback": said, "passages": details.passages(connection, who.organization_id, found["retrieved"] or [])}
        kept = archived_rows.one(service, who, execution_id)
        if kept is None:
            raise not_found("execution", "execution_id")
        with service.acting(who) as connection:
            return {**kept, "passages": details.passages(connection, who.organization_id, kept["retrieved"] or [])}

    return await run_in_threadpool(read)
