"""Anti-patterns: what failed demonstrations do, or leave out, significantly more often than those that succeeded.

Belongs here: candidates, their test, the correction for many. Not here: which demonstrations failed, storing, wording.

Candidates are chosen without looking at outcomes: sequences that are frequent in all demonstrations together (up to 3 actions, none between them, the
beginning and the end included), and types that may be left out. Each gets Fisher's exact test, one-sided; demonstrations of one cluster are
about the same task and succeed or fail together, so where there are clusters a test that is robust to that (a linear probability with
variance by clusters, S. Zeger and K. Liang 1986, t with clusters - 1 degrees of freedom) must agree: the larger p counts. Benjamini and Hochberg (1995)
keep the expected share of false ones among all that are named within the level: LEVEL for what is to be avoided, WATCHED for what is only worth watching.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from learning_pipelines.behavior.patterns.sequences import MOST_NAMED, Limits, Pattern, holds, mine
from learning_pipelines.behavior.patterns.shares import Share, share
from learning_pipelines.behavior.patterns.transitions import START
from learning_pipelines.behavior.task import END, Shown

LEVEL, WATCHED = 0.05, 0.2
FEWEST = 5
"""Fewer failures, or fewer successes, say nothing."""
MOST = 400
"""Sequences that are looked at: the best supported. Of those that the very same demonstrations hold, the shortest is tested."""
_LIMITS = Limits(share=0.03, count=3, length=3, gap=0, visits=1_000_000, patterns=1_000)
Floats = npt.NDArray[np.float64]
How = Literal["done", "omitted"]


@dataclass(frozen=True, slots=True)
class AntiPattern:
    """`how`: the sequence is done, or the one type is left out. `failed`: of the failures, those that do so; `succeeded`: of the successes. `p`: of "not
    more often in failures"; `q`: the same, corrected for the number of candidates. `lift`: how much more often, as a ratio with half a case added
    to each side. `named`: up to 10 failures that do so."""

    how: How
    types: tuple[str, ...]
    failed: Share
    succeeded: Share
    p: float
    q: float
    lift: float
    named: tuple[str, ...]


def anti_patterns(succeeded: Sequence[Shown], failed: Sequence[Shown], level: float = WATCHED) -> list[AntiPattern]:
    """What distinguishes failures, the surest first: with q up to `level`. [] where there are fewer than FEWEST of either."""
    if min(len(succeeded), len(failed)) < FEWEST:
        return []
    everything = [*failed, *succeeded]
    sequences = [(START, *(action.type for action in one.actions), END) for one in everything]
    candidates, present = _candidates(sequences)
    if not candidates:
        return []
    bad = np.arange(len(everything)) < len(failed)
    p = np.maximum(_fisher(present, bad), _robust(present, bad, [one.cluster or one.id for one in everything]))
    q = _corrected(p)
    found = [
        _described(how, types, present[:, place], failed, len(succeeded), float(p[place]), float(q[place]))
        for place, (how, types) in enumerate(candidates)
        if q[place] <= level
    ]
    return _without_repeats(sorted(found, key=lambda one: (one.p, one.how, len(one.types), one.types)))


def _candidates(sequences: Sequence[Sequence[str]]) -> tuple[list[tuple[How, tuple[str, ...]]], Floats]:
    """The candidates, and who does so: (demonstrations, candidates) of 0 and 1. What all or nearly all do cannot tell outcomes apart; of candidates that
    the very same demonstrations show, one is tested."""
    most = len(sequences) - max(_LIMITS.count, _LIMITS.share * len(sequences))
    named: list[tuple[How, tuple[str, ...]]] = [("done", one.types) for one in _short_first(mine(sequences, _LIMITS, closed=False).patterns[:MOST])]
    named += [("omitted", (kind,)) for kind in sorted({kind for sequence in sequences for kind in sequence} - {START, END})]
    columns: dict[bytes, tuple[tuple[How, tuple[str, ...]], Floats]] = {}
    for how, types in named:
        column = np.array([holds(sequence, types, _LIMITS.gap) is (how == "done") for sequence in sequences], dtype=np.float64)
        if _LIMITS.count <= column.sum() <= most:
            columns.setdefault(column.tobytes(), ((how, types), column))
    return [one for one, _ in columns.values()], np.stack([column for _, column in columns.values()], axis=1) if columns else np.zeros((len(sequences), 0))


def _short_first(patterns: Sequence[Pattern]) -> list[Pattern]:
    return sorted(patterns, key=lambda one: (len(one.types), one.types))


def _fisher(present: Floats, bad: npt.NDArray[np.bool_]) -> Floats:
    from scipy.stats import hypergeom  # slow to import

    return np.asarray(hypergeom.sf(present[bad].sum(axis=0) - 1, len(bad), present.sum(axis=0), int(bad.sum())), dtype=np.float64)


def _robust(present: Floats, bad: npt.NDArray[np.bool_], groups: Sequence[str]) -> Floats:
    """0 where no two demonstrations are of one cluster: Fisher's test says it all."""
    names, which = np.unique(np.array(groups, dtype=object).astype(str), return_inverse=True)
    if len(names) == len(groups):
        return np.zeros(present.shape[1])
    from scipy.stats import t  # slow to import

    centred = bad - bad.mean()
    slope = centred @ present / (centred @ centred)
    rest = present - present.mean(axis=0) - np.outer(centred, slope)
    scores = np.zeros((len(names), present.shape[1]))
    np.add.at(scores, which, centred[:, None] * rest)
    correction = len(names) / (len(names) - 1) * (len(bad) - 1) / (len(bad) - 2) if len(names) > 1 else np.inf
    error = np.sqrt(correction * (scores**2).sum(axis=0)) / (centred @ centred)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(error > 0, t.sf(slope / error, max(1, len(names) - 1)), np.where(slope > 0, 0.0, 1.0)), dtype=np.float64)


def _corrected(p: Floats) -> Floats:
    order = np.argsort(p)
    steps = p[order] * len(p) / np.arange(1, len(p) + 1)
    q = np.empty_like(p)
    q[order] = np.minimum(1.0, np.minimum.accumulate(steps[::-1])[::-1])
    return q


def _described(how: How, types: tuple[str, ...], column: Floats, failed: Sequence[Shown], successes: int, p: float, q: float) -> AntiPattern:
    ours, theirs = int(column[: len(failed)].sum()), int(column[len(failed) :].sum())
    lift = ((ours + 0.5) / (len(failed) + 1)) / ((theirs + 0.5) / (successes + 1))
    named = sorted(one.id for one, does in zip(failed, column, strict=False) if does)[:MOST_NAMED]
    return AntiPattern(how, types, share(ours, len(failed)), share(theirs, successes), p, q, lift, tuple(named))


def _without_repeats(found: Sequence[AntiPattern]) -> list[AntiPattern]:
    """A longer sequence says nothing beside a part of it that is as sure, nor does a shorter one beside a longer that is surer."""
    kept: list[AntiPattern] = []
    for one in found:
        if not any(one.how == other.how and (_within(other.types, one.types) or _within(one.types, other.types)) for other in kept):
            kept.append(one)
    return kept


def _within(part: Sequence[str], whole: Sequence[str]) -> bool:
    return any(tuple(whole[start : start + len(part)]) == tuple(part) for start in range(len(whole) - len(part) + 1))
