"""Two variants compared in a ratio: what is said, and where nothing is. Error rates: test_asymptotic_error.py."""

from __future__ import annotations

import math

import numpy as np
import pytest

from learning_pipelines.experiments.asymptotic import BURN_IN, compare
from learning_pipelines.experiments.comparison import Comparison
from learning_pipelines.experiments.event_looks import looks
from learning_pipelines.experiments.fixed_horizon import welch
from learning_pipelines.experiments.metrics import METRICS
from learning_pipelines.experiments.unit_sums import UnitSums


def said(control: dict[int, UnitSums], treatment: dict[int, UnitSums], **options: bool) -> Comparison:
    return compare(control, treatment, metric="latency_ms", variant="treatment", **options)


def drawn(n: int, mean: float, seed: int, sd: float = 1.0) -> UnitSums:
    return UnitSums.of_values(np.random.default_rng(seed).normal(mean, sd, n))


def test_swapping_the_arms_mirrors_everything() -> None:
    one, other = {1: drawn(300, 5.0, 1), 2: drawn(150, 6.0, 2)}, {1: drawn(100, 5.5, 3), 2: drawn(400, 6.5, 4)}

    forth, back = said(one, other), said(other, one)

    assert (forth.difference, forth.low, forth.high, forth.p) == (-(back.difference or 0), -back.high, -back.low, back.p)
    assert forth.conclusive


def test_the_interval_leaves_zero_out_exactly_where_p_is_below_alpha() -> None:
    verdicts = []
    for shift in np.linspace(-0.1, 0.5, 31):
        comparison = said({1: drawn(200, 0.0, 5)}, {1: drawn(200, float(shift), 6)})
        assert comparison.conclusive == (comparison.p < 0.05)
        verdicts.append(comparison.conclusive)

    assert verdicts[0] is False and verdicts[-1] is True


def test_epochs_of_other_weights_are_compared_apart() -> None:
    """Simpson's paradox: the treatment is slower in each epoch, and came when everybody was fast."""
    slow, fast = {1: drawn(1000, 100.0, 7), 2: drawn(100, 50.0, 8)}, {1: drawn(100, 101.0, 9), 2: drawn(1000, 51.0, 10)}

    comparison = said(slow, fast)

    assert comparison.difference == pytest.approx(1.0, abs=0.2)
    assert comparison.low > 0
    assert comparison.mean_control is not None and comparison.mean_treatment is not None
    assert comparison.mean_treatment < comparison.mean_control  # of all units, which nobody should compare


def test_nothing_is_said_before_the_burn_in() -> None:
    early = said({1: drawn(BURN_IN, 0.0, 11)}, {1: drawn(BURN_IN - 1, 50.0, 12)})

    assert not early.ready and not early.conclusive
    assert (early.low, early.high, early.p) == (-math.inf, math.inf, 1.0)
    assert said({1: drawn(BURN_IN, 0.0, 11)}, {1: drawn(BURN_IN, 50.0, 12)}).conclusive


same = UnitSums.of_values([3.0] * 500)
decimal = UnitSums.of_values([0.1] * 500)
proportional = UnitSums.of([(0.7 * k, k) for k in range(1, 501)])


@pytest.mark.parametrize(
    ("control", "treatment"),
    [
        ({}, {}),
        ({1: same}, {}),
        ({1: same}, {1: UnitSums()}),
        ({1: same}, {1: UnitSums.of_values([1.0])}),
        ({1: same}, {2: same}),
        ({1: same}, {1: UnitSums.of_values([4.0] * 500)}),
        ({1: decimal}, {1: UnitSums.of_values([0.3] * 500)}),
        ({1: proportional}, {1: UnitSums.of([(0.8 * k, k) for k in range(1, 501)])}),
        ({1: UnitSums.of([(0.0, 0.0)] * 500)}, {1: same}),
    ],
    ids=["nothing", "no arm", "empty arm", "one unit", "no common epoch", "constant", "constant decimals", "constant ratio", "no denominators"],
)
def test_no_verdict_comes_from_nothing(control: dict[int, UnitSums], treatment: dict[int, UnitSums]) -> None:
    for comparison in (said(control, treatment), said(treatment, control), said(control, treatment, cuped=True)):
        assert not comparison.ready and comparison.p == 1.0


