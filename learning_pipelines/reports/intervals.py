"""Intervals of shares, of means and of their changes from sums, and the test of complaints that rise or fall.

Belongs here: numbers in, numbers out. Not here: which numbers a report shows (headline.py), SQL.

Everything takes its observations as independent. People who say much make intervals a little too narrow; nothing here corrects for that.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from learning_pipelines.prompts.summary import wilson

LEVEL = 0.95
ISSUE_ALPHA = 0.05
"""Chance that any of the categories is called rising or falling though none does."""
Bounds = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Sums:
    """Count, sum and sum of squares of values between `low` and `high`."""

    n: int
    total: float
    squares: float
    low: float = 1.0
    high: float = 5.0


def share(count: float, n: int) -> Bounds | None:
    """95 % score interval of a share (Wilson 1927); None of nothing."""
    return wilson(count / n, n) if n else None


def share_difference(now: tuple[float, int], before: tuple[float, int]) -> Bounds | None:
    """95 % interval of the difference of two shares, each (count, n): R. Newcombe's hybrid score interval (Statistics in Medicine 17, 1998, method 10)."""
    if not now[1] or not before[1]:
        return None
    (one, two) = (now[0] / now[1], before[0] / before[1])
    (low_1, high_1), (low_2, high_2) = wilson(one, now[1]), wilson(two, before[1])
    change = one - two
    return change - math.hypot(one - low_1, high_2 - two), change + math.hypot(high_1 - one, two - low_2)


def mean(sums: Sums) -> Bounds | None:
    """95 % interval of a mean: Student's t with one value at either end of the scale added, as prompts/summary.py does; so that three fives are no proof."""
    if not sums.n:
        return None
    middle, error, freedom = _padded(sums)
    half = _quantile(freedom) * error
    value = sums.total / sums.n
    return max(sums.low, min(value, middle - half)), min(sums.high, max(value, middle + half))


def mean_difference(now: Sums, before: Sums) -> Bounds | None:
    """95 % interval of the difference of two means: Welch's (Biometrika 34, 1947), each with one value at either end of the scale added."""
    if not now.n or not before.n:
        return None
    (one, error_1, freedom_1), (two, error_2, freedom_2) = _padded(now), _padded(before)
    error = math.hypot(error_1, error_2)
    freedom = error**4 / (error_1**4 / freedom_1 + error_2**4 / freedom_2)
    half, change = _quantile(freedom) * error, now.total / now.n - before.total / before.n
    return min(change, one - two - half), max(change, one - two + half)


def moved(now: Mapping[str, int], before: Mapping[str, int], n_now: int, n_before: int) -> dict[str, tuple[str, float | None]]:
    """Per category whether its share of feedback is rising or falling against the week before, and its adjusted p.

    Fisher's exact test per category, S. Holm's step-down over all of them (Scandinavian Journal of Statistics 6, 1979): the chance that any is named
    though none changed is at most 5 %, however they depend. `no evidence`: otherwise, also where a week had no feedback.
    """
    categories = sorted(set(now) | set(before))
    if not n_now or not n_before:
        return dict.fromkeys(categories, ("no evidence", None))
    from scipy.stats import fisher_exact  # slow to import

    raw = {
        name: float(fisher_exact([[now.get(name, 0), n_now - now.get(name, 0)], [before.get(name, 0), n_before - before.get(name, 0)]]).pvalue)
        for name in categories
    }
    found: dict[str, tuple[str, float | None]] = {}
    reached = 0.0
    for place, name in enumerate(sorted(raw, key=lambda one: (raw[one], one))):
        reached = min(1.0, max(reached, (max(len(raw), ISSUES) - place) * raw[name]))
        higher = now.get(name, 0) * n_before > before.get(name, 0) * n_now
        found[name] = (("rising" if higher else "falling") if reached <= ISSUE_ALPHA else "no evidence", reached)
    return found


ISSUES = 8
"""Categories that are looked at; one that nobody named this time was looked at too."""


def _padded(sums: Sums) -> tuple[float, float, float]:
    """Mean, its standard error and degrees of freedom with one value at each end of the scale added."""
    n = sums.n + 2
    middle = (sums.total + sums.low + sums.high) / n
    squares = sums.squares + sums.low**2 + sums.high**2
    return middle, math.sqrt(max(0.0, squares - n * middle**2) / (n - 1) / n), n - 1.0


def _quantile(freedom: float) -> float:
    from scipy.stats import t  # slow to import

    return float(t.ppf((1 + LEVEL) / 2, freedom))
