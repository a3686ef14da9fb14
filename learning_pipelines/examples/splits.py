"""Belongs here: which split each example goes to, for good, so that nothing alike and nobody is on two sides; who is left out.
Not here: finding near-duplicates (duplicates.py), where a large component is cut (trimming.py), storing the splits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from learning_pipelines.examples.components import Bools, HubGraph, Ints, smallest_cut
from learning_pipelines.examples.trimming import FLOOR, Situation, fewest_left_out
from learning_pipelines.storage.datasets import UNSAID

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)

JOINS = "joins two splits"
CUT = "cut from a large component"
LATE = "linked late to another split"


@dataclass(frozen=True)
class Item:
    """An example: `people` are the ids of its users (may be empty), `split` what it was given before, `left_out` whether it was left out before.

    `stratum` is its type: as far as permanence and components allow, every split has its share of each.
    """

    id: str
    people: tuple[str, ...]
    split: Split | None
    left_out: bool
    stratum: str = ""


@dataclass(frozen=True)
class Assignment:
    """A decision: the split, or None and the reason (JOINS, CUT or LATE; '' when a split was given)."""

    id: str
    split: Split | None
    reason: str


@dataclass(frozen=True)
class SplitNumbers:
    """Numbers of a plan, for metadata.

    `left_out`: this plan's examples left out, by reason. `sizes`: examples of each split once the plan is carried out.
    `components`, `largest_component_share`: of the examples in the graph before anything is cut (0 and 0.0 without any).
    `floors_met`: whether validation and test each have at least 15 %.
    """

    left_out: Mapping[str, int]
    sizes: Mapping[str, int]
    components: int
    largest_component_share: float
    floors_met: bool


@dataclass(frozen=True)
class SplitPlan(SplitNumbers):
    """`assignments`: one per newcomer, and one with reason LATE per example that had a split and is now left out; ascending by id."""

    assignments: tuple[Assignment, ...]


@dataclass(frozen=True)
class Columns:
    """Many examples as arrays; an index 0..n-1 stands for each. `order`: the indexes in the order of `seeded_order`.

    `sides` (n,): -1 for who has no split. `strata` (n,): the number of the type in order of name. `people`: index and person, one per example
    and person. `links`: the two ends of all near-duplicate pairs; `families`: groups of indexes.
    """

    order: Ints
    sides: Ints
    left_out: Bools
    strata: Ints
    people: tuple[Ints, Ints]
    links: tuple[Ints, Ints]
    families: Sequence[Ints] = ()


@dataclass(frozen=True)
class Decisions:
    """`codes` (n,): 0 to 2 the split now given, 3 and more left out for REASONS[code - 3], UNSAID where nothing is decided."""

    codes: npt.NDArray[np.uint8]
    numbers: SplitNumbers


REASONS = (JOINS, CUT, LATE)


def assign_splits(
    items: Sequence[Item],
    duplicate_links: Iterable[tuple[str, str]],
    *,
    families: Iterable[Collection[str]] = (),
    shares: tuple[float, float, float] = (0.5, 0.2, 0.3),
    seed: int = 0,
) -> SplitPlan:
    """`decide` for examples by id: links and families that name unknown ids count for nothing. ValueError also: an id given twice, an item
    with a split that is marked as left out.
    """
    _check(items)
    number = {item.id: place for place, item in enumerate(items)}
    persons = {person: place for place, person in enumerate(sorted({person for item in items for person in item.people}))}
    strata = {name: place for place, name in enumerate(sorted({item.stratum for item in items}))}
    known = sorted(sorted(number[name] for name in family if name in number) for family in families)
    decided = decide(
        Columns(
            seeded_order([item.id.encode("utf-8", "surrogatepass") for item in items], seed),
            np.asarray([SPLITS.index(item.split) if item.split else -1 for item in items], dtype=np.int64),
            np.asarray([item.left_out for item in items], dtype=np.bool_),
            np.asarray([strata[item.stratum] for item in items], dtype=np.int64),
            _ends((place, persons[person]) for place, item in enumerate(items) for person in item.people),
            _ends((number[first], number[second]) for first, second in duplicate_links if first in number and second in number),
            [np.asarray(members, dtype=np.int64) for members in known],
        ),
        shares,
    )
    said = [(items[place].id, int(decided.codes[place])) for place in np.flatnonzero(decided.codes != UNSAID).tolist()]
    assignments = (Assignment(name, SPLITS[code], "") if code < 3 else Assignment(name, None, REASONS[code - 3]) for name, code in sorted(said))
    return SplitPlan(**vars(decided.numbers), assignments=tuple(assignments))


def decide(examples: Columns, shares: tuple[float, float, float]) -> Decisions:
    """Give every newcomer a split, or leave it out; the answer depends on the examples, the links and the seed, not on their order.

    `shares`: of train, validation and test; positive, sum 1. `links`: all near-duplicate pairs, `families`: groups to be kept
    on one side whatever else is left out (`duplicates.duplicate_links` gives both). A mere spanning set of links is not enough: what is
    left out no longer joins its neighbours, and those may be alike. Links to examples left out count for nothing.

    1. Of examples that have splits and turn out to be linked (directly, or by a person), those outside train are left out; between
       validation and test the fewest. Nothing ever moves to another split.
    2. Of newcomers that join two splits, few are left out: the fewest if two splits meet; if all three do, at most twice the fewest
       (one is cut from the other two, then those from each other, and neither cut can be larger than the fewest).
    3. The rest of a component goes where its assigned examples are; components without any go, largest first, to the split most short of its share
       of all examples and of the component's types (see `trimming.deal`).
    4. If validation or test then has less than 15 %, components above 10 % are cut (see `trimming.fewest_left_out`), newcomers only.

    ValueError: shares out of range.
    """
    if len(shares) != len(SPLITS) or min(shares) <= 0 or abs(sum(shares) - 1) > 1e-9:
        raise ValueError(f"Shares must be three positive numbers that add up to 1, not {shares}.")
    board = _Board(examples)
    board.part_late_links()
    labels = board.graph.components(board.active)[board.active]
    counts = np.unique(labels, return_counts=True)[1]
    board.part_newcomers()
    sides, cut = fewest_left_out(Situation(board.graph, board.active, board.sides, board.strata), shares)
    board.leave_out(cut, CUT)
    return board.decisions(sides, len(counts), float(counts.max(initial=0) / max(1, counts.sum())))


def seeded_order(ids: Iterable[bytes], seed: int = 0) -> Ints:
    """The indexes of ids (UTF-8) in the order of a seeded hash, so that ties are settled neither by id nor by time. Ids are looked at one by one."""
    prefix = f"{seed}\0".encode()
    digests = np.frombuffer(b"".join(blake2b(prefix + name, digest_size=16).digest() for name in ids), dtype=">u8").reshape(-1, 2)
    return np.lexsort((digests[:, 1], digests[:, 0])).astype(np.int64)


def _ends(pairs: Iterable[tuple[int, int]]) -> tuple[Ints, Ints]:
    table = np.asarray(list(pairs), dtype=np.int64).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def _check(items: Sequence[Item]) -> None:
    twice = [name for name, count in Counter(item.id for item in items).items() if count > 1]
    if twice:
        raise ValueError(f"An id was given twice: {min(twice)!r}.")
    both = [item.id for item in items if item.left_out and item.split is not None]
    if both:
        raise ValueError(f"An example can't have a split and be left out: {min(both)!r}.")


class _Board:
    """The examples as numbers 0..n-1 in their seeded order."""

    def __init__(self, examples: Columns) -> None:
        self.order = examples.order
        count = len(self.order)
        place = np.empty(count, dtype=np.int64)
        place[self.order] = np.arange(count)
        someone, person = examples.people
        members, groups = [place[someone]], [person]
        for number, family in enumerate(examples.families, start=int(person.max(initial=-1)) + 1):
            members.append(place[family])
            groups.append(np.full(len(family), number, dtype=np.int64))
        links = place[examples.links[0]], place[examples.links[1]]
        self.graph = HubGraph.of_arrays(count, links, (np.concatenate(members), np.concatenate(groups)))
        self.active: Bools = ~examples.left_out[self.order]
        # -1 marks a newcomer; a side never changes once it is set.
        self.sides: Ints = examples.sides[self.order]
        self.strata: Ints = examples.strata[self.order]
        self.reasons = np.full(count, UNSAID, dtype=np.uint8)

    def leave_out(self, places: Ints, reason: str) -> None:
        self.active[places] = False
        self.reasons[places] = len(SPLITS) + REASONS.index(reason)

    def part_late_links(self) -> None:
        """Leave out examples that have a split and are linked to another split by nothing but examples that have one too."""
        settled = self.active & (self.sides >= 0)
        left, right = self.graph.edges(settled)
        train = np.zeros(self.graph.items + self.graph.hubs, dtype=np.bool_)
        train[: self.graph.items] = settled & (self.sides == 0)
        hubs = right >= self.graph.items
        train[right[hubs & train[left]]] = True
        beside = np.concatenate([left[train[right]], right[train[left] & ~hubs]])
        self.leave_out(np.unique(beside[self.sides[beside] > 0]), LATE)
        settled &= self.active
        self.leave_out(self._cut({1}, {2}, settled, settled), LATE)

    def part_newcomers(self) -> None:
        """Leave out newcomers through which two splits would be joined."""
        plans = []
        for alone in range(3):
            first, second = ({0, 1, 2} - {alone}), {alone}
            active = self.active.copy()
            cut = self._cut(second, first, active, self.sides < 0)
            active[cut] = False
            low, high = sorted(first)
            cut = np.concatenate([cut, self._cut({low}, {high}, active, self.sides < 0)])
            plans.append((len(cut), alone, cut))
        self.leave_out(min(plans)[2], JOINS)

    def _cut(self, one: set[int], two: set[int], active: Bools, removable: Bools) -> Ints:
        """The fewest removable examples that keep two sets of sides apart, looked for only in components that hold both."""
        labels = self.graph.components(active)
        ends = [np.flatnonzero(active & np.isin(self.sides, list(side))) for side in (one, two)]
        mixed = np.intersect1d(labels[ends[0]], labels[ends[1]])
        if not len(mixed):
            return mixed
        within = active & np.isin(labels, mixed)
        sources, sinks = (end[within[end]] for end in ends)
        return smallest_cut(self.graph, within, sources, sinks, removable)

    def decisions(self, sides: Ints, components: int, largest: float) -> Decisions:
        """What is decided, by the examples' own indexes; `sides` are those of all active examples."""
        codes = self.reasons.copy()
        newcomers = self.active & (self.sides < 0)
        codes[newcomers] = sides[newcomers]
        named = np.empty_like(codes)
        named[self.order] = codes
        counts = np.bincount(sides[self.active], minlength=len(SPLITS)).tolist()
        gone = np.bincount(codes, minlength=UNSAID + 1)
        left_out = {reason: int(gone[len(SPLITS) + place]) for place, reason in enumerate(REASONS)}
        numbers = SplitNumbers(
            left_out={reason: count for reason, count in sorted(left_out.items()) if count},
            sizes=dict(zip(SPLITS, counts, strict=True)),
            components=components,
            largest_component_share=largest,
            floors_met=min(counts[1:]) >= FLOOR * sum(counts) - 1e-9,
        )
        return Decisions(named, numbers)