def test_a_variant_of_which_every_output_is_a_refusal_is_told_from_one_without_any() -> None:
    """No unit differs from its arm, but this is no lack of spread."""
    executions = np.arange(1, 151)
    answering = UnitSums.of(np.column_stack([np.zeros(150), executions]))
    refusing = UnitSums.of(np.column_stack([executions, executions])[:BURN_IN])

    comparison = said({1: answering}, {1: refusing})

    assert comparison.difference == 1.0 and comparison.conclusive and comparison.low > 0.5
    assert said({1: refusing}, {1: answering}).high == -comparison.low
    assert not said({1: answering}, {1: UnitSums.of([(1.0, 1.0)])}).ready
    assert not said({1: answering}, {1: answering}).ready and not said({1: refusing}, {1: refusing}).ready


def test_an_epoch_without_spread_neither_helps_nor_spoils_the_others() -> None:
    control, treatment = drawn(200, 0.0, 13), drawn(200, 0.5, 14)

    alone, beside = said({1: control}, {1: treatment}), said({1: control, 2: same}, {1: treatment, 2: UnitSums.of_values([9.0] * 500)})

    assert (alone.low, alone.high) == (beside.low, beside.high)


def test_a_covariate_takes_off_what_was_there_before() -> None:
    """Units differ by 10 before and after; the treatment got the slow ones by chance."""
    draw = np.random.default_rng(15)
    before = draw.normal(100, 10, 2000)
    after = before + draw.normal(0, 2, 2000)
    treated = np.arange(2000) < 1000
    after[treated] += 0.5
    rows = np.column_stack([after, np.ones(2000), before, np.ones(2000)])
    states = {1: UnitSums.of(rows[~treated])}, {1: UnitSums.of(rows[treated])}

    plain, adjusted = said(*states), said(*states, cuped=True)

    assert (adjusted.high - adjusted.low) / (plain.high - plain.low) == pytest.approx(2 / math.sqrt(104), rel=0.1)
    assert adjusted.difference == pytest.approx(0.5, abs=0.25)


def test_a_covariate_that_nobody_has_changes_nothing() -> None:
    draw = np.random.default_rng(16)
    rows = np.column_stack([draw.normal(5, 1, 600), np.ones(600), np.zeros(600), np.zeros(600)])
    states = {1: UnitSums.of(rows[:300])}, {1: UnitSums.of(rows[300:])}

    assert said(*states, cuped=True) == said(*states)


def test_all_looks_at_once_say_what_each_look_says() -> None:
    draw = np.random.default_rng(17)
    values, treated = draw.lognormal(0, 1, 900), draw.random(900) < 0.3
    seen = looks(treated, values)
    for k in (10, 300, 500, 899):
        x, a = values[: k + 1], treated[: k + 1]
        one = said({1: UnitSums.of_values(x[~a])}, {1: UnitSums.of_values(x[a])})
        assert (seen.low[k], seen.high[k], seen.p[k]) == pytest.approx((one.low, one.high, one.p), rel=1e-9)


def test_looks_on_constant_values_conclude_nothing() -> None:
    assert looks([False, True] * 400, [0.1, 0.3] * 400).first_conclusive() is None
    assert looks([], []).first_conclusive() is None


def test_a_fixed_look_is_welchs() -> None:
    from scipy.stats import ttest_ind

    draw = np.random.default_rng(18)
    control, treatment = draw.normal(0, 1, 40), draw.normal(0.5, 3, 70)
    expected = ttest_ind(treatment, control, equal_var=False)

    found = welch(UnitSums.of_values(control), UnitSums.of_values(treatment), metric="m", variant="t")

    assert found.p == pytest.approx(expected.pvalue, rel=1e-9)
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval(0.95)), rel=1e-9)
    assert not welch(same, UnitSums.of_values([4.0] * 500), metric="m", variant="t").ready


def test_the_feedback_rate_is_compared_as_a_ratio_clustered_by_unit() -> None:
    """Who answers is not everybody: the same thumbs, but half as many answers."""
    metric, draw = METRICS["feedback_rate"], np.random.default_rng(21)
    assert (metric.family, metric.numerator, metric.denominator) == ("ratio", "with_feedback", "executions")
    executions = 1 + draw.poisson(5, 1_000)
    answering = np.where(np.arange(1_000) < 500, 0.2, 0.1) * draw.exponential(1.0, 1_000).clip(max=4)
    rows = np.column_stack([draw.binomial(executions, answering), executions])

    comparison = compare({1: UnitSums.of(rows[:500])}, {1: UnitSums.of(rows[500:])}, metric=metric.name, variant="treatment")

    assert comparison.high < 0 and comparison.low < -0.1 < comparison.high
