"""Langfuse's own paths: scores in and out, as its Python client 5 uses them. (Its traces come by OTLP: peers_otlp.py.)

Belongs here: paths and shapes of Langfuse. Not here: what a score means (feedback/peers/langfuse.py).
"""

from __future__ import annotations

from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from starlette.responses import Response

from learning_pipelines.api.peers import AGENT_HEADER, Keyed, as_json, json_of, objects, refused
from learning_pipelines.api.peers_intake import take
from learning_pipelines.api.problems import Problem
from learning_pipelines.api.service import Serving
from learning_pipelines.feedback.peers import langfuse
from learning_pipelines.feedback.peers.otlp import spans_of
from learning_pipelines.feedback.peers.said import Said
from learning_pipelines.feedback.peers.shape import Malformed
from learning_pipelines.storage import peers


def _shape(request: Request, problem: Problem) -> Response:
    return as_json(problem, message=problem.detail)


router = APIRouter(tags=["peers: Langfuse"], route_class=refused(_shape), include_in_schema=False)


@router.post("/api/public/scores", status_code=202)
async def post_scores(request: Request, who: Keyed, service: Serving) -> Response:
    """Takes one score or an array of them: 202 if all are stored, 207 with the reasons if some are refused, 200 {id} for a single one."""
    body = await json_of(request)
    single = isinstance(body, dict)
    said: list[Said] = []
    errors: list[str] = []
    for position, payload in enumerate(objects([body] if single else body, "The body")):
        try:
            said.append(langfuse.score(payload))
        except Malformed as error:
            errors.append(f"Score {payload.get('id') or position}: {error}.")
    outcomes = await take(service, who, said, request.headers.get(AGENT_HEADER)) if said else []
    errors += [f"Score {one.id}: {one.problem.detail}" for one in outcomes if one.problem is not None]
    if single:
        if errors:
            raise Problem(422, errors[0])
        return Response(orjson.dumps({"id": outcomes[0].id}), 200, media_type="application/json")
    if errors:
        found = {"accepted": len(outcomes) - sum(one.problem is not None for one in outcomes), "rejected": len(errors)}
        return Response(orjson.dumps({**found, "errors": [{"message": error} for error in errors]}), 207, media_type="application/json")
    return Response(b'{"message":"Accepted"}', 202, media_type="application/json")


@router.get("/api/public/v3/scores")
async def get_scores(
    who: Keyed, service: Serving, id: str | None = None, name: str | None = None, traceId: str | None = None, sessionId: str | None = None,
    observationId: str | None = None, cursor: Annotated[str | None, Query(pattern=r"^\d{1,18}$")] = None, limit: Annotated[int, Query(ge=1, le=100)] = 50,
) -> dict[str, Any]:  # fmt: skip
    """Scores, the newest first, with all groups of fields."""

    def read() -> list[peers.Statement]:
        with service.acting(who) as connection:
            return peers.statements(
                connection, who.organization_id, "langfuse", executions=_split(traceId), spans=_split(observationId), sessions=_split(sessionId),
                ids=_split(id), names=_split(name), before=int(cursor) if cursor else None, limit=limit,
            )  # fmt: skip

    found = await run_in_threadpool(read)
    data = [langfuse.as_v3(one.payload, one.id, who.organization, one.created_at.isoformat(), one.updated_at.isoformat()) for one in found]
    return {"data": data, "meta": {"limit": limit, "cursor": str(found[-1].arrival) if len(found) == limit else None}}


@router.get("/api/public/v2/observations")
async def get_observations(
    who: Keyed, service: Serving, traceId: Annotated[str | None, Query(max_length=255)] = None, limit: Annotated[int, Query(ge=1, le=1000)] = 50
) -> dict[str, Any]:
    """The spans of a trace, or of the newest traces, with all groups of fields."""

    def read() -> list[dict[str, Any]]:
        with service.acting(who) as connection:
            return peers.executions(connection, who.organization_id, None if traceId is None else [traceId], limit=limit)

    spans = [span for row in await run_in_threadpool(read) for span in spans_of(row["context"].get("otlp") or {})]
    return {"data": [langfuse.as_observation(span, who.organization) for span in spans[:limit]], "meta": {"cursor": None}}


def _split(text: str | None) -> list[str] | None:
    return None if text is None else text.split(",")
