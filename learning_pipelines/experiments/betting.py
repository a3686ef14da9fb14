"""Betting on the mean of bounded differences: capital that no mean allows to grow, and the interval of the means that it has not refuted.

Belongs here: bets, capital, interval and p value for histograms of differences, as plain arrays. Not here: how differences are made of events (exact.py).

I. Waudby-Smith and A. Ramdas, "Estimating means of bounded random variables by betting", JRSS B 86 (2024) 1-27; J. Ville (1939). Whoever starts with 1
and stakes λ of the capital on D > δ holds Π(1 + λ(D - δ)); if the mean of each D in [-1, 1], given what came before, is at most δ, that is a
supermartingale for every λ in [0, 1/(1 + δ)), and so is a mixture over λ: it ever reaches 2/α with a probability of at most α/2. The mixture is over
fixed bets, so capital depends on the histogram of D alone and not on its order; it falls as δ rises, so the means that are not refuted are an interval.
What was refuted once is so for good, so the peak of the capital at zero may be kept: then nothing depends on when somebody looks.

A difference of weight w (a contrast of more values, whose variance is smaller) is staked w·λ: every bet stands for one effect of differences in steps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
Peaks = tuple[float, float]
NO_PEAKS: Peaks = (0.0, 0.0)
_RATIO = math.sqrt(2.0)
BETS: Array = np.array([0.0125 * _RATIO**step for step in range(13)])
"""λ for a difference of weight 1 (one value against one). The growth is fastest at λ = effect / variance of D: 0.2 for +10 points at 50 %."""
SHARES: Array = np.array([0.5, 0.5, 0.5, 0.5, 0.6, 1.0, 3.0, 3.0, 12.0, 2.0, 1.0, 0.8, 0.6]) / 26.0
"""What of the capital is staked by each bet. Most of it on effects of 5 and 10 points at 50 %; what the others cost and gain: make bench-experiments."""
MOST = 0.95
"""A bet risks at most this share of its capital on one difference."""
_FINE = 2.0**32  # logarithms of capital are added as integers of this many parts, rounded down: the same sum in whatever portions
_JUST = 1e-12  # what is left of the lower end of (0, high]


@dataclass(frozen=True, slots=True)
class Differences:
    """A histogram: `values` in [-1, 1], their `weights` (> 0) and how often each occurs (`counts`). Sorted, so that equal histograms give equal digits."""

    values: Array
    weights: Array
    counts: Array

    @classmethod
    def of(cls, values: Array, weights: Array, counts: Array) -> Differences:
        order = np.lexsort((values, weights))
        return cls(values[order], weights[order], counts[order])

    def mirrored(self) -> Differences:
        """Those of the arms swapped."""
        return Differences.of(-self.values, self.weights, self.counts)


def stakes(weights: Array, mean: float = 0.0) -> Array:
    """Shares of the capital that the bets (columns) stake against "the mean is at most `mean`" on differences of these weights (rows)."""
    with np.errstate(divide="ignore"):
        return np.minimum(np.multiply.outer(weights, BETS), np.divide(MOST, 1 + mean))


def log_capital(differences: Differences, mean: float = 0.0) -> float:
    """Natural logarithm of the capital won against "the mean is at most `mean`" (-1 to 1)."""
    gains = np.log1p(stakes(differences.weights, mean) * (differences.values - mean)[:, None])
    return float(_mixed(differences.counts @ gains))


def gains(values: Array, weights: Array) -> Integers:
    """What each bet (columns) wins against "the mean is at most 0" by these differences (rows): logarithms in parts, to be added up."""
    return np.floor(np.log1p(stakes(weights) * values[:, None]) * _FINE).astype(np.int64)


def log_capitals(won: Integers) -> Array:
    """The mixture's logarithm of capital of sums of `gains`, one per row."""
    return np.asarray(_mixed(won / _FINE))


def _mixed(logarithms: Array) -> Array:
    """Of the bets' capitals (their logarithms, in the last axis) that of the mixture."""
    highest = logarithms.max(axis=-1, keepdims=True)
    return np.asarray(highest[..., 0] + np.log((np.exp(logarithms - highest) * SHARES).sum(axis=-1)))


def p_value(differences: Differences, peaks: Peaks = NO_PEAKS) -> float:
    """Of "the mean is 0", valid at any time: the chance that it ever falls to p or below is at most p. 2 / the larger capital of both sides, at most 1.
    `peaks`: the logarithms of the highest capital so far, upwards and downwards, if they were kept."""
    most = max(*peaks, log_capital(differences), log_capital(differences.mirrored()))
    return min(1.0, 2.0 * math.exp(-most))


def interval(differences: Differences, alpha: float, peaks: Peaks = NO_PEAKS) -> tuple[float, float]:
    """The means whose capital stays below 2/α on both sides: they hold the true one at every look at once with probability 1 - α. Within [-1, 1]. Where a
    peak has refuted "at most 0", or "at least 0", that stays refuted, unless by now the other side is, too: then the mean has changed, and the interval is
    that of the mean so far."""
    low, high = _lower(differences, alpha), -_lower(differences.mirrored(), alpha)
    up, down = (peak > math.log(2.0 / alpha) for peak in peaks)
    if up == down or low > 0 or high < 0:
        return low, high
    return (_JUST, max(high, _JUST)) if up else (min(low, -_JUST), -_JUST)


def _lower(differences: Differences, alpha: float) -> float:
    from scipy.optimize import brentq  # slow to import

    enough = math.log(2.0 / alpha)

    def excess(mean: float) -> float:
        return log_capital(differences, mean) - enough

    if excess(0.0) > 0:  # the side of zero is decided by the capital at zero itself, not by the root's tolerance
        return max(float(brentq(excess, 0.0, 1.0)), _JUST)
    return -1.0 if excess(-1.0) <= 0 else float(brentq(excess, -1.0, 0.0))
