"""Corrections and their clusters as values: what is new, what was found of one, a cluster as it is stored, as it learns and as people see it.

Belongs here: plain rows. Not here: SQL (corrections.py, learnt_corrections.py), judgement and clustering (behavior/corrections/).
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class NewCorrection:
    example_id: str
    content_hash: bytes
    input: str
    original: str
    corrected: str


@dataclass(frozen=True, slots=True)
class Finding:
    """A judged correction, ready to be stored."""

    example_id: str
    content_hash: bytes
    significance: float
    kinds: tuple[str, ...]
    wrong: str
    right: str
    cluster_id: str


@dataclass(frozen=True, slots=True)
class StoredCluster:
    """As clustering goes on with it. `total` is None for a pair of labels (`wrong`, `right`)."""

    id: str
    confusion: tuple[str, str] | None
    total: npt.NDArray[np.float32] | None
    anchors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Member:
    """A correction of a cluster. `voices`: ids of the people behind it ("unknown": those without); `split`: of its example, None where it has none (yet)."""

    cluster_id: str
    example_id: str
    input: str
    original: str
    corrected: str
    wrong: str
    right: str
    approved: bool
    voices: list[str]
    split: str | None


@dataclass(frozen=True, slots=True)
class ClusterRow:
    """A cluster as people see it. `corrections`: examples; `people`: voices that gave or back it; `weight`: their feedback's weight, 0 … people;
    `weeks`: (Monday, occurrences), a person once a week; `recurrences`: those since `learnt_at`; `last_look`: the last test of recurrence."""

    id: str
    name: str
    is_confusion: bool
    wrong: str
    right: str
    state: str
    corrections: int
    approved: int
    people: int
    weight: float
    significance: float
    kinds: dict[str, int]
    first_at: dt.datetime
    last_at: dt.datetime
    weeks: list[tuple[dt.date, int]]
    learnt_at: dt.datetime | None
    learnt_by: str
    recurrences: int
    last_look: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        """The keys of the verb `corrections`."""
        return {
            "id": self.id, "name": self.name, "confusion": self.is_confusion, "wrong": self.wrong, "right": self.right, "state": self.state,
            "corrections": self.corrections, "approved": self.approved, "people": self.people, "weight": round(self.weight, 3),
            "significance": round(self.significance, 3), "kinds": self.kinds, "first_at": self.first_at.isoformat(), "last_at": self.last_at.isoformat(),
            "weeks": [{"week": week.isoformat(), "count": count} for week, count in self.weeks],
            "learnt_at": None if self.learnt_at is None else self.learnt_at.isoformat(), "learnt_by": self.learnt_by or None,
            "recurrences": self.recurrences, "last_look": self.last_look,
        }  # fmt: skip
