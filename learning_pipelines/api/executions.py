"""Routes of executions: taking them in, listing them, one with its feedback.

Belongs here: paths, roles, filters, the cursor. Not here: SQL (storage/executions.py).
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import AwareDatetime, BaseModel
from starlette.responses import Response

from learning_pipelines.api import ingest
from learning_pipelines.api.openapi import record_body
from learning_pipelines.api.problems import Problem, not_found
from learning_pipelines.api.service import Application, Serving, User, json_body
from learning_pipelines.feedback.identity import user_id
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
    executions: list[Execution]
    cursor: str | None


Name = Annotated[str | None, Query(max_length=255)]


@router.get("/executions", response_model=Executions)
async def list_executions(
    who: User, service: Serving, agent: Name = None, user: Name = None, session_id: Name = None, environment: Name = None, tag: Name = None,
    after: Annotated[AwareDatetime | None, Query(description="Only executions that happened at this time or later.")] = None,
    before: Annotated[AwareDatetime | None, Query(description="Only executions that happened earlier than this.")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50, cursor: Annotated[str | None, Query(max_length=1000)] = None,
) -> dict[str, Any]:  # fmt: skip
    """Executions, newest first. A person with role user sees their own."""
    for name, value in (("agent", agent), ("user", user), ("session_id", session_id), ("environment", environment), ("tag", tag)):
        if value is not None and "\x00" in value:
            raise Problem(422, f"{name} contains a NUL character.", field=name)
    position = None if cursor is None else _read_cursor(cursor)

    def read() -> dict[str, Any]:
        with service.acting(who) as connection:
            ref = service.agent(connection, who, agent) if agent is not None else None
            wanted = storage.Wanted(
                agent_id=ref.agent_id if ref else None, user_id=user_id(who.organization_id, user) if user is not None else None, session_id=session_id,
                environment=environment, tag=tag, after=after, before=before, position=position,
            )  # fmt: skip
            rows = storage.page(connection, who.organization_id, wanted, limit)
        more = _write_cursor(rows[-1]) if len(rows) == limit else None
        return {"executions": rows, "cursor": more}

    return await run_in_threadpool(read)


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
    created_at: dt.datetime


class ExecutionWithFeedback(Execution):
    messages: list[Any] | None
    retrieved: list[Any] | None
    context: dict[str, Any]
    feedback: list[GivenFeedback]


@router.get("/executions/{execution_id}", response_model=ExecutionWithFeedback)
async def get_execution(execution_id: Annotated[str, ingest.PathId], who: User, service: Serving) -> dict[str, Any]:
    """One execution with everything said about it that the caller may see."""

    def read() -> dict[str, Any]:
        with service.acting(who) as connection:
            found = storage.one(connection, who.organization_id, execution_id)
            if found is None:
                raise not_found("execution", "execution_id")
            return {**found, "feedback": storage.feedback_of(connection, who.organization_id, execution_id)}

    return await run_in_threadpool(read)


def _write_cursor(row: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(orjson.dumps([row["created_at"], row["execution_id"]])).decode()


def _read_cursor(text: str) -> tuple[dt.datetime, str]:
    try:
        moment, identity = orjson.loads(base64.urlsafe_b64decode(text.encode("ascii")))
        at = dt.datetime.fromisoformat(moment)
        if at.tzinfo is None or not isinstance(identity, str) or "\x00" in identity:
            raise ValueError(text)
        return at, identity
    except (binascii.Error, ValueError, TypeError, UnicodeError):
        raise Problem(422, "The cursor is not one that this route gave.", field="cursor") from None
