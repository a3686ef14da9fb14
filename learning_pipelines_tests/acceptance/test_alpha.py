"""What may be spent: the schedule, the count, and that no family of overlapping tests spends more than all of it."""

from __future__ import annotations

import itertools
import random

import pytest

from learning_pipelines.acceptance.alpha import TOTAL, count, spent
from learning_pipelines.errors import BadInput


def test_all_levels_together_never_exceed_the_total() -> None:
    levels = [spent(k) for k in range(1, 10_001)]
    assert levels[:3] == pytest.approx([0.0125, 0.025 / 6, 0.025 / 12])
    assert sum(levels) == pytest.approx(TOTAL * (1 - 1 / 10_001))


def test_a_shared_item_counts_also_through_other_tests_and_fresh_items_start_again() -> None:
    earlier = [{"a", "b"}, {"b", "c"}, {"d"}]
    assert count({"b"}, earlier) == 3
    assert count({"a"}, earlier) == 3
    assert count({"c", "d"}, earlier) == 4
    assert count({"e"}, earlier) == 1


def test_a_chain_in_which_only_neighbours_overlap_spends_no_more_than_the_total() -> None:
    chain = [{f"{week}", f"{week + 1}"} for week in range(40)]
    assert [count(items, chain[:week]) for week, items in enumerate(chain)] == list(range(1, 41))
    assert sum(spent(count(items, chain[:week])) for week, items in enumerate(chain)) <= TOTAL


def test_whatever_overlaps_the_tests_of_one_item_spend_the_total_and_linked_ones_no_more_than_that_per_fresh_beginning() -> None:
    draw = random.Random(7)
    for _ in range(300):
        history: list[set[str]] = []
        ks: list[int] = []
        for _ in range(draw.randint(2, 12)):
            items = {str(item) for item in draw.sample(range(14), draw.randint(1, 4))}
            ks.append(count(items, history))
            history.append(items)
        levels = [spent(k) for k in ks]
        for size in range(1, 5):
            for family in itertools.combinations(range(len(history)), size):
                if all(history[one] & history[other] for one, other in itertools.combinations(family, 2)):
                    assert sum(levels[each] for each in family) <= TOTAL
        for item in set().union(*history):
            assert sum(level for level, items in zip(levels, history, strict=True) if item in items) <= TOTAL
        assert sum(levels) <= TOTAL * ks.count(1)


def test_there_is_no_test_before_the_first() -> None:
    with pytest.raises(BadInput):
        spent(0)
