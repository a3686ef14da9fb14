"""How well documents were ranked: nDCG@10, MRR@10, Recall@10 and @100 per query, and bootstrap intervals of their means.

Belongs here: rankings and judgements in, numbers out. Not here: searching (searcher.py), whose queries (evaluation.py), verdicts (acceptance/).

Computed by ir-measures (trec_eval's and MS MARCO's own code), never by hand. Gains may be graded; a document that nobody judged gains nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float64]
NDCG, MRR, RECALL_10, RECALL_100 = "ndcg@10", "mrr@10", "recall@10", "recall@100"
NAMES = (NDCG, MRR, RECALL_10, RECALL_100)
GRADES = 1_000
"""Gains become whole numbers for trec_eval; nDCG does not depend on their scale."""
DRAWS, LEVEL, SEED = 2_000, 0.95, 0


@dataclass(frozen=True, slots=True)
class Measured:
    """Scores per query, 0 … 1, in the order of `ids`. `unjudged`: queries left out because nothing is known to help with them."""

    ids: tuple[str, ...]
    scores: Mapping[str, Scores]
    unjudged: int = 0

    def of(self, metric: str = NDCG) -> dict[str, float]:
        return dict(zip(self.ids, self.scores[metric].tolist(), strict=True))

    def means(self) -> dict[str, float]:
        """Means over queries; without queries there are none."""
        return {name: float(values.mean()) for name, values in self.scores.items() if len(values)}

    def intervals(self) -> dict[str, list[float]]:
        """95 % intervals of the means."""
        return {name: list(interval(values)) for name, values in self.scores.items() if len(values)}

    def as_json(self) -> dict[str, Any]:
        return {"n": len(self.ids), "metrics": self.means(), "intervals": self.intervals()}


def measure(ranked: Mapping[str, Sequence[str]], gains: Mapping[str, Mapping[str, float]]) -> Measured:
    """Scores of rankings (query id → document ids, best first) by judgements (query id → document id → gain, 0 or less: no help).

    A query without a ranking scores 0; one without a document that helps cannot be scored and is counted as unjudged.
    """
    import ir_measures  # slow to import

    judged = {query: known for query, known in gains.items() if any(gain > 0 for gain in known.values())}
    ids = tuple(judged)
    scores = {name: np.zeros(len(ids)) for name in NAMES}
    if ids:
        place = {query: number for number, query in enumerate(ids)}
        grades = {query: {document: _grade(gain) for document, gain in known.items()} for query, known in judged.items()}
        # The order is what was served: scores that fall with the rank leave no ties to be broken otherwise.
        runs = {query: {document: -float(rank) for rank, document in enumerate(dict.fromkeys(ranked.get(query, ())))} for query in ids}
        measures = _measures()
        for found in ir_measures.iter_calc(list(measures), grades, {query: run for query, run in runs.items() if run}):
            scores[measures[found.measure]][place[found.query_id]] = found.value
    return Measured(ids, scores, len(gains) - len(ids))


def interval(values: Scores, *, level: float = LEVEL, draws: int = DRAWS, seed: int = SEED) -> tuple[float, float]:
    """Percentile-bootstrap interval of a mean over queries (Efron 1979); seeded, so that the same scores give the same interval."""
    if not len(values):
        return 0.0, 1.0
    rng, means = np.random.default_rng(seed), np.empty(draws)
    for first in range(0, draws, 100):  # a hundred resamples at a time: bounded memory for any number of queries
        part = means[first : first + 100]
        part[:] = values[rng.integers(len(values), size=(len(part), len(values)))].mean(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _grade(gain: float) -> int:
    return max(1, round(gain * GRADES)) if gain > 0 else 0


@lru_cache(maxsize=1)
def _measures() -> dict[Any, str]:
    from ir_measures import RR, R, nDCG

    return {nDCG @ 10: NDCG, RR @ 10: MRR, R @ 10: RECALL_10, R @ 100: RECALL_100}
