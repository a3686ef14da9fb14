"""One look at totals: Welch's test and interval as SciPy has them, and where there is nothing to say.

Belongs here: fixed_horizon.py. Not here: parity with gbstats (test_gbstats_parity.py).
"""

from __future__ import annotations

import math

import pytest
from scipy.stats import ttest_ind

from learning_pipelines.experiments.comparison import Comparison
from learning_pipelines.experiments.fixed_horizon import welch
from learning_pipelines.experiments.unit_sums import UnitSums

FEW, MORE = [1.0, 4.0], [2.0, 5.0, 9.0, 12.0]


def looked(control: list[float], treatment: list[float], alpha: float = 0.05) -> Comparison:
    return welch(UnitSums.of_values(control), UnitSums.of_values(treatment), metric="stars", variant="b", alpha=alpha)


@pytest.mark.parametrize(("control", "treatment"), [(FEW, MORE), (MORE, FEW)])
def test_two_units_in_an_arm_are_enough_for_welch_s_test(control: list[float], treatment: list[float]) -> None:
    found, theirs = looked(control, treatment, 0.1), ttest_ind(treatment, control, equal_var=False)
    interval = theirs.confidence_interval(0.9)
    assert (found.low, found.high, found.p) == pytest.approx((interval.low, interval.high, theirs.pvalue))
    assert (found.metric, found.variant, found.n_control, found.n_treatment) == ("stars", "b", len(control), len(treatment))
    assert found.difference == pytest.approx(sum(treatment) / len(treatment) - sum(control) / len(control))
    assert (found.alpha, found.exact, found.ready) == (0.1, False, True)


@pytest.mark.parametrize(("control", "treatment"), [([], MORE), (MORE, []), (FEW[:1], MORE), (MORE, FEW[:1]), ([3.0] * 5, [4.0] * 5)])
def test_without_two_units_or_any_spread_nothing_is_said(control: list[float], treatment: list[float]) -> None:
    found = looked(control, treatment)
    assert (found.low, found.high, found.p, found.ready) == (-math.inf, math.inf, 1.0, False)
    assert (found.difference is None) is (not control or not treatment)
