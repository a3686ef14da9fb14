"""Phoenix' own paths: annotations of spans, traces, sessions and documents, notes, and reading them back.

Belongs here: paths and shapes of Phoenix. Not here: what an annotation means (feedback/peers/phoenix.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from starlette.responses import PlainTextResponse, Response

from learning_pipelines.api.peers import AGENT_HEADER, Keyed, json_of, objects, refused
from learning_pipelines.api.peers_intake import take
from learning_pipelines.api.principals import Principal
from learning_pipelines.api.problems import Problem
from learning_pipelines.api.service import Service, Serving
from learning_pipelines.feedback.peers import phoenix
from learning_pipelines.feedback.peers.otlp import spans_of
from learning_pipelines.feedback.peers.said import Said
from learning_pipelines.storage import peers


def _shape(request: Request, problem: Problem) -> Response:
    return PlainTextResponse(problem.detail, problem.status, problem.headers)


router = APIRouter(tags=["peers: Phoenix"], route_class=refused(_shape), include_in_schema=False)
SPEAKS = "20.26.1"
"""The version whose requests this answers: the client asks before it uses newer parameters."""
Sync = Annotated[bool, Query(description="Whether the targets must be known already; what is stored is on disk either way.")]


@router.get("/arize_phoenix_version")
async def get_version() -> Response:
    return PlainTextResponse(SPEAKS)


@router.post("/v1/{target}_annotations")
async def post_annotations(target: str, request: Request, who: Keyed, service: Serving, sync: Sync = False) -> Response:
    """Takes annotations. With `sync`, unknown spans are 404 and nothing is stored; without, they are held until their spans come."""
    if target not in ("span", "trace", "session", "document"):
        raise Problem(404, "There is no such route.")
    body = await json_of(request)
    said = [phoenix.annotation(payload, target) for payload in objects(body.get("data") if isinstance(body, dict) else None, "data")]  # type: ignore[arg-type]
    return await _stored(service, who, said, sync, request.headers.get(AGENT_HEADER), many=True)


@router.post("/v1/span_notes")
async def post_note(request: Request, who: Keyed, service: Serving) -> Response:
    """Takes one note."""
    body = await json_of(request)
    (payload,) = objects([body.get("data")] if isinstance(body, dict) else None, "data")
    return await _stored(service, who, [phoenix.note(payload)], True, request.headers.get(AGENT_HEADER), many=False)


async def _stored(service: Service, who: Principal, said: Sequence[Said], sync: bool, agent: str | None, many: bool) -> Response:
    if sync and (missing := await run_in_threadpool(_unknown, service, who, said)):
        return PlainTextResponse(f"Spans with IDs {', '.join(missing)} do not exist.", 404)
    outcomes = await take(service, who, said, agent) if said else []
    if (problem := next((one.problem for one in outcomes if one.problem is not None), None)) is not None:
        raise problem
    inserted = [{"id": one.id} for one in outcomes]
    return Response(orjson.dumps({"data": (inserted if sync else []) if many else inserted[0]}), media_type="application/json")


def _unknown(service: Service, who: Principal, said: Sequence[Said]) -> list[str]:
    spans = list(dict.fromkeys(one.span_id for one in said if one.span_id is not None))
    with service.acting(who) as connection:
        known = peers.traces_of_spans(connection, who.organization_id, spans) if spans else {}
    return [span for span in spans if span not in known]


Names = Annotated[list[str] | None, Query()]


@router.get("/v1/projects/{project}/span_annotations")
async def get_annotations(
    project: str, who: Keyed, service: Serving, span_ids: Annotated[list[str], Query(max_length=1000)], include_annotation_names: Names = None,
    exclude_annotation_names: Names = None, cursor: Annotated[str | None, Query(pattern=r"^\d{1,18}$")] = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 10,
) -> dict[str, Any]:  # fmt: skip
    """Annotations of spans, the newest first. Every project of an organization is the organization."""

    def read() -> list[peers.Statement]:
        with service.acting(who) as connection:
            return peers.statements(
                connection, who.organization_id, "phoenix", spans=span_ids, names=include_annotation_names, without=exclude_annotation_names or (),
                before=int(cursor) if cursor else None, limit=limit,
            )  # fmt: skip

    found = await run_in_threadpool(read)
    data = [
        phoenix.as_annotation(one.payload, one.id, one.created_at.isoformat(), one.updated_at.isoformat()) for one in found if not one.id.startswith("document")
    ]
    return {"data": data, "next_cursor": str(found[-1].arrival) if len(found) == limit else None}


@router.get("/v1/projects/{project}/spans")
async def get_spans(
    project: str, who: Keyed, service: Serving, trace_id: Names = None, span_id: Names = None, limit: Annotated[int, Query(ge=1, le=1000)] = 100
) -> dict[str, Any]:
    """The spans of traces, or of the newest ones."""

    def read() -> list[dict[str, Any]]:
        with service.acting(who) as connection:
            wanted = trace_id or (list(peers.traces_of_spans(connection, who.organization_id, span_id).values()) if span_id else None)
            return peers.executions(connection, who.organization_id, wanted, limit=limit)

    spans = [span for row in await run_in_threadpool(read) for span in spans_of(row["context"].get("otlp") or {}) if not span_id or span.span_id in span_id]
    return {"data": [phoenix.as_span(span) for span in spans[:limit]], "next_cursor": None}
