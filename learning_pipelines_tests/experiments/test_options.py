"""Options of an experiment: defaults, ranges, and refusals that name the option.

Belongs here: experiments/options.py. Not here: what an option does.
"""

from __future__ import annotations

import pytest

from learning_pipelines.errors import BadInput
from learning_pipelines.experiments.options import KEPT, Options, options_of


def test_an_empty_config_means_the_defaults_and_defaults_are_not_kept() -> None:
    assert options_of({}) == Options() and Options().as_config() == {}


def test_what_differs_from_the_defaults_is_kept_and_read_back() -> None:
    chosen = Options(alpha=0.01, tolerances={"latency_ms": 50.0}, step_hours=1)
    assert chosen.as_config() == {"alpha": 0.01, "tolerances": {"latency_ms": 50.0}, "step_hours": 1} and options_of(chosen.as_config()) == chosen


def test_a_guardrail_may_become_worse_by_nothing_or_a_little() -> None:
    assert options_of({"tolerances": {"latency_ms": 0, "cost_usd": 0.5}}).tolerances == {"latency_ms": 0.0, "cost_usd": 0.5}


def test_what_is_kept_up_while_it_runs_is_no_option() -> None:
    assert options_of({"slice": [[0.0, 0.5]], "withdrawn": ["b"], "traffic": 0.5}) == Options(traffic=0.5)
    assert not set(KEPT) & set(Options.model_fields)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"alfa": 0.05}, "'alfa' is no option of an experiment. There are alpha"),
        ({"alpha": 0}, "The option alpha is refused"),
        ({"alpha": float("nan")}, "The option alpha is refused"),
        ({"minimum_effect": -0.1}, "The option minimum_effect is refused"),
        ({"traffic": 0}, "The option traffic is refused"),
        ({"step_units": 1.5}, "The option step_units is refused"),
        ({"tolerances": {"speed": 1}}, "'speed' is no metric"),
        ({"tolerances": {"latency_ms": -1}}, "The tolerance of latency_ms is below 0"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_the_options_name(config: dict[str, object], said: str) -> None:
    with pytest.raises(BadInput) as refused:
        options_of(config)
    assert said in str(refused.value)


def test_whoever_is_refused_is_told_what_the_option_means() -> None:
    with pytest.raises(BadInput) as refused:
        options_of({"step_hours": -1})
    assert refused.value.advice == "Rollouts: hours that each step lasts at least."
