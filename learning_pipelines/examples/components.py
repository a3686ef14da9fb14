"""Belongs here: connected components and smallest vertex cuts of graphs of examples, as arrays of numbers.
Not here: what an example, a person or a split is (splits.py), and how texts are compared (duplicates.py)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix  # type: ignore[import-untyped,unused-ignore]
from scipy.sparse.csgraph import breadth_first_order, connected_components, maximum_flow  # type: ignore[import-untyped,unused-ignore]

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


class UnionFind:
    """Disjoint sets over 0..size-1; the smallest member is each set's label. `labels` (size,) joins what has the same label from the start."""

    def __init__(self, size: int, labels: Ints | None = None) -> None:
        self._parent: list[int] = list(range(size)) if labels is None else _smallest(labels).tolist()
        self._labels: Ints | None = None

    def find(self, node: int) -> int:
        """The smallest member of the set that holds `node`."""
        parent = self._parent
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    def union(self, first: int, second: int) -> bool:
        """Join two sets; False if they already were one."""
        low, high = sorted((self.find(first), self.find(second)))
        if low == high:
            return False
        self._parent[high] = low
        self._labels = None
        return True

    def labels(self) -> Ints:
        """The label of every node, shape (size,); kept until the next union."""
        if self._labels is None:
            labels = np.asarray(self._parent, dtype=np.int64)
            while True:
                further = labels[labels]
                if np.array_equal(further, labels):
                    break
                labels = further
            self._labels = labels
        return self._labels


def _smallest(labels: Ints) -> Ints:
    """For each place the first place with its label."""
    first, which = np.unique(labels, return_index=True, return_inverse=True)[1:]
    return first[which]


