"""Decisions from findings: what is adopted, kept, left open and rolled back, and that swapping the arms turns every verdict round.

Belongs here: experiments/decision.py on comparisons that are given. Not here: the comparisons (test_analysis.py), carrying a decision out.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from learning_pipelines.experiments.analysis import Findings, Judged, Ratio, Reading, Step
from learning_pipelines.experiments.comparison import Comparison
from learning_pipelines.experiments.decision import Outcome, decided
from learning_pipelines.experiments.sample_ratio import Counts, sequential_p

HELD = "Its minimum duration is 168 hours, 100.0 of them are to come."


def compared(low: float, high: float, metric: str = "thumbs", variant: str = "treatment", **more: Any) -> Comparison:
    middle = (low + high) / 2
    given = {
        "metric": metric, "variant": variant, "n_control": 1000, "n_treatment": 1000, "mean_control": 0.6, "mean_treatment": 0.6 + middle,
        "difference": middle, "low": low, "high": high, "p": 0.01, "alpha": 0.05, "exact": True, "ready": True,
    }  # fmt: skip
    return Comparison(**{**given, **more})


def judged(low: float, high: float, *guardrails: Reading, variant: str = "treatment", minimum_effect: float = 0.0, answers: Comparison | None = None) -> Judged:
    return Judged(variant, Reading(compared(low, high, variant=variant), 1, 0.0, minimum_effect), guardrails, answers)


def latency(low: float, high: float, tolerance: float = 0.0) -> Reading:
    return Reading(compared(low, high, "latency_ms"), -1, tolerance)


def ratio(control: int, treatment: int, epoch: int = 1) -> Ratio:
    counts = Counts({"control": control, "treatment": treatment}, {"control": 0.5, "treatment": 0.5})
    return Ratio(epoch, counts, sequential_p([counts]))


def findings(*treatments: Judged, **more: Any) -> Findings:
    given: dict[str, Any] = {"ratios": (), "rollout": None, "waiting": (), "overdue": None, "longer": None}
    return Findings("control", treatments, **{**given, **more})


def verdicts(outcome: Outcome) -> list[str]:
    return [one.verdict for one in outcome.verdicts]


def test_a_treatment_that_is_better_is_adopted() -> None:
    outcome = decided(findings(judged(0.01, 0.09, latency(-20, 20))))
    assert (outcome.decision, outcome.winner, outcome.ends) == ("adopt_treatment", "treatment", False)
    assert "thumbs differs by +0.05 (+0.01 to +0.09; 1000 against 1000 units)" in outcome.reason


def test_minimum_duration_and_sample_hold_adopting_and_are_said() -> None:
    outcome = decided(findings(judged(0.01, 0.09), waiting=(HELD,)))
    assert (outcome.decision, outcome.winner, outcome.held) == ("inconclusive", None, (HELD,)) and HELD in outcome.reason
    assert verdicts(outcome) == ["better"]


def test_nothing_holds_back_a_rollback() -> None:
    for harmful in (judged(-0.09, -0.01), judged(0.01, 0.09, latency(5, 90)), judged(-0.1, 0.1, latency(5, 90))):
        outcome = decided(findings(harmful, waiting=(HELD,), ratios=(ratio(900, 100),)))
        assert (outcome.decision, outcome.winner, outcome.ends) == ("rollback", "control", True)


def test_a_worse_primary_metric_at_its_regular_end_keeps_the_control() -> None:
    outcome = decided(findings(judged(-0.09, -0.01)))
    assert (outcome.decision, outcome.winner, outcome.ends) == ("keep_control", "control", True)


def test_a_guardrail_harms_beyond_its_tolerance_only() -> None:
    assert decided(findings(judged(-0.1, 0.1, latency(5, 90, tolerance=5)))).decision == "inconclusive"
    assert decided(findings(judged(-0.1, 0.1, latency(6, 90, tolerance=5)))).decision == "rollback"


def test_a_guardrail_that_gets_better_is_no_harm() -> None:
    assert decided(findings(judged(0.01, 0.09, latency(-90, -5)))).decision == "adopt_treatment"


def test_a_gain_that_cannot_reach_the_minimum_effect_keeps_the_control_after_the_minimum_duration() -> None:
    small = judged(-0.01, 0.015, minimum_effect=0.02)
    outcome = decided(findings(small))
    assert (outcome.decision, outcome.winner) == ("keep_control", "control") and "cannot reach the minimum effect of 0.02" in outcome.reason
    assert decided(findings(small, waiting=(HELD,))).decision == "inconclusive"


def test_a_broken_sample_ratio_keeps_anything_from_being_adopted_and_is_said() -> None:
    broken = (ratio(600, 400),)
    outcome = decided(findings(judged(0.01, 0.09), ratios=broken))
    assert outcome.decision == "inconclusive" and outcome.mismatch
    assert "do not have their shares (epoch 1: 600 control (500 expected), 400 treatment (500 expected); p = " in outcome.reason
    assert decided(findings(judged(-0.01, 0.015, minimum_effect=0.02), ratios=broken)).decision == "inconclusive"


def test_a_different_feedback_rate_is_said_with_the_verdict() -> None:
    answers = compared(0.02, 0.06, "feedback_rate", mean_control=0.10, mean_treatment=0.14)
    outcome = decided(findings(judged(0.01, 0.09, answers=answers)))
    assert outcome.decision == "adopt_treatment" and "more often (14.0% of executions instead of 10.0%)" in outcome.reason
    assert not decided(findings(judged(0.01, 0.09, answers=replace(answers, low=-0.01)))).said


def test_nothing_yet_is_inconclusive() -> None:
    empty = compared(float("-inf"), float("inf"), ready=False, difference=None, mean_control=None, mean_treatment=None, p=1.0, n_control=3, n_treatment=0)
    outcome = decided(findings(Judged("treatment", Reading(empty, 1), (), None), waiting=(HELD,)))
    assert outcome.decision == "inconclusive" and "0 against 3 units are too few for a statement" in outcome.reason


@pytest.mark.parametrize(("low", "high"), [(0.01, 0.09), (-0.09, -0.01), (-0.05, 0.05)])
def test_swapping_the_arms_flips_every_verdict(low: float, high: float) -> None:
    flipped = {"better": "worse", "worse": "better", "open": "open"}
    one, other = decided(findings(judged(low, high))), decided(findings(judged(-high, -low)))
    assert [flipped[verdict] for verdict in verdicts(one)] == verdicts(other)
    assert {one.decision, other.decision} in ({"adopt_treatment", "keep_control"}, {"inconclusive"})


def test_of_several_treatments_the_best_that_is_adoptable_is_adopted() -> None:
    first, best = judged(0.01, 0.05, variant="a"), judged(0.02, 0.08, variant="b")
    harmful = judged(0.05, 0.20, latency(5, 90), variant="c")
    outcome = decided(findings(first, best, harmful))
    assert (outcome.decision, outcome.winner, verdicts(outcome)) == ("adopt_treatment", "b", ["better", "better", "harmed"])


def test_one_harmful_treatment_of_several_does_not_end_the_others() -> None:
    outcome = decided(findings(judged(-0.2, -0.1, variant="a"), judged(-0.05, 0.05, variant="b"), waiting=(HELD,)))
    assert (outcome.decision, outcome.ends, verdicts(outcome)) == ("inconclusive", False, ["worse", "open"])
    both = decided(findings(judged(-0.2, -0.1, variant="a"), judged(-0.05, -0.01, variant="b"), waiting=(HELD,)))
    assert (both.decision, both.ends) == ("rollback", True)


def test_a_withdrawn_treatment_stays_withdrawn() -> None:
    gone = replace(judged(0.01, 0.09, variant="a"), withdrawn=True)
    assert verdicts(decided(findings(gone, judged(-0.05, 0.05, variant="b")))) == ["harmed", "open"]


def test_what_ran_as_long_as_it_was_allowed_to_ends_inconclusive() -> None:
    outcome = decided(findings(judged(-0.05, 0.05), overdue="It ran for 400 hours, 336 were allowed."))
    assert (outcome.decision, outcome.ends) == ("inconclusive", True) and outcome.reason.startswith("It ran for 400 hours")


def test_a_rollout_takes_its_next_step_when_nothing_has_to_be_waited_for() -> None:
    outcome = decided(findings(judged(-0.2, 0.2), rollout=Step(1, 5, 25)))
    assert (outcome.decision, outcome.next_step, outcome.ends) == ("inconclusive", 2, False) and "No harm is seen at 5 %: 25 % follows." in outcome.reason
    waiting = decided(findings(judged(-0.2, 0.2), rollout=Step(1, 5, 25), waiting=("50 units are needed here, 7 are there.",)))
    assert waiting.next_step is None and waiting.reason == "It waits at 5 % of the traffic. 50 units are needed here, 7 are there."


def test_a_rollout_is_adopted_after_its_last_step_before_everybody_and_needs_no_gain_for_it() -> None:
    outcome = decided(findings(judged(-0.05, 0.04), rollout=Step(3, 50, 100)))
    assert (outcome.decision, outcome.winner, outcome.next_step) == ("adopt_treatment", "treatment", None)


def test_a_gain_does_not_shorten_a_rollout() -> None:
    outcome = decided(findings(judged(0.01, 0.09), rollout=Step(0, 1, 5)))
    assert (outcome.decision, outcome.next_step) == ("inconclusive", 1)


def test_harm_ends_a_rollout_at_any_step() -> None:
    outcome = decided(findings(judged(-0.05, 0.05, latency(5, 90)), rollout=Step(0, 1, 5), waiting=("7 units are there.",)))
    assert (outcome.decision, outcome.ends) == ("rollback", True) and "latency_ms differs by +47.5" in outcome.reason
