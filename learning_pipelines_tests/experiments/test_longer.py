"""How much longer an open experiment takes, worked out from the boundary by which its interval narrows; and what is said of it.

Belongs here: longer.py by value. Not here: forecasts held against experiments that are run (test_sizes.py).
"""

from __future__ import annotations

import math
from typing import Any

import pytest

from learning_pipelines.experiments.asymptotic import squared_bound
from learning_pipelines.experiments.comparison import Comparison
from learning_pipelines.experiments.longer import NOTHING, UNKNOWN, Longer, how_much_longer

SIZE = 400 * 600 / 1000


def seen(difference: float | None = 0.1, radius: float = 0.2, alpha: float = 0.05, **more: Any) -> Comparison:
    middle = difference or 0.0
    given: dict[str, Any] = {"n_control": 400, "n_treatment": 600, "exact": False, "ready": True, **more}
    return Comparison(
        "m", "t", given["n_control"], given["n_treatment"], 0.5, 0.6, difference, middle - radius, middle + radius, 0.5, alpha, given["exact"], given["ready"]
    )


def until(share: float, alpha: float = 0.05) -> float:
    """Units until the interval is `share` as wide as now, by halving."""
    low, high = 1.0, 1e4
    while high - low > 1e-9 * high:
        middle = (low + high) / 2
        narrow = math.sqrt(squared_bound(middle * SIZE, alpha) / squared_bound(SIZE, alpha) / middle) <= share
        low, high = (low, middle) if narrow else (middle, high)
    return (high - 1) * 1000


@pytest.mark.parametrize("alpha", [0.05, 0.001])
@pytest.mark.parametrize("difference", [0.1, -0.1])
def test_it_is_told_apart_when_the_interval_is_as_wide_as_the_effect_one_error_larger_or_smaller(difference: float, alpha: float) -> None:
    found = how_much_longer(seen(difference, alpha=alpha), 50.0)
    error = 0.2 / math.sqrt(squared_bound(SIZE, alpha))
    wanted = [until(effect / 0.2, alpha) for effect in (0.1 + error, 0.1, 0.1 - error)]
    assert [found.least_units, found.expected_units, found.most_units] == [pytest.approx(units, rel=2e-3, abs=2) for units in wanted]
    assert found.expected_units is not None and found.expected_hours == found.expected_units / 50
    assert found.as_json()["most_hours"] == found.most_hours == (found.most_units or 0) / 50


def test_an_effect_that_may_be_zero_has_no_limit_but_the_smallest_that_matters() -> None:
    open_end = how_much_longer(seen(0.02), 0.0)
    assert open_end.least_units is not None and open_end.most_units is None and open_end.least_hours is None
    bounded = how_much_longer(seen(0.02), 0.0, 0.1)
    limit = pytest.approx(until(0.05 / 0.2), rel=2e-3)
    assert (bounded.most_units, bounded.expected_units, bounded.least_units) == (limit, limit, open_end.least_units)
    assert how_much_longer(seen(0.1), 0.0, 0.001) == how_much_longer(seen(0.1), 0.0)  # narrower than any effect that is likely


def test_what_is_a_thousand_times_as_long_is_not_foreseen_and_what_is_there_takes_one_more() -> None:
    assert how_much_longer(seen(0.0), 1.0).expected_units is None
    assert how_much_longer(seen(0.19), 1.0).least_units == 1
    many = how_much_longer(seen(0.2, n_control=40_000, n_treatment=60_000), 1.0)
    assert (many.least_units, many.expected_units) == (1, 1)  # as wide as the effect already, to the last digit


def test_nothing_is_to_come_of_what_is_conclusive_and_the_burn_in_of_what_is_not_ready() -> None:
    assert how_much_longer(seen(0.3), 1.0) == NOTHING == Longer(0, 0, 0, 0.0, 0.0, 0.0)
    early = seen(None, math.inf, ready=False, n_control=50, n_treatment=75)
    assert how_much_longer(early, 25.0) == Longer(125, None, None, 5.0, None, None)  # 50 of the rarer arm are 125 of both
    assert how_much_longer(seen(None, math.inf, ready=False, n_control=0), 0.0) == Longer(200, None, None, None, None, None)
    assert how_much_longer(seen(None, math.inf, ready=False, exact=True), 1.0) == UNKNOWN
    assert how_much_longer(seen(0.1, math.inf, n_control=400), 1.0) == Longer(0, None, None, 0.0, None, None)
    assert how_much_longer(seen(0.1, ready=False, n_control=50, n_treatment=75), 25.0) == Longer(125, None, None, 5.0, None, None)
    assert how_much_longer(seen(None), 1.0) == Longer(0, None, None, 0.0, None, None)  # ends without a difference between them say nothing


@pytest.mark.parametrize(
    ("longer", "said"),
    [
        (UNKNOWN, "How much longer cannot be foreseen."),
        (Longer(1, None, None, None, None, None), "At least 1 units more, with no upper limit."),
        (
            Longer(1200, 2000, 30_000, 12.4, 48.0, 720.0),
            "At least 1,200 units (12 hours) more, 2,000 units (2 days) if the difference is what it looks like now, at most 30,000 units (30 days).",
        ),
        (
            Longer(1, 2, None, 47.9, 60.1, None),
            "At least 1 units (48 hours) more, 2 units (3 days) if the difference is what it looks like now, with no upper limit.",
        ),
    ],
)
def test_a_forecast_is_said_in_hours_up_to_two_days(longer: Longer, said: str) -> None:
    assert longer.sentence() == said
