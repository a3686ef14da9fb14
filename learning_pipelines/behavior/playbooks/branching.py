"""Which conditions tell the ways after a step apart: a short decision list, found greedily, held to significance and to validation.

Belongs here: choosing conditions. Not here: what conditions there are (conditions.py), the figures behind each (learning.py).

R. Rivest, "Learning decision lists", Machine Learning 2 (1987) 229-246; greedy by the number of cases that are then right. A condition must
hold in FEWEST different tasks, tell the way apart significantly (Fisher, one-sided, at LEVEL over all conditions that were looked at; cases of one
task are alike, so tasks are counted and not cases), and lose nothing on validation. Whether the list is good is for the gate to say.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from learning_pipelines.behavior.playbooks.conditions import WHATS, Condition, fulfilled
from learning_pipelines.behavior.task import State

LEVEL, FEWEST, MOST = 0.05, 3, 4


@dataclass(frozen=True, slots=True)
class Decision:
    """What was done in a state: by `expert` in the demonstration `id`, one of the related ones of `group`."""

    state: State
    after: str
    id: str
    group: str
    expert: UUID | None


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A condition that holds in so many `tasks`, in a `share` of whose cases `after` was done; `gained`: so many more cases come out right."""

    gained: int
    condition: Condition
    after: str
    share: float
    tasks: int


def chosen(rows: Sequence[Decision], validation: Sequence[Decision], types: Sequence[str], known: Collection[str]) -> list[tuple[Condition, str]]:
    """Up to MOST conditions, each with what is advised where it is the first that holds. `rows`: all decisions after one step; `types`, `known`: see
    conditions.fulfilled."""
    holding: dict[Condition, list[int]] = {}
    for place, row in enumerate(rows):
        for condition in fulfilled(row.state, types, known):
            holding.setdefault(condition, []).append(place)
    rest, found = set(range(len(rows))), list[tuple[Condition, str]]()
    while len(found) < MOST and (best := _best(rows, rest, holding)) is not None:
        found.append(best)
        rest -= set(holding[best[0]])
    return _pruned(found, rows, validation)


def usual(rows: Sequence[Decision], without: Sequence[tuple[Condition, str]] = ()) -> str | None:
    """What was done most often where none of the conditions holds (all rows, if one always does); None without rows."""
    left = [row for row in rows if not any(condition.holds(row.state) for condition, _ in without)] or rows
    return most(Counter(row.after for row in left))


def most(counts: Mapping[str, int]) -> str | None:
    """The most frequent; of equals the first in the order of names."""
    return min(counts, key=lambda name: (-counts[name], name)) if counts else None


def _best(rows: Sequence[Decision], rest: set[int], holding: Mapping[Condition, Sequence[int]]) -> tuple[Condition, str] | None:
    """The condition by which most cases of the rest come out right that did not, if it is significant."""
    everything = Counter(rows[place].after for place in rest)
    if len(everything) < 2:
        return None
    right, candidates = max(everything.values()), list[_Candidate]()
    for condition, places in holding.items():
        inside = [place for place in places if place in rest]
        groups = len({rows[place].group for place in inside})
        if groups < FEWEST or len(inside) == len(rest):
            continue
        counts = Counter(rows[place].after for place in inside)
        after = most(counts)
        assert after is not None
        gained = counts[after] + max(count - counts[name] for name, count in everything.items()) - right
        candidates.append(_Candidate(gained, condition, after, counts[after] / len(inside), groups))
    tasks = len({rows[place].group for place in rest})
    return _surest(candidates, {name: count / len(rest) for name, count in everything.items()}, tasks)


def _surest(candidates: Sequence[_Candidate], shares: Mapping[str, float], tasks: int) -> tuple[Condition, str] | None:
    """The first significant one by what it gains; of equals the simplest. `shares`: of each way among the `tasks` that are left."""
    from scipy.stats import hypergeom  # slow to import

    for one in sorted(candidates, key=lambda one: (-one.gained, WHATS.index(one.condition.what), one.condition.name)):
        if one.gained < 1:
            return None
        all_of_them = math.ceil(shares[one.after] * tasks)
        if float(hypergeom.sf(math.floor(one.share * one.tasks) - 1, tasks, all_of_them, one.tasks)) * len(candidates) <= LEVEL:
            return one.condition, one.after
    return None


def _pruned(found: list[tuple[Condition, str]], rows: Sequence[Decision], validation: Sequence[Decision]) -> list[tuple[Condition, str]]:
    """Without conditions that cost something on validation, the last one first; what is advised follows from the cases that reach each then."""
    if not validation:
        return found
    kept = list(found)
    for one in reversed(found):
        without = advised(rows, [condition for condition, _ in kept if condition != one[0]])
        if _right(without, rows, validation) > _right(kept, rows, validation):
            kept = without
    return kept


def advised(rows: Sequence[Decision], conditions: Sequence[Condition]) -> list[tuple[Condition, str]]:
    """Each condition with what was done most often where it is the first that holds; one that never is, is left out."""
    counts = [Counter[str]() for _ in conditions]
    for row in rows:
        place = next((place for place, condition in enumerate(conditions) if condition.holds(row.state)), None)
        if place is not None:
            counts[place][row.after] += 1
    ways = [(condition, most(count)) for condition, count in zip(conditions, counts, strict=True)]
    return [(condition, after) for condition, after in ways if after is not None]


def _right(found: Sequence[tuple[Condition, str]], rows: Sequence[Decision], judged: Sequence[Decision]) -> int:
    otherwise = usual(rows, found)
    said = (next((after for condition, after in found if condition.holds(row.state)), otherwise) for row in judged)
    return sum(after == row.after for after, row in zip(said, judged, strict=True))
