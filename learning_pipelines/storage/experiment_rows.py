"""What an experiment is: arms that serve versions, weights as ranges of a hash space, the states it passes through.

Belongs here: plain values that storage, assignment, analysis, decisions and serving share. Not here: statistics, metrics (experiments/), SQL, HTTP.

A unit is hashed to a place in [0, 1). Who is met for the first time gets the variant whose range holds that place, and keeps it while the experiment
lasts, whatever the weights become; whoever lies in no range takes no part and is served as if there were no experiment. A change of weights begins a
new epoch. Analyses compare units of the same epoch only: pooling weeks of other weights mixes other times into the difference.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

Status = Literal["draft", "running", "paused", "completed", "cancelled"]
Kind = Literal["experiment", "rollout"]
Subject = Literal["prompt", "index", "policy"]
"""What the arms' versions are versions of; re-rankers, expansions and chunk edits are versions of the index."""
Unit = Literal["user", "session", "execution"]
Decision = Literal["adopt_treatment", "keep_control", "inconclusive", "rollback"]
Ranges = Mapping[str, Sequence[tuple[float, float]]]
"""Variant → half-open intervals [low, high) of the hash space; disjoint over all variants."""
CONTROL, TREATMENT = "control", "treatment"
"""Names of the arms where nobody names them."""
WITHDRAWN = "withdrawn"
"""Key of an experiment's config: arms that were stopped for harm while the others go on. Whoever was in one is served as if there were no experiment."""


@dataclass(frozen=True, slots=True)
class Arm:
    """A variant by its name, the version it serves (of the experiment's subject; 0: the base index, nothing learnt), its share of new units, 0 to 1."""

    variant: str
    version: int
    weight: float

    def as_json(self) -> dict[str, Any]:
        return {"variant": self.variant, "version": self.version, "weight": self.weight}


@dataclass(frozen=True, slots=True)
class Epoch:
    """A time of unchanged weights. `number` counts from 1; `ended_at` is None for the one that lasts."""

    number: int
    ranges: Ranges
    started_at: dt.datetime
    ended_at: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class Experiment:
    """`arms`: the control first. `config`: options beside the columns, by the names that experiments/options.py gives them."""

    id: UUID
    agent_id: UUID
    agent: str
    name: str
    kind: Kind
    subject: Subject
    status: Status
    unit: Unit
    salt: str
    arms: tuple[Arm, ...]
    exclusion_group: str | None
    primary_metric: str
    guardrails: tuple[str, ...]
    min_duration_hours: int
    min_sample_size: int
    config: Mapping[str, Any]
    steps: tuple[float, ...]
    step: int
    proposal_id: UUID | None
    decision: Decision | None
    winner: str | None
    started_at: dt.datetime | None
    ended_at: dt.datetime | None
    created_at: dt.datetime
    epochs: tuple[Epoch, ...] = ()

    @property
    def control(self) -> Arm:
        return self.arms[0]

    @property
    def treatments(self) -> tuple[Arm, ...]:
        return self.arms[1:]

    @property
    def epoch(self) -> Epoch | None:
        """The one that lasts; None before the start."""
        return self.epochs[-1] if self.epochs else None


def arms_from_json(stored: Sequence[Mapping[str, Any]]) -> tuple[Arm, ...]:
    return tuple(Arm(str(arm["variant"]), int(arm["version"]), float(arm["weight"])) for arm in stored)


def ranges_from_json(stored: Mapping[str, Sequence[Sequence[float]]]) -> dict[str, tuple[tuple[float, float], ...]]:
    return {variant: tuple((float(low), float(high)) for low, high in spans) for variant, spans in stored.items()}
