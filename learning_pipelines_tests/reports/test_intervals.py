"""Intervals of a report by simulation: they hold what they promise, also of small and skewed counts.

Belongs here: reports/intervals.py. Not here: reports of real rows (test_week.py).
"""

from __future__ import annotations

import numpy as np
import pytest

from learning_pipelines.reports.intervals import Sums, mean, mean_difference, moved, share, share_difference


def sums(values: np.ndarray) -> Sums:
    return Sums(len(values), float(values.sum()), float((values**2).sum()))


@pytest.mark.parametrize(("shares", "n"), [((0.02, 0.02, 0.06, 0.2, 0.7), 12), ((0.0, 0.0, 0.0, 0.1, 0.9), 8), ((0.4, 0.1, 0.0, 0.1, 0.4), 40)])
def test_the_interval_of_a_mean_rating_holds_it_95_times_of_100(shares: tuple[float, ...], n: int) -> None:
    rng, stars = np.random.default_rng(1), np.arange(1, 6)
    truth = float(np.dot(shares, stars))
    found = [mean(sums(rng.choice(stars, n, p=shares).astype(float))) for _ in range(2000)]
    assert np.mean([low <= truth <= high for low, high in found]) >= 0.945  # type: ignore[misc]


def test_the_interval_of_a_change_of_ratings_leaves_out_0_in_5_of_100_weeks_in_which_nothing_changed() -> None:
    rng, stars = np.random.default_rng(2), np.arange(1, 6)
    shares = (0.05, 0.05, 0.1, 0.2, 0.6)
    wrong = 0
    for _ in range(2000):
        low, high = mean_difference(*(sums(rng.choice(stars, n, p=shares).astype(float)) for n in (15, 60)))  # type: ignore[misc]
        wrong += not low <= 0 <= high
    assert wrong / 2000 <= 0.055


def test_the_interval_of_a_change_of_shares_leaves_out_0_in_5_of_100_weeks_in_which_nothing_changed() -> None:
    rng = np.random.default_rng(3)
    wrong = 0
    for _ in range(4000):
        now, before = (int(rng.binomial(150, 0.12)), 150), (int(rng.binomial(60, 0.12)), 60)
        low, high = share_difference(now, before)  # type: ignore[misc]
        wrong += not low <= 0 <= high
    assert wrong / 4000 <= 0.06


def test_of_eight_complaints_that_do_not_change_one_is_called_rising_or_falling_in_at_most_5_of_100_weeks() -> None:
    rng = np.random.default_rng(4)
    shares = (0.2, 0.15, 0.1, 0.08, 0.05, 0.03, 0.01, 0.005)
    named = 0
    for _ in range(400):
        now, before = ({f"c{place}": int(rng.binomial(120, part)) for place, part in enumerate(shares)} for _ in range(2))
        named += any(verdict != "no evidence" for verdict, _ in moved(now, before, 120, 120).values())
    assert named / 400 <= 0.07


def test_a_complaint_that_triples_is_rising_and_one_that_vanishes_falling() -> None:
    found = moved({"tone": 30, "incorrect": 5, "unclear": 0}, {"tone": 10, "incorrect": 6, "unclear": 20}, 100, 100)
    assert [found[name][0] for name in ("tone", "incorrect", "unclear")] == ["rising", "no evidence", "falling"]


def test_what_has_nothing_behind_it_has_no_interval() -> None:
    assert (share(0, 0), mean(Sums(0, 0, 0)), share_difference((1, 2), (0, 0)), mean_difference(Sums(1, 5, 25), Sums(0, 0, 0))) == (None,) * 4
    assert moved({"tone": 1}, {}, 3, 0) == {"tone": ("no evidence", None)}


def test_three_fives_are_no_proof_of_five() -> None:
    low, high = mean(Sums(3, 15, 75))  # type: ignore[misc]
    assert low < 3 and high == 5
