"""How far raters agree: Krippendorff's alpha with a bootstrap interval, Cohen's kappa for two kinds of rater.

Belongs here: agreement as numbers. Not here: who rated what (storage/agreement.py), who is right (reliability.py).

Own code, because the reference implementation is GPL-3.0 and this package is Apache-2.0; the tests hold it to that implementation within
1e-9 and to the worked example that Krippendorff published. All three levels are written with squared differences of one number per value
(interval: the value; ordinal: its mid-rank; nominal: one indicator per value), so that alpha needs sums per unit only, no matrix of
values by values, and a bootstrap over units is one multinomial draw over distinct patterns. Sources: K. Krippendorff, "Computing
Krippendorff's Alpha-Reliability", 2011; A. Hayes and K. Krippendorff, Communication Methods and Measures 1 (2007) 77-89.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
NO_PAIRS, ONE_VALUE, TOO_FEW = "no unit was rated twice", "every rating is the same", "too few units differ for an interval"
RESAMPLES, COVERAGE, SEED = 1_000, 0.95, 20_260
MOST_UNDEFINED = 0.05
"""An interval is given only if alpha is defined in all but this share of the resamples: else it would describe the lucky ones."""
_BLOCK = 4_000_000
"""Numbers in memory at once while resampling."""


class Level(StrEnum):
    """Level of measurement: what a difference between two values means."""

    NOMINAL = "nominal"
    ORDINAL = "ordinal"
    INTERVAL = "interval"


@dataclass(frozen=True, slots=True)
class Agreement:
    """`value` ≤ 1 (1: perfect, 0: as by chance), None where it is undefined, with the reason. `low`, `high`: percentile bootstrap
    interval, None where it was not asked for or cannot be given. `units`: how many were rated at least twice; `ratings`: in those units.
    """

    value: float | None
    low: float | None
    high: float | None
    units: int
    ratings: int
    reason: str = ""


def alpha(ratings: ArrayLike, level: Level, *, resamples: int = 0, seed: int = SEED) -> Agreement:
    """Krippendorff's alpha of a matrix raters × units of numbers, NaN where a rater did not rate a unit.

    `resamples` > 0 adds a 95 % interval over that many bootstrap samples of units. Raises ValueError for infinite ratings.
    """
    matrix = np.atleast_2d(np.asarray(ratings, dtype=np.float64))
    if np.isinf(matrix).any():
        raise ValueError("a rating is infinite")
    values = np.unique(matrix[~np.isnan(matrix)])
    if level is Level.INTERVAL:
        return _interval(matrix, resamples, seed)
    codes = np.where(np.isnan(matrix), -1, np.searchsorted(values, np.nan_to_num(matrix)))
    counts = np.zeros((matrix.shape[1], len(values)))
    for code in range(len(values)):
        counts[:, code] = (codes == code).sum(axis=0)
    return alpha_of_counts(counts, level, resamples=resamples, seed=seed)


def alpha_of_counts(
    counts: ArrayLike, level: Level, *, repeats: ArrayLike | None = None, values: ArrayLike | None = None, resamples: int = 0, seed: int = SEED
) -> Agreement:
    """The same from counts units × values (values in ascending order): how many raters gave unit u the value v.

    `repeats` says how many units have that row of counts: a table of distinct rows stands for any number of units. `values` are the
    numbers behind the columns (default 0, 1, 2, …); only the interval level looks at them.
    """
    table = np.atleast_2d(np.asarray(counts, dtype=np.float64))
    times = np.ones(len(table)) if repeats is None else np.asarray(repeats, dtype=np.float64)
    pairable = (table.sum(axis=1) >= 2) & (times > 0)
    rows, places = np.unique(table[pairable], axis=0, return_inverse=True)
    times = np.bincount(places.reshape(-1), weights=times[pairable], minlength=len(rows)).astype(np.float64)
    if level is Level.INTERVAL:
        numbers = np.arange(table.shape[1], dtype=np.float64) if values is None else np.asarray(values, dtype=np.float64)
        rated = rows.sum(axis=0) > 0
        numbers = _scaled(numbers, numbers[rated])
        return _estimate(_Moments(rows.sum(axis=1), rows @ numbers, rows @ numbers**2), times, rows.sum(axis=1), resamples, seed)
    return _estimate(_Counts(rows, level), times, rows.sum(axis=1), resamples, seed)


def kappa(table: ArrayLike, *, resamples: int = 0, seed: int = SEED) -> Agreement:
    """Cohen's kappa (Educational and Psychological Measurement 20, 1960) of a square table: how many units got row r from one and column
    c from the other.
    """
    cells = np.asarray(table, dtype=np.float64)
    return _estimate(_Cells(len(cells)), cells.reshape(-1), np.full(cells.size, 2.0), resamples, seed)


class _Moments:
    """Units as number of ratings, their sum and the sum of their squares: the interval level."""

    def __init__(self, ratings: Array, sums: Array, squares: Array) -> None:
        self.ratings, self.sums, self.squares = ratings, sums, squares
        # Rounding must not make agreement within a unit look like a tiny disagreement.
        self.within = np.maximum(2 * (ratings * squares - sums**2), 0.0) / np.maximum(ratings - 1, 1)

    def __call__(self, weights: Array) -> Array:
        n = weights @ self.ratings
        return _one_minus(weights @ self.within, 2 * (n * (weights @ self.squares) - (weights @ self.sums) ** 2), n)


class _Counts:
    """Units as counts per value: the nominal and the ordinal level."""

    def __init__(self, rows: Array, level: Level) -> None:
        self.rows, self.level = rows, level
        self.ratings = rows.sum(axis=1)

    def __call__(self, weights: Array) -> Array:
        totals = weights @ self.rows
        n = totals.sum(axis=1)
        if self.level is Level.NOMINAL:
            within = (self.ratings**2 - (self.rows**2).sum(axis=1)) / (self.ratings - 1)
            return _one_minus(weights @ within, n**2 - (totals**2).sum(axis=1), n)
        ranks = np.cumsum(totals, axis=1) - totals / 2
        ranks -= n[:, None] / 2  # the sums of squares below keep their digits
        sums, squares = ranks @ self.rows.T, ranks**2 @ self.rows.T
        within = np.maximum(2 * (self.ratings * squares - sums**2), 0.0) / (self.ratings - 1)
        observed = np.einsum("bu,bu->b", weights, within)
        return _one_minus(observed, 2 * (n * (totals * ranks**2).sum(axis=1) - ((totals * ranks).sum(axis=1)) ** 2), n)


class _Cells:
    """Units as cells of a square table: kappa."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __call__(self, weights: Array) -> Array:
        tables = weights.reshape(len(weights), self.size, self.size)
        n = tables.sum(axis=(1, 2))
        same = np.trace(tables, axis1=1, axis2=2)
        chance = np.einsum("bi,bi->b", tables.sum(axis=2), tables.sum(axis=1))
        return _divided(n * same - chance, n**2 - chance)


