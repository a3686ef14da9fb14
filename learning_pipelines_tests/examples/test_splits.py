"""Splits are permanent and leak-safe, and few examples are left out for it: properties on random graphs, and the cases that hurt.
Not here: finding the duplicates, comparison with trying everything (test_fewest_left_out.py)."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from hashlib import blake2b
from itertools import combinations

import pytest

from learning_pipelines.examples.splits import CUT, JOINS, LATE, Assignment, Item, Split, SplitPlan, assign_splits, seeded_order

Links = list[tuple[str, str]]


def item(number: int, *people: str, split: Split | None = None, left_out: bool = False) -> Item:
    return Item(f"e{number:04}", people, split, left_out)


def link(first: int, second: int) -> tuple[str, str]:
    return f"e{first:04}", f"e{second:04}"


def carried_out(items: Sequence[Item], plan: SplitPlan) -> list[Item]:
    """The items as they are stored after the plan."""
    decided = {assignment.id: assignment for assignment in plan.assignments}
    after = []
    for one in items:
        found = decided.get(one.id, Assignment(one.id, one.split, ""))
        after.append(replace(one, split=found.split, left_out=one.left_out or found.split is None))
    return after


def assert_safe(items: Iterable[Item], links: Links, families: Sequence[Sequence[str]] = ()) -> None:
    split = {one.id: one.split for one in items if one.split}
    assert not [pair for pair in links if pair[0] in split and pair[1] in split and split[pair[0]] != split[pair[1]]]
    sides: dict[str, set[str]] = {}
    for one in items:
        for person in one.people if one.split else ():
            sides.setdefault(person, set()).add(str(one.split))
    assert all(len(found) == 1 for found in sides.values())
    assert all(len({split[name] for name in family if name in split}) <= 1 for family in families)


def planned(items: Sequence[Item], links: Links, seed: int = 0) -> tuple[SplitPlan, dict[str, Split | None]]:
    plan = assign_splits(items, links, seed=seed)
    after = carried_out(items, plan)
    assert_safe(after, links)
    return plan, {one.id: one.split for one in after}


def random_items(chance: random.Random, count: int, people: int, start: int = 0) -> list[Item]:
    names = [f"u{number}" for number in range(people)]
    return [item(start + number, *chance.sample(names, min(people, chance.choice([0, 1, 1, 1, 2])))) for number in range(count)]


@pytest.mark.parametrize("seed", range(40))
def test_nothing_leaks_and_nothing_moves_while_examples_and_links_arrive(seed: int) -> None:
    chance = random.Random(seed)
    items: list[Item] = []
    links: Links = []
    people = chance.randint(2, 60)
    for _ in range(5):
        items += random_items(chance, chance.randint(1, 30), people, start=len(items))
        links += [link(chance.randrange(len(items)), chance.randrange(len(items))) for _ in range(chance.randint(0, len(items) // 3))]
        plan = assign_splits(items, links, seed=seed)
        after = carried_out(items, plan)
        assert_safe(after, links)
        for old, now in zip(items, after, strict=True):
            assert now.split == old.split or old.split is None or (now.split is None and old.split != "train")
            assert not (old.left_out and now.split)
            assert now.split or now.left_out
        assert sum(plan.left_out.values()) == sum(now.left_out for now in after) - sum(old.left_out for old in items)
        assert Counter(now.split for now in after if now.split) == Counter({name: count for name, count in plan.sizes.items() if count})
        items = after
    assert not assign_splits(items, links, seed=seed).assignments


@pytest.mark.parametrize("seed", range(10))
def test_the_plan_does_not_depend_on_the_order_of_anything(seed: int) -> None:
    chance = random.Random(seed)
    items = random_items(chance, 60, 25)
    links = [link(chance.randrange(60), chance.randrange(60)) for _ in range(12)]
    items = carried_out(items[:30], assign_splits(items[:30], links)) + items[30:]
    plan = assign_splits(items, links, families=[["e0001", "e0040"], ["e0002", "e0050"]])
    shuffled = [(second, first) for first, second in chance.sample(links, len(links))]
    turned = [replace(one, people=one.people[::-1]) for one in chance.sample(items, len(items))]
    assert assign_splits(turned, shuffled, families=[["e0050", "e0002"], ["e0040", "e0001"]]) == plan


def test_another_seed_gives_another_plan() -> None:
    items = [item(number) for number in range(50)]
    assert assign_splits(items, [], seed=1).assignments != assign_splits(items, [], seed=2).assignments
    assert assign_splits(items, []) == assign_splits(items, [], seed=0)


@pytest.mark.parametrize("seed", range(12))
def test_arriving_one_by_one_reaches_the_shares(seed: int) -> None:
    items: list[Item] = []
    for number in range(40):
        items.append(item(number, f"u{number}"))
        items = carried_out(items, assign_splits(items, [], seed=seed))
    assert Counter(one.split for one in items) == {"train": 20, "validation": 8, "test": 12}


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6])
def test_tiny_agents_lose_nothing(count: int) -> None:
    alone, _ = planned([item(number) for number in range(count)], [])
    same, _ = planned([item(number, "u") for number in range(count)], [])
    assert not alone.left_out and not same.left_out
    assert alone.sizes["train"] >= 1 and (count < 2 or alone.sizes["test"] >= 1) and (count < 3 or alone.sizes["validation"] >= 1)
    assert same.sizes == {"train": count, "validation": 0, "test": 0}


def test_no_examples_give_an_empty_plan() -> None:
    plan = assign_splits([], [])
    assert plan.assignments == () and plan.sizes == {"train": 0, "validation": 0, "test": 0}


@pytest.mark.parametrize("count", [7, 8, 9, 10, 13, 14, 27, 33, 100])
def test_examples_without_links_all_keep_a_split(count: int) -> None:
    plan, _ = planned([item(number) for number in range(count)], [])
    assert not plan.left_out and plan.floors_met


@pytest.mark.parametrize("count", [50, 300, 2500])
def test_a_chain_of_users_and_duplicates_is_cut_with_two_examples(count: int) -> None:
    items = [item(number, f"u{number // 5}") for number in range(count)]
    plan, _ = planned(items, [link(number, number + 1) for number in range(4, count - 1, 5)])
    assert plan.left_out == {CUT: 2} and plan.floors_met
    assert plan.components == 1 and plan.largest_component_share == 1.0


def test_a_chain_that_hangs_on_train_is_cut_behind_it() -> None:
    items = [item(number, split="train" if number < 40 else None) for number in range(100)]
    plan, split = planned(items, [link(number, number + 1) for number in range(99)])
    assert plan.left_out == {CUT: 2} and plan.floors_met
    assert split["e0040"] == "train"


def test_a_person_who_wrote_most_is_trimmed_by_the_fewest() -> None:
    items = [item(number, "busy" if number < 80 else f"u{number}") for number in range(100)]
    plan, split = planned(items, [])
    assert plan.left_out == {CUT: 34} and plan.floors_met
    assert {split[one.id] for one in items[:80]} == {"train", None}


def test_a_person_who_wrote_everything_loses_nothing() -> None:
    plan, _ = planned([item(number, "busy") for number in range(100)], [])
    assert not plan.left_out and not plan.floors_met and plan.sizes["train"] == 100


def test_a_dense_cluster_of_duplicates_is_trimmed_too() -> None:
    links = [link(first, second) for first, second in combinations(range(40), 2)]
    plan, _ = planned([item(number) for number in range(50)], links)
    assert plan.floors_met and plan.left_out == {CUT: 17}


def test_a_family_stays_together_whoever_is_left_out() -> None:
    items = [item(number) for number in range(40)]
    family = [one.id for one in items[:30]]
    plan = assign_splits(items, [], families=[family])
    assert_safe(carried_out(items, plan), [], [family])
    assert plan.floors_met and plan.left_out == {CUT: 7}


def test_large_components_that_can_be_dealt_are_not_cut() -> None:
    items = [item(number, "a" if number < 40 else "b" if number < 80 else "c" if number < 94 else "d") for number in range(100)]
    plan, _ = planned(items, [])
    assert not plan.left_out and plan.floors_met


def test_a_newcomer_joins_the_split_of_its_component() -> None:
    items = [item(0, "a", split="test"), item(1, "b", split="train"), item(2, "a"), item(3), item(4, "b", "c"), item(5, "c")]
    _, split = planned(items, [link(2, 3)])
    assert [split[f"e{number:04}"] for number in range(2, 6)] == ["test", "test", "train", "train"]


def test_a_newcomer_that_joins_two_splits_is_left_out_alone() -> None:
    items = [item(0, "a", split="test"), item(1, split="train"), item(2, "a"), *[item(number, "a") for number in range(3, 9)]]
    plan, split = planned(items, [link(1, 2)])
    assert plan.left_out == {JOINS: 1} and split["e0002"] is None and split["e0005"] == "test"
    again, _ = planned(carried_out(items, plan), [link(1, 2)])
    assert not again.assignments


def test_three_splits_that_meet_in_one_newcomer_cost_only_that_one() -> None:
    sides: list[Split] = ["train", "validation", "test"]
    items = [item(number, split=side) for number, side in enumerate(sides)] + [item(3)]
    plan, _ = planned(items, [link(0, 3), link(1, 3), link(2, 3)])
    assert plan.left_out == {JOINS: 1}
    # Once it is gone, what hangs between it and one of the splits need not go too.
    plan, split = planned([*items, item(4)], [link(0, 3), link(1, 4), link(4, 3), link(2, 3)])
    assert plan.left_out == {JOINS: 1} and (split["e0003"], split["e0004"]) == (None, "validation")


def test_a_late_link_leaves_out_what_is_outside_train() -> None:
    items = [item(0, split="train"), item(1, split="test"), item(2, split="validation"), item(3, split="test")]
    plan, split = planned(items, [link(0, 1)])
    assert plan.assignments == (Assignment("e0001", None, LATE),)
    assert list(split.values()) == ["train", None, "validation", "test"]


def test_a_person_found_on_two_sides_late_leaves_out_what_is_outside_train() -> None:
    plan, split = planned([item(0, "a", split="train"), item(1, "a", split="test"), item(2, split="validation")], [])
    assert plan.assignments == (Assignment("e0001", None, LATE),) and split["e0000"] == "train"


def test_a_family_ties_its_members_and_unknown_ones_count_for_nothing() -> None:
    items = [item(0, split="test"), item(1)]
    assert assign_splits(items, [], families=[["e0000", "e0001", "nobody"]]).assignments == (Assignment("e0001", "test", ""),)
    assert assign_splits(items, []).assignments == (Assignment("e0001", "train", ""),)


def test_a_late_link_between_validation_and_test_leaves_out_the_fewest() -> None:
    items = [item(0, "a", split="validation"), *[item(number, "a", split="test") for number in range(1, 5)], item(5, "b", split="validation")]
    plan, _ = planned([*items, item(6, "b", split="test")], [link(5, 1)])
    assert plan.left_out == {LATE: 2}
    assert [assignment.id for assignment in plan.assignments] == ["e0000", "e0005"]


def test_what_was_left_out_joins_nothing() -> None:
    items = [item(0, split="train"), item(1, "a", left_out=True), item(2, "a", split="test"), item(3, "a")]
    plan, split = planned(items, [link(0, 1), link(1, 2)])
    assert not plan.left_out and split["e0003"] == "test"


@pytest.mark.parametrize("items", [[item(1), item(1)], [item(1, split="test", left_out=True)]], ids=["an id given twice", "a split and left out"])
def test_items_that_contradict_themselves_are_refused(items: list[Item]) -> None:
    with pytest.raises(ValueError, match=r"given twice|left out"):
        assign_splits(items, [])


@pytest.mark.parametrize("shares", [(0.5, 0.2, 0.2), (0.5, 0.2, 0.4), (0.7, 0.3, 0.0), (1.2, -0.4, 0.2), (0.5, 0.5)])
def test_shares_that_are_not_three_above_zero_or_do_not_add_up_are_refused(shares: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="three positive numbers that add up to 1"):
        assign_splits([], [], shares=shares)


def test_a_plan_counts_components_before_anything_is_cut_and_says_why_nobody_is_left_out() -> None:
    plan, _ = planned([item(number) for number in range(10)], [link(0, 1), link(1, 2), link(3, 4), link(4, 5), link(5, 6)])
    assert (plan.components, plan.largest_component_share, plan.floors_met, dict(plan.left_out)) == (5, 0.4, True, {})
    assert {one.reason for one in plan.assignments} == {""}
    empty, _ = planned([], [])
    assert (empty.components, empty.largest_component_share) == (0, 0.0)
    met, _ = planned([item(0)], [])
    assert not met.floors_met and met.largest_component_share == 1.0
    for train, validation, test, enough in ((14, 3, 3, True), (14, 2, 4, False), (14, 4, 2, False), (12, 0, 8, False)):
        sides: list[Split] = [*["train"] * train, *["validation"] * validation, *["test"] * test]
        assert planned([item(number, split=side) for number, side in enumerate(sides)], [])[0].floors_met is enough


def test_the_order_of_ids_is_that_of_their_seeded_hashes_whatever_they_are_made_of() -> None:
    ids = [f"e{number}".encode() for number in range(40)]
    for seed in (0, 7):
        hashed = sorted(range(40), key=lambda place: blake2b(f"{seed}\0".encode() + ids[place], digest_size=16).digest())
        assert seeded_order(ids, seed).tolist() == hashed
    assert seeded_order(ids).tolist() == seeded_order(ids, 0).tolist()
    assert [one.id for one in assign_splits([Item("\ud800", (), None, False)], []).assignments] == ["\ud800"]
