"""How often looking again and again says something false: in at most 6 of 100 experiments, from the burn-in on, whatever the values are like.

Each test simulates experiments with twenty looks, from 100 units per arm on, and counts those of which any interval left the truth out (nominal: 5 %).
Where a simpler analysis exists its error on the same data stands beside it, so that the data are seen to be hard.
"""

from __future__ import annotations

import numpy as np
import pytest

from learning_pipelines.experiments.asymptotic import compare
from learning_pipelines.experiments.event_looks import looks
from learning_pipelines.experiments.unit_sums import UnitSums
from learning_pipelines_tests.experiments.simulated import one_value_per_unit, share_wrong, used_more_and_more

LIMIT = 0.06


@pytest.mark.parametrize(("sigma", "share", "units"), [(1.0, 0.5, 2_000), (1.5, 0.5, 2_000), (1.5, 0.05, 5_000)])
def test_lognormal_values_at_equal_and_at_unequal_shares(sigma: float, share: float, units: int) -> None:
    """At 5 % treatment with each arm's own variance: 15 %."""
    draw = np.random.default_rng(1)
    treated = draw.random((300, units)) < share

    assert share_wrong(one_value_per_unit(draw.lognormal(0, sigma, treated.shape), treated, int(110 / share))) <= LIMIT


def test_a_look_after_every_event() -> None:
    draw = np.random.default_rng(7)
    found = [looks(draw.random(4_000) < 0.5, draw.lognormal(0, 1.5, 4_000)).first_conclusive() for _ in range(300)]

    assert sum(first is not None for first in found) <= LIMIT * 300


def test_a_true_difference_of_lognormal_values_stays_in_the_interval() -> None:
    draw = np.random.default_rng(2)
    treated = draw.random((300, 2_000)) < 0.3
    values = draw.lognormal(0, 1, treated.shape) * np.where(treated, 1.5, 1.0)

    assert share_wrong(one_value_per_unit(values, treated, 350), truth=0.5 * float(np.exp(0.5))) <= LIMIT


def test_values_that_rise_and_fall_while_the_weights_change() -> None:
    """5 % treatment while everything is fast, then halves while it is slow. Thrown together, most experiments find the treatment slower."""
    draw = np.random.default_rng(3)
    wave = 0.5 * np.sin(np.linspace(0, 12, 2_500))
    epochs = []
    for share, slowness in ((0.05, 0.0), (0.5, 0.7)):
        treated = draw.random((200, 2_500)) < share
        epochs.append(one_value_per_unit(draw.lognormal(0, 1, treated.shape) * np.exp(wave + slowness), treated, 200))
    experiments = [first.then(second) for first, second in zip(*epochs, strict=True)]

    assert share_wrong(experiments) <= LIMIT
    assert share_wrong([experiment.pooled() for experiment in experiments]) > 0.5


def test_executions_of_the_same_unit_are_alike_and_units_are_used_more_and_more() -> None:
    """Taken as units of their own, the executions find a difference in every few experiments."""
    assert share_wrong(used_more_and_more(np.random.default_rng(4), 200, 1_200, wave=0.3)) <= LIMIT
    assert share_wrong(used_more_and_more(np.random.default_rng(4), 200, 1_200, wave=0.3, clustered=False)) > 2 * LIMIT


@pytest.mark.parametrize(("share", "new", "units"), [(0.5, 0.0, 1_000), (0.05, 0.0, 3_000), (0.5, 0.9, 1_000)])
def test_the_past_as_covariate_keeps_the_error_also_where_few_are_treated_or_few_have_a_past(share: float, new: float, units: int) -> None:
    assert share_wrong(used_more_and_more(np.random.default_rng(5), 100, units, share=share, new=new), cuped=True) <= LIMIT


def test_the_past_as_covariate_narrows_the_interval_as_the_correlation_says() -> None:
    """A ratio whose units differ by 2 for good and by 1 each time: correlation .8, so the interval is √(1 - .64) as wide."""
    draw = np.random.default_rng(6)
    units = 20_000
    executions, own = 1 + draw.poisson(3, units), 10 + draw.normal(0, 2, units)
    after, before = (executions * (own + draw.normal(0, 1, units)) for _ in (0, 1))
    rows = np.column_stack([after, executions, before, executions])
    states = {1: UnitSums.of(rows[::2])}, {1: UnitSums.of(rows[1::2])}

    plain, adjusted = (compare(*states, metric="m", variant="t", cuped=cuped) for cuped in (False, True))

    assert (adjusted.high - adjusted.low) / (plain.high - plain.low) == pytest.approx(0.6, rel=0.02)
