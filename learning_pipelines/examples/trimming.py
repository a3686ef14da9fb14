"""Belongs here: how components are dealt to the splits, and which few examples are left out when one component is too large.
Not here: ids, people and links found late (splits.py), graph algorithms (components.py)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product

import numpy as np

from learning_pipelines.examples.components import Bools, HubGraph, Ints, Walker, smallest_cut

FLOOR = 0.15
"""Each split keeps at least this share. Train too, lest a cut feed the others and starve it."""

LARGE = 0.10
"""Only components above this share of an agent's examples are cut."""

TINY = 6
"""Agents of up to so many examples are not cut, and none is cut down to so few: that would be trimming to nothing."""

_EPSILON = 1e-9
_BLENDS = (1.0, 0.75, 0.5, 0.25, 0.0)
_CUTS = 5
"""Cuts of one component after another before a search is given up."""

_KEPT_RESTS = 30
_ONE_BY_ONE = 60
"""Agents of up to so many examples are also searched one removal at a time."""

Sides = list[int]


@dataclass(frozen=True)
class Situation:
    """`active` (items,): who takes part. `sides` (items,): 0 train, 1 validation, 2 test for who has a split, -1 for newcomers.
    `strata` (items,): the number of each example's type, whose shares every split is to have too (empty: all are of one type).

    No component may hold two sides. Only newcomers are ever left out. `total` is the number of active examples at the start.
    """

    graph: HubGraph
    active: Bools
    sides: Ints
    strata: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    total: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "total", int(np.count_nonzero(self.active)))
        if not len(self.strata):
            object.__setattr__(self, "strata", np.zeros(len(self.active), dtype=np.int64))


@dataclass(frozen=True)
class _Deal:
    """A way to deal the components: `cost` counts everybody left out, `spare[side]` of them still to be picked from that side."""

    cost: float
    sides: Ints  # (items,)
    spare: Sides
    trimmable: Bools  # (items,)


def deal(counts: Ints, held: Ints, shares: Sequence[float]) -> Sides:
    """The side of each component: in the order given (largest first), each to the side that needs it most.

    `counts` (components, types): how many examples of each type a component has; `held` (3, types): what the sides have already.
    A side needs a component as far as it is below its share of all examples, plus as far as it is below its share of the component's types
    (their mean, weighted by how many of each it has): with one type that is the former alone. Greedy, like the iterative stratification of
    Sechidis, Tsoumakas and Vlahavas, "On the stratification of multi-label data" (2011), for whole components.
    """
    wanted = np.outer(shares, counts.sum(axis=0) + held.sum(axis=0)) - held
    short = wanted.sum(axis=1).tolist()
    short_of = wanted.T.tolist()  # by type, then side
    # Flat lists of what each component has of which type: a list per component would be a gigabyte for a million of them.
    rows, columns = np.nonzero(counts)
    amounts, kinds, begins = counts[rows, columns].tolist(), columns.tolist(), np.searchsorted(rows, np.arange(len(counts) + 1)).tolist()
    sides = []
    for place in range(len(counts)):
        begin, end = begins[place], begins[place + 1]
        if end - begin == 1 and amounts[begin] == 1:
            size, lacking = 1, short_of[kinds[begin]]
            need = [short[0] + lacking[0], short[1] + lacking[1], short[2] + lacking[2]]
        else:
            mine = [(kinds[entry], amounts[entry]) for entry in range(begin, end)]
            size = sum(amount for _, amount in mine)
            need = [short[side] + sum(amount * short_of[kind][side] for kind, amount in mine) / size for side in range(3)]
        train, validation, test = round(need[0], 6), round(need[1], 6), round(need[2], 6)
        # Ties go to train, then test, then validation: one example is for train, two are for train and test.
        side = 0 if train >= test and train >= validation else 2 if test >= validation else 1
        short[side] -= size
        for entry in range(begin, end):
            short_of[kinds[entry]][side] -= amounts[entry]
        sides.append(side)
    return sides


