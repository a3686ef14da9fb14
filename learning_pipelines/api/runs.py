"""Routes of runs: asking for prompt optimization, seeing how runs stand.

Belongs here: paths, roles, shapes. Not here: GraphQL (dagster.py), what a run does (defs/).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Query
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field

from learning_pipelines import run_tags
from learning_pipelines.api.openapi import BASE
from learning_pipelines.api.problems import not_found
from learning_pipelines.api.service import PersonName, Serving, Trainer
from learning_pipelines.storage import audit

router = APIRouter(tags=["runs"])
Weight = Annotated[float, Field(ge=0, le=1)]
Status = Literal["pending", "running", "completed", "failed", "cancelled"]


class Goals(BaseModel):
    """What the judge weighs; weights need not sum to one."""

    model_config = ConfigDict(extra="forbid")
    accuracy: Weight | None = None
    clarity: Weight | None = None
    completeness: Weight | None = None


class Optimization(BaseModel):
    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"agent_id": "desk", "optimization_goals": {"accuracy": 1.0, "clarity": 0.5}, "budget": 500}}
    )
    agent_id: Annotated[str, Field(min_length=1, max_length=255)]
    optimization_goals: Goals | list[Literal["accuracy", "clarity", "completeness"]] | None = None
    budget: Annotated[int | None, Field(ge=1, le=1_000_000, description="Most calls of the model.")] = None
    user: PersonName | None = None


class Launched(BaseModel):
    run_id: str
    status_url: str


@router.post("/optimize-prompt", status_code=202, response_model=Launched)
async def optimize_prompt(body: Optimization, who: Trainer, service: Serving) -> dict[str, str]:
    """Starts the job prompt_optimization for one agent. 202: the run waits in Dagster's queue; status_url shows its progress."""

    who = who.speaking_for(body.user)

    def launch() -> dict[str, str]:
        with service.acting(who) as connection:
            agent = service.agent(connection, who, body.agent_id)
        tags = {run_tags.REQUESTED_BY: who.actor}
        if body.budget is not None:
            tags[run_tags.BUDGET] = str(body.budget)
        goals = body.optimization_goals
        if goals is not None:
            weights = goals.model_dump(exclude_none=True) if isinstance(goals, Goals) else dict.fromkeys(goals, 1.0)
            tags[run_tags.GOALS] = orjson.dumps(weights, option=orjson.OPT_SORT_KEYS).decode()
        run_id = service.dagster.launch("prompt_optimization", who.organization, agent.agent, tags)
        with service.acting(who) as connection:
            audit.record(
                connection, who.organization_id, actor=who.actor, action="requested", kind="run", subject=run_id, fields=sorted(body.model_fields_set),
                after=body.model_dump(),
            )  # fmt: skip
        return {"run_id": run_id, "status_url": f"{BASE}/runs/{run_id}"}

    return await run_in_threadpool(launch)


class Run(BaseModel):
    """`outcome` says of a completed run whether it did its work or was skipped, and `reason` why; `progress` is 0–1."""

    run_id: str
    job: str
    agent: str | None
    status: Status
    outcome: str | None
    reason: str | None
    progress: float
    created_at: str | None
    started_at: str | None
    ended_at: str | None


class Runs(BaseModel):
    runs: list[Run]
    cursor: str | None


@router.get("/runs", response_model=Runs)
async def list_runs(
    who: Trainer, service: Serving, job: Annotated[str | None, Query(pattern="^[a-z_]{1,64}$")] = None,
    agent: Annotated[str | None, Query(max_length=255)] = None, limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: Annotated[str | None, Query(pattern="^[0-9a-f-]{36}$")] = None,
) -> dict[str, Any]:  # fmt: skip
    """Runs of the organization's jobs, newest first."""

    def read() -> list[dict[str, Any]]:
        only = None
        if agent is not None:
            with service.acting(who) as connection:
                only = service.agent(connection, who, agent, "agent").agent
        return service.dagster.runs(who.organization, job, limit, cursor, only)

    found = await run_in_threadpool(read)
    return {"runs": found, "cursor": found[-1]["run_id"] if len(found) == limit else None}


@router.get("/runs/{run_id}", response_model=Run)
async def get_run(run_id: str, who: Trainer, service: Serving) -> dict[str, Any]:
    """How one run stands."""
    found = await run_in_threadpool(service.dagster.run, who.organization, run_id)
    if found is None:
        raise not_found("run", "run_id")
    return found
