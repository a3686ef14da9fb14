"""Several opinions about the next action made one: a single component, a linear or a logarithmic pool, whichever predicts best.

Belongs here: pooling, its weights, the choice. Not here: the opinions, calibration (calibration.py).

Linear pool: Σ w·p, weights by expectation maximization, which climbs to the one best likelihood (Hastie, Tibshirani & Friedman, 8.5). Logarithmic
pool: Π p^w, normalized, w ≥ 0 (Hinton's product of experts; Genest & Zidek 1986), weights by L-BFGS; its likelihood is concave too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from learning_pipelines.behavior.policy.situations import Doubles, Numbers

TINY = 1e-6
"""No component is ever surer than this that something will not happen."""
_SHRINKAGE = 1e-3
_ROUNDS = 200


@dataclass(frozen=True, slots=True)
class Mixture:
    """`weights`: component → weight ≥ 0, of a linear pool summing to 1; only components that count are named."""

    pool: Literal["linear", "logarithmic"]
    weights: Mapping[str, float]

    def of(self, opinions: Mapping[str, Doubles]) -> Doubles:
        """(n, types), rows summing to 1."""
        if self.pool == "linear":
            return np.asarray(sum(weight * floored(opinions[name]) for name, weight in self.weights.items()))
        logs = sum(weight * np.log(floored(opinions[name])) for name, weight in self.weights.items())
        return normalized(np.asarray(logs))

    @property
    def name(self) -> str:
        return next(iter(self.weights)) if self.pool == "linear" and len(self.weights) == 1 else self.pool

    def as_json(self) -> dict[str, Any]:
        return {"pool": self.pool, "weights": dict(self.weights)}


def single(name: str) -> Mixture:
    return Mixture("linear", {name: 1.0})


def linear(opinions: Mapping[str, Doubles], labels: Numbers) -> Mixture:
    names, right = _right(opinions, labels)
    weights = np.ones(len(names))
    for _ in range(_ROUNDS):
        shares = right * weights
        weights = (shares / shares.sum(axis=1, keepdims=True)).mean(axis=0)
    weights = np.where(weights < 0.01, 0, weights)
    weights /= weights.sum()
    return Mixture("linear", {name: float(weight) for name, weight in zip(names, weights, strict=True) if weight > 0})


def logarithmic(opinions: Mapping[str, Doubles], labels: Numbers) -> Mixture:
    from scipy.optimize import minimize  # slow to import

    names = list(opinions)
    logs = np.stack([np.log(floored(opinions[name])) for name in names])
    places = np.arange(len(labels))

    def loss(weights: Doubles) -> tuple[float, Doubles]:
        pooled = np.tensordot(weights, logs, axes=1)
        probabilities = normalized(pooled)
        value = -float(np.log(probabilities[places, labels]).mean())
        slope = (probabilities * logs).sum(axis=2).mean(axis=1) - logs[:, places, labels].mean(axis=1)
        return value + _SHRINKAGE * float(np.sum((weights - 1 / len(names)) ** 2)), slope + 2 * _SHRINKAGE * (weights - 1 / len(names))

    found = minimize(loss, np.ones(len(names)), jac=True, bounds=[(0, 10)] * len(names))  # with bounds: L-BFGS-B
    weights = {name: float(weight) for name, weight in zip(names, found.x, strict=True) if weight > 1e-3}
    return Mixture("logarithmic", weights) if weights else single(names[0])


def log_loss(probabilities: Doubles, labels: Numbers) -> float:
    """Mean −ln of what was said of the type that came; a type that is not known (−1) counts as TINY."""
    known = labels >= 0
    said = np.where(known, probabilities[np.arange(len(labels)), np.where(known, labels, 0)], TINY)
    return -float(np.log(np.maximum(said, TINY)).mean())


def floored(probabilities: Doubles) -> Doubles:
    return np.asarray((probabilities + TINY) / (1 + TINY * probabilities.shape[1]))


def normalized(logs: Doubles) -> Doubles:
    raised = np.exp(logs - logs.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def best(candidates: Sequence[Mixture], opinions: Mapping[str, Doubles], labels: Numbers) -> tuple[Mixture, dict[str, float]]:
    """The candidate of the lowest log loss (of equals the first), and everybody's."""
    losses = {one.name: log_loss(one.of(opinions), labels) for one in candidates}
    return min(candidates, key=lambda one: losses[one.name]), losses


def _right(opinions: Mapping[str, Doubles], labels: Numbers) -> tuple[list[str], Doubles]:
    """What each said of the type that came: (n, components)."""
    places = np.arange(len(labels))
    return list(opinions), np.stack([floored(one)[places, labels] for one in opinions.values()], axis=1)