@dataclass(frozen=True)
class HubGraph:
    """Items 0..items-1 joined by links, and by hubs items..items+hubs-1 that join everything they touch.

    Only items can be removed: a hub stands for a person, or for texts known to be alike, and goes on joining whatever is left of it.
    `left` holds items and `right` items or hubs, both of shape (edges,).
    """

    items: int
    hubs: int
    left: Ints
    right: Ints

    @classmethod
    def build(cls, items: int, links: Iterable[tuple[int, int]], hubs: Iterable[Iterable[int]]) -> HubGraph:
        """From pairs of items and from groups of items that stay together; loops and groups of one are dropped."""
        pairs = np.asarray(list(links), dtype=np.int64).reshape(-1, 2)
        groups = np.asarray([(item, number) for number, members in enumerate(hubs) for item in members], dtype=np.int64).reshape(-1, 2)
        return cls.of_arrays(items, (pairs[:, 0], pairs[:, 1]), (groups[:, 0], groups[:, 1]))

    @classmethod
    def of_arrays(cls, items: int, links: tuple[Ints, Ints], members: tuple[Ints, Ints]) -> HubGraph:
        """The same from arrays: the two ends of every link, and every item of a group with the number of its group."""
        low, high = np.minimum(*links), np.maximum(*links)
        edges = np.unique((low * items + high)[low != high])
        codes = np.unique(members[1] * items + members[0])
        group = codes // max(items, 1)
        _, number, sizes = np.unique(group, return_inverse=True, return_counts=True)
        shared = (sizes > 1)[number]
        hubs = (np.cumsum(sizes > 1) - 1)[number[shared]]
        left = np.concatenate([edges // max(items, 1), (codes % max(items, 1))[shared]])
        right = np.concatenate([edges % max(items, 1), items + hubs])
        return cls(items, int(np.count_nonzero(sizes > 1)), left, right)

    def edges(self, active: Bools) -> tuple[Ints, Ints]:
        """The edges whose items are all active (shape of `active`: (items,))."""
        keep = np.concatenate([active, np.ones(self.hubs, dtype=np.bool_)])
        chosen = keep[self.left] & keep[self.right]
        return self.left[chosen], self.right[chosen]

    def components(self, active: Bools) -> Ints:
        """A label per item, shape (items,); an inactive item is alone in its component."""
        left, right = self.edges(active)
        nodes = self.items + self.hubs
        matrix = csr_matrix((np.ones(len(left), dtype=np.int8), (left, right)), shape=(nodes, nodes))
        labels = np.asarray(connected_components(matrix)[1], dtype=np.int64)
        return labels[: self.items]


def smallest_cut(graph: HubGraph, active: Bools, sources: Ints, sinks: Ints, removable: Bools) -> Ints:
    """The fewest removable active items without which no source reaches a sink.

    A removable source or sink may itself be removed. Menger's theorem by maximum flow over split nodes; of all smallest cuts
    it is the one nearest the sources, which is unique, so the answer does not depend on how the flow was found.
    ValueError if some source and sink cannot be parted. Returns item numbers in ascending order.
    """
    left, right = graph.edges(active)
    names = np.unique(np.concatenate([left, right, sources, sinks]))
    count, never = len(names), int(np.count_nonzero(active)) + 1
    ends = [np.searchsorted(names, part) for part in (left, right, sources, sinks)]
    source, sink = 2 * count, 2 * count + 1
    through = np.full(count, never, dtype=np.int64)
    through[: np.searchsorted(names, graph.items)] = np.where(removable[names[names < graph.items]], 1, never)
    here = np.arange(count)
    tails = np.concatenate([here, ends[0] + count, ends[1] + count, np.full(len(sources), source), ends[3] + count])
    heads = np.concatenate([here + count, ends[1], ends[0], ends[2], np.full(len(sinks), sink)])
    sizes = np.concatenate([through, np.full(len(tails) - count, never)]).astype(np.int32)
    capacity = csr_matrix((sizes, (tails, heads)), shape=(sink + 1, sink + 1))
    flow = maximum_flow(capacity, source, sink)
    if flow.flow_value >= never:
        raise ValueError("A source and a sink are joined by items that may not be removed.")
    residual = capacity - flow.flow
    residual.eliminate_zeros()
    reached = np.zeros(sink + 1, dtype=np.bool_)
    reached[breadth_first_order(residual, source, return_predecessors=False)] = True
    return names[reached[:count] & ~reached[count : 2 * count]]


class Walker:
    """Orders the items of a component so that what stands near each other in the order is near each other in the graph."""

    def __init__(self, graph: HubGraph, active: Bools) -> None:
        left, right = graph.edges(active)
        nodes = graph.items + graph.hubs
        both = csr_matrix((np.ones(2 * len(left), dtype=np.int8), (np.concatenate([left, right]), np.concatenate([right, left]))), shape=(nodes, nodes))
        both.sort_indices()
        self._matrix, self._items = both, graph.items
        self._starts: list[int] = both.indptr.tolist()
        self._next: list[int] = both.indices.tolist()

    def wide(self, start: int) -> Ints:
        """Breadth first from item `start`: a prefix is what lies nearest to it. Item numbers in order of visit."""
        order = np.asarray(breadth_first_order(self._matrix, start, return_predecessors=False), dtype=np.int64)
        return order[order < self._items]

    def deep(self, start: int) -> Ints:
        """Depth first from item `start`: a prefix of a tree-like graph is a few whole branches. Item numbers as branches are finished."""
        seen, order, path = {start}, [], [(start, self._starts[start])]
        while path:
            node, place = path.pop()
            while place < self._starts[node + 1] and self._next[place] in seen:
                place += 1
            if place == self._starts[node + 1]:
                order.append(node)
                continue
            seen.add(self._next[place])
            path += [(node, place + 1), (self._next[place], self._starts[self._next[place]])]
        done = np.asarray(order, dtype=np.int64)
        return done[done < self._items]

    def far(self, start: int) -> int:
        """An item as far from `start` as a breadth-first walk finds."""
        return int(self.wide(start)[-1])
