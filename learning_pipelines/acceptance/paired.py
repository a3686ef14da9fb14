"""A candidate against the incumbent on the same items: how large the difference is, and how sure that is.

Belongs here: paired scores in, test and interval out. Not here: what a verdict needs beside them (gate.py), how much error may be spent
(alpha.py).

One method for all scores, so that test and interval never contradict each other (p ≤ α exactly where the interval leaves out 0): the
exact bound of bounded_mean.py on the differences candidate - incumbent, which lie in [-1, 1]. Scores of 0 and 1 make it the exact McNemar
test (binomial on the pairs that differ), whose p-value is then taken from SciPy.

Chosen by validity. Sign-flip permutation needs differences that are symmetric where nothing is gained, the bootstrap needs many items: a
candidate that is .1 better on nine items of ten and .9 worse on the tenth gains nothing, yet with 20 items and α = .0125 sign flips call it
better in 12 % of runs and the percentile bootstrap in 12 %; this test in none, and it keeps its level for every n and every distribution
(`make bench-gate`). The price: a bound a little wide with few items, because one more item at the worst difference is always imagined.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learning_pipelines.acceptance.bounded_mean import lower_bound, p_value
from learning_pipelines.errors import BadInput

Array = NDArray[np.float64]
MCNEMAR = "exact McNemar"
BOUNDED_MEAN = "Gaffke bounded mean"
_WORST = -1.0
"""The lowest difference of two scores in [0, 1]."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """`wins` and `losses`: items on which the candidate scores higher and lower. `difference`: mean score gained, -1 … 1. `p_better`,
    `p_worse`: one-sided p-values of "not better" and "not worse". `low`, `high`: bounds of the difference, each at level 1 - alpha."""

    n: int
    wins: int
    losses: int
    incumbent_mean: float
    candidate_mean: float
    difference: float
    p_better: float
    p_worse: float
    low: float
    high: float
    method: str


def compare(incumbent: Sequence[float] | Array, candidate: Sequence[float] | Array, alpha: float) -> Comparison:
    """Both score lists in the order of the items, each score in [0, 1]; without items nothing is known (p = 1, interval [-1, 1]).

    Raises BadInput for lists of different lengths, for scores that are missing (NaN) or out of range, for an alpha outside (0, .5].
    """
    before, after = _scores(incumbent, "incumbent"), _scores(candidate, "candidate")
    if len(before) != len(after):
        raise BadInput(f"The candidate has {len(after)} scores and the incumbent {len(before)}.", "Score both on the same items.")
    if not 0 < alpha <= 0.5:
        raise BadInput(f"A level of {alpha} cannot be tested at.", "Give an alpha above 0, up to .5.")
    differences = after - before
    wins, losses = int(np.sum(differences > 0)), int(np.sum(differences < 0))
    binary = bool(np.all(np.isin(before, (0, 1))) and np.all(np.isin(after, (0, 1))))
    if binary:
        p_better, p_worse = _binomial(wins, losses), _binomial(losses, wins)
    else:
        p_better, p_worse = p_value(differences, _WORST), p_value(-differences, _WORST)
    return Comparison(
        n=len(before),
        wins=wins,
        losses=losses,
        incumbent_mean=_mean(before),
        candidate_mean=_mean(after),
        difference=_mean(differences),
        p_better=p_better,
        p_worse=p_worse,
        low=lower_bound(differences, _WORST, alpha),
        high=-lower_bound(-differences, _WORST, alpha),
        method=MCNEMAR if binary else BOUNDED_MEAN,
    )


def _scores(values: Sequence[float] | Array, whose: str) -> Array:
    scores = np.asarray(values, dtype=np.float64)
    if scores.ndim != 1 or not np.all((scores >= 0) & (scores <= 1)):
        raise BadInput(f"The scores of the {whose} are not all numbers from 0 to 1.", "Score every item, or leave it out on both sides before the test.")
    return scores


def _binomial(wins: int, losses: int) -> float:
    """P(at least so many wins among the pairs that differ) if both were equally likely."""
    from scipy.stats import binom  # slow to import

    return float(binom.sf(wins - 1, wins + losses, 0.5))


def _mean(values: Array) -> float:
    return float(values.mean()) if len(values) else 0.0
