"""How well mixtures of the two legs do on judged questions, and which weight does best.

Belongs here: one number tried out. Not here: what the mixture is (ranking.py), the learner (fusion.py).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from learning_pipelines.retrieval.learning.candidates import Judged, Scores
from learning_pipelines.retrieval.ranking import mixed

GRID = tuple(round(step * 0.05, 2) for step in range(21))


def mixture_ndcg(found: Sequence[Judged], weight: float) -> Scores:
    """(n,) nDCG@10 of the mixture."""
    return np.array([one.ndcg(mixed(one.found, weight)) for one in found])


def best_weight(found: Sequence[Judged]) -> tuple[float, Scores]:
    """The weight of GRID with the highest mean nDCG@10, the mean taken with its two neighbours': less is made of a chance peak. Ties: the lowest weight."""
    table = np.stack([mixture_ndcg(found, weight) for weight in GRID])
    means = np.pad(table.mean(axis=1), 1, mode="edge")
    smooth = (means[:-2] + means[1:-1] + means[2:]) / 3
    best = int(np.argmax(smooth))
    return GRID[best], table[best]
