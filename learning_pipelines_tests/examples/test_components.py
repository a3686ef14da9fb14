"""Sets, components, cuts and walks on graphs small enough to be drawn by hand.

Belongs here: components.py. Not here: examples, people and splits (test_splits.py).
"""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest

from learning_pipelines.examples.components import Bools, HubGraph, Ints, UnionFind, Walker, smallest_cut


def ints(*values: int) -> Ints:
    return np.array(values, dtype=np.int64)


def all_of(graph: HubGraph) -> Bools:
    return np.ones(graph.items, dtype=np.bool_)


def without(graph: HubGraph, *gone: int) -> Bools:
    active = all_of(graph)
    active[list(gone)] = False
    return active


def edges(graph: HubGraph) -> list[tuple[int, int]]:
    return sorted(zip(graph.left.tolist(), graph.right.tolist(), strict=True))


def test_the_smallest_member_names_a_set_and_joining_again_changes_nothing() -> None:
    sets = UnionFind(7)
    assert [sets.union(5, 6), sets.union(4, 5), sets.union(6, 4), sets.union(2, 1)] == [True, True, False, True]
    assert sets.labels().tolist() == [0, 1, 1, 3, 4, 4, 4]
    assert sets.union(6, 2) and [sets.find(node) for node in range(7)] == [0, 1, 1, 3, 1, 1, 1]
    assert sets.labels().tolist() == [0, 1, 1, 3, 1, 1, 1] and sets.labels() is sets.labels()


def test_labels_follow_a_chain_of_parents_to_its_end() -> None:
    """4 points to 3, 3 to 2, … : joined from the end, nobody has been looked up yet."""
    sets = UnionFind(5)
    for node in (4, 3, 2, 1):
        sets.union(node, node - 1)
    assert sets.labels().tolist() == [0, 0, 0, 0, 0]


def test_what_has_one_label_is_one_set_from_the_start() -> None:
    sets = UnionFind(5, ints(7, 3, 7, 9, 3))
    assert sets.labels().tolist() == [0, 1, 0, 3, 1]
    assert not sets.union(2, 0) and sets.union(4, 3) and sets.labels().tolist() == [0, 1, 0, 1, 1]


def test_a_graph_has_each_link_once_and_a_hub_for_each_group_of_two_or_more() -> None:
    graph = HubGraph.build(5, [(1, 0), (0, 1), (3, 3), (4, 2)], [[2], [1, 3, 3], [0, 4]])
    assert (graph.items, graph.hubs) == (5, 2)
    assert edges(graph) == [(0, 1), (0, 6), (1, 5), (2, 4), (3, 5), (4, 6)]
    empty = HubGraph.build(0, [], [])
    assert (empty.items, empty.hubs, edges(empty)) == (0, 0, []) and empty.components(all_of(empty)).tolist() == []
    alone = HubGraph.build(1, [], [[0], [0]])
    assert (alone.hubs, edges(alone), alone.components(all_of(alone)).tolist()) == (0, [], [0])


def test_a_hub_joins_what_is_left_of_it_and_an_inactive_item_joins_nothing() -> None:
    graph = HubGraph.build(6, [(0, 1), (4, 5)], [[1, 2, 3]])
    assert [column.tolist() for column in graph.edges(without(graph, 1))] == [[4, 2, 3], [5, 6, 6]]
    assert groups(graph.components(all_of(graph))) == [[0, 1, 2, 3], [4, 5]]
    assert groups(graph.components(without(graph, 1))) == [[0], [1], [2, 3], [4, 5]]
    assert groups(graph.components(without(graph, 2, 4))) == [[0, 1, 3], [2], [4], [5]]


def groups(labels: Ints) -> list[list[int]]:
    assert len(labels.shape) == 1
    return sorted([np.flatnonzero(labels == label).tolist() for label in set(labels.tolist())])


def test_a_cut_is_the_fewest_and_of_equals_the_one_nearest_the_sources() -> None:
    path = HubGraph.build(5, [(0, 1), (1, 2), (2, 3), (3, 4)], [])
    inner = without(path, 0, 4)
    assert smallest_cut(path, all_of(path), ints(0), ints(4), inner).tolist() == [1]
    assert smallest_cut(path, all_of(path), ints(4), ints(0), inner).tolist() == [3]
    assert smallest_cut(path, all_of(path), ints(0), ints(4), all_of(path)).tolist() == [0]
    assert smallest_cut(path, without(path, 2), ints(0), ints(4), inner).tolist() == []
    # Two ways from 0 to 5, by 1 and by 2, that meet in 3: it alone is fewer than both.
    diamond = HubGraph.build(6, [(0, 1), (0, 2), (1, 3), (2, 3), (3, 5)], [])
    assert smallest_cut(diamond, all_of(diamond), ints(0), ints(5), without(diamond, 0, 5)).tolist() == [3]
    assert smallest_cut(diamond, all_of(diamond), ints(0), ints(5), without(diamond, 0, 3, 5)).tolist() == [1, 2]


