"""Every split gets its share of each type, as far as permanence and components allow.

Belongs here: what stratification adds to splits. Not here: leaks and who is left out (test_splits.py).
"""

from __future__ import annotations

import random
from collections import Counter

import pytest

from learning_pipelines.examples.splits import Item, assign_splits

SHARES = {"train": 0.5, "validation": 0.2, "test": 0.3}


def typed(number: int, stratum: str, *people: str) -> Item:
    return Item(f"e{number:05}", people, None, False, stratum)


def dealt(items: list[Item], seed: int = 0) -> Counter[tuple[str, str]]:
    stratum = {one.id: one.stratum for one in items}
    return Counter((stratum[decided.id], str(decided.split)) for decided in assign_splits(items, [], seed=seed).assignments)


@pytest.mark.parametrize("seed", range(5))
def test_a_rare_type_is_in_every_split(seed: int) -> None:
    items = [typed(number, "correction" if number % 20 == 0 else "positive") for number in range(200)]
    found = dealt(items, seed)
    assert [found["correction", split] for split in SHARES] == [5, 2, 3]


@pytest.mark.parametrize("seed", range(5))
def test_every_split_has_its_share_of_every_type_within_one(seed: int) -> None:
    chance = random.Random(seed)
    items = [typed(number, chance.choice("aaaaabbbccd")) for number in range(500)]
    found = dealt(items, seed)
    totals = Counter(one.stratum for one in items)
    worst = max(abs(found[stratum, split] - share * totals[stratum]) for stratum in totals for split, share in SHARES.items())
    assert worst <= 1.5


def test_seven_types_of_one_example_each_do_not_all_go_to_train() -> None:
    found = dealt([typed(number, str(number)) for number in range(7)])
    sizes = Counter(split for _, split in found)
    assert sizes["validation"] >= 1 and sizes["test"] >= 2


def test_people_stay_whole_while_types_are_spread() -> None:
    chance = random.Random(3)
    items = [typed(number, chance.choice("aab"), f"u{number // 3}") for number in range(300)]
    plan = assign_splits(items, [])
    person = {one.id: one.people[0] for one in items}
    sides: dict[str, set[str | None]] = {}
    for decided in plan.assignments:
        sides.setdefault(person[decided.id], set()).add(decided.split)
    assert {len(found) for found in sides.values()} == {1}
    found, totals = dealt(items), Counter(one.stratum for one in items)
    assert max(abs(found[stratum, split] / totals[stratum] - share) for stratum in totals for split, share in SHARES.items()) < 0.05


def test_newcomers_of_a_type_fill_the_splits_that_lack_it() -> None:
    before = [Item(f"a{number:03}", (), "train", False, "correction") for number in range(10)]
    before += [Item(f"b{number:03}", (), side, False, "positive") for number, side in enumerate(["validation"] * 4 + ["test"] * 6)]
    plan = assign_splits([*before, *(typed(number, "correction") for number in range(10))], [])
    assert Counter(decided.split for decided in plan.assignments)["train"] <= 3
