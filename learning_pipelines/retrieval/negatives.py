"""Hard negatives: passages that look like the answer to a question and are not, as far as anybody can tell.

Belongs here: the nearest passages of many questions in bounded memory, and which of them may not serve. Not here: reading, storing (pairs.py).

Products are made block by block and only the best k of each question are kept: memory is blocks and k per question, never questions × passages.
The margin is that of sentence-transformers' `mine_hard_negatives` (relative_margin .05), the "TopK-PercPos" of Moreira et al., "NV-Retriever:
Improving text embedding models with effective hard-negative mining" (2024): what scores above 95 % of the positive is too often an answer itself.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

DEPTH = 50
"""Nearest passages of a question that are looked at."""

MARGIN = 0.05
"""A negative scores at least this share of the positive's score below it."""

SAME = 0.95
"""Cosine from which two passages say the same."""

_QUESTIONS = 1_000
"""Questions multiplied with a block of passages at a time: with blocks of 10,000 passages 40 MB."""


@dataclass
class Nearest:
    """The best k passages of each question, kept while blocks go by: `scores` (q, k) falling, -inf where there were fewer; `places` (q, k), -1 there."""

    scores: Floats
    places: Ints

    @classmethod
    def of(cls, questions: int, k: int = DEPTH) -> Nearest:
        return cls(np.full((questions, k), -np.inf, dtype=np.float32), np.full((questions, k), -1, dtype=np.int64))

    def take(self, questions: Floats, block: Floats, first: int) -> None:
        """Takes up a block of passages (m, d) whose places are first, first + 1, …"""
        k = self.scores.shape[1]
        for begin in range(0, len(questions), _QUESTIONS):
            part = slice(begin, begin + _QUESTIONS)
            product = questions[part] @ block.T
            if product.shape[1] > k:
                kept = np.argpartition(product, -k, axis=1)[:, -k:]
                product = np.take_along_axis(product, kept, axis=1)
            else:
                kept = np.broadcast_to(np.arange(product.shape[1]), product.shape)
            scores = np.concatenate([self.scores[part], product], axis=1)
            places = np.concatenate([self.places[part], kept + first], axis=1)
            # By falling score, ties by place: the same passages whatever the blocks were.
            order = np.lexsort((places, -scores))[:, :k]
            self.scores[part] = np.take_along_axis(scores, order, axis=1)
            self.places[part] = np.take_along_axis(places, order, axis=1)


@dataclass
class Alike:
    """Passages that say the same as one of some given passages: pairs (which given one, place), found while blocks go by."""

    pairs: list[tuple[int, int]] = field(default_factory=list)

    def take(self, given: Floats, block: Floats, first: int) -> None:
        """Compares given passages (g, d) with a block (m, d) whose places are first, first + 1, …"""
        for begin in range(0, len(given), _QUESTIONS):
            one, two = np.nonzero(given[begin : begin + _QUESTIONS] @ block.T >= SAME)
            self.pairs += zip((one + begin).tolist(), (two + first).tolist(), strict=True)


def mine(questions: Floats, positives: Floats, blocks: Iterable[Floats], k: int = DEPTH) -> tuple[Nearest, Alike]:
    """The nearest passages of every question (q, d), and those alike to the positives (p, d). `blocks`: the passages (m, d), read once, in order.

    All vectors have length 1.
    """
    nearest, alike, first = Nearest.of(len(questions), k), Alike(), 0
    for block in blocks:
        nearest.take(questions, block, first)
        alike.take(positives, block, first)
        first += len(block)
    return nearest, alike


def allowed(
    scores: Sequence[float], passages: Sequence[str], documents: Sequence[str], *, positive: float, relevant: Collection[str], alike: Collection[str]
) -> list[int]:
    """Positions of one question's nearest passages that may serve as hard negatives, in their order.

    `positive`: the best score of its positives. `relevant`: documents that helped with it, or with nearly the same question: another chunk of
    them may answer it too. `alike`: passages that say the same as a positive.
    """
    highest = positive - abs(positive) * MARGIN
    return [
        at
        for at, (score, passage, document) in enumerate(zip(scores, passages, documents, strict=True))
        if score <= highest and document not in relevant and passage not in alike
    ]
