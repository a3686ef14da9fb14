"""How good an encoder under training is, as it would serve: nDCG@10 of the mixture on validation questions over a pool of passages.

Belongs here: choosing the pool, scoring vectors against it. Not here: the verdict (the gate looks at other questions and at every passage), encoding.

Encoding a whole corpus after every round would cost more than the training. The pool holds every helpful passage, what either leg finds first today
for these questions (the likeliest mistakes), and a share of the rest; so figures are a little high, the same for all who are compared on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, cast

import numpy as np

from learning_pipelines.encoder_protocol import inner_products
from learning_pipelines.retrieval.index import DEPTH
from learning_pipelines.retrieval.learning.candidates import candidates
from learning_pipelines.retrieval.ranking import mixed
from learning_pipelines.retrieval.task import Floats, JudgedQuery, Lexical, Passages, Training

WEIGHTS = tuple(round(0.1 * step, 1) for step in range(11))
QUERIES, PASSAGES = 300, 500


@dataclass(frozen=True)
class Pool:
    """`texts` and `documents` in one order (n), `questions` (v) with `gains` by document, BM25 scores `lexical` (v, n) and `ideals` (v)."""

    texts: list[str]
    documents: list[str]
    questions: list[str]
    gains: list[dict[str, float]]
    lexical: Floats
    ideals: list[float]

    def as_json(self) -> dict[str, Any]:
        lexical = np.round(self.lexical.astype(np.float64), 4).tolist()
        return {**{name: getattr(self, name) for name in ("texts", "documents", "questions", "gains", "ideals")}, "lexical": lexical}

    @classmethod
    def from_json(cls, sent: Mapping[str, Any]) -> Pool:
        lexical = np.asarray(sent["lexical"], dtype=np.float32).reshape(len(sent["questions"]), len(sent["texts"]))
        return cls(sent["texts"], sent["documents"], sent["questions"], sent["gains"], lexical, sent["ideals"])


@dataclass(frozen=True)
class Score:
    """The mean over the questions at the best `weight` of the lexical leg."""

    ndcg: float
    weight: float


def validation_pool(training: Training, *, queries: int = QUERIES, passages: int = PASSAGES) -> tuple[Pool, Score]:
    """Questions of the validation split that something helps with, in turn from every cluster, and the passages they are ranked on; and how the
    encoder that serves does there."""
    kept = _in_turn([query for query in training.validation if any(gain > 0 for gain in query.documents.values())], queries, training.seed)
    rows = {query.id: row for row, query in enumerate(training.validation)}
    chosen = _pooled(training, kept, [training.validation_vectors[rows[query.id]] for query in kept], passages)
    pool = Pool(
        texts=[training.passages.texts[position] for position in chosen],
        documents=[training.passages.document_ids[position] for position in chosen],
        questions=[query.text for query in kept],
        gains=[{document: gain for document, gain in query.documents.items() if gain > 0} for query in kept],
        lexical=np.array([training.lexical.scores(query.text)[chosen] for query in kept], dtype=np.float32).reshape(len(kept), len(chosen)),
        ideals=[training.lexical.ideal(query.text) for query in kept],
    )
    return pool, score(pool, training.validation_vectors[[rows[query.id] for query in kept]], training.passages.vectors[chosen])


def score(pool: Pool, questions: Floats, passages: Floats, weights: Sequence[float] = WEIGHTS) -> Score:
    """`questions` (v, d) and `passages` (n, d): vectors of length 1. Of equal weights the one nearest to the middle is taken: it relies on neither leg."""
    queries = [JudgedQuery(str(row), text, pool.gains[row], {}, "") for row, text in enumerate(pool.questions)]
    held = Passages(tuple(f"{place:06d}" for place in range(len(pool.texts))), tuple(pool.documents), pool.texts, passages)
    found = candidates(held, cast(Lexical, _Kept(pool)), queries, questions)
    means = [float(np.mean([one.ndcg(mixed(one.found, weight)) for one in found])) if found else 0.0 for weight in weights]
    best = max(range(len(weights)), key=lambda position: (round(means[position], 9), -abs(weights[position] - 0.5)))
    return Score(means[best], weights[best])


class _Kept:
    """As much of a Lexical as candidates are made with: what BM25 said of the pool's own questions."""

    def __init__(self, pool: Pool) -> None:
        self._row = {text: row for row, text in enumerate(pool.questions)}
        self._pool = pool

    def scores(self, query: str) -> Floats:
        return np.asarray(self._pool.lexical[self._row[query]])

    def ideal(self, query: str) -> float:
        return self._pool.ideals[self._row[query]]


def _top(scores: Floats, most: int) -> np.ndarray[Any, np.dtype[np.intp]]:
    """Positions of the `most` highest; of equal ones the first. What is -inf was not found."""
    order = np.argsort(-scores, kind="stable")[:most]
    return order[scores[order] > -np.inf]


def _pooled(training: Training, queries: Sequence[JudgedQuery], vectors: Sequence[Floats], most: int) -> list[int]:
    """At most `most` positions, in order: helpful ones first (whatever their number), then rank by rank what the legs find, then at random."""
    count = len(training.passages.ids)
    if count <= most:
        return list(range(count))
    wanted = {document for query in queries for document, gain in query.documents.items() if gain > 0}
    chosen = dict.fromkeys(position for position, document in enumerate(training.passages.document_ids) if document in wanted)
    found: list[list[int]] = []  # only the best of each leg are kept: all scores of all questions would not fit for a large corpus
    for query, vector in zip(queries, vectors, strict=True):
        lexical = training.lexical.scores(query.text)
        found += [_top(np.where(lexical > 0, lexical, -np.inf), DEPTH).tolist(), _top(inner_products(training.passages.vectors, vector), DEPTH).tolist()]
    for rank in zip_longest(*found):
        for position in rank:
            if position is not None and len(chosen) < most * 3 // 4:
                chosen[position] = None
    for position in np.random.default_rng(training.seed).permutation(count).tolist():
        if len(chosen) >= most:
            break
        chosen[position] = None
    return sorted(chosen)


def _in_turn(queries: Sequence[JudgedQuery], most: int, seed: int) -> list[JudgedQuery]:
    """At most `most`, one of every cluster before a second of any: large clusters do not decide alone."""
    order = [queries[position] for position in np.random.default_rng(seed).permutation(len(queries)).tolist()]
    turns: dict[str, int] = {}
    ranked = []
    for place, query in enumerate(order):
        turns[query.cluster] = turns.get(query.cluster, -1) + 1
        ranked.append((turns[query.cluster], place))
    return [order[place] for _, place in sorted(ranked)[:most]]
