"""Types of actions as numbers, and the last steps of a situation as a row of them.

Belongs here: the fixed order of types. Not here: counting, learning.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from learning_pipelines.behavior.policy.situations import ORDER, Numbers, Situation
from learning_pipelines.behavior.task import END

UNKNOWN = -1


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """`types`: sorted, END last. A type that no demonstration has is UNKNOWN. The start of a demonstration has the number len(types) in histories."""

    types: tuple[str, ...]
    task_types: tuple[str, ...]
    _of: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_of", {kind: number for number, kind in enumerate(self.types)})

    @classmethod
    def of(cls, rows: Iterable[tuple[Situation, str]]) -> Vocabulary:
        types, task_types = set[str](), set[str]()
        for row, kind in rows:
            types.add(kind)
            task_types.add(row.task_type)
        return cls((*sorted(types - {END}), END), tuple(sorted(task_types)))

    @property
    def start(self) -> int:
        return len(self.types)

    def number(self, kind: str) -> int:
        return self._of.get(kind, UNKNOWN)

    def numbers(self, kinds: Sequence[str]) -> Numbers:
        return np.array([self.number(kind) for kind in kinds], dtype=np.int64)

    def recent(self, rows: Sequence[Situation]) -> Numbers:
        """(n, ORDER) types of the last steps, the newest first; the start stands before the first step and nothing (UNKNOWN) before the start."""
        made = np.full((len(rows), ORDER), UNKNOWN, dtype=np.int64)
        for place, row in enumerate(rows):
            for back, kind in enumerate(reversed(row.recent)):
                made[place, back] = self.number(kind)
            if row.length < ORDER:
                made[place, row.length] = self.start
        return made

    def task_type_numbers(self, rows: Sequence[Situation]) -> Numbers:
        known = {name: number for number, name in enumerate(self.task_types)}
        return np.array([known.get(row.task_type, UNKNOWN) for row in rows], dtype=np.int64)
