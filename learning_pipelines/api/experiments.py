"""Routes of experiments: making them, what becomes of them, their numbers.

Belongs here: paths, roles, shapes. Not here: what may be done when (experiments/lifecycle.py), who is served which variant (experiments_serving.py).

Experimenters make, start, pause and end experiments. What serves everybody is an administrator's: only they conclude with adopt_treatment, or say
beforehand that a winner is adopted by itself (auto_adopt).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar
from uuid import UUID

from fastapi import APIRouter, Query
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field

from learning_pipelines.acceptance.reviewing import Reason, Refused, Reviewer
from learning_pipelines.api.principals import Principal, permits
from learning_pipelines.api.problems import Problem, not_found
from learning_pipelines.api.service import Experimenter, PersonName, Service, Serving
from learning_pipelines.experiments import lifecycle, showing
from learning_pipelines.experiments.lifecycle import Changed
from learning_pipelines.experiments.metrics import GUARDRAILS
from learning_pipelines.experiments.options import Options
from learning_pipelines.experiments.plans import LARGEST, MOST_ARMS, Asked, Plan
from learning_pipelines.storage import experiments
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.experiment_rows import Decision, Experiment, Kind, Status, Subject, Unit

router = APIRouter(tags=["experiments"])
T = TypeVar("T")
_STATUS = {Reason.UNKNOWN: 404, Reason.STATE: 409, Reason.VALUE: 422, Reason.ROLE: 403}
_ID = "5f2d8e1c-0f5b-4d0e-9a53-0c8f3f0a7b11"
_TEXT = r"^[^\x00]*$"


class AskedArm(BaseModel):
    model_config = ConfigDict(extra="forbid")
    variant: Annotated[str | None, Field(max_length=63, description="Its name; null: control, treatment, treatment-1 …")] = None
    version: Annotated[int | None, Field(ge=0, le=LARGEST, description="What it serves; null: what serves now (the control only).")] = None
    weight: Annotated[float | None, Field(gt=0, le=100, description="Share of new units, or percentage; null: an equal part of what is left.")] = None


_ASKED: dict[str, Any] = {
    "agent": "desk", "name": "shorter answers", "arms": [{"version": 1, "weight": 0.5}, {"variant": "shorter", "version": 2, "weight": 0.5}],
    "subject": "prompt", "unit": "user", "primary_metric": "thumbs", "guardrails": ["latency_ms", "thumbs_down_rate"], "min_sample_size": 500,
    "options": {"minimum_effect": 0.02},
}  # fmt: skip


class AskedExperiment(BaseModel):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": _ASKED})
    agent: Annotated[str, Field(min_length=1, max_length=255, pattern=_TEXT)]
    name: Annotated[str, Field(min_length=1, max_length=255, pattern=_TEXT)]
    arms: Annotated[list[AskedArm], Field(min_length=2, max_length=MOST_ARMS, description="The control first.")]
    subject: Subject = "prompt"
    unit: Unit = "user"
    primary_metric: Annotated[str, Field(max_length=64)] = "thumbs"
    guardrails: Annotated[list[str] | None, Field(max_length=50, description="Metrics that must not get worse; null: the usual ones.")] = None
    exclusion_group: Annotated[str | None, Field(max_length=63)] = None
    min_duration_hours: Annotated[int, Field(ge=0, le=LARGEST)] = 168
    min_sample_size: Annotated[int, Field(ge=0, le=LARGEST, description="Units in each arm before anything is adopted.")] = 1000
    options: Options = Options()
    description: Annotated[str | None, Field(max_length=10_000, pattern=_TEXT)] = None
    start: Annotated[bool, Field(description="Start it at once.")] = False
    user: PersonName | None = None


class OnBehalf(BaseModel):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {}})
    user: PersonName | None = None


class Aborted(OnBehalf):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"notes": "The release was put off."}})
    notes: Annotated[str | None, Field(max_length=10_000, pattern=_TEXT)] = None


class Weights(OnBehalf):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"weights": {"control": 0.8, "shorter": 0.2}}})
    weights: Annotated[dict[str, float], Field(min_length=1, max_length=MOST_ARMS, description="Every arm's share of new units, or percentages.")]


class Concluded(OnBehalf):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"decision": "keep_control", "notes": "Nobody noticed a difference."}})
    decision: Annotated[Decision | None, Field(description="null: the one that its values lead to now.")] = None
    notes: Annotated[str | None, Field(max_length=10_000, pattern=_TEXT)] = None


class ArmSoFar(BaseModel):
    """`units` were exposed to it so far; `mean` of the primary metric."""

    variant: str
    version: int
    weight: float
    units: int
    mean: float | None = None


class EpochSoFar(BaseModel):
    """A time of unchanged shares. Units are compared with units of the same epoch only."""

    number: int
    shares: dict[str, float]
    units: dict[str, int]
    started_at: str
    ended_at: str | None = None


class Compared(BaseModel):
    """A treatment against the control in one metric; the difference lies in [low, high] at every look at once (null: unbounded) with probability 1 - alpha,
    and p holds at any time. `role`: primary, guardrail or answers (the feedback rate); `harmed`: worse by more than the tolerance."""

    role: Literal["primary", "guardrail", "answers"]
    metric: str
    variant: str
    n_control: int
    n_treatment: int
    mean_control: float | None = None
    mean_treatment: float | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p: float
    alpha: float
    exact: bool
    ready: bool
    conclusive: bool
    tolerance: float
    harmed: bool


class Verdict(BaseModel):
    """What the values lead to now. `longer`: how much longer it takes, where it is inconclusive."""

    decision: Decision
    winner: str | None = None
    reason: str
    longer: dict[str, Any] | None = None
    treatments: dict[str, dict[str, str]]


class RatioOfEpoch(BaseModel):
    epoch: int
    observed: dict[str, int]
    shares: dict[str, float]
    p: float


class SampleRatio(BaseModel):
    """Whether the arms have the units that their shares give them; `p` holds at any time. Nothing is adopted where it is `broken`."""

    p: float | None = None
    broken: bool
    epochs: list[RatioOfEpoch]


class LookSoFar(BaseModel):
    """What a look found: a point of the sequential plot."""

    at: str
    decision: Decision
    treatments: dict[str, dict[str, float | None]]


class ShownExperiment(BaseModel):
    """`arms`: the control first. `decision`: how it ended, else what the last look came to. `config`: the options that differ from their defaults, and what
    is kept up while it runs."""

    id: str
    state: Status
    arms: list[ArmSoFar]
    decision: Decision | None = None
    winner: str | None = None
    agent: str
    name: str
    kind: Kind
    subject: Subject
    unit: Unit
    primary_metric: str
    guardrails: list[str]
    exclusion_group: str | None = None
    min_duration_hours: int
    min_sample_size: int
    config: dict[str, Any]
    steps: list[float]
    step: int
    proposal_id: str | None = None
    epochs: list[EpochSoFar]
    created_at: str
    started_at: str | None = None
    ended_at: str | None = None


_SHOWN: dict[str, Any] = {
    "id": _ID, "state": "running", "decision": None, "winner": None, "agent": "desk", "name": "shorter answers", "kind": "experiment", "subject": "prompt",
    "arms": [{"variant": "control", "version": 1, "weight": 0.5, "units": 610}, {"variant": "shorter", "version": 2, "weight": 0.5, "units": 598}],
    "unit": "user", "primary_metric": "thumbs", "guardrails": list(GUARDRAILS), "exclusion_group": None, "min_duration_hours": 168,
    "min_sample_size": 1000, "config": {"minimum_effect": 0.02}, "steps": [], "step": 0, "proposal_id": None,
    "epochs": [
        {"number": 1, "shares": {"control": 0.5, "shorter": 0.5}, "units": {"control": 610, "shorter": 598}, "started_at": "2026-11-23T08:30:00+00:00",
         "ended_at": None},
    ],
    "created_at": "2026-11-23T08:14:00+00:00", "started_at": "2026-11-23T08:30:00+00:00", "ended_at": None,
}  # fmt: skip


class ShownExperiments(BaseModel):
    model_config = ConfigDict(json_schema_extra={"example": {"experiments": [_SHOWN]}})
    experiments: list[ShownExperiment]


_COMPARED: dict[str, Any] = {
    "role": "primary", "metric": "thumbs", "variant": "shorter", "n_control": 402, "n_treatment": 398, "mean_control": 0.612, "mean_treatment": 0.655,
    "difference": 0.043, "low": -0.048, "high": 0.133, "p": 0.61, "alpha": 0.05, "exact": True, "ready": True, "conclusive": False, "tolerance": 0.0,
    "harmed": False,
}  # fmt: skip
_WHY = "Shorter is open: thumbs differs by +0.043 (-0.048 to +0.133; 398 against 402 units)."
_WHOLE: dict[str, Any] = {
    **_SHOWN, "decision": "inconclusive", "comparisons": [_COMPARED], "refused": {"never_served": 2},
    "verdict": {
        "decision": "inconclusive", "reason": _WHY, "longer": {"hours": 96.0, "units": 402, "unit_hours": 64.3}, "treatments": {"shorter": {"verdict": "open", "why": _WHY}},
    },
    "sample_ratio": {
        "p": 1.0, "broken": False,
        "epochs": [{"epoch": 1, "observed": {"control": 610, "shorter": 598}, "shares": {"control": 0.5, "shorter": 0.5}, "p": 1.0}],
    },
    "looks": [
        {"at": "2026-11-26T09:00:00+00:00", "decision": "inconclusive",
         "treatments": {"shorter": {"difference": 0.043, "low": -0.048, "high": 0.133, "p": 0.61, "n_control": 402, "n_treatment": 398}}},
    ],
}  # fmt: skip


class WholeExperiment(ShownExperiment):
    """With its numbers, from the values as they were last collected (hourly). `refused`: events that count in no verdict, by reason."""

    model_config = ConfigDict(json_schema_extra={"example": _WHOLE})
    verdict: Verdict | None = None
    comparisons: list[Compared]
    sample_ratio: SampleRatio | None = None
    refused: dict[str, int]
    looks: list[LookSoFar]


class ChangedExperiment(WholeExperiment):
    """`changed` is false where it was so before."""

    model_config = ConfigDict(json_schema_extra={"example": {**_WHOLE, "changed": True}})
    changed: bool


@router.get("/experiments", response_model=ShownExperiments)
async def list_experiments(
    who: Experimenter, service: Serving, agent: Annotated[str | None, Query(max_length=255)] = None, state: Annotated[Status | None, Query()] = None
) -> dict[str, Any]:
    """Experiments and rollouts, newest first (at most 1,000)."""

    def read(connection: Connection) -> dict[str, Any]:
        only = None if agent is None else service.agent(connection, who, agent).agent_id
        found = experiments.listed(connection, who.organization_id, agent_id=only, statuses=[] if state is None else [state])
        return {"experiments": showing.listed(connection, who.organization_id, found)}

    return await _in_transaction(service, who, read, changes=False)


@router.post("/experiments", status_code=201, response_model=WholeExperiment)
async def post_experiment(body: AskedExperiment, who: Experimenter, service: Serving) -> dict[str, Any]:
    """Makes a draft, which serves nobody before it is started (`start` does it at once)."""
    who = who.speaking_for(body.user)
    if body.options.auto_adopt and not permits(who.role, "admin"):
        raise Problem(403, "Only an administrator may let a winner serve by itself. Leave auto_adopt out.", field="options.auto_adopt")
    plan = _plan(body)

    def work(connection: Connection) -> dict[str, Any]:
        agent = service.agent(connection, who, body.agent)
        made = lifecycle.create(connection, agent, plan, _reviewer(who), service.settings)
        if body.start:
            made = lifecycle.start(connection, who.organization_id, made.id, _reviewer(who), service.settings).experiment
        return _shown(connection, who, made)

    return await _in_transaction(service, who, work)


@router.get("/experiments/{experiment_id}", response_model=WholeExperiment)
async def get_experiment(experiment_id: UUID, who: Experimenter, service: Serving) -> dict[str, Any]:
    """One experiment with its numbers so far."""

    def read(connection: Connection) -> dict[str, Any]:
        found = experiments.find(connection, who.organization_id, experiment_id)
        if found is None:
            raise not_found("experiment", "experiment_id")
        return _shown(connection, who, found)

    return await _in_transaction(service, who, read, changes=False)


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
        self.tenant, self.reviewer = who.organization_id, _reviewer(who)


async def _changed(service: Service, who: Principal, body: OnBehalf | None, change: Callable[[Connection, _By], Changed]) -> dict[str, Any]:
    who = who.speaking_for(None if body is None else body.user)

    def work(connection: Connection) -> dict[str, Any]:
        done = change(connection, _By(who))
        return {**_shown(connection, who, done.experiment), "changed": done.changed}

    return await _in_transaction(service, who, work)


def _plan(body: AskedExperiment) -> Plan:
    arms = [Asked(arm.variant, arm.version, arm.weight) for arm in body.arms]
    return Plan(
        body.name, arms, body.subject, body.unit, body.primary_metric, body.guardrails, body.exclusion_group, body.min_duration_hours,
        body.min_sample_size, body.options, body.description,
    )  # fmt: skip


def _shown(connection: Connection, who: Principal, experiment: Experiment) -> dict[str, Any]:
    return showing.whole(connection, who.organization_id, experiment)


def _reviewer(who: Principal) -> Reviewer:
    return Reviewer(who.actor, who.user_id)


async def _in_transaction(service: Service, who: Principal, work: Callable[[Connection], T], *, changes: bool = True) -> T:
    def run() -> T:
        with service.sessions.acting(who.acting.for_experiments()) as connection:
            return work(connection)

    try:
        done = await run_in_threadpool(run)
    except Refused as refused:
        raise Problem(_STATUS[refused.reason], str(refused), field="experiment_id" if refused.field == "id" else refused.field) from None
    if changes:
        service.served.forget(who.organization_id)
    return done
