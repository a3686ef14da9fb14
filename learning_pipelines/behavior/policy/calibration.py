"""How sure a policy may be: a temperature, the calibration error, and below which confidence it had better say nothing.

Belongs here: numbers out of predictions and what came. Not here: predictions.

Temperature scaling: Guo et al., "On calibration of modern neural networks" (2017): one number, so that a few hundred steps fix it. Threshold of
abstention: an isotonic (pool adjacent violators) fit of how often suggestions are right against their confidence; where that lies below one half, a
suggestion would be wrong more often than right.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from learning_pipelines.behavior.policy.mixture import log_loss, normalized
from learning_pipelines.behavior.policy.situations import Doubles, Numbers

BINS = 10
WORTH = 0.5
_RANGE = (0.25, 4.0)


@dataclass(frozen=True, slots=True)
class Calibration:
    """`threshold`: confidence below which a suggestion is not worth making (above 1: none ever is)."""

    temperature: float = 1.0
    threshold: float = 0.0

    def of(self, probabilities: Doubles) -> Doubles:
        return tempered(probabilities, self.temperature)


def fit(probabilities: Doubles, labels: Numbers) -> Calibration:
    """From predictions about steps that were not learnt from, and what came (−1: a type that nobody demonstrated; never right)."""
    temperature = best_temperature(probabilities, labels)
    made = tempered(probabilities, temperature)
    return Calibration(temperature, threshold(made.max(axis=1), made.argmax(axis=1) == labels))


def best_temperature(probabilities: Doubles, labels: Numbers) -> float:
    """Of the lowest log loss, within 1/4 … 4."""
    from scipy.optimize import minimize_scalar  # slow to import

    known = labels >= 0
    if not known.any():
        return 1.0

    def loss(log: float) -> float:
        return log_loss(tempered(probabilities[known], float(np.exp(log))), labels[known])

    return float(np.exp(minimize_scalar(loss, bounds=tuple(np.log(_RANGE)), method="bounded").x))


def tempered(probabilities: Doubles, temperature: float) -> Doubles:
    return probabilities if temperature == 1.0 else normalized(np.log(np.maximum(probabilities, 1e-12)) / temperature)


def threshold(confidence: Doubles, right: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> float:
    """The lowest confidence from which on suggestions are right at least half of the time; 0 where all are, above 1 where none are."""
    if not len(confidence):
        return 0.0
    from scipy.optimize import isotonic_regression  # slow to import

    order = np.argsort(confidence, kind="stable")
    fitted = np.asarray(isotonic_regression(right[order].astype(np.float64)).x)
    worth = np.flatnonzero(fitted >= WORTH)
    if not len(worth):
        return 1.01
    return 0.0 if worth[0] == 0 else float(confidence[order][worth[0]])


def calibration_error(confidence: Doubles, right: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], bins: int = BINS) -> float:
    """Expected calibration error of the first suggestion, 0 … 1: |mean confidence − share right| in bins of equal mass, weighted by size (Naeini 2015)."""
    if not len(confidence):
        return 0.0
    order = np.argsort(confidence, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    return float(sum(len(part) * abs(confidence[part].mean() - right[part].mean()) for part in parts) / len(order))
