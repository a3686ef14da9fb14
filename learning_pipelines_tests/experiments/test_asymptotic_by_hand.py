"""Comparisons of ratios, computed again from the units themselves: estimate, variance, covariate, boundary, and where each of them begins.

Belongs here: the formulas of asymptotic.py, spelled out on rows. Not here: what follows from them (test_asymptotic.py), error rates (test_asymptotic_error.py).
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from learning_pipelines.experiments.asymptotic import TUNED_UNITS, anytime_p, anytime_ps, common_theta, compare, ratio, unit_variance
from learning_pipelines.experiments.comparison import Comparison
from learning_pipelines.experiments.unit_sums import UnitSums

Rows = np.ndarray
Arms = tuple[Rows, Rows]


def drawn(n: int, shift: float, seed: int) -> Rows:
    """(milliseconds, executions) since the exposure and before, of n units that differ."""
    draw = np.random.default_rng(seed)
    own, now, before = draw.lognormal(0, 0.3, n), 1 + draw.poisson(4, n), 1 + draw.poisson(6, n)
    return np.column_stack([now * own * (5 + shift) + draw.normal(0, 1, n), now, before * own * 5 + draw.normal(0, 1, n), before])


EPOCHS: dict[int, Arms] = {1: (drawn(140, 0.0, 1), drawn(60, 0.9, 2)), 2: (drawn(30, 0.0, 3), drawn(170, 0.7, 4))}
RHO = (-2 * math.log(0.05) + math.log(-2 * math.log(0.05)) + 1) / (TUNED_UNITS / 2)


def said(epochs: dict[int, Arms], cuped: bool = False, alpha: float = 0.05, burn_in: int = 100) -> Comparison:
    arms = [{epoch: UnitSums.of(pair[arm]) for epoch, pair in epochs.items()} for arm in (0, 1)]
    return compare(arms[0], arms[1], metric="latency_ms", variant="b", alpha=alpha, cuped=cuped, burn_in=burn_in)


def spread_out(rows: Rows, a: int, b: int) -> Rows:
    """What each unit adds to the ratio of two columns: the delta method's linear part."""
    return (rows[:, a] - rows[:, a].sum() / rows[:, b].sum() * rows[:, b]) / rows[:, b].mean()


def by_hand(epochs: dict[int, Arms], cuped: bool, alpha: float) -> tuple[float, float, float, float]:
    joint = [np.vstack(pair) for pair in epochs.values()]
    covariances = [np.cov(spread_out(rows, 0, 1), spread_out(rows, 2, 3)) * (len(rows) - 1) for rows in joint] if cuped else []
    theta = sum(one[0, 1] for one in covariances) / sum(one[1, 1] for one in covariances) if cuped else 0.0
    strata = []
    for pair in epochs.values():
        n = [len(rows) for rows in pair]
        means = [rows[:, 0].sum() / rows[:, 1].sum() - (theta * rows[:, 2].sum() / rows[:, 3].sum() if theta else 0.0) for rows in pair]
        variances = [np.var(spread_out(rows, 0, 1) - (theta * spread_out(rows, 2, 3) if theta else 0.0), ddof=1) for rows in pair]
        size = n[0] * n[1] / sum(n)
        own, together = variances[0] / n[0] + variances[1] / n[1], (n[0] * variances[0] + n[1] * variances[1]) / sum(n) / size
        strata.append((size, means[1] - means[0], max(own, together)))
    whole = sum(size for size, _, _ in strata)
    difference = sum(size * one for size, one, _ in strata) / whole
    variance = sum(size**2 * one for size, _, one in strata) / whole**2
    grown = RHO * whole
    radius = math.sqrt(variance * (1 + 1 / grown) * (math.log(1 + grown) - 2 * math.log(alpha)))
    p = math.sqrt(1 + grown) * math.exp(-(difference**2) / variance * grown / (1 + grown) / 2)
    return difference, difference - radius, difference + radius, min(1.0, p)


