"""Point estimates equal gbstats' 0.8.0 to 1e-9: recorded answers, whose inputs and command stand in gbstats_0_8_0.json.

gbstats pins pandas 1.x and is not installed beside us. It has no covariate for ratios, no epochs and another boundary for looking again, so those have
tests of their own (test_asymptotic.py, test_asymptotic_error.py).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from learning_pipelines.experiments.asymptotic import compare, squared_bound
from learning_pipelines.experiments.comparison import Comparison
from learning_pipelines.experiments.fixed_horizon import welch
from learning_pipelines.experiments.unit_sums import UnitSums

CASES: dict[str, Any] = json.loads((Path(__file__).parent / "gbstats_0_8_0.json").read_text())["cases"]


def sums(kind: str, arm: Any) -> UnitSums:
    if kind == "proportion":
        return UnitSums.of_totals(arm[0], arm[1], arm[1])
    return UnitSums.of([(x, y, c, d) if kind == "ratio" else (x, 1.0, c, 1.0) for x, y, c, d in arm])


def said(name: str) -> Comparison:
    case = CASES[name]
    control, treatment = (sums(case["kind"], case[arm]) for arm in ("control", "treatment"))
    return compare({1: control}, {1: treatment}, metric=name, variant="treatment", cuped=case["kind"] == "cuped", burn_in=10)


@pytest.mark.parametrize("name", CASES)
def test_absolute_and_relative_differences_are_gbstats(name: str) -> None:
    ours, theirs = said(name), CASES[name]["gbstats"]

    assert (ours.mean_control, ours.mean_treatment) == pytest.approx((theirs["mean_control"], theirs["mean_treatment"]), rel=1e-9)
    assert ours.difference is not None and ours.mean_control is not None
    assert ours.difference == pytest.approx(theirs["absolute"], rel=1e-9)
    assert ours.difference / ours.mean_control == pytest.approx(theirs["relative"], rel=1e-9)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case["kind"] in ("mean", "ratio")])
def test_one_fixed_look_is_gbstats_t_test(name: str) -> None:
    case = CASES[name]
    theirs = case["gbstats"]

    ours = welch(*(sums(case["kind"], case[arm]) for arm in ("control", "treatment")), metric=name, variant="treatment")

    assert (ours.low, ours.high, ours.p) == pytest.approx((*theirs["ci"], theirs["p"]), rel=1e-9)


@pytest.mark.parametrize("name", ["mean of equal arms", "ratio of equal arms", "mean with covariate"])
def test_the_variance_behind_the_interval_is_gbstats_where_arms_are_equal(name: str) -> None:
    ours, case = said(name), CASES[name]
    radius, size = (ours.high - ours.low) / 2, len(case["control"]) / 2

    assert radius**2 / squared_bound(size, 0.05) == pytest.approx(case["gbstats"]["variance"], rel=1e-9)
