"""The weight of the lexical leg in the mixture, chosen on judged questions: the cheapest learner and the one to be beaten.

Belongs here: choosing one number. Not here: what the mixture is (ranking.py), further learning (adapter.py, reranker.py).
"""

from __future__ import annotations

import time
from dataclasses import replace

from learning_pipelines.retrieval.index import IndexConfig
from learning_pipelines.retrieval.learning.adapter import Split
from learning_pipelines.retrieval.learning.candidates import candidates
from learning_pipelines.retrieval.learning.folds import beats, gain
from learning_pipelines.retrieval.learning.mixture import best_weight, mixture_ndcg
from learning_pipelines.retrieval.task import Learnt, Progress, Training


class Fusion:
    """Changes `lexical_weight`; a re-ranker is dropped, since it fits the mixture it was learnt for. One number cannot learn anything by heart, so train
    and validation choose it together."""

    name = "fusion"

    def learn(self, training: Training, base: IndexConfig, progress: Progress) -> Learnt | None:
        started = time.process_time()
        split = Split.of(training, base)
        if not (scored := split.scored_queries):
            progress(1.0, "fusion: no question with a passage that helped", {})
            return None
        found = candidates(training.passages, training.lexical, scored, split.vectors(training, base)[split.scored])
        weight, after = best_weight(found)
        before = mixture_ndcg(found, base.lexical_weight)
        gained, error = gain(before, after, scored)
        numbers = {"ndcg": float(after.mean()), "ndcg_before": float(before.mean()), "gain": gained, "error": error, "queries": len(found)}
        if not beats(before, after, scored):
            progress(1.0, f"fusion: weight {base.lexical_weight:g} stays, {weight:g} gains {gained:+.4f} ± {error:.4f}", numbers)
            return None
        progress(1.0, f"fusion: weight {base.lexical_weight:g} → {weight:g} gains {gained:+.4f} ± {error:.4f}", numbers)
        config = replace(base, lexical_weight=weight, reranker=None)
        return Learnt(self.name, config, {**numbers, "seconds": time.process_time() - started})