@pytest.mark.parametrize("cuped", [False, True])
@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_a_comparison_is_what_its_formulas_give_on_the_units(cuped: bool, alpha: float) -> None:
    found, means = said(EPOCHS, cuped, alpha), [np.vstack([pair[arm] for pair in EPOCHS.values()]).sum(axis=0) for arm in (0, 1)]
    assert (found.difference, found.low, found.high, found.p) == pytest.approx(by_hand(EPOCHS, cuped, alpha), rel=1e-9)
    assert (found.mean_control, found.mean_treatment) == pytest.approx(tuple(sums[0] / sums[1] for sums in means))
    assert (found.metric, found.variant, found.n_control, found.n_treatment, found.alpha) == ("latency_ms", "b", 170, 230, alpha)
    assert (found.exact, found.ready) == (False, True)


def test_the_smaller_of_two_spreads_is_not_believed_where_the_small_arm_has_it() -> None:
    """With the shares turned round each arm's own variance is the larger one: both ways it is the larger that counts."""
    wide, narrow = drawn(300, 0.0, 5), drawn(60, 0.0, 6)
    narrow[:, 0] = 5 * narrow[:, 1] + (narrow[:, 0] - 5 * narrow[:, 1]) / 10
    for pair in ((wide, narrow), (narrow, wide), (wide[:60], np.vstack([narrow] * 5))):
        found = said({1: pair}, burn_in=50)
        assert (found.difference, found.low, found.high, found.p) == pytest.approx(by_hand({1: pair}, False, 0.05), rel=1e-6)


def test_an_epoch_has_a_say_from_ten_units_in_each_arm_on() -> None:
    long = (drawn(200, 0.0, 7), drawn(200, 0.5, 8))
    for few in (9, 10):
        for pair in ((drawn(few, 0.0, 9), drawn(60, 0.0, 10)), (drawn(60, 0.0, 9), drawn(few, 0.0, 10))):
            found = said({1: long, 2: pair})
            assert found.difference == pytest.approx(by_hand({1: long, 2: pair} if few == 10 else {1: long}, False, 0.05)[0], rel=1e-9)
            assert found.n_control + found.n_treatment == 400 + few + 60


