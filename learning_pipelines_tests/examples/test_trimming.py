"""Dealing, trimming and cutting on examples small enough to be worked out by hand.

Belongs here: trimming.py, part by part. Not here: whole plans (test_splits.py), types over many examples (test_stratification.py).
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from learning_pipelines.examples.components import HubGraph, Ints
from learning_pipelines.examples.trimming import Situation, _Deal, _evaluate, _one_by_one, _picked, _put_back, _Rest, _searches, _to_trim, deal, fewest_left_out

SHARES = (0.5, 0.2, 0.3)


def table(*rows: tuple[int, ...]) -> Ints:
    return np.array(rows, dtype=np.int64)


def situation(items: int, links: list[tuple[int, int]], sides: dict[int, int] | None = None, strata: Ints | None = None) -> Situation:
    given = np.full(items, -1, dtype=np.int64)
    for item, side in (sides or {}).items():
        given[item] = side
    active = np.ones(items, dtype=np.bool_)
    return Situation(HubGraph.build(items, links, []), active, given, *([] if strata is None else [strata]))


def path(items: int, sides: dict[int, int] | None = None) -> Situation:
    return situation(items, [(item, item + 1) for item in range(items - 1)], sides)


def nobody(given: Situation) -> np.ndarray:
    return np.zeros(len(given.active), dtype=np.bool_)


def out(*masks: np.ndarray) -> list[list[int]]:
    return [np.flatnonzero(mask).tolist() for mask in masks]


def test_ten_of_one_type_go_where_most_is_lacking_and_ties_to_train_then_test() -> None:
    assert deal(table(*[(1,)] * 10), table((0,), (0,), (0,)), SHARES) == [0, 0, 0, 2, 0, 2, 1, 0, 2, 1]
    assert deal(table((1,)), table((0,), (0,), (0,)), (0.2, 0.5, 0.3)) == [1]
    assert deal(table((1,))[:0], table((0,), (0,), (0,)), SHARES) == []


def test_a_component_goes_where_it_and_its_types_are_lacking() -> None:
    """Wanted of both types: train 1.5 and 1, validation .6 and .4, test .9 and .6. The second component lacks .75, 1.5 and 2.25 of them by then."""
    none = table((0, 0), (0, 0), (0, 0))
    assert deal(table((2, 0), (1, 1), (0, 1)), none, SHARES) == [0, 2, 0]
    # What a side has already counts: train has more than its share of the first type.
    assert deal(table((0, 1), (1, 0)), table((2, 0), (0, 0), (0, 0)), SHARES) == [2, 1]
    # Three of one type and one of another weigh three to one.
    held = table((2, 2), (3, 0), (0, 3))
    assert (deal(table((3, 1)), held, (0.2, 0.4, 0.4)), deal(table((1, 3)), held, (0.2, 0.4, 0.4))) == ([2], [1])


@pytest.mark.parametrize("seed", range(8))
def test_lists_deal_as_the_definition_does(seed: int) -> None:
    """In each step the largest of: what a side lacks in all, and in the mean what it lacks of the component's types."""
    draw = np.random.default_rng(seed)
    counts, held = draw.poisson(1.0, (12, 3)), draw.integers(0, 9, (3, 3))
    counts = counts[counts.sum(axis=1) > 0]
    lacking = np.outer(SHARES, counts.sum(axis=0) + held.sum(axis=0)) - held
    expected = []
    for component in counts:
        needs = np.round(lacking.sum(axis=1) + lacking @ component / component.sum(), 6)
        side = max((0, 2, 1), key=lambda each: needs[each])
        lacking[side] -= component
        expected.append(side)
    assert deal(counts, held, SHARES) == expected


@pytest.mark.parametrize(
    ("counts", "trimmable", "gone", "spare"),
    [
        ([6, 2, 2], [6, 0, 0], 0, [0, 0, 0]),
        ([20, 2, 3], [20, 0, 0], 0, [12, 0, 0]),  # 2 are the floor of 13
        ([20, 2, 3], [11, 0, 0], 0, None),
        ([20, 20, 3], [10, 20, 3], 0, [10, 13, 0]),  # 3 are the floor of 20
        ([3, 20, 20], [0, 20, 15], 0, [0, 8, 15]),
        ([20, 3, 20], [0, 3, 20], 0, None),
        ([20, 3, 20], [6, 3, 20], 0, [6, 0, 17]),
        ([4, 1, 1], [4, 0, 0], 0, [0, 0, 0]),
        ([4, 1, 1], [4, 0, 0], 1, None),  # six would be left
        ([3, 2, 2], [3, 0, 0], 1, [0, 0, 0]),
        ([5, 1, 1], [5, 0, 0], 0, None),
        ([5, 1, 1], [5, 0, 0], 1, None),
        ([9, 0, 3], [9, 0, 3], 0, None),
    ],
)
def test_as_many_are_trimmed_as_leave_the_smallest_side_its_floor(counts: list[int], trimmable: list[int], gone: int, spare: list[int] | None) -> None:
    assert _to_trim(counts, trimmable, gone) == spare


