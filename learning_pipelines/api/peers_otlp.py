"""OTLP/HTTP traces: every OpenTelemetry exporter, Langfuse's and MLflow's among them.

Belongs here: paths, OTLP's answers, when a trace becomes an execution. Not here: which span is the execution (feedback/peers/executions.py).

A span is on disk before it is acknowledged. A trace becomes an execution when its root has come; one whose root never comes (its parent
is in a process that does not report here), once nothing more has come for SETTLE_SECONDS. That is looked at after each request, once
SETTLE_SECONDS later, and, for what a restart left over, with any later request of the organization.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import orjson
import psycopg
from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from starlette.responses import Response

from learning_pipelines.api.capture import refusal
from learning_pipelines.api.peers import AGENT_HEADER, Keyed, body_of, refused
from learning_pipelines.api.peers_intake import release
from learning_pipelines.api.principals import Principal
from learning_pipelines.api.problems import Problem
from learning_pipelines.api.service import Service, Serving
from learning_pipelines.errors import LearningError
from learning_pipelines.feedback.identity import user_id
from learning_pipelines.feedback.peers import executions, otlp
from learning_pipelines.feedback.peers.otlp import JSON_TYPE, PROTOBUF_TYPE, Span
from learning_pipelines.feedback.peers.spans import Reading
from learning_pipelines.storage import peers, tenants
from learning_pipelines.storage.grouped import Write

SETTLE_SECONDS = 10.0
MLFLOW_EXPERIMENT = "x-mlflow-experiment-id"
log = logging.getLogger("learning_pipelines.api")
_later: set[asyncio.Task[None]] = set()


def _shape(request: Request, problem: Problem) -> Response:
    """google.rpc.Status, in the request's own encoding; the reason is what exporters log."""
    codes = {400: 3, 401: 16, 403: 7, 404: 5, 413: 3, 422: 3, 429: 8, 503: 14}
    status, code = (400 if problem.status == 422 else problem.status), codes.get(problem.status, 2)
    if _is_protobuf(request):
        # The two fields of google.rpc.Status by hand: a dependency for them would be larger than they are.
        text = problem.detail.encode()
        return Response(bytes([8, code, 18]) + _varint(len(text)) + text, status, problem.headers, PROTOBUF_TYPE)
    return Response(orjson.dumps({"code": code, "message": problem.detail}), status, problem.headers, JSON_TYPE)


def _varint(number: int) -> bytes:
    out = b""
    while number > 127:
        out, number = out + bytes([number & 127 | 128]), number >> 7
    return out + bytes([number])


def _is_protobuf(request: Request) -> bool:
    return request.headers.get("content-type", "").split(";")[0].strip() != JSON_TYPE


router = APIRouter(tags=["peers: OpenTelemetry"], route_class=refused(_shape), include_in_schema=False)


@router.post("/v1/traces")
@router.post("/api/public/otel/v1/traces", include_in_schema=False)
async def post_traces(request: Request, who: Keyed, service: Serving) -> Response:
    """Takes spans (protobuf or JSON). Refused with 400 and the reason if a trace that is whole belongs to no agent of the organization."""
    data = await body_of(request)
    spans = await run_in_threadpool(otlp.spans_of_protobuf if _is_protobuf(request) else otlp.spans_of_json, data)
    named = await _named_agent(service, who, request.headers)
    await run_in_threadpool(_refuse_strangers, service, who, spans, named)
    entries = [(span.trace_id.lower(), span.span_id.lower(), named, _person(who, span), {"raw": span.raw, "frame": span.frame}) for span in spans]
    await hold(service, who, entries)
    return Response(b"" if _is_protobuf(request) else b"{}", media_type=PROTOBUF_TYPE if _is_protobuf(request) else JSON_TYPE)


async def _named_agent(service: Service, who: Principal, headers: Mapping[str, str]) -> str | None:
    """The agent that the request names for all its spans: our header, or MLflow's experiment (agents are experiments there)."""
    if (named := headers.get(AGENT_HEADER)) is not None:
        return named
    experiment = headers.get(MLFLOW_EXPERIMENT)
    if experiment is None:
        return None

    def find() -> str:
        with service.acting(who) as connection:
            return service.agent(connection, who, experiment).agent

    return await run_in_threadpool(find)


def _person(who: Principal, span: Span) -> UUID | None:
    user = Reading(span).user
    return user_id(who.organization_id, user) if user else None


def _refuse_strangers(service: Service, who: Principal, spans: Sequence[Span], named: str | None) -> None:
    """Raises 422 for a root whose agent does not exist: its sender should hear it now, agents are not made at first sight."""
    roots = [span for span in spans if executions.is_root(span)]
    if not roots:
        return
    with service.acting(who) as connection:
        agents = tenants.agent_ids(connection, who.organization_id)
    for root in roots:
        trace = [span for span in spans if span.trace_id == root.trace_id]
        top = executions.outermost(trace)
        if top is not None:
            _agent_of(trace, top, named, agents)


