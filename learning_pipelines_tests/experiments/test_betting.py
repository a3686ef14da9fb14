"""Capital that nobody can expect to win where there is nothing to win, and intervals and p values that agree.

Belongs here: exact expectations by enumeration, properties of capital. Not here: states (test_exact.py), simulated rates (test_exact_error_rates.py).
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from learning_pipelines.experiments import betting
from learning_pipelines.experiments.betting import Differences
from learning_pipelines.experiments.exact import ExactState


def histogram(rising: int, falling: int, equal: int) -> Differences:
    return Differences.of(np.array([1.0, -1.0, 0.0]), np.ones(3), np.array([rising, falling, equal], dtype=np.float64))


@pytest.mark.parametrize("share", [0.5, 0.2, 0.9])
@pytest.mark.parametrize("block", [2, 5])
def test_over_all_orders_of_the_arms_capital_is_worth_what_it_was_whatever_the_values_do(share: float, block: int) -> None:
    """Fixed values that break down in the middle; each order of ten arms with its chance. What is won in one order is lost in others, to the last digit."""
    values = np.array([4, 4, 3, 4, 0, 0, 1, 0, 0, 4]) / 4
    expected = 0.0
    for arms in itertools.product([False, True], repeat=10):
        _, capital = ExactState(block).add(arms, values)
        won = math.exp(capital[-1, 0]) if len(capital) else 1.0
        expected += share ** sum(arms) * (1 - share) ** (10 - sum(arms)) * won
    assert expected == pytest.approx(1.0, abs=1e-7)
    assert expected <= 1.0 + 1e-12, "logarithms are rounded down"


def test_pairs_in_the_order_of_arrival_are_worth_more() -> None:
    """The same values: that is a bet one may expect to win."""
    values = np.array([4, 4, 3, 4, 0, 0, 1, 0, 0, 4]) / 4
    won = []
    for arms in itertools.product([False, True], repeat=10):
        treated = np.array(arms)
        pairs = min(treated.sum(), (~treated).sum())
        differences = values[treated][:pairs] - values[~treated][:pairs]
        won.append(math.exp(betting.log_capital(Differences(differences, np.ones(pairs), np.ones(pairs)))) if pairs else 1.0)
    assert np.mean(won) > 1.0001


def test_the_shares_are_a_capital_of_one_and_no_bet_can_lose_it_all() -> None:
    assert betting.SHARES.sum() == pytest.approx(1.0, abs=1e-12)
    for mean in (-1.0, -0.5, 0.0, 0.5, 1.0):
        worst = 1 + betting.stakes(np.array([0.1, 1.0, 50.0]), mean) * (-1.0 - mean)
        assert worst.min() > 1 - betting.MOST - 1e-12


def test_capital_falls_as_the_mean_that_it_is_staked_against_rises() -> None:
    found = Differences.of(np.array([-1.0, 0.25, 0.5, 1.0]), np.array([1.0, 8.0, 2.0, 1.0]), np.array([5.0, 10.0, 3.0, 9.0]))
    capital = [betting.log_capital(found, mean) for mean in np.linspace(-1, 1, 401)]
    assert np.all(np.diff(capital) < 0)


@pytest.mark.filterwarnings("error")
def test_against_the_lowest_mean_everything_may_be_staked_and_nothing_warns() -> None:
    assert betting.stakes(np.array([1.0, 1e9]), -1.0).tolist() == np.outer([1.0, 1e9], betting.BETS).tolist()


def test_capital_p_value_and_interval_are_what_their_formulas_give() -> None:
    """Bets of a share each, every one staked at its weight and at most .95 of what can be lost."""
    values, weights, counts = np.array([0.5, -0.25, 1.0]), np.array([1.0, 2.0, 40.0]), np.array([12.0, 5.0, 3.0])
    found = Differences.of(values, weights, counts)

    def capital(values: np.ndarray, mean: float) -> float:
        won = 0.0
        for bet, share in zip(betting.BETS.tolist(), betting.SHARES.tolist(), strict=True):
            stakes = [min(weight * bet, 0.95 / (1 + mean)) for weight in weights.tolist()]
            won += share * math.prod((1 + stake * (value - mean)) ** count for stake, value, count in zip(stakes, values, counts, strict=True))
        return math.log(won)

    for mean in (-0.5, 0.0, 0.4):
        assert betting.log_capital(found, mean) == pytest.approx(capital(values, mean), rel=1e-9)
    up, down = capital(values, 0.0), capital(-values, 0.0)
    assert up > 0 > down
    assert betting.p_value(found) == pytest.approx(2 * math.exp(-up)) == betting.p_value(found.mirrored())
    assert betting.p_value(found, (up + 1, 0.0)) == pytest.approx(2 * math.exp(-up - 1)) == pytest.approx(betting.p_value(found, (0.0, up + 1)))
    assert betting.p_value(histogram(3, 3, 0)) == 1.0
    low, high = betting.interval(found, 0.05)
    assert capital(values, low) == pytest.approx(math.log(2 / 0.05), abs=1e-9) and capital(-values, -high) == pytest.approx(math.log(2 / 0.05), abs=1e-9)


def test_few_differences_leave_the_whole_scale_open_and_a_peak_refutes_one_side_for_good() -> None:
    few = histogram(1, 1, 0)
    level = math.log(2 / 0.05)
    assert betting.interval(few, 0.05) == (-1.0, 1.0) == betting.interval(few, 0.05, (level, level))
    assert betting.interval(few, 0.05, (level, 0.0)) == (-1.0, 1.0) == betting.interval(few, 0.05, (0.0, level))
    assert betting.interval(few, 0.05, (level + 1e-9, 0.0)) == (1e-12, 1.0)
    assert betting.interval(few, 0.05, (0.0, level + 1e-9)) == (-1.0, -1e-12)
    assert betting.interval(few, 0.05, (level + 1, level + 1)) == (-1.0, 1.0)
    clear = histogram(90, 10, 0)
    for found in (clear, histogram(8, 0, 0)):  # of eight that rise the lowest mean is just refuted
        assert betting.log_capital(found, betting.interval(found, 0.05)[0]) == pytest.approx(level, abs=1e-9)
    assert betting.interval(clear, 0.05, (level + 1, 0.0)) == betting.interval(clear, 0.05) == betting.interval(clear, 0.05, (0.0, level + 1))
    gone = histogram(10, 90, 0)
    assert betting.interval(gone, 0.05, (level + 1, 0.0)) == betting.interval(gone, 0.05)


@pytest.mark.parametrize("alpha", [0.2, 0.05, 0.001])
def test_interval_and_p_value_agree_about_zero(alpha: float) -> None:
    verdicts = set()
    for rising in range(30, 90):
        found = histogram(rising, 40, 20)
        low, high = betting.interval(found, alpha)
        verdicts.add(low > 0)
        assert (low > 0 or high < 0) == (betting.p_value(found) < alpha)
        assert low < (rising - 40) / (rising + 60) < high
    assert verdicts == ({True, False} if alpha > 0.001 else verdicts)


def test_bets_added_up_in_parts_are_the_capital_of_the_histogram() -> None:
    values, weights = np.array([1.0, -1.0, 0.25]), np.array([1.0, 2.0, 16.0])
    parts = betting.gains(values, weights) * np.array([[7], [2], [5]])
    assert parts.dtype == np.int64  # whole numbers: the same sum in whatever portions
    apart = betting.log_capital(Differences.of(values, weights, np.array([7.0, 2.0, 5.0])))
    assert float(betting.log_capitals(parts.sum(axis=0))) == pytest.approx(apart, abs=1e-7)