def test_the_first_of_each_side_are_picked_of_those_that_may_be() -> None:
    dealt = _Deal(2.0, table((0, 0, 1, 0, 2, 1))[0], [2, 1, 0], np.array([False, True, True, True, True, True]))
    assert out(_picked(dealt)) == [[1, 2, 3]]


def test_who_takes_part_counts_and_all_are_of_one_type_where_none_is_said() -> None:
    given = Situation(HubGraph.build(3, [], []), np.array([True, False, True]), table((-1, -1, -1))[0])
    assert (given.total, given.strata.tolist()) == (2, [0, 0, 0])
    assert situation(2, [], strata=table((1, 0))[0]).strata.tolist() == [1, 0]


def test_single_examples_are_dealt_in_their_order_and_nobody_is_left_out() -> None:
    given = situation(10, [])
    found = _evaluate(given, nobody(given), SHARES)
    assert (found.cost, found.spare, found.sides.tolist(), out(found.trimmable)) == (0, [0, 0, 0], [0, 0, 0, 2, 0, 2, 1, 0, 2, 1], [[]])
    sides, gone = fewest_left_out(given, SHARES)
    assert (sides.tolist(), gone.tolist()) == ([0, 0, 0, 2, 0, 2, 1, 0, 2, 1], [])


def test_a_component_follows_who_has_a_split_and_the_largest_is_dealt_first() -> None:
    """0 and 1 go with 2, which is in validation; 3 to 6 are the largest free component."""
    given = situation(9, [(0, 1), (1, 2), (3, 4), (4, 5), (5, 6)], {2: 1})
    found = _evaluate(given, nobody(given), SHARES)
    assert (found.sides.tolist(), found.cost) == ([1, 1, 1, 0, 0, 0, 0, 2, 2], 0)
    assert out(found.trimmable) == [[0, 1, 3, 4, 5, 6, 7, 8]]  # 1 of 9 is above a tenth, and 2 stays where it is


def test_who_is_removed_has_no_side_and_costs_one() -> None:
    given = path(11)
    removed = nobody(given)
    removed[[4, 7]] = True
    found = _evaluate(given, removed, SHARES)
    assert (found.cost, found.spare, found.sides.tolist()) == (2, [0, 0, 0], [0, 0, 0, 0, -1, 1, 1, -1, 2, 2, 2])
    whole = _evaluate(given, nobody(given), SHARES)
    assert (whole.cost, whole.spare) == (math.inf, [0, 0, 0])


def test_a_side_that_has_too_much_is_trimmed_where_that_is_cheapest() -> None:
    """Of 20 in one component and 5 alone: two and three are the other sides', so that 13 may stay."""
    given = situation(25, [(item, item + 1) for item in range(19)])
    found = _evaluate(given, nobody(given), SHARES)
    assert (found.cost, found.spare) == (12, [12, 0, 0])
    assert out(_picked(found)) == [list(range(12))]


def test_the_rest_is_the_large_component_of_most_newcomers() -> None:
    given = situation(9, [(0, 1), (1, 2), (2, 3), (4, 5), (5, 6), (7, 8)], {0: 0, 1: 0})
    rest = _Rest(given, nobody(given))
    assert out(rest.within) == [[4, 5, 6]] and rest.members.tolist() == [4, 5, 6]
    removed = nobody(given)
    removed[5] = True
    rest = _Rest(given, removed)
    assert out(rest.within) == [[0, 1, 2, 3]] and rest.members.tolist() == [2, 3]
    alone = situation(20, [(0, 1)])
    rest = _Rest(alone, nobody(alone))
    assert rest.members.tolist() == [] and rest.cut(0.5, False, 0).tolist() == []
    assert _Rest(situation(19, [(0, 1)]), np.zeros(19, dtype=np.bool_)).members.tolist() == [0, 1]  # 2 of 19 are above a tenth, 2 of 20 are not


