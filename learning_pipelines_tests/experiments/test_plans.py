"""What can be said of a plan without a database: names, weights, metrics, groups; each refusal names the field.

Belongs here: experiments/plans.py. Not here: versions and states (test_lifecycle.py).
"""

from __future__ import annotations

import math
from typing import Any

import pytest

from learning_pipelines.acceptance.reviewing import Reason, Refused
from learning_pipelines.errors import BadInput
from learning_pipelines.experiments import plans
from learning_pipelines.experiments.metrics import GUARDRAILS
from learning_pipelines.experiments.options import Options
from learning_pipelines.experiments.plans import Asked, Plan
from learning_pipelines.storage.experiment_rows import Arm

TWO = (Asked(None, None), Asked(None, 2))


@pytest.mark.parametrize(
    ("weights", "shares"),
    [
        ((None, None), (0.5, 0.5)), ((None, None, None), (1 / 3, 1 / 3, 1 / 3)), ((0.9, 0.1), (0.9, 0.1)), ((90, 10), (0.9, 0.1)),
        ((None, 0.2), (0.8, 0.2)), ((None, 20, None), (0.4, 0.2, 0.4)), ((99.5, 0.5), (0.995, 0.005)), ((0.1,) * 10, (0.1,) * 10),
        ((1.5, None), (0.015, 0.985)), ((50, 50 + 5e-8), (0.5, 0.5)),
    ],
)  # fmt: skip
def test_weights_are_shares_or_percentages_and_what_is_not_given_shares_the_rest(weights: tuple[float | None, ...], shares: tuple[float, ...]) -> None:
    found = plans.weighted([Asked(f"arm-{place}", place + 1, weight) for place, weight in enumerate(weights)])
    assert found == pytest.approx(shares) and math.fsum(found) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ((0.5, 0.6), "The weights sum to 1.1. Make them sum to 1"), ((0.5, 0.5 - 1e-8), "The weights sum to 0.99999999. Make them"),
        ((50, 60), "The weights sum to 110. Make them sum to 100."), ((0, 1), "The weight of a is 0"), ((-0.5, 1.5), "The weight of a is -0.5"),
        ((float("nan"), 1), "The weight of a is nan"), ((float("inf"), 1), "The weight of a is inf"), ((1, None), "leaves nothing for the others"),
        ((100, None), "leaves nothing for the others"), ((1000, 1), "The weight of a is 1000"),
        ((100.5, None), "The weight of a is 100.5"), ((100 - 5e-8, None), "leaves nothing for the others"),
    ],
)  # fmt: skip
def test_weights_that_do_not_sum_or_are_none_are_refused(weights: tuple[float | None, ...], said: str) -> None:
    with pytest.raises(Refused) as refused:
        plans.weighted([Asked(name, 1, weight) for name, weight in zip("ab", weights, strict=True)])
    assert said in str(refused.value) and (refused.value.field, refused.value.reason) == ("weights", Reason.VALUE)


def test_the_control_is_what_serves_and_arms_get_names() -> None:
    assert plans.arms_of(TWO, 1) == (Arm("control", 1, 0.5), Arm("treatment", 2, 0.5))
    three = plans.arms_of((Asked(None, 4), Asked("shorter", 2), Asked(None, 3)), 1)
    assert [(arm.variant, arm.version) for arm in three] == [("control", 4), ("shorter", 2), ("treatment-2", 3)]
    assert plans.arms_of((Asked(None, 0, 0.9), Asked(None, plans.LARGEST, 0.1)), 1) == (Arm("control", 0, 0.9), Arm("treatment", 2**31 - 1, 0.1))
    assert len(plans.arms_of([Asked(None, number) for number in range(10)], 1)) == 10


