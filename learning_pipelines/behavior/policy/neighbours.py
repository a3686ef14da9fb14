"""What experts did in the most similar situations: a vote of the nearest demonstrated steps.

Belongs here: the index of demonstrated steps, similarity, the vote. Not here: which settings are best (fitting.py), texts, files.

Similarity of two situations: how alike their tasks are and their last steps (cosines), and how many of the last types agree, weighted. Vectors are
reduced to REDUCED numbers by the main directions of the demonstrations' own texts (an uncentred principal component analysis), and kept once per
text. Only steps after the same last type are compared, where there are enough of them: they lie side by side. So 100,000 demonstrated steps take less
than 20 ms of a core (`make bench-behavior`). k-nearest-neighbour vote with weights that fall with distance: Dudani (1976).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from learning_pipelines.behavior.policy.situations import ORDER, Batch, Doubles, Floats, Numbers
from learning_pipelines.behavior.policy.vocabulary import Vocabulary

REDUCED = 128
NEAREST = 32
PRIOR = 0.3
"""Votes of a step exactly as near as the nearest that the overall shares of types count for."""
Halves = npt.NDArray[np.float16]
Bools = npt.NDArray[np.bool_]
_ALL = slice(None)


@dataclass(frozen=True, slots=True)
class Weights:
    """Of the cosine of tasks, of the cosine of last steps, of agreement in history; `width`: the similarity by which a vote falls to 1/e."""

    task: float
    last: float
    history: float
    width: float


GRID = tuple(
    Weights(task, last, history, width)
    for task, last, history in ((1.0, 1.0, 0.5), (1.0, 1.0, 1.5), (0.5, 1.5, 0.5), (0.5, 1.5, 1.5), (1.5, 0.5, 0.5), (1.5, 0.5, 1.5))
    for width in (0.05, 0.15)
)


@dataclass(frozen=True, slots=True)
class Steps:
    """Every demonstrated step, ordered by the last type. `projection` (d, r); `tasks`, `lasts`: reduced vectors, one per text, in half precision (what
    is stored is what is used); `task`, `last`: of which text each step is; `recent` (n, ORDER): last types; `labels`: what followed; `owner`: the
    place of its demonstration."""

    projection: Floats
    tasks: Halves
    lasts: Halves
    task: npt.NDArray[np.int32]
    last: npt.NDArray[np.int32]
    recent: npt.NDArray[np.int16]
    labels: npt.NDArray[np.int16]
    owner: npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Near:
    """Nearest steps of one situation, nearest first: their places, similarities, votes (1 for the nearest)."""

    places: Numbers
    similarity: Doubles
    votes: Doubles


class Neighbours:
    """Threads may share one."""

    def __init__(self, vocabulary: Vocabulary, steps: Steps, weights: Weights) -> None:
        self.vocabulary, self.steps, self.weights = vocabulary, steps, weights
        self._tasks, self._lasts = steps.tasks.astype(np.float32), steps.lasts.astype(np.float32)
        counts = np.bincount(steps.labels, minlength=len(vocabulary.types)).astype(np.float64)
        self._shares = counts / counts.sum()
        kinds, begins = np.unique(steps.recent[:, 0], return_index=True)
        ends = [*begins[1:].tolist(), len(steps.labels)]
        self._after = {kind: slice(begin, end) for kind, begin, end in zip(kinds.tolist(), begins.tolist(), ends, strict=True)}

    def of(self, batch: Batch) -> Doubles:
        """(n, types)."""
        return self.said(self.nearest(batch))

    def said(self, near: Sequence[Near]) -> Doubles:
        """(n, types) of what was found for each."""
        return np.array([self.shares(one) for one in near]).reshape(len(near), len(self.vocabulary.types))

    def voting(self, near: Near) -> Near:
        """The same steps with the votes that this index's width gives them."""
        return replace(near, votes=np.exp((near.similarity - near.similarity[:1]) / self.weights.width))

    def shares(self, near: Near) -> Doubles:
        """(types,) the votes of the nearest steps."""
        votes = np.bincount(self.steps.labels[near.places], near.votes, minlength=len(self.vocabulary.types))
        return np.asarray((votes + PRIOR * self._shares) / (votes.sum() + PRIOR))

    def nearest(self, batch: Batch, allowed: Sequence[Bools] | None = None) -> list[Near]:
        """Of each situation. `allowed`: per situation, which steps may be found (what is judged out of fold finds none of its own fold)."""
        task, last = batch.task @ self.steps.projection, batch.last @ self.steps.projection
        recent = self.vocabulary.recent(batch.rows).astype(np.int16)
        return [self._near(task[place], last[place], recent[place], None if allowed is None else allowed[place]) for place in range(len(batch))]

    def _near(self, task: Floats, last: Floats, recent: npt.NDArray[np.int16], allowed: Bools | None) -> Near:
        part = self._after.get(int(recent[0]), _ALL)
        if part is not _ALL and np.count_nonzero(_within(part, allowed)) < NEAREST:
            part = _ALL
        weights, steps = self.weights, self.steps
        of_last = steps.last[part]  # texts stand in the order of the steps: those of a part lie side by side
        begin, end = int(of_last.min()), int(of_last.max()) + 1
        similarity = (weights.task * (self._tasks @ task))[steps.task[part]]
        similarity += (weights.last * (self._lasts[begin:end] @ last))[of_last - begin]
        similarity += np.float32(weights.history / ORDER) * agreement(steps.recent[part], recent)
        if allowed is not None:
            similarity[~allowed[part]] = -np.inf
        places = np.arange(len(similarity))
        if len(places) > NEAREST:
            places = np.argpartition(-similarity, NEAREST)[:NEAREST]
        places = places[np.lexsort((places, -similarity[places]))]
        found = similarity[places].astype(np.float64)
        places, found = places[np.isfinite(found)] + (part.start or 0), found[np.isfinite(found)]
        return Near(places, found, np.exp((found - found[:1]) / weights.width))