def test_a_cut_parts_a_portion_at_the_far_end_of_a_walk() -> None:
    given = path(12)
    rest = _Rest(given, nobody(given))
    assert [rest.cut(portion, False, 0).tolist() for portion in (0.01, 0.25, 0.5, 1.0)] == [[11], [9], [6], [6]]
    assert rest.cut(0.25, False, 1).tolist() == [9]  # from 3 the far end is the same
    assert rest.cut(0.25, False, 2).tolist() == rest.cut(0.25, False, 3).tolist() == [2]  # from 6 and from 9 it is the other one
    assert rest.cut(0.25, True, 0).tolist() == [2]  # depth first a branch is finished at its end
    assert rest.cut(0.25, False, 0) is rest.cut(0.25, False, 0)


def test_who_has_a_split_is_never_cut() -> None:
    given = path(12, {8: 0, 9: 0})
    rest = _Rest(given, nobody(given))
    assert rest.members.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 10, 11]
    assert rest.cut(0.25, False, 0).tolist() == [7, 10]  # 11, 10 and 7 come first from the end, on both sides of 8 and 9


def test_searches_cut_one_after_another_and_small_agents_also_one_by_one() -> None:
    given = path(12)
    first = list(itertools.islice(_searches(given), 5))
    assert out(*first) == [[11], [10, 11], [9, 10, 11], [8, 9, 10, 11], [7, 8, 9, 10, 11]]
    assert out(*list(_searches(path(7)))[-3:]) == [[3], [1, 3], [1, 3, 5]] == out(*_one_by_one(path(7)))
    star = situation(5, [(0, 4), (1, 4), (2, 4), (3, 4)])
    assert out(*_one_by_one(star)) == [[4]]
    ring = situation(6, [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 0), (1, 3)])
    assert out(next(_one_by_one(ring))) == [[1]]  # all leave five together; 1 and 3 have most links
    # Without 0 there are 6 and four times 1, of squares 40; without 5 there are 5, 4 and 1, of squares 42.
    tree = situation(11, [(0, 1), (0, 2), (0, 3), (0, 4), (0, 5), (5, 6), (5, 7), (7, 8), (8, 9), (9, 10)])
    assert out(next(_one_by_one(tree))) == [[0]]


def test_what_need_not_have_been_left_out_is_taken_back() -> None:
    given = path(11)
    removed = nobody(given)
    removed[[4, 5, 7]] = True
    dealt, kept = _put_back(given, _evaluate(given, removed, SHARES), removed, SHARES)
    assert out(kept) == [[4, 7]] and dealt.cost == 2


def test_a_path_is_cut_in_three_with_two_left_out_and_a_tiny_one_stays_whole() -> None:
    sides, gone = fewest_left_out(path(11), SHARES)
    assert len(gone) == 2 and sides[gone].tolist() == [-1, -1]
    assert sorted(np.bincount(sides[sides >= 0], minlength=3).tolist())[0] >= 2
    whole, none = fewest_left_out(path(6), SHARES)
    assert (whole.tolist(), none.tolist()) == ([0] * 6, [])
    stuck, none = fewest_left_out(path(12, dict.fromkeys(range(12), 0)), SHARES)
    assert (stuck.tolist(), none.tolist()) == ([0] * 12, [])


def test_one_is_trimmed_where_one_is_too_many_and_cut_where_that_is_cheaper_than_two() -> None:
    """Beside six who are alone, three for each of the other sides, 14 may stay: of a path of 15 one goes, and one of a path of 16, which falls in two."""
    for length in (15, 16):
        _, gone = fewest_left_out(situation(length + 6, [(item, item + 1) for item in range(length - 1)]), SHARES)
        assert len(gone) == 1 and gone[0] < length


def test_of_deals_that_cost_the_same_the_one_by_the_shares_is_taken_and_by_nothing_else_where_few_are_there() -> None:
    """Nothing can be done for eight of ten in one component; of six nobody is dealt against the shares, though all sides had one then."""
    stuck = situation(10, [(item, item + 1) for item in range(7)])
    assert _evaluate(stuck, nobody(stuck), SHARES).sides.tolist() == [0] * 8 + [2, 2]
    tiny = situation(6, [(0, 1), (1, 2), (2, 3)], {5: 0})
    assert _evaluate(tiny, nobody(tiny), SHARES).sides.tolist() == [0, 0, 0, 0, 2, 0]