def _one_minus(observed: Array, expected: Array, n: Array) -> Array:
    """1 - D_o / D_e with D_o = observed / n and D_e = expected / (n (n - 1)); NaN where nothing varies (what is left then is rounding)."""
    varying: Array = np.where(expected > _ROUNDING * n**2, expected, 0.0)
    return 1 - _divided(observed * (n - 1), varying)


_ROUNDING = 1e-13


def _divided(above: Array, below: Array) -> Array:
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0)


def _scaled(numbers: Array, rated: Array) -> Array:
    """Alpha does not change with origin and unit of the scale; with both taken out, sums of squares keep their digits."""
    if rated.size == 0:
        return numbers
    scaled: Array = (numbers - rated.mean()) / (float(np.ptp(rated)) or 1.0)
    return scaled


def _interval(matrix: Array, resamples: int, seed: int) -> Agreement:
    matrix = matrix[:, (~np.isnan(matrix)).sum(axis=0) >= 2]
    rated = ~np.isnan(matrix)
    if rated.any() and np.ptp(matrix[rated]) == 0:
        return Agreement(None, None, None, matrix.shape[1], int(rated.sum()), ONE_VALUE)
    numbers = np.where(rated, _scaled(matrix, matrix[rated]), 0.0)
    ratings = rated.sum(axis=0).astype(np.float64)
    return _estimate(_Moments(ratings, numbers.sum(axis=0), (numbers**2).sum(axis=0)), np.ones(len(ratings)), ratings, resamples, seed)


def _estimate(statistic: Callable[[Array], Array], times: Array, per_unit: Array, resamples: int, seed: int) -> Agreement:
    """`statistic` maps samples × rows (how often each row was drawn) to one number per sample, NaN where it is undefined."""
    units, ratings = int(times.sum()), int(times @ per_unit)
    if units == 0:
        return Agreement(None, None, None, 0, 0, NO_PAIRS)
    value = float(statistic(times[None, :])[0])
    if np.isnan(value):
        return Agreement(None, None, None, units, ratings, ONE_VALUE)
    if resamples == 0:
        return Agreement(value, None, None, units, ratings)
    drawn = _bootstrap(statistic, times, units, resamples, seed)
    defined = drawn[~np.isnan(drawn)]
    if len(defined) < (1 - MOST_UNDEFINED) * resamples:
        return Agreement(value, None, None, units, ratings, TOO_FEW)
    low, high = np.quantile(defined, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
    return Agreement(value, float(low), float(high), units, ratings)


def _bootstrap(statistic: Callable[[Array], Array], times: Array, units: int, resamples: int, seed: int) -> Array:
    random = np.random.default_rng(seed)
    block = max(1, min(resamples, _BLOCK // len(times)))
    shares = times / times.sum()
    sizes = [min(block, resamples - start) for start in range(0, resamples, block)]
    return np.concatenate([statistic(random.multinomial(units, shares, size=size).astype(np.float64)) for size in sizes])
