"""The exact test of a bounded mean: where it is known in closed form, against random weights, and its bound."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from learning_pipelines.acceptance.bounded_mean import lower_bound, p_value


@pytest.mark.parametrize("n", [1, 2, 7, 50, 600, 10_000])
def test_for_differences_of_minus_one_zero_and_one_it_is_the_exact_binomial_test(n: int) -> None:
    for wins in {0, 1, n // 3, n // 2, int(0.6 * n), n - 1, n}:
        exact = float(binom.sf(wins - 1, n, 0.5))
        if exact < 1e-60:
            continue
        values = np.repeat([1.0, -1.0, 0.0], [wins, n - wins, 17])
        assert p_value(values, -1) == pytest.approx(exact, rel=1e-10, abs=0)


@pytest.mark.parametrize("n", [1, 3, 20, 200])
def test_it_is_the_chance_that_randomly_weighted_values_stay_below_the_mean(n: int) -> None:
    rng = np.random.default_rng(n)
    values, draws = rng.uniform(-0.6, 0.8, n), 40_000
    weighted = rng.dirichlet(np.ones(n + 1), draws) @ np.append(values, -1.0)
    share = float(np.mean(weighted <= 0.05))
    assert p_value(values, -1, 0.05) == pytest.approx(share, abs=4 * np.sqrt(max(share * (1 - share), 1 / draws) / draws))


def test_a_mean_below_all_that_is_possible_is_refuted_and_one_above_all_values_is_not() -> None:
    values = np.array([0.2, 0.4])
    assert (p_value(values, 0.0, -0.1), p_value(values, 0.0, 0.4), p_value(values, 0.0, 0.5)) == (0.0, 1.0, 1.0)


def test_the_unit_of_the_values_does_not_matter_however_small_the_probability_is() -> None:
    values = np.repeat([0.01, 0.0], [60, 3])
    assert p_value(values, -0.01) == pytest.approx(0.5**60, rel=1e-9, abs=0)
    assert p_value(1e6 * values, -1e4) == pytest.approx(0.5**60, rel=1e-9, abs=0)


def test_one_value_gives_what_markov_s_inequality_gives() -> None:
    assert p_value(np.array([0.8]), 0.0, 0.2) == pytest.approx(0.25)


def test_the_bound_is_the_mean_that_the_test_just_rejects() -> None:
    values = np.random.default_rng(0).uniform(-1, 1, 30)
    for alpha in (0.2, 0.0125, 1e-5):
        low = lower_bound(values, -1, alpha)
        assert p_value(values, -1, low) == pytest.approx(alpha, rel=1e-6)
        assert -1 < low < values.mean()


def test_without_values_or_at_the_lowest_nothing_is_known() -> None:
    assert p_value(np.array([]), -1) == 1.0
    assert lower_bound(np.array([]), -1, 0.0125) == -1.0
    assert lower_bound(np.array([-1.0, -1.0]), -1, 0.0125) == -1.0
    assert p_value(np.zeros(5), -1) == 1.0
