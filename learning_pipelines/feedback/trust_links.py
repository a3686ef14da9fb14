"""Which raters do not vote independently of each other: pairs whose histories coincide more than chance explains.

Belongs here: links between raters from who rated what, how and when. Not here: what a link costs (trust.py); a team that rates the same
answers honestly is linked too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

NEAR_SECONDS = (3_600.0, 43_200.0)
"""Two votes within one of these are near. Each scale is cut into buckets twice, half a bucket apart."""
MOST_VOTES = 1_000
"""Votes of one kind on one item that are compared with each other; a larger crowd is cut by time, which keeps the cost linear."""
LEAST_SHARED, SHARED, CHANCE = 3, 0.1, 1e-5
FEW, NEAR_SHARED, NEAR_OF_LONGER = 3, 0.5, 0.3
CONTESTED, SAME_SIDE = 0.2, 0.35


@dataclass(frozen=True, slots=True)
class Links:
    """Symmetric 0/1 scipy matrices (raters × raters).

    always: two who vote in lockstep. quarrels: two (others) who only take the same side of the same quarrels, which says nothing about
    the rest of what they vote. contested: one entry per vote, true if it is part of a quarrel.
    """

    always: Any
    quarrels: Any
    contested: npt.NDArray[np.bool_]

    @property
    def companions(self) -> Floats:
        """How many others each rater is linked with."""
        return np.asarray((self.always + self.quarrels).sum(axis=1)).ravel()


def linked(history: Floats, rater: Ints, column: Ints, seconds: Floats, texts: tuple[Ints, Ints] | None = None) -> Links:
    """Who votes in lockstep with whom.

    history: votes of each rater in all, of which those given here may be a part.
    rater, column, seconds: one entry per vote; `column` numbers item and value together, so that equal columns are equal votes.
    texts: (rater, text) pairs of texts that several people sent; sharing one links.
    Always linked are two who cast ≥ 3 equal votes (at any time, or near each other) that are ≥ 10 % of the shorter history and more than chance
    meetings explain (Poisson, p < 0.00001; CopyCatch and SynchroTrap look for the same), or new accounts whose few
    votes were mostly equal and near.
    """
    raters = len(history)
    chunk = _chunks(column, seconds)
    found = [_beyond_chance(history, rater, chunk)]
    for width in NEAR_SECONDS:
        for shift in (0.0, 0.5):
            bucket = np.floor(seconds / width + shift).astype(np.int64)
            together = _numbered(chunk, bucket)
            found += [_beyond_chance(history, rater, together), _mostly_together(history, rater, together)]
    if texts is not None and len(texts[0]):
        copied = _pairs(raters, *texts).tocoo()
        found.append((copied.row, copied.col))
    always = _matrix(raters, found)
    contested = _contested(column)
    quarrels = _matrix(raters, [_same_side(raters, rater[contested], chunk[contested])])
    return Links(always, (quarrels > always).astype(float), contested)


def _matrix(raters: int, pairs: list[tuple[Ints, Ints]]) -> Any:
    from scipy import sparse

    row, col = (np.concatenate(part) for part in zip(*pairs, strict=True))
    link = sparse.csr_array((np.ones(len(row)), (row, col)), shape=(raters, raters))
    link.data[:] = 1.0
    return link


def _beyond_chance(history: Floats, rater: Ints, column: Ints) -> tuple[Ints, Ints]:
    """Pairs that meet more often than people with such long histories would by chance."""
    from scipy import special

    met = _pairs(len(history), rater, column).tocoo()
    crowd = np.bincount(column).astype(float)
    chance = float((crowd * (crowd - 1)).sum()) / max(1.0, float(len(rater)) ** 2)
    one, two = history[met.row], history[met.col]
    kept = (met.data >= LEAST_SHARED) & (met.data >= SHARED * np.minimum(one, two))
    kept &= special.pdtrc(met.data - 1, np.maximum(1e-12, chance * one * two)) < CHANCE
    return met.row[kept], met.col[kept]


def _contested(column: Ints) -> npt.NDArray[np.bool_]:
    """Votes on items where both verdicts have many votes."""
    crowd = np.bincount(column, minlength=2 * (int(column.max(initial=-1)) // 2 + 1)).astype(float)
    less, more = np.minimum(crowd[0::2], crowd[1::2]), np.maximum(crowd[0::2], crowd[1::2])
    return np.asarray((less >= CONTESTED * (less + more))[column // 2])


def _same_side(raters: int, rater: Ints, chunk: Ints) -> tuple[Ints, Ints]:
    """Pairs who mostly appear in the same quarrels, on the same side, from the contested votes alone.

    Chance needs no model here: who is among the many voters of a crowded item meets nobody in particular in most quarrels.
    """
    met = _pairs(raters, rater, chunk).tocoo()
    quarrels = np.bincount(rater, minlength=raters)
    either = quarrels[met.row] + quarrels[met.col] - met.data
    kept = (met.data >= LEAST_SHARED) & (met.data >= SAME_SIDE * either)
    return met.row[kept], met.col[kept]


def _mostly_together(history: Floats, rater: Ints, column: Ints) -> tuple[Ints, Ints]:
    """Pairs whose few votes were mostly cast together: new accounts, for which there is no chance to compare with."""
    met = _pairs(len(history), rater, column).tocoo()
    one, two = history[met.row], history[met.col]
    kept = (np.minimum(one, two) <= FEW) & (met.data >= NEAR_SHARED * np.minimum(one, two)) & (met.data >= NEAR_OF_LONGER * np.maximum(one, two))
    return met.row[kept], met.col[kept]


def _pairs(raters: int, rater: Ints, column: Ints) -> Any:
    """How many columns each two different raters have in common."""
    from scipy import sparse

    votes = sparse.csr_array((np.ones(len(rater)), (rater, column)), shape=(raters, int(column.max(initial=-1)) + 1))
    votes.data[:] = 1.0
    common = (votes @ votes.T).tocsr()
    common.setdiag(0)
    common.eliminate_zeros()
    return common


def _chunks(column: Ints, seconds: Floats) -> Ints:
    """Columns, cut where they have more than MOST_VOTES votes, in the order of time."""
    order = np.lexsort((seconds, column))
    ordered = column[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(ordered) else np.zeros(0, dtype=np.int64)
    rank = np.arange(len(ordered)) - np.repeat(starts, np.diff(np.r_[starts, len(ordered)]))
    cut = np.empty(len(column), dtype=np.int64)
    cut[order] = rank // MOST_VOTES
    return _numbered(column, cut)


def _numbered(one: Ints, two: Ints) -> Ints:
    """Equal numbers, from 0 on, for equal pairs."""
    low = int(two.min(initial=0))
    _, number = np.unique(one * (int(two.max(initial=0)) - low + 1) + two - low, return_inverse=True)
    return np.asarray(number, dtype=np.int64)
