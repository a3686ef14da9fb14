"""nDCG@10 per query of two indexes, drawn as they really differ, with gains and harms planted.

Belongs here: what tests of the gate of retrieval share. Not here: assertions.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from learning_pipelines.acceptance.alpha import spent
from learning_pipelines.acceptance.bounded_mean import p_value
from learning_pipelines.acceptance.gate import Rules

Numbers = NDArray[np.float64]
# How often the one gold passage of a query stood at rank r (row; 0: not among ten) with BM25 over stems and at rank s (column) with BM25 over
# words: the 1,690 train queries of feedbackqa (uk). nDCG@10 of such a query is 1 / log2(1 + rank). The differences have a standard deviation of
# .23, wide for two versions of one index.
RANKS = np.array([
    [506, 1, 2, 6, 5, 6, 5, 9, 11, 9, 9], [16, 360, 42, 23, 11, 8, 2, 1, 0, 3, 1], [17, 53, 86, 19, 10, 5, 4, 5, 3, 1, 1],
    [14, 16, 23, 37, 16, 6, 3, 4, 5, 4, 1], [18, 7, 11, 14, 7, 4, 4, 5, 3, 1, 1], [11, 3, 6, 10, 11, 11, 2, 0, 2, 1, 0],
    [12, 3, 3, 8, 5, 10, 11, 3, 2, 2, 1], [11, 3, 3, 1, 3, 2, 7, 3, 3, 0, 2], [15, 1, 0, 2, 3, 2, 1, 3, 4, 4, 1],
    [11, 2, 1, 1, 1, 3, 2, 2, 0, 2, 0], [12, 0, 1, 1, 4, 2, 2, 2, 2, 3, 1],
])  # fmt: skip
_GAINS = np.array([0.0, *(1 / np.log2(1 + np.arange(1, 11)))])


def drawn(rng: np.random.Generator, n: int, gain: float = 0.0) -> tuple[Numbers, Numbers]:
    """(incumbent, candidate) on n queries. Neither is better but for `gain` (-1 … 1) in the mean, planted by putting the gold passage first
    for a share of the queries."""
    cells = rng.choice(RANKS.size, size=n, p=(RANKS / RANKS.sum()).ravel())
    one, two = _GAINS[cells // 11], _GAINS[cells % 11]
    turned = rng.random(n) < 0.5
    incumbent, candidate = np.where(turned, two, one), np.where(turned, one, two)
    (candidate if gain > 0 else incumbent)[rng.random(n) < abs(gain) / (1 - _mean())] = 1.0
    return incumbent, candidate


def better(incumbent: Numbers, candidate: Numbers, k: int = 1, rules: Rules | None = None) -> bool:
    """Whether the overall test says better: gate.decide without the numbers that take longer."""
    differences = candidate - incumbent
    return bool(differences.mean() >= (rules or Rules()).min_effect and p_value(differences, -1.0) <= spent(k))


def _mean() -> float:
    shares = RANKS / RANKS.sum()
    return float((shares.sum(1) @ _GAINS + shares.sum(0) @ _GAINS) / 2)
