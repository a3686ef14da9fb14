"""Frequent sequences of action types: PrefixSpan, best supported first, with a limit on the gaps and on the work.

Belongs here: the mining of one group of demonstrations and the figures of a pattern. Not here: which demonstrations, storing.

J. Pei et al., "Mining sequential patterns by pattern-growth: the PrefixSpan approach", IEEE Transactions on Knowledge and Data Engineering 16 (2004)
1424-1440. A demonstration supports a pattern if its actions come in this order with at most `gap` other actions between two neighbours. Because gaps
are limited, every place where a prefix may end is kept, not the first alone. A prefix is grown in the order of support: where the work
ends early, all patterns above a support that is named are there, and none below is missing by accident of order.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from learning_pipelines.behavior.patterns.shares import Share, share

Types = tuple[str, ...]
Places = dict[int, list[int]]
"""Of a pattern: demonstration -> the positions where its last action may stand."""
MOST_NAMED = 10
"""So many supporting demonstrations are named."""


@dataclass(frozen=True, slots=True)
class Limits:
    """A pattern needs `share` of the demonstrations (0–1) and at least `count`. `visits`: looks at an action that may be spent; 2 million take
    about two seconds. `patterns`: so many are kept at most, closed or not, before the closed ones are chosen."""

    share: float = 0.1
    count: int = 3
    length: int = 6
    gap: int = 1
    visits: int = 2_000_000
    patterns: int = 5_000


@dataclass(frozen=True, slots=True)
class Pattern:
    """`support`: of all demonstrations, those that hold it. `confidence`: of the demonstrations that hold all but its last action, those that hold it.
    `lift`: confidence over the share of all demonstrations that hold the last action. `named`: up to 10 that support it, by their place."""

    types: tuple[str, ...]
    support: Share
    confidence: Share
    lift: float
    named: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Mined:
    """Patterns, best supported first. `complete_above`: every pattern in more demonstrations than this is there; where work or number did not run
    out it is one less than the smallest support that was asked for. `cut`: they ran out."""

    patterns: tuple[Pattern, ...]
    complete_above: int
    cut: bool


def mine(sequences: Sequence[Sequence[str]], limits: Limits | None = None, *, shortest: int = 1, closed: bool = True) -> Mined:
    """The frequent patterns of `shortest` types or more; closed ones: no longer one (up to the length limit) that holds it has the same support.

    Cost is bounded by limits.visits whatever the demonstrations are; memory too.
    """
    limits = limits or Limits()
    least = max(limits.count, math.ceil(limits.share * len(sequences) - 1e-9), 1)
    supports, named, above, cut = _grow(sequences, limits, least)
    chosen = _closed(supports, limits.gap) if closed else list(supports)
    found = [_figures(types, supports, named[types], len(sequences)) for types in chosen if len(types) >= shortest]
    return Mined(tuple(sorted(found, key=lambda one: (-one.support.count, -len(one.types), one.types))), above, cut)


def holds(sequence: Sequence[str], types: Sequence[str], gap: int) -> bool:
    """Whether a demonstration supports a pattern."""
    ends = [place for place, kind in enumerate(sequence) if kind == types[0]]
    for wanted in types[1:]:
        ends = sorted({after for place in ends for after in range(place + 1, min(place + 2 + gap, len(sequence))) if sequence[after] == wanted})
        if not ends:
            return False
    return bool(ends)


def _grow(sequences: Sequence[Sequence[str]], limits: Limits, least: int) -> tuple[dict[Types, int], dict[Types, tuple[int, ...]], int, bool]:
    """Supports, supporters that are named, and Mined's complete_above and cut."""
    supports: dict[Types, int] = {}
    named: dict[Types, tuple[int, ...]] = {}
    waiting: list[tuple[int, int, tuple[str, ...], Places]] = []

    def keep(prefix: tuple[str, ...], grown: Mapping[str, Places]) -> None:
        for kind, places in grown.items():
            if len(places) >= least:
                types = (*prefix, kind)
                supports[types], named[types] = len(places), tuple(sorted(places)[:MOST_NAMED])
                if len(types) < limits.length:
                    heapq.heappush(waiting, (-len(places), len(types), types, places))

    keep((), _first(sequences))
    spent = 0
    while waiting:
        support, _, types, places = heapq.heappop(waiting)
        spent += sum(map(len, places.values())) * (limits.gap + 1)
        if spent > limits.visits or len(supports) > limits.patterns:
            return supports, named, -support, True
        keep(types, _extended(sequences, places, limits.gap))
    return supports, named, least - 1, False


def _first(sequences: Sequence[Sequence[str]]) -> dict[str, Places]:
    found: dict[str, Places] = {}
    for number, sequence in enumerate(sequences):
        for place, kind in enumerate(sequence):
            found.setdefault(kind, {}).setdefault(number, []).append(place)
    return found


def _extended(sequences: Sequence[Sequence[str]], places: Places, gap: int) -> dict[str, Places]:
    """The places of every action that may come next; each once, though more than one place before it may lead there."""
    found: dict[str, Places] = {}
    for number, ends in places.items():
        sequence, reached = sequences[number], -1
        for end in ends:
            for place in range(max(end + 1, reached + 1), min(end + 2 + gap, len(sequence))):
                found.setdefault(sequence[place], {}).setdefault(number, []).append(place)
                reached = place
    return found


def _closed(supports: Mapping[tuple[str, ...], int], gap: int) -> list[tuple[str, ...]]:
    """Without those that a longer one with the same support holds: each pattern strikes out what it is when one or two of its actions are taken away."""
    open_ones = set[tuple[str, ...]]()
    for types, support in supports.items():
        for taken in (1, 2):
            for kept in combinations(types, len(types) - taken) if len(types) > taken else ():
                if supports.get(kept) == support and holds(types, kept, gap):
                    open_ones.add(kept)
    return [types for types in supports if types not in open_ones]


def _figures(types: tuple[str, ...], supports: Mapping[tuple[str, ...], int], named: tuple[int, ...], of: int) -> Pattern:
    support = supports[types]
    confidence = share(support, supports[types[:-1]] if len(types) > 1 else of)
    return Pattern(types, share(support, of), confidence, confidence.value / (supports[types[-1:]] / of), named)
