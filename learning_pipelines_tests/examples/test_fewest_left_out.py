"""How many are left out of splits, compared with trying every set of examples on small graphs.

Belongs here: the comparison, in seconds. Not here: what holds of every plan (test_splits.py), searches by hand (test_trimming.py).
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import combinations

import pytest

from learning_pipelines.examples.components import UnionFind
from learning_pipelines.examples.splits import Item
from learning_pipelines_tests.examples.test_splits import Links, item, link, planned, random_items


def component_sizes(kept: set[int], items: Sequence[Item], links: Links) -> list[int]:
    joined = UnionFind(len(items))
    first: dict[str, int] = {}
    for number in kept:
        for person in items[number].people:
            joined.union(first.setdefault(person, number), number)
    for one, two in ((int(pair[0][1:]), int(pair[1][1:])) for pair in links):
        if one in kept and two in kept:
            joined.union(one, two)
    return list(Counter(joined.find(number) for number in kept).values())


def can_be_dealt(sizes: Iterable[int], total: int) -> bool:
    ways = {(0, 0, 0)}
    for size in sizes:
        ways = {(way[0] + size * (side == 0), way[1] + size * (side == 1), way[2] + size * (side == 2)) for way in ways for side in range(3)}
    return any(min(way) >= 0.15 * total - 1e-9 for way in ways)


def fewest(items: Sequence[Item], links: Links) -> int | None:
    """By trying every set of examples; None if the floors are out of reach with more than six examples kept."""
    everyone = set(range(len(items)))
    for count in range(len(items) - 6):
        for gone in combinations(range(len(items)), count):
            kept = everyone - set(gone)
            if can_be_dealt(component_sizes(kept, items, links), len(kept)):
                return count
    return None


def one_random_graph(chance: random.Random) -> tuple[list[Item], Links]:
    count = chance.randint(8, 12)
    items = random_items(chance, count, chance.randint(1, 8))
    return items, [link(*chance.sample(range(count), 2)) for _ in range(chance.randint(0, count))]


def one_chain(chance: random.Random) -> tuple[list[Item], Links]:
    count = chance.randint(9, 12)
    items = [item(number, f"u{number // 2}") for number in range(count)]
    return items, [link(number, number + 1) for number in range(1, count - 1, 2)]


@pytest.mark.slow
@pytest.mark.parametrize("shape", [one_random_graph, one_chain])
def test_nearly_as_few_are_left_out_as_trying_everything_leaves_out(shape: Callable[[random.Random], tuple[list[Item], Links]]) -> None:
    near = []
    for seed in range(45):
        items, links = shape(random.Random(seed))
        least = fewest(items, links)
        plan, _ = planned(items, links, seed=seed)
        count = sum(plan.left_out.values())
        if least is None or least == 0:
            assert count == 0
        else:
            assert count == 0 or (plan.floors_met and count >= least)
            near.append(plan.floors_met and count <= least + 1)
    assert len(near) > 10 and sum(near) >= 0.9 * len(near)
