"""How sure a policy may be, the calibration error, and below which confidence it had better say nothing.

Belongs here: numbers out of predictions and what came. Not here: predictions.

Each distribution is sharpened or flattened: p^s, normalized, with ln s = a + b · logit of its largest probability. That is temperature scaling (Guo et
al. 2017) whose temperature depends on confidence: with one for all (b = 0), 200 airline steps were left with .15 of calibration error, first suggestions
of .65 being right in .92, because rare types fill the loss. a and b minimize the loss of the whole distribution plus that of whether the first
suggestion is right. The order of types stays. Threshold of
abstention: an isotonic (pool adjacent violators) fit of how often suggestions are right against their confidence; where that lies below one half, a
suggestion would be wrong more often than right.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from learning_pipelines.behavior.policy.mixture import log_loss, normalized
from learning_pipelines.behavior.policy.situations import Doubles, Numbers

Bools = npt.NDArray[np.bool_]
BINS = 10
WORTH = 0.5
PRIOR = 0.5
"""Weight of a² + b² against a sum over steps: nothing beside a hundred of them."""
_BOUNDS = ((-1.5, 1.5), (-0.5, 0.5))
_POWERS = (0.2, 8.0)


@dataclass(frozen=True, slots=True)
class Calibration:
    """`level`: a, `rise`: b. `threshold`: calibrated confidence below which a suggestion is not worth making (above 1: none ever is)."""

    level: float = 0.0
    rise: float = 0.0
    threshold: float = 0.0

    def of(self, probabilities: Doubles) -> Doubles:
        """(n, types), each row in the same order as before."""
        if (self.level, self.rise) == (0.0, 0.0):
            return probabilities
        power = np.clip(np.exp(self.level + self.rise * _logit(probabilities.max(axis=1))), *_POWERS)
        return normalized(power[:, None] * np.log(np.maximum(probabilities, 1e-12)))


def fit(probabilities: Doubles, labels: Numbers) -> Calibration:
    """From predictions about steps that were not learnt from, and what came (−1: a type that nobody demonstrated; never right)."""
    from scipy.optimize import minimize  # slow to import

    right = probabilities.argmax(axis=1) == labels
    known = labels >= 0

    def loss(values: Doubles) -> float:
        made = Calibration(*values.tolist()).of(probabilities)
        first = np.minimum(made.max(axis=1), 1 - 1e-6)
        whole = log_loss(made[known], labels[known]) * int(known.sum()) if known.any() else 0.0
        return whole - float(np.log(np.where(right, first, 1 - first)).sum()) + PRIOR * float(values @ values)

    level, rise = minimize(loss, np.zeros(2), method="Nelder-Mead", bounds=_BOUNDS, options={"xatol": 1e-4, "fatol": 1e-6}).x.tolist()
    made = Calibration(level, rise)
    return replace(made, threshold=threshold(made.of(probabilities).max(axis=1), right))


def _logit(probability: Doubles) -> Doubles:
    held = np.clip(probability, 1e-6, 1 - 1e-6)
    return np.asarray(np.log(held / (1 - held)))


def threshold(sure: Doubles, right: Bools) -> float:
    """The lowest confidence from which on suggestions are right at least half of the time; 0 where all are, above 1 where none are."""
    if not len(sure):
        return 0.0
    from scipy.optimize import isotonic_regression  # slow to import

    order = np.argsort(sure, kind="stable")
    fitted = np.asarray(isotonic_regression(right[order].astype(np.float64)).x)
    worth = np.flatnonzero(fitted >= WORTH)
    if not len(worth):
        return 1.01
    return 0.0 if worth[0] == 0 else float(sure[order][worth[0]])


def calibration_error(sure: Doubles, right: Bools, bins: int = BINS) -> float:
    """Expected calibration error of the first suggestion, 0 … 1: |mean confidence − share right| in bins of equal mass, weighted by size (Naeini 2015)."""
    if not len(sure):
        return 0.0
    order = np.argsort(sure, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    return float(sum(len(part) * abs(sure[part].mean() - right[part].mean()) for part in parts) / len(order))
