"""A matrix on the query side: questions are moved towards the chunks that answered them, stored vectors stay as they are.

Belongs here: learning the matrix, its file, applying it. Not here: encoders (finetune.py), searching (searcher.py).

Ridge regression from question to chunk, shrunk towards "change nothing": M = I + argmin Σ ‖(I + A) q - p‖² + c·n·‖A‖² (Hoerl & Kennard 1970), p the
mean of a question's positives. It has one solution, found by one product and one solve; 200 steps of a contrastive loss took ten times as long, need
three settings and, with the first ones tried, lost .02 on passages not seen. c is chosen on questions about passages that the matrix has not seen: on
seen ones the least shrinkage always wins, and loses on fresh traffic (tatqa .417 → .284).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from learning_pipelines.encoder_protocol import inner_products
from learning_pipelines.errors import LearningError
from learning_pipelines.retrieval.artifacts import local
from learning_pipelines.retrieval.index import IndexConfig
from learning_pipelines.retrieval.learning.candidates import Scores, candidates, judged
from learning_pipelines.retrieval.learning.folds import beats, folds, gain
from learning_pipelines.retrieval.learning.mixture import best_weight, mixture_ndcg
from learning_pipelines.retrieval.task import Floats, JudgedQuery, Learnt, Passages, Progress, Training

SHRINKAGES = (1.0, 0.3, 0.1, 0.03)
"""Of c, from almost nothing learnt to as much as any corpus tried could bear."""
LEAST = 30
"""Questions with a positive chunk below which nothing is learnt: with fewer there is no telling one c from another."""
NEWEST = 4_000
"""Questions of each split that the cheap learners look at: about 10⁵ chunks each takes 5 ms, seven times over."""
SHRINKAGE = "adapter_shrinkage"
_TENSOR, _FILE = "query", "adapter.safetensors"


class Adapter:
    """Changes `adapter` and, since the vector leg is another one then, `lexical_weight`."""

    name = "adapter"

    def learn(self, training: Training, base: IndexConfig, progress: Progress) -> Learnt | None:
        """None too where it does not beat `base` by more than a standard error on questions about unseen passages."""
        started = time.process_time()
        passages, split = training.passages, Split.of(training, base)
        scored = split.scored_queries
        if len(split.train) < LEAST or len({query.cluster for query in split.train}) < 2:
            progress(1.0, f"adapter: {len(split.train)} questions with a chunk that helped, at least {LEAST} of two clusters are needed", {})
            return None
        if not scored:
            progress(1.0, "adapter: its encoder has learnt from every judged question, none is left to judge by", {})
            return None
        before = mixture_ndcg(candidates(passages, training.lexical, scored, split.plain[split.scored]), base.lexical_weight)
        best: tuple[float, float, float, Scores] | None = None
        for done, shrinkage in enumerate(SHRINKAGES, 1):
            found = candidates(passages, training.lexical, scored, split.adapted(passages, shrinkage, training.seed)[split.scored])
            weight, scores = best_weight(found)
            progress(0.9 * done / len(SHRINKAGES), f"adapter: shrinkage {shrinkage:g}", {"ndcg": float(scores.mean())})
            if best is None or scores.mean() > best[0]:
                best = (float(scores.mean()), shrinkage, weight, scores)
        assert best is not None
        after, shrinkage, weight, scores = best
        gained, error = gain(before, scores, scored)
        if not beats(before, scores, scored):
            progress(1.0, f"adapter: not taken, it gains {gained:+.4f} ± {error:.4f}", {"ndcg": after, "gain": gained, "error": error})
            return None
        path = training.folder / _FILE
        save(fit(passages, split.train, split.train_vectors, shrinkage), path)
        config = replace(base, lexical_weight=weight, adapter=local(training.folder, path), reranker=None, notes={**base.notes, SHRINKAGE: shrinkage})
        progress(1.0, f"adapter: gains {gained:+.4f} ± {error:.4f}", {"ndcg": after, "gain": gained, "error": error})
        numbers = {"ndcg": after, "ndcg_before": float(before.mean()), "gain": gained, "error": error, "queries": len(scored)}
        return Learnt(self.name, config, {**numbers, "seconds": time.process_time() - started})


@dataclass(frozen=True, slots=True)
class Split:
    """Judged questions that can be learnt from (`train`) and `queries`: train, then validation; of many the newest.

    `scored`: positions in `queries` of those that a choice may rest on. An encoder that was trained on the train questions finds their passages better
    than those of fresh ones, whatever is learnt on top: then only validation counts.
    """

    train: tuple[JudgedQuery, ...]
    train_vectors: Floats
    validation: tuple[JudgedQuery, ...]
    validation_vectors: Floats
    encoder_knows: bool

    @classmethod
    def of(cls, training: Training, base: IndexConfig) -> Split:
        train, validation = judged(training.train)[-NEWEST:], judged(training.validation)[-NEWEST:]
        return cls(
            tuple(training.train[place] for place in train),
            training.train_vectors[train],
            tuple(training.validation[place] for place in validation),
            training.validation_vectors[validation],
            base.encoder is not None,
        )

    @property
    def queries(self) -> tuple[JudgedQuery, ...]:
        return (*self.train, *self.validation)

    @property
    def scored(self) -> list[int]:
        return list(range(len(self.train) if self.encoder_knows else 0, len(self.queries)))

    @property
    def scored_queries(self) -> tuple[JudgedQuery, ...]:
        return self.queries[self.scored[0] :] if self.scored else ()

    @property
    def plain(self) -> Floats:
        return np.concatenate([self.train_vectors, self.validation_vectors])

    def vectors(self, training: Training, base: IndexConfig) -> Floats:
        """As a version would have them: plain, or adapted by matrices learnt as its own was, none of which saw the question's cluster."""
        return self.plain if base.adapter is None else self.adapted(training.passages, float(base.notes[SHRINKAGE]), training.seed)

    def adapted(self, passages: Passages, shrinkage: float, seed: int) -> Floats:
        whole = fit(passages, self.train, self.train_vectors, shrinkage)
        return np.concatenate([out_of_fold(passages, self.train, self.train_vectors, shrinkage, seed), apply(whole, self.validation_vectors)])