def fewest_left_out(situation: Situation, shares: tuple[float, float, float]) -> tuple[Ints, Ints]:
    """The side of every active example (shape (items,); -1 for others) and, ascending, the newcomers to leave out (often none).

    If the components can be dealt so that every split has its floor, nobody is left out. Otherwise components above LARGE are
    cut, by smallest vertex cuts between the two ends of walks through them (the idea of inertial flow: Schild and Sommer, "On balanced
    separators in road networks", 2015), or trimmed where no cut is cheaper (one person who wrote nearly everything): a split that stays
    as it is has a larger share of less. Of all ways tried the one that leaves out fewest is taken; this is near the minimum, which is
    NP-hard to find. If no way reaches the floors, nobody is left out.
    """
    nobody = np.zeros(len(situation.active), dtype=np.bool_)
    best, removed = _evaluate(situation, nobody, shares), nobody
    if best.cost == 0 or situation.total <= TINY or not best.trimmable.any():
        return best.sides, np.flatnonzero(nobody)
    seen: set[bytes] = set()
    for candidate in _searches(situation):
        if best.cost <= 1:
            break
        if candidate.tobytes() in seen:
            continue
        seen.add(candidate.tobytes())
        found = _evaluate(situation, candidate, shares)
        if found.cost < best.cost:
            best, removed = found, candidate
    if math.isinf(best.cost):
        return best.sides, np.flatnonzero(nobody)
    best, removed = _put_back(situation, best, removed, shares)
    return best.sides, np.flatnonzero(removed | _picked(best))


def _evaluate(situation: Situation, removed: Bools, shares: tuple[float, float, float]) -> _Deal:
    """The best deal of the components that remain when `removed` are gone: cost inf if the floors are out of reach."""
    active = situation.active & ~removed
    places = np.flatnonzero(active)
    gone = int(np.count_nonzero(removed))
    first, label = np.unique(situation.graph.components(active)[places], return_index=True, return_inverse=True)[1:]
    sizes = np.bincount(label, minlength=len(first))
    side_of = np.full(len(first), -1, dtype=np.int64)
    np.maximum.at(side_of, label, situation.sides[places])
    types = int(situation.strata.max(initial=0)) + 1
    counts = np.bincount(label * types + situation.strata[places], minlength=len(first) * types).reshape(len(first), types)
    held = np.stack([counts[side_of == side].sum(axis=0) for side in range(3)])
    free = np.flatnonzero(side_of < 0)
    free = free[np.lexsort((first[free], -sizes[free]))]
    trimmable = (sizes > LARGE * situation.total)[label] & (situation.sides[places] < 0)
    best: tuple[float, Ints, Sides] | None = None
    for blend in _BLENDS:
        side_of[free] = deal(counts[free], held, [blend * share + (1 - blend) / 3 for share in shares])
        dealt = side_of[label]
        spare = _to_trim(np.bincount(dealt, minlength=3).tolist(), np.bincount(dealt[trimmable], minlength=3).tolist(), gone)
        cost = math.inf if spare is None else gone + sum(spare)
        if best is None or cost < best[0]:
            best = cost, dealt, spare or [0, 0, 0]
        if cost == gone or situation.total <= TINY:
            break
    assert best is not None
    sides = np.full(len(active), -1, dtype=np.int64)
    sides[places] = best[1]
    mask = np.zeros(len(active), dtype=np.bool_)
    mask[places[trimmable]] = True
    return _Deal(best[0], sides, best[2], mask)


def _to_trim(counts: Sides, trimmable: Sides, gone: int) -> Sides | None:
    """How many to take from each side, beside those `gone`, so that the smallest has its floor; None if that can't be done or leaves a tiny rest."""
    keep = min(sum(counts), math.floor(min(counts) / FLOOR + _EPSILON))
    excess = sum(counts) - keep
    if gone + excess and keep <= TINY:
        return None
    floor = math.ceil(FLOOR * keep - _EPSILON)
    spare = [0, 0, 0]
    for side in (0, 2, 1):
        spare[side] = max(0, min(excess, trimmable[side], counts[side] - floor))
        excess -= spare[side]
    return None if excess else spare


def _picked(dealt: _Deal) -> Bools:
    """Who is trimmed: the first of each side in the order of the numbers, which says nothing about them."""
    picked = np.zeros(len(dealt.sides), dtype=np.bool_)
    for side, count in enumerate(dealt.spare):
        picked[np.flatnonzero(dealt.trimmable & (dealt.sides == side))[:count]] = True
    return picked


