"""Units of arms with any shares, from those of two equal arms.

Belongs here: experiments/planning.py. Not here: the simulations (test_sizes.py).
"""

from __future__ import annotations

from typing import Any

import pytest

from learning_pipelines.errors import BadInput
from learning_pipelines.experiments.metrics import metric
from learning_pipelines.experiments.planning import planned

LATENCY = metric("latency_ms")


def test_equal_arms_need_the_same_and_a_small_share_makes_all_wait() -> None:
    equal = planned(LATENCY, 10, spread=50)
    assert equal.units[0] == equal.units[1] and equal.units_in_all == sum(equal.units)
    small = planned(LATENCY, 10, spread=50, shares=(0.9, 0.1))
    assert small.units_in_all == pytest.approx(equal.units_in_all * 0.25 / (0.9 * 0.1), rel=1e-3)
    assert small.units[0] == pytest.approx(9 * small.units[1], rel=0.01)


def test_several_treatments_share_the_error_rate_and_need_more() -> None:
    three = planned(LATENCY, 10, spread=50, shares=(1 / 3, 1 / 3, 1 / 3))
    assert three.units[0] > planned(LATENCY, 10, spread=50).units[0] and len(three.units) == 3
    assert [arm["units"] for arm in three.as_json()["arms"]] == list(three.units)


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("latency_ms", {}, "Give the standard deviation"), ("thumbs", {}, "Give its mean as baseline"),
        ("latency_ms", {"spread": 5.0, "shares": (0.5, 0.6)}, "that sum to 1"), ("latency_ms", {"spread": 5.0, "shares": (1.0,)}, "Give two or more"),
        ("latency_ms", {"spread": 5.0, "shares": (1.0, 0.0)}, "above 0"),
    ],
)  # fmt: skip
def test_what_cannot_be_planned_says_what_is_missing(name: str, given: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        planned(metric(name), 1.0, **given)
