"""How many units are needed, which effects are seen, how much longer it takes: held against experiments that are run."""

from __future__ import annotations

import math

import numpy as np
import pytest

from learning_pipelines.errors import BadInput
from learning_pipelines.experiments.asymptotic import BURN_IN, compare
from learning_pipelines.experiments.comparison import Comparison
from learning_pipelines.experiments.event_looks import looks
from learning_pipelines.experiments.exact import ExactState
from learning_pipelines.experiments.exact import compare as compare_exactly
from learning_pipelines.experiments.longer import how_much_longer
from learning_pipelines.experiments.metrics import metric
from learning_pipelines.experiments.multiplicity import each
from learning_pipelines.experiments.sizes import units_for_ratio, units_for_values
from learning_pipelines.experiments.unit_sums import UnitSums

THUMBS, RATING = metric("thumbs"), metric("rating")


def test_the_units_planned_for_a_mean_are_those_after_which_four_of_five_experiments_have_concluded() -> None:
    plan = units_for_ratio(0.25, 1.0)
    draw = np.random.default_rng(1)
    concluded = []
    for _ in range(300):
        treated = np.arange(2 * plan.units) % 2 == 0
        values = draw.exponential(1.0, len(treated)) + 0.25 * treated
        concluded.append(bool((looks(treated, values).low > 0).any()))

    assert np.mean(concluded) == pytest.approx(0.8, abs=0.07)
    assert plan.half < plan.units and 0 < plan.error < plan.units / 10


def test_the_units_planned_for_thumbs_are_those_after_which_four_of_five_experiments_have_concluded() -> None:
    plan = units_for_values(0.15, 0.5, metric=THUMBS)
    draw = np.random.default_rng(2)
    concluded = []
    for _ in range(150):
        treated = draw.random(2 * plan.units) < 0.5
        _, capital = ExactState().add(treated, (draw.random(len(treated)) < 0.5 + 0.15 * treated).astype(float))
        concluded.append(bool((capital[:, 0] >= math.log(2 / 0.05)).any()))

    assert np.mean(concluded) == pytest.approx(0.8, abs=0.1)


def test_ratings_of_small_spread_need_fewer_units_and_a_fall_as_many_as_a_rise() -> None:
    wide, narrow = (units_for_values(0.8, 3.0, metric=RATING, spread=spread).units for spread in (1.4, 0.8))
    fall = units_for_values(-0.8, 3.8, metric=RATING, spread=1.4).units

    assert narrow < 0.8 * wide
    assert fall == pytest.approx(wide, rel=0.15)


def test_small_effects_and_many_treatments_need_more() -> None:
    one = units_for_ratio(0.1, 1.0).units

    assert units_for_ratio(0.05, 1.0).units == pytest.approx(4.3 * one, rel=0.1)
    assert units_for_ratio(0.1, 1.0, alpha=each(0.05, 3)).units == pytest.approx(1.2 * one, rel=0.1)
    assert units_for_ratio(20.0, 100.0, power=0.8).units == units_for_ratio(-0.2, 1.0).units
    assert units_for_ratio(50.0, 1.0).units == BURN_IN


@pytest.mark.parametrize(
    "planned",
    [
        lambda: units_for_ratio(0.0, 1.0),
        lambda: units_for_ratio(0.1, 0.0),
        lambda: units_for_ratio(0.1, -1.0),
        lambda: units_for_ratio(math.nan, 1.0),
        lambda: units_for_ratio(0.1, 1.0, power=1.0),
        lambda: units_for_values(0.6, 0.5, metric=THUMBS),
        lambda: units_for_values(0.1, -0.1, metric=THUMBS),
        lambda: units_for_values(0.1, 1.05, metric=RATING, spread=2.0),
    ],
)
def test_what_cannot_be_planned_is_refused(planned) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(BadInput):
        planned()


def mean_of(n: int, difference: float) -> Comparison:
    """Two arms of n units whose means differ by exactly this, and whose standard deviations are 1."""
    values = np.random.default_rng(3).normal(size=n)
    values = (values - values.mean()) / values.std()
    return compare({1: UnitSums.of_values(values)}, {1: UnitSums.of_values(values + difference)}, metric="m", variant="t")


def test_an_experiment_with_the_forecast_units_has_concluded_if_the_difference_stays() -> None:
    now = mean_of(400, 0.15)
    forecast = how_much_longer(now, 100.0)
    assert not now.conclusive and forecast.expected_units is not None and forecast.expected_hours == forecast.expected_units / 100.0

    enough = 400 + forecast.expected_units // 2

    assert mean_of(enough + 5, 0.15).conclusive and not mean_of(enough - 20, 0.15).conclusive


def test_most_experiments_conclude_between_least_and_most() -> None:
    draw = np.random.default_rng(4)
    inside, forecasts = 0, 0
    for _ in range(150):
        treated = np.arange(24_000) % 2 == 0
        seen = looks(treated, draw.normal(0, 1, 24_000) + 0.1 * treated)
        k = 1_999
        if seen.low[k] > 0 or seen.difference[k] <= 0:
            continue
        now = Comparison("m", "t", 1_000, 1_000, 0.0, 0.0, seen.difference[k], seen.low[k], seen.high[k], seen.p[k], 0.05, exact=False, ready=True)
        forecast = how_much_longer(now, 1.0)
        later = np.flatnonzero(seen.low[k:] > 0)
        units = int(later[0]) if later.size else 10**9
        forecasts += 1
        assert forecast.least_units is not None
        inside += forecast.least_units <= units <= (forecast.most_units or 10**10)

    assert forecasts > 75
    assert inside / forecasts > 0.6


def test_forecasts_hold_for_exact_comparisons_too() -> None:
    draw = np.random.default_rng(5)
    inside, forecasts = 0, 0
    for _ in range(80):
        treated = draw.random(8_000) < 0.5
        thumbs, state = (draw.random(8_000) < 0.5 + 0.08 * treated).astype(float), ExactState()
        state.add(treated[:600], thumbs[:600])
        now = compare_exactly([state], THUMBS, "t", 0.05)
        if now.conclusive or now.difference is None or now.difference <= 0:
            continue
        forecast = how_much_longer(now, 1.0)
        made, capital = state.add(treated[600:], thumbs[600:])
        over = made.last[capital[:, 0] >= math.log(2 / 0.05)]
        forecasts += 1
        assert forecast.least_units is not None
        inside += forecast.least_units <= (over[0] if len(over) else 10**9) <= (forecast.most_units or 10**10)

    assert forecasts > 40
    assert inside / forecasts > 0.6


def test_without_a_difference_only_a_smallest_effect_bounds_the_time() -> None:
    now = mean_of(400, 0.0)

    assert how_much_longer(now, 10.0).most_units is None and how_much_longer(now, 10.0).expected_units is None
    bounded = how_much_longer(now, 10.0, smallest=0.1)
    assert bounded.most_units is not None and bounded.expected_units == bounded.most_units
    assert "at most" in bounded.sentence() and "no upper limit" in how_much_longer(now, 10.0).sentence()


def test_before_the_burn_in_only_the_burn_in_is_known() -> None:
    forecast = how_much_longer(mean_of(BURN_IN // 2, 0.0), 10.0)

    assert (forecast.least_units, forecast.expected_units, forecast.most_units) == (BURN_IN, None, None)
    assert how_much_longer(compare({}, {}, metric="m", variant="t"), 0.0).least_units == 2 * BURN_IN


def test_a_concluded_experiment_takes_no_longer() -> None:
    assert how_much_longer(mean_of(400, 5.0), 10.0).most_units == 0
