"""What the legs bring for judged questions, and how well an order of it does: the ground that every cheap learner stands on.

Belongs here: candidates in memory as the searcher finds them, their judgements, nDCG of an order. Not here: what is learnt (fusion.py, adapter.py,
reranker.py), search in the database (searcher.py), metrics that are reported (metrics.py; a test holds both equal).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from learning_pipelines.retrieval.index import DEPTH
from learning_pipelines.retrieval.ranking import Found
from learning_pipelines.retrieval.task import Floats, JudgedQuery, Lexical, Passages

AT = 10
_DISCOUNTS = 1.0 / np.log2(np.arange(2, AT + 2))
_BLOCK_BYTES = 64_000_000
Scores = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Judged:
    """One question's candidates, in the order of their documents, and what is known of them. `positions` (m,): of the candidates in the passages.
    `starts`: where each document's candidates begin. `gains` (documents,) 0..1. `ideal`: the best DCG@10 there is, also by documents not found."""

    query: JudgedQuery
    found: Found
    positions: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]
    gains: Scores
    ideal: float

    def ndcg(self, scores: Floats) -> float:
        """nDCG@10 over documents, 0..1, of the candidates ordered by `scores` (m,); a document scores as its best chunk, ties go by id."""
        if not len(scores):
            return 0.0
        best = np.maximum.reduceat(scores, self.starts)
        top = self.gains[np.argsort(-best, kind="stable")[:AT]]
        return float((top * _DISCOUNTS[: len(top)]).sum() / self.ideal)


def judged(queries: Sequence[JudgedQuery]) -> list[int]:
    """Positions of the queries that something helps with: the others can be neither learnt from nor scored."""
    return [place for place, query in enumerate(queries) if any(gain > 0 for gain in query.documents.values())]


def candidates(passages: Passages, lexical: Lexical, queries: Sequence[JudgedQuery], vectors: Floats) -> list[Judged]:
    """The best DEPTH of each leg for each query, all with both scores. `vectors` (len(queries), d), rows of length 1.

    BM25 is asked again each time: kept scores of 2,000 questions about 10⁵ chunks would be a gigabyte, to ask takes about a millisecond.
    """
    cosines = _cosines(passages.vectors, vectors)
    return [_judged(passages, query, lexical, near) for query, near in zip(queries, cosines, strict=True)]


def _judged(passages: Passages, query: JudgedQuery, lexical: Lexical, cosines: Floats) -> Judged:
    words = lexical.scores(query.text)
    brought = set(_best(cosines)) | {place for place in _best(words) if words[place] > 0}
    order = sorted(brought, key=lambda place: (passages.document_ids[place], passages.ids[place]))
    positions = np.array(order, dtype=np.int64)
    documents = tuple(passages.document_ids[place] for place in order)
    found = Found(tuple(passages.ids[place] for place in order), documents, words[positions], cosines[positions], lexical.ideal(query.text))
    starts = [place for place in range(len(order)) if place == 0 or documents[place] != documents[place - 1]]
    gains = np.array([max(0.0, query.documents.get(documents[start], 0.0)) for start in starts])
    ideal = np.sort([gain for gain in query.documents.values() if gain > 0])[::-1][:AT]
    return Judged(query, found, positions, np.array(starts, dtype=np.int64), gains, float((ideal * _DISCOUNTS[: len(ideal)]).sum()))


def _best(scores: Floats) -> list[int]:
    if len(scores) <= DEPTH:
        return list(range(len(scores)))
    found: list[int] = np.argpartition(-scores, DEPTH - 1)[:DEPTH].tolist()
    return found


def _cosines(chunks: Floats, questions: Floats) -> Iterator[Floats]:
    """A row for each question, computed for as many at a time as memory allows."""
    rows = max(1, _BLOCK_BYTES // max(1, 4 * len(chunks)))
    for first in range(0, len(questions), rows):
        yield from questions[first : first + rows] @ chunks.T