class _Rest:
    """The component with the most newcomers, of those that are large, once `removed` are gone; its walks and cuts are kept for the next search."""

    def __init__(self, situation: Situation, removed: Bools) -> None:
        active = situation.active & ~removed
        labels = situation.graph.components(active)
        newcomers = active & (situation.sides < 0)
        counts = np.bincount(labels[active], minlength=int(labels.max()) + 1)
        loose = np.bincount(labels[newcomers], minlength=len(counts)) * (counts > LARGE * situation.total)
        self.within = active & (labels == int(loose.argmax()))
        self.members = np.flatnonzero(self.within & newcomers) if loose.max() > 1 else labels[:0]
        self.situation, self.newcomers = situation, newcomers
        self._walker = Walker(situation.graph, self.within) if len(self.members) else None
        self._orders: dict[tuple[int, bool], Ints] = {}
        self._cuts: dict[tuple[int, bool, int], Ints] = {}

    def cut(self, portion: float, deep: bool, start: int) -> Ints:
        """Part `portion` of all examples, at one end of a walk, from the further half of what remains; nobody if there is nothing to cut."""
        if self._walker is None:
            return self.members
        begin = int(self.members[start * len(self.members) // 4])
        key = begin, deep
        if key not in self._orders:
            end = self._walker.far(begin)
            order = self._walker.deep(end) if deep else self._walker.wide(end)
            self._orders[key] = order[self.situation.sides[order] < 0]
        order = self._orders[key]
        near = max(1, min(round(portion * self.situation.total), len(order) // 2))
        if (*key, near) not in self._cuts:
            sinks = np.concatenate([order[near + (len(order) - near) // 2 :], np.flatnonzero(self.within & (self.situation.sides >= 0))])
            self._cuts[*key, near] = smallest_cut(self.situation.graph, self.within, order[:near], sinks, self.newcomers)
        return self._cuts[*key, near]


def _searches(situation: Situation) -> Iterator[Bools]:
    """Sets of newcomers worth leaving out: for several walks and portions, what a row of cuts has removed after each cut."""
    small = situation.total <= 2_000
    rests: dict[bytes, _Rest] = {}
    portions = (0.1, 0.16, 0.2, 0.25, 0.34, 0.5) if small else (0.16, 0.2, 0.34)
    for portion, deep, start in product(portions, (False, True), range(4 if small else 1)):
        removed = np.zeros(len(situation.active), dtype=np.bool_)
        for _ in range(_CUTS):
            if removed.tobytes() not in rests:
                if len(rests) > _KEPT_RESTS:
                    rests.clear()
                rests[removed.tobytes()] = _Rest(situation, removed)
            cut = rests[removed.tobytes()].cut(portion, deep, start)
            if not len(cut):
                break
            removed = removed.copy()
            removed[cut] = True
            yield removed
    if situation.total <= _ONE_BY_ONE:
        yield from _one_by_one(situation)


def _one_by_one(situation: Situation) -> Iterator[Bools]:
    """Remove, again and again, the newcomer without whom the components are smallest (by the sum of their squares; of equals the most linked)."""
    graph = situation.graph
    ties = np.bincount(np.concatenate([graph.left, graph.right]), minlength=graph.items)
    removed = np.zeros(len(situation.active), dtype=np.bool_)
    while (rest := _Rest(situation, removed)).members.size:
        tries = []
        for place in rest.members.tolist():
            active = rest.within.copy()
            active[place] = False
            tries.append((int((np.bincount(graph.components(active)[active]) ** 2).sum()), -int(ties[place]), place))
        removed = removed.copy()
        removed[min(tries)[2]] = True
        yield removed


def _put_back(situation: Situation, best: _Deal, removed: Bools, shares: tuple[float, float, float]) -> tuple[_Deal, Bools]:
    """Take back whoever need not have been left out."""
    chosen = np.flatnonzero(removed)
    for place in chosen[:64].tolist():
        fewer = removed.copy()
        fewer[place] = False
        found = _evaluate(situation, fewer, shares)
        if found.cost < best.cost:
            best, removed = found, fewer
    return best, removed
