"""How sure a policy may be, computed again by hand: powers, calibration errors, thresholds, and the fit that has the least loss.

Belongs here: behavior/policy/calibration.py by value. Not here: what it promises on data (test_policy_components.py), scores (test_policy_scores.py).
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from learning_pipelines.behavior.policy import calibration
from learning_pipelines.behavior.policy.calibration import Calibration, calibration_error, threshold
from learning_pipelines.behavior.policy.mixture import floored, log_loss
from learning_pipelines.behavior.policy.vocabulary import UNKNOWN

SAID = np.array([[0.6, 0.3, 0.1, 0.0], [0.1, 0.2, 0.3, 0.4], [0.25, 0.25, 0.25, 0.25]])


def test_calibration_raises_to_a_power_that_depends_on_confidence() -> None:
    made = Calibration(0.3, 0.2)
    for row in SAID[:2]:
        first = row.max()
        power = math.exp(0.3 + 0.2 * math.log(first / (1 - first)))
        raised = np.maximum(row, 1e-12) ** power
        assert made.of(row[None, :])[0] == pytest.approx(raised / raised.sum())
    assert Calibration().of(SAID[:3]) == pytest.approx(SAID[:3], abs=1e-9)
    for level, most in ((5.0, 8.0), (-5.0, 0.2)):
        held = SAID[:1, :3] ** most
        assert Calibration(level, 0.0).of(SAID[:1, :3]) == pytest.approx(held / held.sum())


def test_the_calibration_error_weighs_bins_of_equal_mass() -> None:
    sure, right = np.array([0.9, 0.1, 0.8, 0.2, 0.6]), np.array([True, False, False, True, True])
    assert calibration_error(sure, right, 2) == pytest.approx((3 * abs(0.9 / 3 - 2 / 3) + 2 * abs(0.85 - 0.5)) / 5)
    assert calibration_error(sure, right, 10) == pytest.approx((0.1 + 0.1 + 0.8 + 0.8 + 0.4) / 5)
    assert calibration_error(np.array([]), np.array([], dtype=np.bool_)) == 0.0
    sure, right = ties()  # of those that are equally sure the first stand in the first bins
    assert calibration_error(sure, right) == pytest.approx((4 * 0.5 + 5 * 0.4) / 10)


def ties() -> tuple[np.ndarray, np.ndarray]:
    """Every other one is sure to .6, and right; of the 50 that are to .5 the first 25 are."""
    return np.tile([0.5, 0.6], 50), np.tile([False, True], 50) | (np.arange(100) < 50)


def test_the_threshold_is_where_suggestions_begin_to_be_right_half_of_the_time() -> None:
    sure = np.array([0.9, 0.5, 0.3, 0.7])
    assert threshold(sure, np.array([True, False, False, True])) == 0.7
    assert threshold(sure, np.array([True, True, False, False])) == 0.5  # of .5 and .7 together one is right
    assert threshold(sure, np.ones(4, dtype=np.bool_)) == 0.0 and threshold(sure, np.zeros(4, dtype=np.bool_)) == 1.01
    assert threshold(np.array([]), np.array([], dtype=np.bool_)) == 0.0
    assert threshold(np.tile([0.5, 0.6], 50), np.arange(100) % 4 != 2) == 0.0  # of those that are equally sure every other one is right, the first too


def test_a_calibration_has_the_least_loss_of_whole_and_first() -> None:
    rng = np.random.default_rng(3)
    truth = rng.dirichlet(np.full(4, 0.5), 300)
    labels = (rng.random((300, 1)) > truth.cumsum(axis=1)).sum(axis=1).clip(0, 3)
    labels[:10] = UNKNOWN
    claimed = truth**2 / (truth**2).sum(axis=1, keepdims=True)
    made = calibration.fit(claimed, labels)
    right, known = claimed.argmax(axis=1) == labels, labels >= 0

    def loss(level: float, rise: float) -> float:
        said = Calibration(level, rise).of(claimed)
        first = said.max(axis=1).clip(1e-6, 1 - 1e-6)
        whole = log_loss(said[known], labels[known]) * int(known.sum())
        return whole - float(np.log(np.where(right, first, 1 - first)).sum()) + 0.5 * (level**2 + rise**2)

    least = loss(made.level, made.rise)
    for level, rise in ((0.02, 0.0), (-0.02, 0.0), (0.0, 0.02), (0.0, -0.02)):
        assert loss(made.level + level, made.rise + rise) > least
    assert made.threshold == threshold(made.of(claimed).max(axis=1), right)


@pytest.mark.filterwarnings("error")
def test_a_calibration_of_a_few_steps_is_held_to_none_and_to_its_bounds() -> None:
    """Where no type is known only the first counts: it is never right. A claim of .6 that always is right would be sharpened without end."""
    made = calibration.fit(SAID[:3], np.full(3, UNKNOWN))

    def loss(level: float, rise: float) -> float:
        return -float(np.log(1 - Calibration(level, rise).of(SAID[:3]).max(axis=1)).sum()) + 0.5 * (level**2 + rise**2)

    for level, rise in ((0.02, 0.0), (-0.02, 0.0), (0.0, 0.02), (0.0, -0.02)):
        assert loss(made.level + level, made.rise + rise) > loss(made.level, made.rise)
    assert made.threshold == 1.01
    always = calibration.fit(np.tile(SAID[:1, :3], (200, 1)), np.zeros(200, dtype=np.int64))
    assert (always.level, always.rise, always.threshold) == (1.5, 0.5, 0.0)


@pytest.mark.filterwarnings("error")
def test_claims_of_certainty_that_are_wrong_once_in_ten_become_nine_in_ten() -> None:
    labels = np.arange(300) % 3
    certain = np.eye(3)[np.where(np.arange(300) % 10, labels, (labels + 1) % 3)]
    made = calibration.fit(floored(certain), labels)
    assert made.of(floored(certain)).max(axis=1) == pytest.approx(np.full(300, 0.9), abs=0.02)
    assert calibration.fit(certain, labels).of(certain) == pytest.approx(certain)  # of nothing but 0 and 1 no power makes anything else


def test_a_calibration_does_not_depend_on_the_order_of_types() -> None:
    labels = np.array([0, 1, 2, 0, 1, 0] * 5)
    said = floored(0.7 * np.eye(3)[labels] + 0.3 * np.eye(3)[(labels + np.arange(30) % 2) % 3])
    made, turned = calibration.fit(said, labels), calibration.fit(said[:, ::-1], 2 - labels)
    assert (turned.level, turned.rise) == pytest.approx((made.level, made.rise), abs=1e-3)
