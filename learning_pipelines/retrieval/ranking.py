"""From what both legs found to one order: BM25 scores and cosines made comparable, mixed, and the best chunk of every document.

Belongs here: pure functions of arrays. Not here: finding (searcher.py), learning the weight (learning/), metrics (metrics.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Found:
    """The candidates of one query: the union of each leg's best DEPTH chunks. Both scores are computed for every one of them, whichever leg
    brought it: `lexical` (m,) BM25, 0 where no term matches; `cosine` (m,) -1..1. `ideal`: what a text that is full of the query's words would score
    (Bm25.ideal, StoredLexical.ideal); without it the best lexical score stands in, which is another mixture than the one that serves."""

    chunk_ids: tuple[str, ...]
    document_ids: tuple[str, ...]
    lexical: Floats
    cosine: Floats
    ideal: float | None = None


def mixed(found: Found, lexical_weight: float) -> Floats:
    """(m,) scores 0..1 (more where an expansion adds to BM25): `lexical_weight` of the lexical leg, the rest of the vector leg.

    BM25 counts as its share of the query's ideal score, so it weighs as much as the text holds of the question; a cosine counts as it is. Learnt
    weights come out alike for every way of making both comparable, a common one does not: nDCG@10 at the best weight of each set (uk .590,
    us_cdc .649, tatqa .642; train and valid questions) and, as a mean share of those, at one weight for all: ideal score .983 at .5; share of the
    best score, cosine as it is .975 at .3; theoretical minimum (TM2C2, Bruch et al. 2023) .973 at .2; z-scores .971; min-max .970; RRF .950.
    """
    return np.asarray(lexical_weight * _of_ideal(found) + (1 - lexical_weight) * np.clip(found.cosine, 0.0, 1.0), dtype=np.float32)


def ordered(ids: Sequence[str], scores: Floats) -> list[int]:
    """Positions by falling score; ties by id."""
    return sorted(range(len(ids)), key=lambda position: (-float(scores[position]), ids[position]))


def by_document(found: Found, scores: Floats) -> list[tuple[str, float]]:
    """Documents with the score of their best chunk, best first; ties by id."""
    best: dict[str, float] = {}
    for document, score in zip(found.document_ids, scores.tolist(), strict=True):
        if score > best.get(document, -np.inf):
            best[document] = score
    return sorted(best.items(), key=lambda item: (-item[1], item[0]))


def shares(scores: Floats, least: float) -> Floats:
    """The scores as shares 0..1 of the best one; all 0 where nothing is above `least`."""
    most = float(scores.max(initial=least)) - least
    return np.asarray((scores - least) / most if most > 0 else np.zeros_like(scores), dtype=np.float32)


def _of_ideal(found: Found) -> Floats:
    if found.ideal is None:
        return shares(found.lexical, 0.0)
    return found.lexical / np.float32(found.ideal) if found.ideal > 0 else np.zeros_like(found.lexical)
