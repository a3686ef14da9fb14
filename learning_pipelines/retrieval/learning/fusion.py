"""The weight of the lexical leg in the mixture, chosen on judged questions: the cheapest learner and the one to be beaten.

Belongs here: choosing one number. Not here: what the mixture is (ranking.py), further learning (adapter.py, reranker.py).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from learning_pipelines.retrieval.index import IndexConfig
from learning_pipelines.retrieval.learning.candidates import Judged, Scores, candidates, judged, lexical_scores
from learning_pipelines.retrieval.learning.folds import beats, gain
from learning_pipelines.retrieval.ranking import mixed
from learning_pipelines.retrieval.task import Learnt, Progress, Training

GRID = tuple(round(step * 0.05, 2) for step in range(21))


class Fusion:
    """Changes `lexical_weight`; a re-ranker is dropped, since it fits the mixture it was learnt for. One number cannot learn anything by heart, so train
    and validation choose it together."""

    name = "fusion"

    def learn(self, training: Training, base: IndexConfig, progress: Progress) -> Learnt | None:
        started = time.process_time()
        queries, vectors = (*training.train, *training.validation), np.concatenate([training.train_vectors, training.validation_vectors])
        known = judged(queries)
        if not known:
            progress(1.0, "fusion: no question with a passage that helped", {})
            return None
        asked = [queries[place] for place in known]
        found = candidates(training.passages, asked, lexical_scores(training.lexical, asked), vectors[known])
        weight, after = best_weight(found)
        before = mixture_ndcg(found, base.lexical_weight)
        gained, error = gain(before, after, asked)
        numbers = {"ndcg": float(after.mean()), "ndcg_before": float(before.mean()), "gain": gained, "error": error, "queries": len(known)}
        if not beats(before, after, asked):
            progress(1.0, f"fusion: weight {base.lexical_weight:g} stays, {weight:g} gains {gained:+.4f} ± {error:.4f}", numbers)
            return None
        progress(1.0, f"fusion: weight {base.lexical_weight:g} → {weight:g} gains {gained:+.4f} ± {error:.4f}", numbers)
        config = replace(base, lexical_weight=weight, reranker=None)
        return Learnt(self.name, config, {**numbers, "seconds": time.process_time() - started})


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
