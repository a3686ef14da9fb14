"""MLflow's own paths: assessments in, changed and out; traces in (with peers_otlp.py) and out; agents as experiments.

Belongs here: paths and shapes of MLflow's REST API, as its Python client 3 uses them. Not here: what an assessment means
(feedback/peers/mlflow.py).
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from starlette.responses import PlainTextResponse, Response

from learning_pipelines.api.peers import AGENT_HEADER, Keyed, as_json, json_of, refused
from learning_pipelines.api.peers_intake import take
from learning_pipelines.api.peers_otlp import hold
from learning_pipelines.api.principals import Principal
from learning_pipelines.api.problems import Problem
from learning_pipelines.api.service import Service, Serving
from learning_pipelines.feedback.peers import executions, mlflow
from learning_pipelines.feedback.peers.otlp import proto_json, spans_of
from learning_pipelines.storage import peers, tenants

SPEAKS = "3.17.2"
"""The version whose requests this answers: the client sends spans only to a server that says at least 3.4."""
_CODES = {400: "INVALID_PARAMETER_VALUE", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "RESOURCE_DOES_NOT_EXIST",
          409: "RESOURCE_CONFLICT", 422: "INVALID_PARAMETER_VALUE", 429: "REQUEST_LIMIT_EXCEEDED", 503: "TEMPORARILY_UNAVAILABLE"}  # fmt: skip


def _shape(request: Request, problem: Problem) -> Response:
    return as_json(problem, error_code=_CODES.get(problem.status, "INTERNAL_ERROR"), message=problem.detail)


router = APIRouter(tags=["peers: MLflow"], route_class=refused(_shape), include_in_schema=False)
TRACES = "/api/3.0/mlflow/traces"
EXPERIMENTS = "/api/2.0/mlflow/experiments"


@router.get("/version", include_in_schema=False)
async def get_version() -> Response:
    return PlainTextResponse(SPEAKS)


@router.get(f"{EXPERIMENTS}/get-by-name")
async def get_experiment_by_name(experiment_name: str, who: Keyed, service: Serving) -> dict[str, Any]:
    """An agent as an experiment: its name is the slug."""
    return await _experiment(service, who, experiment_name)


@router.get(f"{EXPERIMENTS}/get")
async def get_experiment(experiment_id: str, who: Keyed, service: Serving) -> dict[str, Any]:
    """An agent as an experiment: its id is the agent's."""
    return await _experiment(service, who, experiment_id)


@router.post(f"{EXPERIMENTS}/create", status_code=403)
async def create_experiment(request: Request, who: Keyed) -> Response:
    """Refused: agents are made by import, not at first sight."""
    body = await json_of(request)
    name = body.get("name") if isinstance(body, dict) else None
    advice = "Import the agent first (learning-pipelines import agents)."
    raise Problem(403, f"{name!r} is not an agent of this organization, and experiments are agents here. {advice}")


async def _experiment(service: Service, who: Principal, name: str) -> dict[str, Any]:
    def find() -> tenants.AgentRef:
        with service.acting(who) as connection:
            return service.agent(connection, who, name)

    agent = await run_in_threadpool(find)
    return {"experiment": {"experiment_id": str(agent.agent_id), "name": agent.agent, "artifact_location": "", "lifecycle_stage": "active"}}


@router.post(TRACES)
async def post_trace(request: Request, who: Keyed, service: Serving) -> dict[str, Any]:
    """Takes what MLflow knows of a whole trace; its spans come by OTLP."""
    body = await json_of(request)
    trace = body.get("trace") if isinstance(body, dict) else None
    info = trace.get("trace_info") if isinstance(trace, dict) else None
    if not isinstance(info, dict) or not isinstance(info.get("trace_id"), str) or not 1 <= len(info["trace_id"]) <= 255:
        raise Problem(422, "trace.trace_info needs a trace_id.", field="trace.trace_info.trace_id")
    experiment = _experiment_of(info.get("trace_location"))
    agent = (await _experiment(service, who, experiment))["experiment"]["name"] if experiment is not None else None
    await hold(service, who, [(mlflow.execution_of(info["trace_id"]), executions.INFO, agent, None, info)])
    return {"trace": {"trace_info": _with_place(info)}}


def _experiment_of(location: object) -> str | None:
    experiment = location.get("mlflow_experiment") if isinstance(location, dict) else None
    identity = experiment.get("experiment_id") if isinstance(experiment, dict) else None
    return None if identity is None else str(identity)


def _with_place(info: Mapping[str, Any]) -> dict[str, Any]:
    """Tells the client that spans are stored here, so that it does not look for an artifact store."""
    return {**info, "tags": {**(info.get("tags") or {}), "mlflow.trace.spansLocation": "TRACKING_STORE"}}


@router.post(f"{TRACES}/search")
async def search_traces(request: Request, who: Keyed, service: Serving) -> dict[str, Any]:
    """The newest executions of the agents that `locations` name."""
    body = await json_of(request)
    locations = body.get("locations") if isinstance(body, dict) else None
    if not isinstance(locations, list):
        raise Problem(422, "locations must be a list.", field="locations")
    if body.get("filter"):
        raise Problem(422, "Filters are not taken here; leave it out.", field="filter")
    most = body.get("max_results") or 100
    if not isinstance(most, int) or most < 1:
        raise Problem(422, "max_results must be a whole number above 0.", field="max_results")
    limit = min(most, 500)
    names = [name for place in locations if (name := _experiment_of(place)) is not None]

    def read() -> list[dict[str, Any]]:
        with service.acting(who) as connection:
            agents = [service.agent(connection, who, name) for name in names]
            return [row for agent in agents for row in peers.executions(connection, who.organization_id, None, agent.agent_id, limit)]

    rows = await run_in_threadpool(read)
    return {"traces": await run_in_threadpool(_infos, service, who, rows[:limit])}