def test_denominators_have_a_say_when_their_mean_is_known_to_a_fifth() -> None:
    """Of 1 and 9 executions by turns that is at 16 units."""
    for n, known in ((14, False), (16, True)):
        executions = np.tile([1.0, 9.0], n // 2)
        rows = np.column_stack([executions * 3 + np.arange(n), executions])
        assert said({1: (rows, rows + np.array([1.0, 0.0]))}, burn_in=10).ready is known


def test_units_in_which_numerators_and_denominators_are_counted_do_not_matter() -> None:
    """Of denominators that are all alike the mean is known however small it is."""
    alike = [np.column_stack([2 + np.arange(60.0), np.ones(60)]) * 0.001, np.column_stack([3 + np.arange(60.0), np.ones(60)]) * 0.001]
    assert said({1: (alike[0], alike[1])}, burn_in=50).difference == pytest.approx(1.0)
    assert said({1: (alike[0] * 0.001, alike[1] * 0.001)}, burn_in=50).ready
    small = {number: (pair[0] * 1e-4, pair[1] * 1e-4) for number, pair in EPOCHS.items()}
    assert (said(small, True).low, said(small, True).high) == pytest.approx(by_hand(EPOCHS, True, 0.05)[1:3], rel=1e-6)


def test_what_varies_less_than_rounding_does_not_vary() -> None:
    """A variance of 2e-10 of the squared mean, whatever the denominators are."""
    for n, denominator in ((2, 1.0), (200, 0.001), (200, 1.0), (200, 1000.0)):
        for share, known in ((1.6e-10, False), (2.4e-10, True)):
            values = 3 * (1 + math.sqrt(share) * np.tile([-1.0, 1.0], n // 2))
            rows = np.column_stack([values * denominator, np.full(n, denominator)])
            assert (unit_variance(UnitSums.of(rows)) > 0) is known
            past = UnitSums.of(np.column_stack([rows, rows]))
            assert (common_theta([(past, past)]) > 0) is known


def test_only_nothing_against_everything_is_told_apart_without_any_spread() -> None:
    nothing, half, everything = (np.column_stack([np.full(200, rate), np.ones(200)]) for rate in (0.0, 0.5, 1.0))
    assert said({1: (nothing, everything)}).ready and said({1: (everything, nothing)}).ready
    for pair in ((nothing, half), (half, nothing), (half, everything), (everything, half), (nothing, nothing), (everything, everything)):
        assert not said({1: pair}).ready


def test_theta_is_the_slope_on_the_past_in_whatever_unit_it_is_counted() -> None:
    draw = np.random.default_rng(15)
    before = draw.normal(5, 1, 80)
    rows = np.column_stack([2 * before, np.ones(80), before, np.ones(80)])
    small = np.column_stack([2 * before, np.ones(80), before * 0.001, np.ones(80)])
    assert common_theta([(UnitSums.of(rows[:40]), UnitSums.of(rows[40:]))]) == pytest.approx(2.0)
    assert common_theta([(UnitSums.of(small[:40]), UnitSums.of(small[40:]))]) == pytest.approx(2000.0)
    assert common_theta([]) == 0.0


def test_before_the_burn_in_the_difference_is_told_and_no_more() -> None:
    pair = (drawn(50, 0.0, 11), drawn(80, 0.5, 12))
    early = said({1: pair}, burn_in=51)
    assert (early.ready, early.low, early.high, early.p) == (False, -math.inf, math.inf, 1.0)
    assert early.difference == pytest.approx(by_hand({1: pair}, False, 0.05)[0])
    assert said({1: pair}, burn_in=50).ready and not said({1: pair}).ready


def test_a_covariate_is_left_out_of_an_epoch_where_an_arm_lacks_it() -> None:
    """θ is learnt where both arms have a past; an epoch in which one has none is compared as it is."""
    without = drawn(120, 0.0, 13)
    without[:, 2:] = 0
    epochs = {1: EPOCHS[1], 2: (without, drawn(90, 0.5, 14))}
    found, first = said(epochs, cuped=True), by_hand({1: EPOCHS[1]}, True, 0.05)[0]
    second = by_hand({2: (epochs[2][0], epochs[2][1])}, False, 0.05)[0]
    sizes = [140 * 60 / 200, 120 * 90 / 210]
    assert found.difference == pytest.approx((sizes[0] * first + sizes[1] * second) / sum(sizes), rel=1e-9)


def test_p_is_one_where_nothing_differs_and_the_same_for_many_looks() -> None:
    assert anytime_p(0.0, 50.0) == 1.0
    squared, size = np.array([0.0, 4.0, 30.0]), np.array([50.0, 400.0, 400.0])
    assert anytime_ps(squared, size) == pytest.approx([anytime_p(*one) for one in zip(squared.tolist(), size.tolist(), strict=True)])


def test_what_is_unknown_is_none_or_no_spread() -> None:
    assert ratio(1.0, 0.0) is None and ratio(3.0, 0.5) == 6.0
    assert (unit_variance(UnitSums.of([(5.0, 1.0)])), unit_variance(UnitSums.of_values([1.0, 3.0])), unit_variance(UnitSums())) == (0.0, 2.0, 0.0)


def test_an_interval_that_ends_at_zero_is_not_conclusive_and_open_ends_are_null() -> None:
    found = said(EPOCHS)
    assert found.conclusive
    assert not replace(found, low=0.0, high=1.0).conclusive and not replace(found, low=-1.0, high=0.0).conclusive
    assert replace(found, low=-2.0, high=-1.0).conclusive and not replace(found, ready=False).conclusive
    told = replace(found, low=-math.inf, high=math.inf).as_json()
    assert (told["low"], told["high"], told["conclusive"], told["p"]) == (None, None, False, found.p)
    assert found.as_json()["low"] == found.low