def _agent_of(spans: Sequence[Span], top: Span, named: str | None, agents: Mapping[str, Any]) -> str:
    names = executions.agent_names(spans, top, named)
    agent = executions.choose_agent(names, agents)
    if agent is None:
        what = f"None of {', '.join(map(repr, names))} is an agent of this organization" if names else "The spans name no agent"
        raise Problem(
            422, f"{what}. Import the agent first (learning-pipelines import agents), then name it: span attribute learning.agent, "
            f"resource attribute service.name, or header {AGENT_HEADER}.", field="service.name",
        )  # fmt: skip
    return agent


async def hold(service: Service, who: Principal, entries: Sequence[peers.HeldSpan]) -> None:
    """Stores entries of traces durably, makes executions of the traces that are whole, and looks again later at the others."""
    traces = list(dict.fromkeys(entry[0] for entry in entries))

    def store() -> list[str]:
        with service.acting(who) as connection:
            peers.hold_spans(connection, who.organization_id, entries)
        with service.acting(who) as connection:
            return peers.rested_traces(connection, who.organization_id, SETTLE_SECONDS)

    rested = await run_in_threadpool(store)
    waiting = await settle(service, who, traces, rested=False)
    await settle(service, who, [trace for trace in rested if trace not in traces], rested=True)
    await release(service, who, traces, [entry[1] for entry in entries])
    if waiting:
        task = asyncio.create_task(_settle_later(service, who, waiting))
        _later.add(task)
        task.add_done_callback(_later.discard)


async def _settle_later(service: Service, who: Principal, traces: Sequence[str]) -> None:
    await asyncio.sleep(SETTLE_SECONDS)

    def rested() -> list[str]:
        with service.acting(who) as connection:
            return peers.rested_traces(connection, who.organization_id, SETTLE_SECONDS - 0.5, limit=10_000)

    try:
        still = set(traces) & set(await run_in_threadpool(rested))
        await settle(service, who, sorted(still), rested=True)
    except (Problem, LearningError, psycopg.Error) as error:  # nobody waits for it: the next request of the organization looks again
        log.warning("traces stay held: %s", type(error).__name__)


@dataclass(frozen=True, slots=True)
class _Made:
    trace: str
    span_ids: list[str]
    record: dict[str, Any]


async def settle(service: Service, who: Principal, traces: Sequence[str], *, rested: bool) -> list[str]:
    """Makes executions of held traces: of those that are whole, or (`rested`) of all. Returns the traces that stay held."""
    if not traces:
        return []
    made, waiting = await run_in_threadpool(_assembled, service, who, traces, rested)
    if rested and waiting:
        await run_in_threadpool(_set_aside, service, who, waiting)
    for one in made:
        try:
            ready = await run_in_threadpool(service.capture.prepare, replace(who, user=None), "executions", one.record)
        except Problem:
            if not rested:
                raise
            await run_in_threadpool(_set_aside, service, who, [one.trace])  # nobody waits for this answer
            continue
        (settled,) = await service.writer.write(Write("executions", who.acting, who.actor, [ready.row], [ready.fields]))
        service.metrics.stored.labels("executions").inc(settled.status == "stored")
        if settled.status in ("stored", "unchanged", "conflict"):  # conflict: made meanwhile, of other spans; these are late
            used = one.span_ids if settled.status != "conflict" else []
            await run_in_threadpool(_use, service, who, one.trace, used)
        elif (problem := refusal("executions", settled, ready.id)) is not None:
            raise problem
        await release(service, who, [one.trace], one.span_ids)
    return waiting


def _assembled(service: Service, who: Principal, traces: Sequence[str], rested: bool) -> tuple[list[_Made], list[str]]:
    with service.acting(who) as connection:
        held = peers.held_traces(connection, who.organization_id, traces)
        agents = tenants.agent_ids(connection, who.organization_id)
    made, waiting = [], []
    for trace, entries in held.items():
        spans = [Span(entry["content"]["raw"], entry["content"]["frame"]) for entry in entries if entry["span_id"] != executions.INFO]
        info = next((entry["content"] for entry in entries if entry["span_id"] == executions.INFO), None)
        named = next((entry["agent"] for entry in entries if entry["agent"]), None)
        top = executions.outermost(spans)
        if top is None or not (rested or executions.whole(spans, info is not None)):
            waiting.append(trace)
            continue
        agent = executions.choose_agent(executions.agent_names(spans, top, named), agents)
        if agent is None:
            waiting.append(trace)
            continue
        made.append(_Made(trace, [entry["span_id"] for entry in entries], executions.execution_record(spans, top, agent, info)))
    return made, waiting


def _use(service: Service, who: Principal, trace: str, span_ids: Sequence[str]) -> None:
    with service.acting(who) as connection:
        peers.use_spans(connection, who.organization_id, trace, span_ids)


def _set_aside(service: Service, who: Principal, traces: Sequence[str]) -> None:
    with service.acting(who) as connection:
        peers.set_aside(connection, who.organization_id, traces)