@pytest.mark.parametrize(
    ("arms", "said"),
    [
        ((Asked(None, 1),), "2 to 10 arms, not 1"), (tuple(Asked(None, number) for number in range(1, 12)), "2 to 10 arms, not 11"),
        ((Asked("a", 1), Asked("a", 2)), "Two arms are called a"), ((Asked("a b", 1), Asked(None, 2)), "'a b' is no name of an arm"),
        ((Asked("", 1), Asked("a" * 64, 2)), "is no name of an arm"), ((Asked(None, 2), Asked(None, 2)), "both serve version 2"),
        ((Asked(None, None), Asked(None, 7)), "both serve version 7"), ((Asked(None, 1), Asked(None, -1)), "-1 is no version"),
        ((Asked(None, 1), Asked(None, None)), "No version is named for treatment"),
        ((Asked(None, 1, 0.5), Asked(None, 2, 0.6)), "The weights sum to 1.1"),
    ],
)  # fmt: skip
def test_arms_that_cannot_be_compared_are_refused(arms: tuple[Asked, ...], said: str) -> None:
    with pytest.raises(Refused) as refused:
        plans.arms_of(arms, 7)
    assert said in str(refused.value) and refused.value.field == "arms"


def test_without_a_prompt_that_serves_the_control_has_to_be_named() -> None:
    with pytest.raises(Refused, match="none serves"):
        plans.arms_of(TWO, None)


@pytest.mark.parametrize(
    ("more", "field", "said"),
    [
        ({"name": " "}, "name", "is empty"), ({"name": "a\x00"}, "name", "NUL"), ({"name": "a" * 256}, "name", "longer than 255"),
        ({"subject": "model"}, "subject", "There are prompt, index, policy"), ({"unit": "day"}, "unit", "There are user, session, execution"),
        ({"primary_metric": "speed"}, "primary_metric", "'speed' is no metric. There are thumbs"),
        ({"guardrails": ["speed"]}, "guardrails", "'speed' is no metric"),
        ({"guardrails": ["thumbs"]}, "guardrails", "the primary metric already"),
        ({"exclusion_group": "My Group"}, "exclusion_group", "no name of an exclusion group. Use a-z"),
        ({"options": Options(traffic=0.5)}, "options.traffic", "Name a group"), ({"min_duration_hours": -1}, "min_duration_hours", "min_duration_hours is -1"),
        ({"min_sample_size": 2**31}, "min_sample_size", "It is 0 to 2147483647"),
        ({"guardrails": [], "options": Options(tolerances={"latency_ms": 1.0})}, "options.tolerances", "no guardrail of this experiment"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_by_its_name(more: dict[str, Any], field: str, said: str) -> None:
    with pytest.raises(Refused) as refused:
        plans.check(Plan(**{"name": "shorter", "arms": TWO, **more}))
    assert said in str(refused.value) and (refused.value.field, refused.value.exit_code) == (field, 2)


def test_limits_are_within_what_may_be_asked_for() -> None:
    plans.check(Plan("a" * 255, TWO, min_duration_hours=0, min_sample_size=2**31 - 1))
    plans.check(Plan("a", TWO, min_duration_hours=2**31 - 1, min_sample_size=0))


def test_metric_and_guardrails_have_sensible_defaults_and_no_metric_is_both() -> None:
    assert plans.metrics_of(Plan("a", TWO)) == ("thumbs", GUARDRAILS)
    primary, watched = plans.metrics_of(Plan("a", TWO, primary_metric="latency_ms"))
    assert primary == "latency_ms" and watched == tuple(name for name in GUARDRAILS if name != "latency_ms")
    assert plans.metrics_of(Plan("a", TWO, guardrails=["cost_usd", "cost_usd"]))[1] == ("cost_usd",)


@pytest.mark.parametrize(
    ("text", "arm"),
    [
        ("4", Asked(None, 4)), ("shorter=4", Asked("shorter", 4)), ("shorter=4:0.25", Asked("shorter", 4, 0.25)), ("4:25%", Asked(None, 4, 0.25)),
        ("4:25", Asked(None, 4, 25)), ("serving:0.9", Asked(None, None, 0.9)), ("old=serving", Asked("old", None)),
    ],
)  # fmt: skip
def test_an_arm_is_typed_as_name_version_and_weight(text: str, arm: Asked) -> None:
    assert plans.arm_from_text(text) == arm


@pytest.mark.parametrize("text", ["", "shorter", "shorter=", "4:", "4:much", "4:..", "=4", "4:0.5:0.5", "-1", "4.5"])
def test_what_is_no_arm_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(BadInput, match=r"for example 4, shorter=4 or shorter=4:0\.25"):
        plans.arm_from_text(text)
