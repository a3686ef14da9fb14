"""What a policy has to beat: the most frequent action, and the most likely next action given the last one.

Belongs here: the two baselines. Not here: anything that reads a text or looks further back (transitions.py and the rest).

They stand in every policy's files, learnt from the same demonstrations, so that evaluating it needs nobody's raw demonstrations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from learning_pipelines.behavior.policy.situations import Doubles, Numbers, Situation, situation
from learning_pipelines.behavior.policy.vocabulary import Vocabulary
from learning_pipelines.behavior.task import Floats, State

SMOOTHING = 1.0
"""How many steps the overall shares of types count for, after each last type."""


class Baseline:
    """One table of probabilities: a row per last type (the start is the last row), or one row for all (most_frequent)."""

    def __init__(self, vocabulary: Vocabulary, table: Doubles) -> None:
        self.vocabulary, self.table = vocabulary, table

    @property
    def types(self) -> tuple[str, ...]:
        return self.vocabulary.types

    def probabilities(self, states: Sequence[State]) -> Floats:
        """As task.NextAction says."""
        return self.of([situation(state) for state in states]).astype(np.float32)

    def of(self, rows: Sequence[Situation]) -> Doubles:
        """(n, types). After a type that nobody demonstrated: the overall shares."""
        if len(self.table) == 1:
            return np.repeat(self.table, len(rows), axis=0)
        return self.table[self.vocabulary.recent(rows)[:, 0]]  # UNKNOWN is -1: the row of the overall shares, the last one


def most_frequent(vocabulary: Vocabulary, labels: Numbers) -> Baseline:
    """The share of each type among all steps, whatever happened before."""
    return Baseline(vocabulary, _shares(vocabulary, labels)[None, :])


def transition(vocabulary: Vocabulary, rows: Sequence[Situation], labels: Numbers) -> Baseline:
    """First order: P(next | last type), the start being a last type too; smoothed towards the overall shares."""
    size, overall = len(vocabulary.types), _shares(vocabulary, labels)
    counts = np.zeros((size + 2, size))
    np.add.at(counts, (vocabulary.recent(rows)[:, 0], labels), 1.0)
    counts[-1] = 0.0
    counts += SMOOTHING * overall
    return Baseline(vocabulary, counts / counts.sum(axis=1, keepdims=True))


def both(vocabulary: Vocabulary, rows: Sequence[Situation], labels: Numbers) -> Mapping[str, Baseline]:
    return {"most_frequent": most_frequent(vocabulary, labels), "transition": transition(vocabulary, rows, labels)}


def _shares(vocabulary: Vocabulary, labels: Numbers) -> Doubles:
    counts = np.bincount(labels, minlength=len(vocabulary.types))
    return np.asarray(counts / counts.sum())
