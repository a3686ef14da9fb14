"""What usually comes next after the last few steps, whatever was said: a transition model of variable order, over all tasks and per task type.

Belongs here: counts of contexts and their interpolation. Not here: texts, vectors, the plain first-order baseline (baselines.py).

Each context (the last k types, k = 0 … ORDER) is smoothed towards the context that is one step shorter: p_k = (counts + c·p_(k-1)) / (n + c), the
Dirichlet prior of MacKay & Peto (1995), of which Witten-Bell smoothing is a variant. A task type has contexts of its own, each smoothed
towards the mean of its shorter one and of the same context over all tasks. c is chosen on demonstrations that were not counted (fitting.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from learning_pipelines.behavior.policy.situations import Doubles, Numbers, Situation
from learning_pipelines.behavior.policy.vocabulary import UNKNOWN, Vocabulary

CONCENTRATIONS = (0.5, 1.0, 2.0, 4.0, 8.0)
Key = tuple[int, ...]
"""Task type (UNKNOWN: all), then the last types, newest first."""
_ALL = UNKNOWN


class Transitions:
    """Threads may share one."""

    def __init__(self, vocabulary: Vocabulary, counts: Mapping[Key, tuple[Numbers, Doubles]], concentration: float) -> None:
        self.vocabulary, self.counts, self.concentration = vocabulary, counts, concentration

    def of(self, rows: Sequence[Situation]) -> Doubles:
        """(n, types)."""
        known: dict[tuple[int, Key], Doubles] = {}
        made = np.empty((len(rows), len(self.vocabulary.types)))
        recent, task_types = self.vocabulary.recent(rows).tolist(), self.vocabulary.task_type_numbers(rows).tolist()
        for place, (history, task_type) in enumerate(zip(recent, task_types, strict=True)):
            key = (task_type, tuple(history))
            if key not in known:
                known[key] = self._one(task_type, _lasting(history))
            made[place] = known[key]
        return made

    def _one(self, task_type: int, history: Key) -> Doubles:
        size = len(self.vocabulary.types)
        overall = own = np.full(size, 1 / size)
        for order in range(len(history) + 1):
            overall = self._smoothed((_ALL, *history[:order]), overall)
            own = overall if task_type == UNKNOWN else self._smoothed((task_type, *history[:order]), (own + overall) / 2 if order else overall)
        return own

    def _smoothed(self, key: Key, prior: Doubles) -> Doubles:
        found = self.counts.get(key)
        if found is None:
            return prior
        numbers, counts = found
        made = self.concentration * prior
        made[numbers] += counts
        return np.asarray(made / (counts.sum() + self.concentration))


def count(vocabulary: Vocabulary, rows: Sequence[Situation], labels: Numbers) -> Mapping[Key, tuple[Numbers, Doubles]]:
    """How often each type followed each context; of a single task type only the contexts over all."""
    raw: dict[Key, dict[int, int]] = {}
    several = len(vocabulary.task_types) > 1
    recent, task_types = vocabulary.recent(rows).tolist(), vocabulary.task_type_numbers(rows).tolist()
    for history, task_type, label in zip(recent, task_types, labels.tolist(), strict=True):
        for order in range(len(_lasting(history)) + 1):
            for kind in (_ALL, task_type) if several else (_ALL,):
                counts = raw.setdefault((kind, *history[:order]), {})
                counts[label] = counts.get(label, 0) + 1
    return {key: (np.array(list(one), dtype=np.int64), np.array(list(one.values()), dtype=np.float64)) for key, one in raw.items()}


def _lasting(history: Sequence[int]) -> Key:
    """Up to the start, which nothing comes before; a type that nobody demonstrated ends it too."""
    return tuple(history[: next((at for at, kind in enumerate(history) if kind == UNKNOWN), None)])