def _within(part: slice, allowed: Bools | None) -> Bools:
    return np.ones(part.stop - part.start, dtype=np.bool_) if allowed is None else allowed[part]


def agreement(known: npt.NDArray[np.int16], asked: npt.NDArray[np.int16]) -> Floats:
    """(n,) how many of the last types agree, counted from the newest until one does not."""
    same = known[:, 0] == asked[0]
    made = same.astype(np.float32)
    for back in range(1, ORDER):
        same = same & (known[:, back] == asked[back])
        made += same
    return np.asarray(made)


def indexed(vocabulary: Vocabulary, batch: Batch, labels: Numbers, owner: Numbers) -> Steps:
    """The index of demonstrated steps; the same steps give the same index."""
    recent = vocabulary.recent(batch.rows).astype(np.int16)
    order = np.argsort(recent[:, 0], kind="stable")
    batch, labels, owner, recent = batch.take(order), labels[order], owner[order], recent[order]
    tasks, task = _once([row.task_text for row in batch.rows], batch.task)
    lasts, last = _once([(kind, row.last_text) for kind, row in zip(recent[:, 0].tolist(), batch.rows, strict=True)], batch.last)
    projection = main_directions(np.concatenate([tasks, lasts]))
    return Steps(
        projection, (tasks @ projection).astype(np.float16), (lasts @ projection).astype(np.float16), task, last,
        recent, labels.astype(np.int16), owner.astype(np.int32),
    )  # fmt: skip


def main_directions(vectors: Floats) -> Floats:
    """(d, r) an orthonormal basis of the r ≤ REDUCED directions in which the vectors are longest; their products keep most of what they were."""
    size = vectors.shape[1]
    if size <= REDUCED:
        return np.eye(size, dtype=np.float32)
    _, directions = np.linalg.eigh(vectors.T.astype(np.float64) @ vectors)
    directions = directions[:, ::-1][:, :REDUCED]
    signs = np.sign(directions[np.abs(directions).argmax(axis=0), np.arange(REDUCED)])
    return np.asarray(directions * signs, dtype=np.float32)


def _once(texts: Sequence[Hashable], vectors: Floats) -> tuple[Floats, npt.NDArray[np.int32]]:
    """Vectors of the different texts, and of which each row is."""
    place: dict[Hashable, int] = {}
    numbers = np.array([place.setdefault(text, len(place)) for text in texts], dtype=np.int32)
    first = np.full(len(place), -1, dtype=np.int64)
    first[numbers[::-1]] = np.arange(len(texts))[::-1]
    return vectors[first], numbers
