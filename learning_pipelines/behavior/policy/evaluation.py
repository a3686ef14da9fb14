"""How well a policy predicts what experts did, beside its baselines: on demonstrations that it did not learn from.

Belongs here: scores and intervals. Not here: reading demonstrations, deciding on a policy (acceptance/).

A step is right if the first type suggested is the one that followed, the end included; a type that the policy does not know is wrong. Steps of one
demonstration hang together, so intervals are cluster-robust: a demonstration is one draw (ratio estimator, Liang & Zeger 1986; t with one degree of
freedom less than there are demonstrations).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from learning_pipelines.behavior.policy.arguments import ArgumentScores, score
from learning_pipelines.behavior.policy.baselines import Baseline, both
from learning_pipelines.behavior.policy.calibration import calibration_error
from learning_pipelines.behavior.policy.mixture import log_loss
from learning_pipelines.behavior.policy.policy import Policy
from learning_pipelines.behavior.policy.situations import Doubles, Numbers, Situation, encoded, situations
from learning_pipelines.behavior.policy.vocabulary import Vocabulary
from learning_pipelines.behavior.task import Shown
from learning_pipelines.errors import LearningError

Interval = tuple[float, float]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Scores:
    """Of one predictor. `scores`: demonstration id → mean of its steps' top-1 (0 or 1), for the gate."""

    top1: float
    top3: float
    interval: Interval
    log_loss: float
    scores: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """`n` steps of `demonstrations`, ends included. `differences`: top-1 above each baseline with its 95 % interval. `coverage`: share of steps
    that are not abstained from; `covered_top1`: top-1 on those. `unknown`: steps whose type the policy does not know. `arguments`: scored apart,
    given the right type; None where there are none."""

    n: int
    demonstrations: int
    policy: Scores
    baselines: Mapping[str, Scores]
    differences: Mapping[str, tuple[float, Interval]]
    calibration_error: float
    coverage: float
    covered_top1: float | None
    unknown: int
    arguments: ArgumentScores | None

    @property
    def scores(self) -> Mapping[str, float]:
        return self.policy.scores

    def as_json(self) -> dict[str, Any]:
        return {
            "n": self.n, "demonstrations": self.demonstrations, "top1": self.policy.top1, "top3": self.policy.top3,
            "interval": list(self.policy.interval), "baselines": {name: one.top1 for name, one in self.baselines.items()},
            "baseline_intervals": {name: list(one.interval) for name, one in self.baselines.items()},
            "differences": {name: {"difference": value, "interval": list(interval)} for name, (value, interval) in self.differences.items()},
            "calibration_error": self.calibration_error, "coverage": self.coverage, "covered_top1": self.covered_top1, "unknown_types": self.unknown,
            "arguments": self.arguments.as_json() if self.arguments else None,
        }  # fmt: skip


def evaluate(policy: Policy, shown: Sequence[Shown]) -> Evaluation:
    """Scores a policy and its own baselines on the demonstrations that succeeded. Raises LearningError where there are none, and what the encoder raises."""
    steps = _Steps.of(shown, policy.learnt.vocabulary)
    predicted = policy.predict(encoded(steps.rows, policy.encoder))
    return steps.evaluation(
        predicted.probabilities, policy.baselines, np.array([not why for why in predicted.why]), score(policy.learnt.arguments, steps.shown)
    )


def evaluate_transition(train: Sequence[Shown], shown: Sequence[Shown]) -> Evaluation:
    """Scores first-order transitions, counted in demonstrations of `train`: what there is before anything learnt serves. Raises LearningError where one of
    the two has no demonstration that succeeded."""
    counted = [pair for one in train if one.outcome == "success" for pair in situations(one)]
    if not counted:
        raise LearningError(
            "There is nothing to score: no learnt policy serves, and the agent has no demonstrations to count transitions in.",
            "Import demonstrations and run the job behavior_learning; name a learnt policy with --policy.",
        )
    vocabulary = Vocabulary.of(counted)
    baselines = both(vocabulary, [row for row, _ in counted], vocabulary.numbers([kind for _, kind in counted]))
    steps = _Steps.of(shown, vocabulary)
    return steps.evaluation(baselines["transition"].of(steps.rows), baselines, np.ones(len(steps.rows), dtype=np.bool_), None)


@dataclass(frozen=True, slots=True)
class _Steps:
    """`owner`: the place in `shown` of each step's demonstration."""

    shown: Sequence[Shown]
    rows: Sequence[Situation]
    labels: Numbers
    owner: Numbers

    @classmethod
    def of(cls, shown: Sequence[Shown], vocabulary: Vocabulary) -> _Steps:
        shown = [one for one in shown if one.outcome == "success"]
        if not shown:
            raise LearningError("There is no demonstration that succeeded to score a policy on.", "Add some, or score on another file.")
        steps = [(row, kind, place) for place, one in enumerate(shown) for row, kind in situations(one)]
        owner = np.array([place for _, _, place in steps], dtype=np.int64)
        return cls(shown, [row for row, _, _ in steps], vocabulary.numbers([kind for _, kind, _ in steps]), owner)

    def evaluation(self, probabilities: Doubles, baselines: Mapping[str, Baseline], spoken: Bools, arguments: ArgumentScores | None) -> Evaluation:
        others = {name: one.of(self.rows) for name, one in baselines.items()}
        right = probabilities.argmax(axis=1) == self.labels
        return Evaluation(
            len(self.labels), len(self.shown), scored(probabilities, self.labels, self.owner, self.shown),
            {name: scored(one, self.labels, self.owner, self.shown) for name, one in others.items()},
            {name: _difference(right, one.argmax(axis=1) == self.labels, self.owner) for name, one in others.items()},
            calibration_error(probabilities.max(axis=1), right), float(spoken.mean()), float(right[spoken].mean()) if spoken.any() else None,
            int(np.sum(self.labels < 0)), arguments,
        )  # fmt: skip


def scored(probabilities: Doubles, labels: Numbers, owner: Numbers, shown: Sequence[Shown]) -> Scores:
    order = np.argsort(-probabilities, kind="stable")[:, :3]
    right = order[:, 0] == labels
    interval = clustered(right.astype(np.float64), owner, (0.0, 1.0))
    means = np.bincount(owner, right) / np.bincount(owner)
    scores = {one.id: float(mean) for one, mean in zip(shown, means.tolist(), strict=True)}
    return Scores(float(right.mean()), float((order == labels[:, None]).any(axis=1).mean()), interval, log_loss(probabilities, labels), scores)


def clustered(values: Doubles, owner: Numbers, bounds: Interval) -> Interval:
    """The 95 % interval of the mean of values that hang together within each owner; `bounds` where there are fewer than two owners."""
    from scipy.stats import t  # slow to import

    count = len(set(owner.tolist()))
    if count < 2:
        return bounds
    mean = float(values.mean())
    sums = np.bincount(owner, values - mean)
    error = float(np.sqrt(np.sum(sums**2) * count / (count - 1))) / len(values)
    reach = float(t.ppf(0.975, count - 1)) * error
    return max(bounds[0], mean - reach), min(bounds[1], mean + reach)


def _difference(right: Bools, baseline: Bools, owner: Numbers) -> tuple[float, Interval]:
    values = right.astype(np.float64) - baseline.astype(np.float64)
    return float(values.mean()), clustered(values, owner, (-1.0, 1.0))
