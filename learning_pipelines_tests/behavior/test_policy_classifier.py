"""The classifier of the next action, worked out by hand: its features, its loss, how many steps it learns from.

Belongs here: behavior/policy/classifier.py by value. Not here: how well it predicts (test_policy.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.optimize import brentq

from learning_pipelines.behavior.policy import classifier
from learning_pipelines.behavior.policy.classifier import Classifier, features, fit, rows_within, softmax
from learning_pipelines.behavior.policy.situations import Batch, Situation
from learning_pipelines.behavior.policy.vocabulary import Vocabulary
from learning_pipelines.behavior.task import END

VOCABULARY = Vocabulary(("x", "y", END), ("call", "mail"))
ROWS = [
    Situation("mail", (), {}, 0, "", ""),
    Situation("call", ("y", "x"), {"x": 1, "y": 3, "new": 9}, 5, "", ""),
    Situation("other", ("x", "new", "y", "x"), {"x": 2}, 9, "", ""),
]
BATCH = Batch(ROWS, np.array([[1, 0], [0, 0.5], [0, 0]], dtype=np.float32), np.array([[0], [2], [1]], dtype=np.float32))


def places(*numbers: int) -> list[float]:
    """Of four last steps which of three types or the start each was: one of four places each."""
    made = [0.0] * 16
    for back, number in enumerate(numbers):
        if number >= 0:
            made[4 * back + number] = 1.0
    return made


def test_features_are_texts_last_types_counts_length_and_type_of_task() -> None:
    expected = [
        [4, 0, 0, *places(3), 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1],
        [0, 2, 8, *places(0, 1), math.log(2), math.log(4), 0, 0, 0, 0, 0, 0, 1, math.log(6), 1, 0],
        [0, 0, 4, *places(0, 1, -1, 0), math.log(3), 0, 0, 0, 0, 0, 0, 0, 1, math.log(10), 0, 0],
    ]
    made = features(VOCABULARY, BATCH)
    assert made.dtype == np.float32 and made == pytest.approx(np.array(expected), rel=1e-6)


def test_probabilities_are_those_of_weighted_features_and_biases() -> None:
    weights = np.random.default_rng(0).standard_normal((features(VOCABULARY, BATCH).shape[1] + 1, 3)).astype(np.float32) / 10
    model = Classifier(VOCABULARY, weights)
    raised = np.exp(features(VOCABULARY, BATCH).astype(np.float64) @ weights[:-1] + weights[-1])
    assert model.weights is weights and model.vocabulary is VOCABULARY
    assert model.of(BATCH) == pytest.approx(raised / raised.sum(axis=1, keepdims=True), rel=1e-4)
    assert softmax(np.array([[1000.0, 1000.0], [-1000.0, -1000.0], [0.0, math.log(3)]])) == pytest.approx(np.array([[0.5, 0.5], [0.5, 0.5], [0.25, 0.75]]))


def test_weights_pay_half_the_penalty_of_their_squares_and_biases_nothing() -> None:
    """Of one feature that is 1 for one type and -1 for the other weights are ±w with 2·n/(1 + e^2w) = penalty·w; biases are the shares of types."""
    rows, labels = np.array([[1.0]] * 4 + [[-1.0]] * 4, dtype=np.float32), np.array([0] * 4 + [1] * 4)
    for penalty in (0.5, 4.0):
        wanted = float(brentq(lambda w, penalty=penalty: 8 / (1 + math.exp(2 * w)) - penalty * w, 0, 50))
        made = fit(rows, labels, 2, penalty)
        assert made.dtype == np.float32 and made == pytest.approx(np.array([[wanted, -wanted], [0.0, 0.0]]), abs=5e-3)
    apart = np.array([[1.0, 0.0]] * 4 + [[-1.0, 0.0]] * 4 + [[0.0, 1.0], [0.0, -1.0]], dtype=np.float32)
    first, second = (float(brentq(lambda w, steps=steps: steps / (1 + math.exp(2 * w)) - w, 0, 50)) for steps in (8, 2))
    expected = np.array([[first, -first], [-second, second], [0, 0]])
    assert fit(apart, np.array([0] * 4 + [1] * 4 + [1, 0]), 2, 1.0) == pytest.approx(expected, abs=5e-3)
    biases = fit(np.zeros((10, 1), dtype=np.float32), np.array([0] * 9 + [1]), 2, 4.0)
    assert biases[0] == pytest.approx([0, 0], abs=1e-3) and biases[1, 0] - biases[1, 1] == pytest.approx(math.log(9), abs=5e-3)


def test_the_slope_that_is_followed_is_that_of_the_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    rows, labels, point = rng.standard_normal((20, 3)).astype(np.float32), rng.integers(0, 2, 20), rng.standard_normal(8)

    def followed(loss: Callable[[np.ndarray], tuple[float, np.ndarray]], begin: np.ndarray, **_: object) -> SimpleNamespace:
        steps = 0.01 * np.eye(8)
        assert loss(point)[1] == pytest.approx([(loss(point + step)[0] - loss(point - step)[0]) / 0.02 for step in steps], abs=0.01)
        return SimpleNamespace(x=begin)

    monkeypatch.setattr("scipy.optimize.minimize", followed)
    assert fit(rows, labels, 2, 3.0).shape == (4, 2)


def test_logits_of_any_size_are_told_apart_row_by_row() -> None:
    rows, labels = np.array([[300.0, 0.0], [-300.0, 0.0], [0.0, 1.0], [0.0, -1.0]], dtype=np.float32), np.array([0, 1, 0, 1])
    start = np.array([[1.0, -1.0], [0.0, 0.0], [0.0, 0.0]], dtype=np.float32)
    said = softmax((rows @ (made := fit(rows, labels, 2, 0.01, start))[:-1] + made[-1]).astype(np.float64))
    assert np.isfinite(made).all() and said[np.arange(4), labels].min() > 0.9


def test_a_fit_that_begins_at_the_least_loss_stays_there(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    rows, labels = rng.standard_normal((50, 3)).astype(np.float32), rng.integers(0, 3, 50)
    least = fit(rows, labels, 3, 1.0)
    monkeypatch.setattr(classifier, "ITERATIONS", 1)
    assert fit(rows, labels, 3, 1.0, least) == pytest.approx(least, abs=0.02)
    assert fit(rows, labels, 3, 1.0) != pytest.approx(least, abs=0.02)  # a single step from nothing does not reach it


def test_as_many_steps_are_learnt_from_as_may_be_paid_for_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.zeros(5_000, dtype=np.int64)
    assert rows_within(labels, 10, 4, 40 * 5_000, 0).tolist() == list(range(5_000))
    drawn = rows_within(labels, 10, 4, 40 * 2_000, 7)
    assert len(drawn) == 2_000 and drawn.tolist() == sorted(set(drawn.tolist()))
    assert drawn.tolist() == np.sort(np.random.default_rng(7).permutation(5_000)[:2_000]).tolist()
    assert len(rows_within(labels, 10, 4, 1.0, 7)) == 1_000
    monkeypatch.setattr(classifier, "ROWS", 1_500)
    assert len(rows_within(labels, 10, 4, 1e9, 7)) == 1_500
