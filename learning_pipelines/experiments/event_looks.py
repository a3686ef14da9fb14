"""A plain mean looked at after every event: all looks in one pass.

Belongs here: what `compare` would say after each of many single values, without walking them one by one. Not here: one look (asymptotic.py), files.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from learning_pipelines.errors import BadInput
from learning_pipelines.experiments.asymptotic import BURN_IN, MIN_IN_EPOCH, RHO_SQUARED, ROUNDING, anytime_ps
from learning_pipelines.experiments.unit_sums import Array


@dataclass(frozen=True, slots=True)
class Looks:
    """After each event, in their order: units per arm, difference of the means (nan while an arm is empty), the interval (unbounded before the burn-in)
    and the p value that is valid at any time."""

    n_control: NDArray[np.int64]
    n_treatment: NDArray[np.int64]
    difference: Array
    low: Array
    high: Array
    p: Array

    def first_conclusive(self) -> int | None:
        """Index of the first look whose interval leaves zero out; None if none does."""
        found = np.flatnonzero((self.low > 0) | (self.high < 0))
        return int(found[0]) if found.size else None


def looks(treated: ArrayLike, values: ArrayLike, *, alpha: float = 0.05, burn_in: int = BURN_IN) -> Looks:
    """`treated`: per event whether its unit is in the treatment; `values`: the unit's value. Equal to `compare` on the events so far
    (tests), but for a rate of 0 in one arm and 1 in the other: then no value differs from its arm's, and these looks say nothing."""
    arm, x = np.asarray(treated, dtype=bool), np.asarray(values, dtype=np.float64)
    if arm.shape != x.shape or arm.ndim != 1:
        raise BadInput(f"There are {arm.size} arms for {x.size} values.", "Give one arm and one value for each event.")
    if not np.isfinite(x).all():
        raise BadInput("A value is not a finite number.", "Leave out events whose value is unknown.")
    middle = float(x.mean()) if x.size else 0.0
    (n_c, mean_c, var_c), (n_t, mean_t, var_t) = (_running(mine, x, middle) for mine in (~arm, arm))
    enough = (np.minimum(n_c, n_t) >= max(burn_in, MIN_IN_EPOCH)) & (var_c + var_t > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        size = n_c * n_t / (n_c + n_t)
        variance = np.maximum(var_c / n_c + var_t / n_t, (n_c * var_c + n_t * var_t) / (n_c + n_t) / size)
        difference = mean_t - mean_c
        spread = RHO_SQUARED * size
        radius = np.sqrt(variance * (1 + 1 / spread) * (np.log1p(spread) - 2 * math.log(alpha)))
        p = anytime_ps(difference**2 / variance, size)
    unbounded = np.where(enough, radius, np.inf)
    shown = np.where(enough, difference, 0.0)
    return Looks(n_c, n_t, difference, shown - unbounded, shown + unbounded, np.where(enough, p, 1.0))


def _running(mine: NDArray[np.bool_], x: Array, middle: float) -> tuple[NDArray[np.int64], Array, Array]:
    """Number, mean and variance of one arm's values so far; values are taken around `middle` so that squares do not cancel."""
    n: NDArray[np.int64] = np.cumsum(mine, dtype=np.int64)
    apart = np.where(mine, x - middle, 0.0)
    total, squares = np.cumsum(apart), np.cumsum(apart**2)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(n > 0, total / n, np.nan)
        variance = np.where(n > 1, (squares - total * mean) / (n - 1), 0.0)
        variance = np.where(variance > ROUNDING * (squares / n + (middle + mean) ** 2), variance, 0.0)
    return n, mean + middle, variance