def fit(passages: Passages, queries: Sequence[JudgedQuery], vectors: Floats, shrinkage: float) -> Floats:
    """The matrix (d, d) from these questions; the identity where none of them has a positive chunk that is still there."""
    place = {chunk: number for number, chunk in enumerate(passages.ids)}
    rows, targets = [], []
    for number, query in enumerate(queries):
        positives = [(place[chunk], value) for chunk, value in query.chunks.items() if value > 0 and chunk in place]
        if positives:
            rows.append(number)
            weights = np.array([value for _, value in positives])
            targets.append(weights @ passages.vectors[[number for number, _ in positives]] / weights.sum())
    size = passages.vectors.shape[1]
    if not rows:
        return np.eye(size, dtype=np.float32)
    asked = vectors[rows].astype(np.float64)
    change = np.linalg.solve(asked.T @ asked + shrinkage * len(rows) * np.eye(size), asked.T @ (np.array(targets) - asked))
    return np.asarray(np.eye(size) + change.T, dtype=np.float32)


def out_of_fold(passages: Passages, queries: Sequence[JudgedQuery], vectors: Floats, shrinkage: float, seed: int) -> Floats:
    """Each question adapted by a matrix that was learnt without its cluster: what the vector leg will be like for fresh questions."""
    fold, made = folds(queries, seed), np.empty_like(vectors)
    for number in range(int(fold.max(initial=0)) + 1):
        kept = np.flatnonzero(fold != number).tolist()
        made[fold == number] = apply(fit(passages, [queries[place] for place in kept], vectors[kept], shrinkage), vectors[fold == number])
    return made


def apply(matrix: Floats, vectors: Floats) -> Floats:
    """Query vectors (n, d) or (d,) moved and brought back to length 1."""
    moved = inner_products(matrix, vectors) if vectors.ndim == 1 else vectors @ matrix.T
    return np.asarray(moved / np.maximum(np.linalg.norm(moved, axis=-1, keepdims=True), 1e-12), dtype=np.float32)


def save(matrix: Floats, path: Path) -> None:
    from safetensors.numpy import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({_TENSOR: np.ascontiguousarray(matrix, dtype=np.float32)}, path)


def load(path: Path, dimensions: int) -> Floats:
    """The matrix of a file; `dimensions` of the encoder it is to be used with. Raises LearningError for another size or a damaged file."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        matrix: Floats = load_file(path)[_TENSOR]
    except (SafetensorError, KeyError) as error:
        raise LearningError(f"The adapter {path.name} cannot be read: {error}.", "Roll the index back; the next training makes another.") from error
    if matrix.shape != (dimensions, dimensions) or not np.isfinite(matrix).all():
        raise LearningError(
            f"The adapter is for vectors of {matrix.shape[-1]} dimensions, the encoder has {dimensions}.",
            "Roll the index back, or set LEARNING_EMBEDDING_MODEL back.",
        )
    return matrix