def test_all_but_the_ends_may_have_to_go() -> None:
    graph = HubGraph.build(5, [(0, 1), (0, 2), (0, 3), (1, 4), (2, 4), (3, 4)], [])
    assert smallest_cut(graph, all_of(graph), ints(0), ints(4), without(graph, 0, 4)).tolist() == [1, 2, 3]


def test_a_hub_cannot_be_cut_and_ends_that_touch_cannot_be_parted() -> None:
    """0, 1 and 2 are of one person, 3 hangs on 1 and 2: both must go."""
    graph = HubGraph.build(4, [(1, 3), (2, 3)], [[0, 1, 2]])
    assert smallest_cut(graph, all_of(graph), ints(0), ints(3), without(graph, 0, 3)).tolist() == [1, 2]
    with pytest.raises(ValueError, match="joined by items that may not be removed"):
        smallest_cut(graph, all_of(graph), ints(0), ints(1), without(graph, 0, 1))


def test_cuts_are_the_smallest_there_are_on_random_graphs() -> None:
    draw = random.Random(3)
    for _ in range(60):
        links = [pair for pair in itertools.combinations(range(8), 2) if draw.random() < 0.3]
        graph = HubGraph.build(8, links, [draw.sample(range(8), 3)] if draw.random() < 0.5 else [])
        sources, sinks = ints(0, 1), ints(6, 7)
        removable = without(graph, *draw.sample(range(8), 2))

        def parts(gone: tuple[int, ...], graph: HubGraph = graph, removable: Bools = removable) -> bool:
            labels = graph.components(without(graph, *gone))
            kept = [[labels[end] for end in ends if end not in gone] for ends in ((0, 1), (6, 7))]
            return all(removable[one] for one in gone) and not set(kept[0]) & set(kept[1])

        fewest = next((size for size in range(9) if any(parts(gone) for gone in itertools.combinations(range(8), size))), None)
        if fewest is None:
            with pytest.raises(ValueError, match="may not be removed"):
                smallest_cut(graph, all_of(graph), sources, sinks, removable)
            continue
        found = smallest_cut(graph, all_of(graph), sources, sinks, removable).tolist()
        assert len(found) == fewest and parts(tuple(found)) and found == sorted(found)


def test_walks_go_wide_by_distance_and_deep_branch_by_branch() -> None:
    """0 - 1 - 2 - 3 and 1 - 4 - 5; 6 is of nobody. 3 and 5 are farthest from 0."""
    graph = HubGraph.build(7, [(0, 1), (1, 2), (2, 3), (1, 4), (4, 5)], [])
    walker = Walker(graph, all_of(graph))
    assert walker.wide(0).tolist() == [0, 1, 2, 4, 3, 5]
    assert walker.deep(0).tolist() == [3, 2, 5, 4, 1, 0]
    assert walker.deep(3).tolist() == [0, 5, 4, 1, 2, 3]
    assert (walker.far(0), walker.far(3), walker.far(6)) == (5, 5, 6)
    parted = Walker(graph, without(graph, 1))
    assert parted.wide(3).tolist() == [3, 2] and parted.deep(2).tolist() == [3, 2] and parted.wide(0).tolist() == [0]


def test_walks_pass_hubs_and_name_items_alone() -> None:
    graph = HubGraph.build(4, [(2, 3)], [[0, 1, 2]])
    walker = Walker(graph, all_of(graph))
    assert walker.wide(0).tolist() == [0, 1, 2, 3]
    assert walker.deep(0).tolist() == [1, 3, 2, 0]
    assert walker.deep(3).tolist() == [0, 1, 2, 3]


def test_a_walk_comes_by_a_ring_only_once() -> None:
    ring = HubGraph.build(4, [(0, 1), (1, 2), (2, 3), (3, 0)], [])
    assert Walker(ring, all_of(ring)).deep(0).tolist() == [3, 2, 1, 0]
