"""Corrections that put the same thing right: one after the other joins the nearest cluster or opens one.

Belongs here: placing corrections, pure and deterministic. Not here: reading and storing them (refresh.py), names (naming.py).

Leader clustering in the order of time: n corrections and k clusters cost n·k comparisons, and placing them in one go or one by one gives the same
clusters. Where both answers are labels of the agent's closed set the pair (wrong, right) is the cluster. Else two corrections belong together if their
right answers and their inputs mean the same (weights ANSWER and 1 - ANSWER, cosine from JOIN up) and the facts they bring in do not contradict: "30
days" and "60 days" are two corrections however much the sentences are alike. Beyond MOST clusters only those joined last are looked at.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from learning_pipelines.encoder_protocol import inner_products

Vector = npt.NDArray[np.float32]

ANSWER, JOIN = 0.6, 0.70
"""Tried on 480 planted corrections of 60 subjects (banking77 messages, answers in several wordings): adjusted Rand index .80."""
MOST = 2_000


@dataclass(frozen=True, slots=True)
class Correction:
    """`confusion`: (wrong label, right label), or None and then `vector` as `vector_of` gives it. `anchors`: the facts that the right answer brings in."""

    example_id: str
    confusion: tuple[str, str] | None = None
    vector: Vector | None = None
    anchors: frozenset[str] = frozenset()


@dataclass(slots=True)
class Cluster:
    """`total`: sum of the members' vectors (None for a confusion); `anchors`: those of the first member that has any."""

    id: str
    confusion: tuple[str, str] | None = None
    total: Vector | None = None
    anchors: frozenset[str] = frozenset()


@dataclass
class Clusters:
    """The clusters of an agent, those joined last at the end. `touched`: those that a correction opened or joined since."""

    clusters: dict[str, Cluster] = field(default_factory=dict)
    touched: set[str] = field(default_factory=set)
    opened: int = 0
    _rows: npt.NDArray[np.float32] | None = None
    _ids: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, clusters: Iterable[Cluster]) -> Clusters:
        return cls({one.id: one for one in clusters})

    def place(self, correction: Correction) -> str:
        """The id of the cluster that it joined or opened."""
        pair = correction.confusion
        found = self._nearest(correction) if pair is None else self.clusters.get(_id("confusion", *pair))
        if found is None:
            found = self._open(correction)
        else:
            self.clusters[found.id] = self.clusters.pop(found.id)
            self._join(found, correction)
        self.touched.add(found.id)
        return found.id

    def _nearest(self, correction: Correction) -> Cluster | None:
        assert correction.vector is not None, "a correction that is no confusion has a vector"
        if self._rows is None:
            self._ids = [name for name, one in self.clusters.items() if one.total is not None][-MOST:]
            self._rows = np.stack([_unit(self.clusters[name].total) for name in self._ids]) if self._ids else np.empty((0, len(correction.vector)), np.float32)
        if not len(self._ids):
            return None
        near = inner_products(self._rows[: len(self._ids)], correction.vector)
        for at in np.argsort(-near, kind="stable"):
            if near[at] < JOIN:
                return None
            one = self.clusters[self._ids[at]]
            if not one.anchors or not correction.anchors or one.anchors & correction.anchors:
                return one
        return None

    def _join(self, found: Cluster, correction: Correction) -> None:
        if found.total is None or correction.vector is None:
            return
        found.total = found.total + correction.vector
        found.anchors = found.anchors or correction.anchors
        if self._rows is not None:
            self._rows[self._ids.index(found.id)] = _unit(found.total)

    def _open(self, correction: Correction) -> Cluster:
        parts = ("confusion", *correction.confusion) if correction.confusion else ("example", correction.example_id)
        made = Cluster(_id(*parts), correction.confusion, correction.vector, correction.anchors)
        self.clusters[made.id] = made
        self.opened += 1
        if made.total is not None:
            self._remember(made)
        return made

    def _remember(self, made: Cluster) -> None:
        """Adds a row, in the place of the one joined longest ago where MOST are looked at already."""
        assert self._rows is not None
        assert made.total is not None
        if len(self._ids) >= MOST:
            kept = set(self._ids)
            oldest = next(name for name in self.clusters if name in kept)
            at = self._ids.index(oldest)
            self._ids[at] = made.id
        else:
            at = len(self._ids)
            self._ids.append(made.id)
            if at >= len(self._rows):
                self._rows = np.concatenate([self._rows, np.zeros((max(64, len(self._rows)), len(made.total)), np.float32)])
        self._rows[at] = _unit(made.total)


def vector_of(answer: Vector, asked: Vector) -> Vector:
    """One vector of length 1 for a correction, from those of the right answer and the input."""
    return np.concatenate([np.sqrt(ANSWER) * answer, np.sqrt(1 - ANSWER) * asked]).astype(np.float32)


def _unit(total: Vector | None) -> Vector:
    assert total is not None
    return (total / max(1e-9, float(np.linalg.norm(total)))).astype(np.float32)


def _id(*parts: str) -> str:
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:16]
