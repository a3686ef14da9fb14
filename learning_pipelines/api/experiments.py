"""Routes of experiments: making them, what becomes of them, their numbers.

Belongs here: paths, roles. Not here: shapes (experiments_models.py), what may be done when (experiments/lifecycle.py), who is served which variant
(experiments_serving.py).

Experimenters make, start, pause and end experiments. What serves everybody is an administrator's: only they conclude with adopt_treatment, or say
beforehand that a winner is adopted by itself (auto_adopt).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, TypeVar
from uuid import UUID

from fastapi import APIRouter, Query

from learning_pipelines.api.experiments_models import (
    Aborted,
    AskedExperiment,
    ChangedExperiment,
    Concluded,
    OnBehalf,
    ShownExperiments,
    Weights,
    WholeExperiment,
)
from learning_pipelines.api.principals import Principal, permits
from learning_pipelines.api.problems import Problem, not_found
from learning_pipelines.api.service import Experimenter, Service, Serving
from learning_pipelines.api.transactions import decided, reviewer
from learning_pipelines.experiments import lifecycle, showing
from learning_pipelines.experiments.lifecycle import Changed
from learning_pipelines.experiments.plans import Asked, Plan
from learning_pipelines.storage import experiments
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.experiment_rows import Experiment, Status

router = APIRouter(tags=["experiments"])
T = TypeVar("T")


@router.get("/experiments", response_model=ShownExperiments)
async def list_experiments(
    who: Experimenter, service: Serving, agent: Annotated[str | None, Query(max_length=255)] = None, state: Annotated[Status | None, Query()] = None
) -> dict[str, Any]:
    """Experiments and rollouts, newest first (at most 1,000)."""

    def read(connection: Connection) -> dict[str, Any]:
        only = None if agent is None else service.agent(connection, who, agent, "agent").agent_id
        found = experiments.listed(connection, who.organization_id, agent_id=only, statuses=[] if state is None else [state])
        return {"experiments": showing.listed(connection, who.organization_id, found)}

    return await _decided(service, who, read, changes=False)


@router.post("/experiments", status_code=201, response_model=WholeExperiment)
async def post_experiment(body: AskedExperiment, who: Experimenter, service: Serving) -> dict[str, Any]:
    """Makes a draft, which serves nobody before it is started (`start` does it at once)."""
    who = who.speaking_for(body.user)
    if body.options.auto_adopt and not permits(who.role, "admin"):
        raise Problem(403, "Only an administrator may let a winner serve by itself. Leave auto_adopt out.", field="options.auto_adopt")
    plan = _plan(body)

    def work(connection: Connection) -> dict[str, Any]:
        agent = service.agent(connection, who, body.agent, "agent")
        made = lifecycle.create(connection, agent, plan, reviewer(who), service.settings)
        if body.start:
            made = lifecycle.start(connection, who.organization_id, made.id, reviewer(who), service.settings).experiment
        return _shown(connection, who, made)

    return await _decided(service, who, work)


@router.get("/experiments/{experiment_id}", response_model=WholeExperiment)
async def get_experiment(experiment_id: UUID, who: Experimenter, service: Serving) -> dict[str, Any]:
    """One experiment with its numbers so far."""

    def read(connection: Connection) -> dict[str, Any]:
        found = experiments.find(connection, who.organization_id, experiment_id)
        if found is None:
            raise not_found("experiment", "experiment_id")
        return _shown(connection, who, found)

    return await _decided(service, who, read, changes=False)


@router.post("/experiments/{experiment_id}/start", response_model=ChangedExperiment)
async def start_experiment(experiment_id: UUID, who: Experimenter, service: Serving, body: OnBehalf | None = None) -> dict[str, Any]:
    """Units are assigned from now on. Starting what runs changes nothing; what has ended is not started again."""
    return await _changed(service, who, body, lambda connection, by: lifecycle.start(connection, by.tenant, experiment_id, by.reviewer, service.settings))


@router.post("/experiments/{experiment_id}/pause", response_model=ChangedExperiment)
async def pause_experiment(experiment_id: UUID, who: Experimenter, service: Serving, body: OnBehalf | None = None) -> dict[str, Any]:
    """Everybody gets what serves until it is resumed. Rollouts stay at their step."""
    return await _changed(service, who, body, lambda connection, by: lifecycle.pause(connection, by.tenant, experiment_id, by.reviewer))


@router.post("/experiments/{experiment_id}/resume", response_model=ChangedExperiment)
async def resume_experiment(experiment_id: UUID, who: Experimenter, service: Serving, body: OnBehalf | None = None) -> dict[str, Any]:
    """Goes on where it was paused: everybody has their variant again."""
    return await _changed(service, who, body, lambda connection, by: lifecycle.resume(connection, by.tenant, experiment_id, by.reviewer, service.settings))


@router.post("/experiments/{experiment_id}/abort", response_model=ChangedExperiment)
async def abort_experiment(experiment_id: UUID, who: Experimenter, service: Serving, body: Aborted | None = None) -> dict[str, Any]:
    """Ends it without a decision: everybody gets what serves."""
    notes = None if body is None else body.notes
    return await _changed(service, who, body, lambda connection, by: lifecycle.abort(connection, by.tenant, experiment_id, by.reviewer, notes))


@router.post("/experiments/{experiment_id}/weights", response_model=ChangedExperiment)
async def weigh_experiment(experiment_id: UUID, body: Weights, who: Experimenter, service: Serving) -> dict[str, Any]:
    """New shares, for units that were not met yet: who has a variant keeps it."""
    return await _changed(
        service, who, body, lambda connection, by: lifecycle.change_weights(connection, by.tenant, experiment_id, body.weights, by.reviewer)
    )


@router.post("/experiments/{experiment_id}/analyze", response_model=ChangedExperiment)
async def analyze_experiment(experiment_id: UUID, who: Experimenter, service: Serving, body: OnBehalf | None = None) -> dict[str, Any]:
    """Looks at it now, as the hourly job does, at the values as they were last collected, and does what follows. `changed`: it saw something new."""
    return await _changed(service, who, body, lambda connection, by: lifecycle.look(connection, by.tenant, experiment_id, by.reviewer, service.settings))


@router.post("/experiments/{experiment_id}/conclude", response_model=ChangedExperiment)
async def conclude_experiment(experiment_id: UUID, who: Experimenter, service: Serving, body: Concluded | None = None) -> dict[str, Any]:
    """Ends it with a decision. adopt_treatment makes the winner serve everybody: it needs that verdict, and an administrator. Every other leaves what
    serves."""
    asked = body or Concluded()

    def work(connection: Connection, by: _By) -> Changed:
        return lifecycle.conclude(
            connection, by.tenant, experiment_id, asked.decision, by.reviewer, service.settings, asked.notes, may_adopt=permits(who.role, "admin")
        )

    return await _changed(service, who, asked, work)


class _By:
    """Who changes an experiment, of which organization."""

    def __init__(self, who: Principal) -> None:
        self.tenant, self.reviewer = who.organization_id, reviewer(who)


async def _changed(service: Service, who: Principal, body: OnBehalf | None, change: Callable[[Connection, _By], Changed]) -> dict[str, Any]:
    who = who.speaking_for(None if body is None else body.user)

    def work(connection: Connection) -> dict[str, Any]:
        done = change(connection, _By(who))
        return {**_shown(connection, who, done.experiment), "changed": done.changed}

    return await _decided(service, who, work)


def _plan(body: AskedExperiment) -> Plan:
    arms = [Asked(arm.variant, arm.version, arm.weight) for arm in body.arms]
    return Plan(
        body.name, arms, body.subject, body.unit, body.primary_metric, body.guardrails, body.exclusion_group, body.min_duration_hours,
        body.min_sample_size, body.options, body.description,
    )  # fmt: skip


def _shown(connection: Connection, who: Principal, experiment: Experiment) -> dict[str, Any]:
    return showing.whole(connection, who.organization_id, experiment)


async def _decided(service: Service, who: Principal, work: Callable[[Connection], T], *, changes: bool = True) -> T:
    return await decided(service, who.acting.for_experiments(), work, "experiment_id", changes=changes)