@router.get(f"{TRACES}/batchGet")
async def get_traces(who: Keyed, service: Serving, trace_ids: Annotated[list[str], Query(max_length=500)]) -> dict[str, Any]:
    """Traces with their spans; unknown ones are left out."""
    return {"traces": await run_in_threadpool(_traces, service, who, trace_ids)}


@router.get(f"{TRACES}/get")
async def get_whole_trace(trace_id: str, who: Keyed, service: Serving) -> dict[str, Any]:
    """One trace with its spans."""
    return {"trace": await run_in_threadpool(_trace, service, who, trace_id)}


@router.get(TRACES + "/{trace_id}")
async def get_trace(trace_id: str, who: Keyed, service: Serving) -> dict[str, Any]:
    """One trace without its spans."""
    found = await run_in_threadpool(_trace, service, who, trace_id)
    return {"trace": {"trace_info": found["trace_info"]}}


@router.post(TRACES + "/{trace_id}/assessments")
async def post_assessment(trace_id: str, request: Request, who: Keyed, service: Serving) -> Response:
    """Takes one assessment. An unknown trace holds it until the trace comes."""
    body = await json_of(request)
    given = body.get("assessment") if isinstance(body, dict) else None
    if not isinstance(given, dict):
        raise Problem(422, "The body must be {assessment: {…}}.", field="assessment")
    now = _now()
    made = {"assessment_id": f"a-{uuid.uuid4().hex}", "create_time": now, "last_update_time": now, "valid": True}
    return await _stored(service, who, {**made, **given, "trace_id": trace_id}, request.headers.get(AGENT_HEADER))


@router.patch(TRACES + "/{trace_id}/assessments/{assessment_id}")
async def patch_assessment(trace_id: str, assessment_id: str, request: Request, who: Keyed, service: Serving) -> Response:
    """Changes one: the former content stays in the history and is superseded."""
    body = await json_of(request)
    given = body.get("assessment") if isinstance(body, dict) else None
    if not isinstance(given, dict):
        raise Problem(422, "The body must be {assessment: {…}, update_mask}.", field="assessment")
    stored = await run_in_threadpool(_assessment, service, who, trace_id, assessment_id)
    return await _stored(service, who, mlflow.changed(stored, given, str(body.get("update_mask") or ""), _now()), None)


@router.get(TRACES + "/{trace_id}/assessments/{assessment_id}")
async def get_assessment(trace_id: str, assessment_id: str, who: Keyed, service: Serving) -> dict[str, Any]:
    """One assessment."""
    return {"assessment": await run_in_threadpool(_assessment, service, who, trace_id, assessment_id)}


async def _stored(service: Service, who: Principal, payload: dict[str, Any], agent: str | None) -> Response:
    (outcome,) = await take(service, who, [mlflow.assessment(payload)], agent)
    if outcome.problem is not None:
        raise outcome.problem
    return Response(orjson.dumps({"assessment": payload}), media_type="application/json")


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _assessment(service: Service, who: Principal, trace_id: str, assessment_id: str) -> dict[str, Any]:
    with service.acting(who) as connection:
        found = peers.statements(connection, who.organization_id, "mlflow", executions=[mlflow.execution_of(trace_id)], ids=[assessment_id])
    if not found:
        raise Problem(404, f"Assessment {assessment_id!r} of trace {trace_id!r} does not exist.")
    return found[0].payload


def _trace(service: Service, who: Principal, trace_id: str) -> dict[str, Any]:
    found = _traces(service, who, [trace_id])
    if not found:
        raise Problem(404, f"Trace {trace_id!r} does not exist.")
    return found[0]


def _traces(service: Service, who: Principal, trace_ids: list[str]) -> list[dict[str, Any]]:
    with service.acting(who) as connection:
        rows = peers.executions(connection, who.organization_id, [mlflow.execution_of(trace_id) for trace_id in trace_ids], limit=len(trace_ids))
    infos = _infos(service, who, rows)
    spans = [[proto_json(span.raw) for span in spans_of(row["context"].get("otlp") or {})] for row in rows]
    return [{"trace_info": info, "spans": inside} for info, inside in zip(infos, spans, strict=True)]


def _infos(service: Service, who: Principal, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """MLflow's trace_info of executions, with their assessments; made up of the execution where MLflow did not trace it."""
    with service.acting(who) as connection:
        said = peers.statements(connection, who.organization_id, "mlflow", executions=[row["id"] for row in rows], limit=10_000) if rows else []
    infos = []
    for row in rows:
        own = [one.payload for one in reversed(said) if one.execution_id == row["id"]]
        overridden = {payload.get("overrides") for payload in own} - {None}
        made = {
            "trace_id": mlflow.trace_of(row["id"]), "request_time": row["created_at"].isoformat().replace("+00:00", "Z"), "state": "OK",
            "trace_location": {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": str(row["agent_id"])}},
        }  # fmt: skip
        assessments = [{**payload, "valid": False} if payload.get("assessment_id") in overridden else payload for payload in own]
        infos.append(_with_place({**made, **(row["context"].get(executions.INFO) or {}), "assessments": assessments}))
    return infos
