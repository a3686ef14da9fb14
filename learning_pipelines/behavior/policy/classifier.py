"""A small classifier of the next action: multinomial logistic regression on the two texts' vectors and on what was done so far.

Belongs here: its features, fitting by L-BFGS, probabilities. Not here: mixing it with others (mixture.py), files (files.py).

Own code, 40 lines over SciPy: its weights alone are stored, nothing is pickled, and a fit may begin at another's weights.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from learning_pipelines.behavior.policy.situations import ORDER, Batch, Doubles, Numbers
from learning_pipelines.behavior.policy.vocabulary import Vocabulary

Floats = npt.NDArray[np.float32]
PENALTIES = (10.0, 3.0, 1.0, 0.3)
"""Of squared weights, against a sum over steps; tried from the strongest, each beginning at the weights of the one before."""
POSITIONS = 6
ROWS = 30_000
"""Steps that a fit learns from at most, so that it stays within seconds; of more a draw."""
ITERATIONS = 150
_TEXT_SCALE = 4.0
"""Vectors have length 1 and so each number is about .05: without a scale their weights would pay the penalty for it."""


class Classifier:
    """`weights`: (features + 1, types), the last row being the biases. Threads may share one."""

    def __init__(self, vocabulary: Vocabulary, weights: Floats) -> None:
        self.vocabulary, self.weights = vocabulary, weights

    def of(self, batch: Batch) -> Doubles:
        """(n, types)."""
        made = features(self.vocabulary, batch)
        return softmax((made @ self.weights[:-1] + self.weights[-1]).astype(np.float64))


def features(vocabulary: Vocabulary, batch: Batch) -> Floats:
    """(n, features): both vectors, types of the last ORDER steps one-hot, how often each type was taken, how many steps, the task type one-hot."""
    rows, size = batch.rows, len(vocabulary.types)
    recent = vocabulary.recent(rows)
    one_hot = np.zeros((len(rows), ORDER, size + 1), dtype=np.float32)
    places, backs = np.nonzero(recent >= 0)
    one_hot[places, backs, recent[places, backs]] = 1.0
    taken = np.zeros((len(rows), size), dtype=np.float32)
    for place, row in enumerate(rows):
        for kind, count in row.counts.items():
            if (number := vocabulary.number(kind)) >= 0:
                taken[place, number] = np.log1p(count)
    length = np.zeros((len(rows), POSITIONS + 1), dtype=np.float32)
    lengths = np.array([row.length for row in rows], dtype=np.int64)
    length[np.arange(len(rows)), np.minimum(lengths, POSITIONS - 1)] = 1.0
    length[:, POSITIONS] = np.log1p(lengths)
    task_type = np.zeros((len(rows), len(vocabulary.task_types)), dtype=np.float32)
    numbers = vocabulary.task_type_numbers(rows)
    known = np.flatnonzero(numbers >= 0)
    task_type[known, numbers[known]] = 1.0
    return np.concatenate(
        [_TEXT_SCALE * batch.task, _TEXT_SCALE * batch.last, one_hot.reshape(len(rows), -1), taken, length, task_type], axis=1, dtype=np.float32
    )


def fit(rows: Floats, labels: Numbers, types: int, penalty: float, start: Floats | None = None) -> Floats:
    """The weights, from features (n, f) and types (n,). `start`: weights to begin at. Convex: where it begins changes the time alone."""
    from scipy.optimize import minimize  # slow to import

    count, width = rows.shape
    hot = np.zeros((count, types), dtype=np.float32)
    hot[np.arange(count), labels] = 1.0

    def loss(flat: Doubles) -> tuple[float, Doubles]:
        weights = flat.reshape(width + 1, types).astype(np.float32)
        logits = rows @ weights[:-1] + weights[-1]
        logits -= logits.max(axis=1, keepdims=True)
        raised = np.exp(logits)
        total = raised.sum(axis=1, keepdims=True)
        value = float(np.log(total, dtype=np.float64).sum() - (logits[hot > 0]).sum(dtype=np.float64))
        error = raised / total - hot
        slope = np.concatenate([rows.T @ error, error.sum(axis=0)[None, :]]).astype(np.float64)
        slope[:-1] += penalty * weights[:-1]
        return value + penalty / 2 * float(np.sum(weights[:-1].astype(np.float64) ** 2)), slope.ravel()

    begin = np.zeros((width + 1) * types) if start is None else start.astype(np.float64).ravel()
    found = minimize(loss, begin, jac=True, method="L-BFGS-B", options={"maxiter": ITERATIONS, "ftol": 1e-7})
    return np.asarray(found.x, dtype=np.float32).reshape(width + 1, types)


def softmax(logits: Doubles) -> Doubles:
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def rows_within(labels: Sequence[int] | Numbers, width: int, types: int, budget: float, seed: int) -> Numbers:
    """Places of as many steps as one pass over them may cost (rows × features × types multiplications); all of them, or a seeded draw."""
    most = min(ROWS, max(1_000, int(budget / (width * types))))
    places = np.arange(len(labels))
    return places if len(places) <= most else np.sort(np.random.default_rng(seed).permutation(places)[:most])
