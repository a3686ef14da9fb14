"""The mean of values whose smallest possible value is known: an exact one-sided test and an exact bound, for any distribution.

Belongs here: one probability and its inverse, as plain arrays. Not here: pairs, verdicts, how much error may be spent.

N. Gaffke, "Three test statistics for a nonparametric one-sided hypothesis on the mean of a nonnegative variable", Mathematical Methods of
Statistics 14 (2005) 451-467; as a bound: E. Learned-Miller and P. Thomas, arXiv:1905.06208. Give the n values and one more at the lowest
value that was possible random weights (uniform on the simplex); the p-value of "the mean is at most m" is the probability that the
weighted mean is at most m. N. Vlassis and P. Thomas, arXiv:2607.08415 (2026) prove that it holds its level at every n for independent
values of any distributions with means at most m. For values -1, 0, 1 it is the exact McNemar (binomial) test, to the last digit (tests).

Own code: no kept library computes it, and the published ones draw the weights at random. With exponential variables in place of the
weights the question is whether a sum of independent gamma variables of both signs is at most 0, whose characteristic function is known:
it is integrated along the line through its saddle point, where nothing cancels, so that a p-value of 1e-50 is as exact as one of 0.1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
# On the line through the saddle point t = width · sinh(u), u in even steps: the trapezoid rule. Checked against the binomial distribution
# for up to 10,000 values (tests): relative error below 1e-10 wherever the probability is above 1e-60.
_STEP = 0.05
_POINTS = np.arange(0.0, 19.0, _STEP)
_SINH = np.sinh(_POINTS)
_WEIGHTS = np.cosh(_POINTS) * _STEP * np.where(_POINTS == 0, 0.5, 1.0)


def p_value(values: Array, lowest: float, mean: float = 0.0) -> float:
    """The one-sided p-value of "the mean is at most `mean`", for `values` none of which could lie below `lowest` (< `mean`). 1 without values."""
    return _weighted_mean_at_most(*_with(values, lowest), mean)


def lower_bound(values: Array, lowest: float, alpha: float) -> float:
    """The mean's lower confidence bound at level 1 - `alpha`: the smallest mean that `p_value` does not reject. `lowest` without values."""
    from scipy.optimize import brentq  # slow to import

    points, counts = _with(values, lowest)
    top = float(points.max())
    if top <= lowest:
        return lowest
    return float(brentq(lambda mean: _weighted_mean_at_most(points, counts, mean) - alpha, lowest, top))


def _with(values: Array, lowest: float) -> tuple[Array, Array]:
    """Each different value with how often it occurs, and the lowest possible one more."""
    points, counts = np.unique(np.append(values, lowest), return_counts=True)
    return points, counts.astype(np.float64)


def _weighted_mean_at_most(points: Array, counts: Array, mean: float) -> float:
    """P(Σ w·points ≤ mean) for Dirichlet(counts) weights w."""
    if not np.any(points > mean):
        return 1.0
    if not np.any(points < mean):
        return 0.0
    steps = points - mean
    if float(counts @ steps) < 0:  # the likelier side as 1 - the other, which is small and exact
        return 1.0 - _at_most_zero(-steps, counts)
    return _at_most_zero(steps, counts)


def _at_most_zero(steps: Array, counts: Array) -> float:
    """P(Σ gamma(counts)·steps ≤ 0) for steps of both signs and a mean of at least 0, by Gil-Pelaez' inversion along the saddle point's line. It is at most
    1 - 1/e (B. Grünbaum, Pacific J. Math. 10 (1960) 1257: counts are at least 1, so the density is log-concave), and no rounding takes it above 1."""
    steps = steps / np.abs(steps).max()
    saddle = _saddle(steps, counts)
    width = _width(steps, counts, saddle)
    line = saddle + 1j * width * _SINH
    heights = -np.log(-line) - np.log1p(-np.outer(line, steps)) @ counts
    integral = float(np.sum(_WEIGHTS * np.exp(heights - heights[0].real).real)) * width / np.pi
    return float(max(0.0, integral * np.exp(heights[0].real)))


def _width(steps: Array, counts: Array, saddle: float) -> float:
    """How far from the saddle point the integrand is large; a step of the sum is a part of it."""
    return float(1 / np.sqrt(np.sum(counts * (steps / (1 - saddle * steps)) ** 2) + saddle**-2))


def _saddle(steps: Array, counts: Array) -> float:
    """Where the integrand is smallest on the real axis between its pole (1 / the lowest step) and 0; there is one such place."""
    from scipy.optimize import brentq  # slow to import

    def slope(at: float) -> float:
        return float(np.sum(counts * steps / (1 - at * steps)) - 1 / at)

    return float(brentq(slope, (1 - 1e-12) / steps.min(), -1e-12))
