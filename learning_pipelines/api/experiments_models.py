"""What the routes of experiments take and answer, with examples.

Belongs here: shapes. Not here: routes (experiments.py), what may be asked for (experiments/plans.py).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from learning_pipelines.api.service import PersonName
from learning_pipelines.experiments.metrics import GUARDRAILS
from learning_pipelines.experiments.options import Options
from learning_pipelines.experiments.plans import LARGEST, MOST_ARMS
from learning_pipelines.storage.experiment_rows import Decision, Kind, Status, Subject, Unit

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


class Ramp(BaseModel):
    """Where a rollout is. `units`: of the treatment, with a value of the primary metric, since its beginning; `hours`: at this step, without pauses.
    `waits`: what the next step waits for; empty: the next look takes it."""

    percent: float
    next_percent: float
    since: str | None
    hours: float
    hours_needed: int
    units: int
    units_needed: int
    waits: list[str]


class Ending(BaseModel):
    """The decision that it ended with. `decided_by`: a person, a key, or the hourly job."""

    decision: Decision
    reason: str
    decided_by: str
    at: str


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
        "decision": "inconclusive", "reason": _WHY, "longer": {"hours": 96.0, "units": 402, "unit_hours": 64.3},
        "treatments": {"shorter": {"verdict": "open", "why": _WHY}},
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
    """With its numbers, from the values as they were last collected (hourly). `refused`: events that count in no verdict, by reason. `looks`: 120 of them at
    most, evenly spread. `ramp`: of a rollout that is under way. `ending`: of what has ended by a decision."""

    model_config = ConfigDict(json_schema_extra={"example": _WHOLE})
    verdict: Verdict | None = None
    comparisons: list[Compared]
    sample_ratio: SampleRatio | None = None
    refused: dict[str, int]
    looks: list[LookSoFar]
    ramp: Ramp | None = None
    ending: Ending | None = None


class ChangedExperiment(WholeExperiment):
    """`changed` is false where it was so before."""

    model_config = ConfigDict(json_schema_extra={"example": {**_WHOLE, "changed": True}})
    changed: bool
