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
    brought it: `lexical` (m,) BM25, 0 where no term matches; `cosine` (m,) -1..1."""

    chunk_ids: tuple[str, ...]
    document_ids: tuple[str, ...]
    lexical: Floats
    cosine: Floats


def mixed(found: Found, lexical_weight: float) -> Floats:
    """(m,) scores 0..1: `lexical_weight` (0..1) of the lexical leg, the rest of the vector leg.

    Each leg is divided by its best score after its theoretical minimum (0 of BM25, -1 of a cosine) was taken off: TM2C2 of Bruch, Gai & Ingber,
    "An Analysis of Fusion Functions for Hybrid Retrieval" (2023).
    """
    return np.asarray(lexical_weight * _share(found.lexical, 0.0) + (1 - lexical_weight) * _share(found.cosine, -1.0), dtype=np.float32)


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


def _share(scores: Floats, least: float) -> Floats:
    """The scores as shares 0..1 of the best one; all 0 where nothing is above `least`."""
    most = float(scores.max(initial=least)) - least
    return np.asarray((scores - least) / most if most > 0 else np.zeros_like(scores), dtype=np.float32)
