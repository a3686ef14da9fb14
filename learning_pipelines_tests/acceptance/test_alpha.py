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


def test_a_shared_item_counts_and_fresh_items_start_again() -> None:
    earlier = [{"a", "b"}, {"b", "c"}, {"d"}]
    assert count({"b"}, earlier) == 3
    assert count({"c", "d"}, earlier) == 3
    assert count({"e"}, earlier) == 1


def test_tests_that_overlap_pairwise_spend_at_most_the_total_together() -> None:
    """Over random histories: for every item, the tests that used it are such a family; so are all larger cliques."""
    draw = random.Random(7)
    for _ in range(200):
        history: list[set[str]] = []
        levels: list[float] = []
        for _ in range(draw.randint(2, 9)):
            items = {str(item) for item in draw.sample(range(12), draw.randint(1, 5))}
            levels.append(spent(count(items, history)))
            history.append(items)
        for size in range(1, len(history) + 1):
            for family in itertools.combinations(range(len(history)), size):
                if all(history[one] & history[other] for one, other in itertools.combinations(family, 2)):
                    assert sum(levels[each] for each in family) <= TOTAL


def test_a_chain_in_which_only_neighbours_overlap_spends_less_than_as_many_fresh_tests() -> None:
    chain = [{f"{week}", f"{week + 1}"} for week in range(20)]
    levels = [spent(count(items, chain[:week])) for week, items in enumerate(chain)]
    assert levels == pytest.approx([TOTAL / 2] + [TOTAL / 6] * 19)
    assert TOTAL < sum(levels) < 20 * spent(1)


def test_there_is_no_test_before_the_first() -> None:
    with pytest.raises(BadInput):
        spent(0)
