"""What is read out of evidence, value by value: bounds in the better direction, what is waited for, levels, evidence as JSON, decisions in words.

Belongs here: where each reading begins, and the words of a decision. Not here: what is decided on the whole (test_analysis.py, test_decision.py).
"""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict, replace
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from learning_pipelines.experiments import analysis, asymptotic, exact, sample_ratio
from learning_pipelines.experiments.analysis import Counts, Missing, Ratio, Reading, Step, findings_of, step_of, units_needed
from learning_pipelines.experiments.decision import again, decide, decided
from learning_pipelines.experiments.evidence import evidence_of, exposed, is_new
from learning_pipelines.experiments.exact import ExactState
from learning_pipelines.experiments.longer import Longer, how_much_longer
from learning_pipelines.experiments.metrics import METRICS
from learning_pipelines.experiments.options import Options
from learning_pipelines.experiments.unit_sums import UnitSums
from learning_pipelines.storage.experiment_rows import Arm, Epoch, Experiment
from learning_pipelines_tests.experiments.test_analysis import HALVES, epoch, evidence, latency, thumbs
from learning_pipelines_tests.experiments.test_decision import HELD, compared, findings, judged, ratio
from learning_pipelines_tests.experiments.test_decision import latency as slower

OVER = "It ran for 400 hours, 336 were allowed."


def test_a_reading_is_in_the_better_direction_and_harm_begins_beyond_the_tolerance() -> None:
    more, less = Reading(compared(0.25, 0.75), 1), Reading(compared(0.25, 0.75), -1)
    assert (more.gain, more.bounds, less.gain, less.bounds) == (0.5, (0.25, 0.75), -0.5, (-0.75, -0.25))
    assert (more.better, more.harmed, less.better, less.harmed) == (True, False, False, True)
    assert not replace(less, tolerance=0.25).harmed and replace(less, tolerance=0.24).harmed
    assert not replace(more, minimum_effect=0.75).too_small and replace(more, minimum_effect=0.76).too_small
    assert not Reading(compared(0.0, 0.5), 1).better and not Reading(compared(-0.5, 0.0), 1).harmed
    early = [Reading(compared(*ends, ready=False, difference=None), 1, 0.0, 1.0) for ends in ((0.25, 0.75), (-0.75, -0.25))]
    assert not any(one.better or one.harmed or one.too_small or one.gain for one in early)


def test_a_reading_in_words_names_units_ends_and_what_is_tolerated() -> None:
    found = compared(0.25, 0.75, "latency_ms", n_control=90, n_treatment=40)
    assert Reading(found, -1).in_words == "latency_ms differs by +0.5 (+0.25 to +0.75; 40 against 90 units)"
    assert Reading(found, -1, 12.5).in_words == "latency_ms differs by +0.5 (+0.25 to +0.75; 40 against 90 units; 12.5 tolerated)"
    assert Reading(replace(found, low=float("-inf")), -1).in_words == "latency_ms differs by +0.5 (any to +0.75; 40 against 90 units)"
    assert Reading(replace(found, ready=False), -1).in_words == "latency_ms: 40 against 90 units are too few for a statement"


def test_a_ratio_in_words_names_what_was_expected_of_each_arm() -> None:
    one = Ratio(3, Counts({"control": 30, "new": 10}, {"control": 1.0, "new": 2.0, "late": 1.0}), 0.012345)
    assert one.in_words == "epoch 3: 30 control (10 expected), 10 new (20 expected), 0 late (10 expected); p = 0.012"


def test_the_ratio_that_is_named_is_the_one_of_the_epoch_that_fits_worst() -> None:
    found = findings(judged(0.01, 0.09), ratios=(ratio(500, 500), ratio(700, 300, 2), ratio(480, 520, 3)))
    assert found.ratio_p == sample_ratio.sequential_p([one.counts for one in found.ratios])
    assert found.broken_ratio is not None and "(epoch 2: 700 control (500 expected)" in found.broken_ratio
    assert found.broken_ratio.endswith("cannot be compared and nothing is adopted. Find the cause, then start a new experiment.")
    assert findings(judged(0.01, 0.09)).ratio_p is None and findings(judged(0.01, 0.09)).broken_ratio is None
    outcome = decided(findings(judged(0.01, 0.09)))
    assert not outcome.mismatch and not replace(outcome, sample_ratio_p=0.001).mismatch and replace(outcome, sample_ratio_p=0.00099).mismatch


def test_shares_are_broken_below_the_level_and_not_at_it(monkeypatch: pytest.MonkeyPatch) -> None:
    found = findings(judged(0.01, 0.09), ratios=(ratio(540, 460),))
    monkeypatch.setattr(analysis, "BROKEN_RATIO", found.ratio_p)
    assert found.broken_ratio is None


def test_what_an_ordinary_experiment_waits_for_is_said_with_hours_and_units_at_the_pace_so_far() -> None:
    exposures = {"1": {"control": 50, "treatment": 70}, "2": {"control": 10, "treatment": 30}}
    epochs = [epoch(1, "02T00:00", "03T00:00"), epoch(2, "08T00:00")]
    found = findings_of(evidence(thumbs(0.6, 0.62), exposures, epochs, min_duration_hours=50, min_sample_size=100, config={"minimum_effect": 0.5}))
    assert found.waiting == (
        "Its minimum duration is 50 hours, 2.0 of them are to come.", "Its minimum sample is 100 units in each arm, control has 60.",
    )  # fmt: skip
    primary = found.treatments[0].primary
    forecast = how_much_longer(primary.comparison, (primary.comparison.n_control + primary.comparison.n_treatment) / 48, 0.5)
    assert found.longer == Missing(2.0, 40, 40 * 48 / 60, {"treatment": forecast})
    assert (primary.minimum_effect, primary.tolerance, found.overdue, found.rollout) == (0.5, 0.0, None, None)
    assert found.longer.as_json() == {"hours": 2.0, "units": 40, "unit_hours": 32.0, "forecasts": {"treatment": forecast.as_json()}}
    assert exposed(evidence(exposures=exposures)) == {"control": 60, "treatment": 100}
    assert exposed(evidence(exposures={"1": {"control": 5}, "2": {"other": 7}})) == {"control": 5, "treatment": 0}
    enough = findings_of(evidence(thumbs(0.6, 0.62), exposures, epochs, min_duration_hours=48, min_sample_size=60))
    assert enough.waiting == () and enough.longer is not None and (enough.longer.hours, enough.longer.units) == (0.0, 0)


def test_before_anybody_came_no_pace_is_known() -> None:
    found = findings_of(evidence(exposures={}, epochs=[epoch(1, "09T00:00")]))
    assert found.longer is not None and (found.longer.hours, found.longer.units, found.longer.unit_hours) == (24.0, 100, None)
    assert found.ratios == () and found.ratio_p is None and found.control == "control"
    seen = findings_of(evidence(thumbs(0.6, 0.62), epochs=[epoch(1, "09T00:00")]))
    assert seen.longer is not None and seen.longer.forecasts["treatment"].least_units and seen.longer.forecasts["treatment"].least_hours is None


def test_an_experiment_is_overdue_from_the_hours_on_that_it_was_allowed() -> None:
    assert findings_of(evidence(config={"max_hours": 169})).overdue is None
    assert findings_of(evidence(config={"max_hours": 168})).overdue == "It ran for 168 hours, 168 were allowed."


def test_a_rollout_waits_for_the_hours_and_units_of_its_step() -> None:
    steps = [{"control": [[0.5, 0.5 + share]], "treatment": [[0.0, share]]} for share in (0.01, 0.05)]
    epochs = [epoch(1, "02T00:00", "08T12:00", steps[0]), epoch(2, "08T12:00", None, steps[1])]
    given = evidence(
        {"thumbs": thumbs(0.6, 0.62, n=20)["thumbs"]}, epochs=epochs, kind="rollout", steps=[1, 5, 50, 100], step=1, min_sample_size=10**6,
        config={"minimum_effect": 0.5, "step_hours": 20, "step_units": 600},
    )  # fmt: skip
    found = findings_of(given)
    there = found.treatments[0].primary.comparison.n_treatment
    assert found.rollout == Step(1, 5.0, 50.0) == step_of(given) and 0 < there < 60
    assert found.waiting == (
        "It stays at a step for 20 hours, 8.0 of them are to come.",
        f"60 units of the treatment with a value of thumbs are needed here, {there} are there.",
    )
    assert found.longer == Missing(8.0, 60 - there, (60 - there) * 168 / there, {})
    assert found.treatments[0].primary.minimum_effect == 0.0  # it needs no gain
    done = findings_of(given | {"experiment": given["experiment"] | {"config": {"step_hours": 12, "step_units": there * 10}}})
    assert done.waiting == () and done.longer is None
    assert [step_of(evidence(kind="rollout", steps=[1, 50], step=number)) for number in (0, 1)] == [Step(0, 1.0, 50.0), Step(1, 50.0, 100.0)]
    assert units_needed(Options(step_units=1000), (50, 100), 0) == 1000 and units_needed(Options(step_units=1000), (100,), 0) == 1000


def test_a_rollout_is_told_with_its_control_its_shares_and_how_long_it_ran() -> None:
    found = findings_of(evidence(kind="rollout", steps=[1, 50], step=1, config={"max_hours": 168}))
    assert (found.control, found.overdue) == ("control", "It ran for 168 hours, 168 were allowed.")
    assert [(one.epoch, dict(one.counts.observed)) for one in found.ratios] == [(1, {"control": 500, "treatment": 500})]


def test_guardrails_are_read_in_their_own_direction_with_what_is_tolerated_of_them() -> None:
    given = thumbs(0.6, 0.62) | latency(800, 900) | {"thumbs_down_rate": thumbs(0.3, 0.3)["thumbs"]}
    config = {"tolerances": {"latency_ms": 10.0, "thumbs_down_rate": 0.01}, "growth": 0.5, "cuped": False}
    (one,) = findings_of(evidence(given, guardrails=["latency_ms", "thumbs_down_rate"], config=config)).treatments
    latency_of, down = one.guardrails
    assert latency_of.tolerance == 0.5 * (latency_of.comparison.mean_control or 0) > 300 and down.tolerance == 0.01
    assert (one.primary.direction, latency_of.direction, down.direction) == (1, -1, -1)
    assert {one.primary.comparison.variant, down.comparison.variant, latency_of.comparison.variant, one.variant} == {"treatment"}
    assert one.answers is not None and (one.answers.metric, one.answers.alpha, one.answers.ready, one.withdrawn) == ("feedback_rate", 0.05, False, False)
    (few,) = findings_of(evidence(given, guardrails=["latency_ms"], config={"tolerances": {"latency_ms": 900.0}, "growth": 0.5})).treatments
    assert few.guardrails[0].tolerance == 900.0
    assert few.guardrails[0].comparison.alpha == 0.1  # one guardrail: .05 on the side of harm
    (unmeasured,) = findings_of(evidence(guardrails=["latency_ms"], config={"growth": 0.5})).treatments
    assert unmeasured.guardrails[0].tolerance == 0.0
    (none,) = findings_of(evidence(thumbs(0.6, 0.62), guardrails=[], config={"withdrawn": ["treatment"]})).treatments
    assert none.guardrails == () and none.withdrawn


@pytest.mark.parametrize("cuped", [True, False])
def test_ratios_are_compared_from_both_arms_with_the_past_unless_that_is_refused(cuped: bool) -> None:
    draw = np.random.default_rng(3)
    before = draw.normal(10, 2, (2, 300))
    rows = [np.column_stack([past + draw.normal(0, 1, 300), np.ones(300), past, np.ones(300)]) for past in before]
    sums = {arm: UnitSums.of(values) for arm, values in zip(("control", "treatment"), rows, strict=True)}
    states = {"1": {arm: one.as_json() for arm, one in sums.items()}}
    given = {"latency_ms": states, "feedback_rate": states}
    (one,) = findings_of(evidence(given, primary_metric="latency_ms", guardrails=[], config={"cuped": cuped})).treatments
    for found, name in ((one.primary.comparison, "latency_ms"), (one.answers, "feedback_rate")):
        expected = asymptotic.compare({1: sums["control"]}, {1: sums["treatment"]}, metric=name, variant="treatment", alpha=0.05, cuped=cuped)
        assert found == expected and expected.ready
    assert findings_of(evidence(given, primary_metric="latency_ms")).treatments[0].primary.comparison.difference == pytest.approx(
        asymptotic.compare({1: sums["control"]}, {1: sums["treatment"]}, metric="latency_ms", variant="treatment", cuped=True).difference
    )


def test_an_exact_metric_is_compared_over_all_its_epochs() -> None:
    states = {number: thumbs(0.5, 0.6, seed=number)["thumbs"]["1"] for number in (1, 2)}
    given = {"thumbs": {str(number): state for number, state in states.items()} | {"3": {"other": states[1]["treatment"]}}}
    (one,) = findings_of(evidence(given)).treatments
    kept = [ExactState.from_json(state["treatment"]) for state in states.values()]
    assert one.primary.comparison == exact.compare(kept, METRICS["thumbs"], "treatment", 0.05)


def test_evidence_is_all_of_an_experiment_that_a_decision_needs_as_json() -> None:
    at = dt.datetime(2026, 11, 9, tzinfo=dt.UTC)
    begun, ended = at - dt.timedelta(hours=30), at - dt.timedelta(hours=10)
    of = Experiment(
        UUID(int=7), UUID(int=1), "desk", "tone", "rollout", "prompt", "running", "user", "salt", (Arm("control", 1, 0.5), Arm("treatment", 2, 0.5)), None,
        "thumbs", ("latency_ms",), 24, 100, {"alpha": 0.01}, (1.0, 50.0), 1, None, None, None, begun, None, begun,
        (Epoch(1, {"control": [(0.0, 0.5)]}, begun, ended), Epoch(2, {"control": [(0.0, 0.25)]}, ended)),
    )  # fmt: skip
    states = {("thumbs", 2, "b"): {"n": 2}, ("thumbs", 1, "b"): {"n": 1}, ("latency_ms", 1, "a"): {"n": 3}, ("latency_ms", 1, "b"): {"n": 4}}
    found = evidence_of(of, states, {2: {"b": 5}, 1: {"c": 7, "a": 6}}, {"late": 1}, at)
    assert found == {
        "format": 1, "at": "2026-11-09T00:00:00+00:00",
        "experiment": {
            "id": str(UUID(int=7)), "name": "tone", "kind": "rollout", "subject": "prompt",
            "arms": [{"variant": "control", "version": 1, "weight": 0.5}, {"variant": "treatment", "version": 2, "weight": 0.5}],
            "primary_metric": "thumbs", "guardrails": ["latency_ms"], "min_duration_hours": 24, "min_sample_size": 100, "config": {"alpha": 0.01},
            "steps": [1.0, 50.0], "step": 1, "started_at": begun.isoformat(),
        },
        "epochs": [
            {"number": 1, "ranges": {"control": [[0.0, 0.5]]}, "started_at": begun.isoformat(), "ended_at": ended.isoformat()},
            {"number": 2, "ranges": {"control": [[0.0, 0.25]]}, "started_at": ended.isoformat(), "ended_at": None},
        ],
        "metrics": {"latency_ms": {"1": {"a": {"n": 3}, "b": {"n": 4}}}, "thumbs": {"1": {"b": {"n": 1}}, "2": {"b": {"n": 2}}}},
        "exposures": {"1": {"a": 6, "c": 7}, "2": {"b": 5}}, "refused": {"late": 1},
    }  # fmt: skip
    assert list(found["exposures"]) == ["1", "2"] and list(found["metrics"]["thumbs"]) == ["1", "2"]
    assert evidence_of(replace(of, started_at=None), {}, {}, {}, at)["experiment"]["started_at"] is None


@pytest.mark.parametrize("name", ["format", "experiment", "epochs", "metrics", "exposures", "refused"])
def test_whatever_moved_but_the_clock_is_new(name: str) -> None:
    before = evidence()
    assert is_new(before, {**before, name: "another"}) and not is_new(before, {**before, "at": "another", "outcome": "another"})


def test_what_a_person_asked_for_is_the_decision() -> None:
    outcome = decide({"asked": {"decision": "keep_control", "reason": "The budget is spent."}})
    assert (outcome.decision, outcome.reason, outcome.winner, outcome.ends, outcome.longer) == ("keep_control", "The budget is spent.", None, True, None)
    assert (outcome.verdicts, outcome.held, outcome.said, dict(outcome.numbers)) == ((), (), (), {})


def test_a_stored_decision_that_does_not_follow_any_more_is_told() -> None:
    given = evidence(thumbs(0.6, 0.75) | latency(800, 800))
    with pytest.raises(ValueError, match=r"keep_control was stored, adopt_treatment follows from the evidence\."):
        again({**given, "outcome": {"decision": "keep_control"}})
    assert again(given).decision == "adopt_treatment"


def test_an_outcome_as_json_holds_verdicts_numbers_and_what_is_missing() -> None:
    longer = Missing(1.0, 2, None, {"treatment": Longer(1, 2, None, 1.0, 2.0, None)})
    guarded = judged(-0.05, 0.05, slower(-20, 20))
    outcome = decided(findings(guarded, longer=longer, ratios=(ratio(500, 500),), waiting=(HELD,)))
    told = outcome.as_json()
    assert told == {
        "decision": "inconclusive", "reason": outcome.reason, "winner": None, "ends": False, "sample_ratio_p": outcome.sample_ratio_p, "next_step": None,
        "verdicts": [{"variant": "treatment", "verdict": "open", "why": outcome.verdicts[0].why}], "held": [HELD], "said": [],
        "numbers": {"treatment": guarded.primary.comparison.as_json() | {"guardrails": [guarded.guardrails[0].comparison.as_json()]}},
        "longer": longer.as_json(),
    }  # fmt: skip
    assert outcome.sample_ratio_p == ratio(500, 500).p and asdict(outcome)["longer"] == asdict(longer)
    assert outcome.reason == (
        f"Treatment is open: thumbs differs by +0 (-0.05 to +0.05; 1000 against 1000 units). {longer.forecasts['treatment'].sentence()} {HELD}"
    )
    assert decided(findings(judged(-0.05, 0.05))).as_json()["longer"] is None


def test_a_better_treatment_that_is_held_is_named_before_what_holds_it() -> None:
    outcome = decided(findings(judged(0.01, 0.09), waiting=(HELD,)))
    assert outcome.reason == f"Treatment is better: thumbs differs by +0.05 (+0.01 to +0.09; 1000 against 1000 units). It is not adopted yet: {HELD}"
    broken = decided(findings(judged(0.01, 0.09), ratios=(ratio(700, 300),), waiting=(HELD,)))
    assert broken.reason == f"{broken.held[0]} {broken.verdicts[0].why}" and broken.held[1] == HELD and len(broken.held) == 2


def test_of_several_treatments_the_harmful_are_told_with_the_one_that_is_adopted() -> None:
    outcome = decided(findings(judged(-0.2, -0.1, variant="a"), judged(0.01, 0.09, variant="b"), judged(-0.05, 0.05, variant="c")))
    assert (outcome.decision, outcome.winner, outcome.harmed) == ("adopt_treatment", "b", True)
    assert outcome.reason == f"{outcome.verdicts[1].why} {outcome.verdicts[0].why}"
    assert not decided(findings(judged(0.01, 0.09))).harmed and decided(findings(judged(0.01, 0.09, slower(5, 90)))).harmed


def test_treatments_that_are_all_worse_harmed_or_too_small_keep_the_control() -> None:
    small = judged(-0.01, 0.015, variant="b", minimum_effect=0.02)
    outcome = decided(findings(judged(-0.2, -0.1, variant="a"), small))
    assert (outcome.decision, outcome.winner, outcome.ends) == ("keep_control", "control", True)
    assert outcome.reason == " ".join(one.why for one in outcome.verdicts)
    both = decided(findings(judged(-0.2, -0.1, variant="a"), judged(-0.05, 0.05, slower(5, 90), variant="b")))
    assert (both.decision, both.winner, both.reason) == ("rollback", "control", " ".join(one.why for one in both.verdicts))
    mixed = decided(findings(judged(-0.05, 0.05, slower(5, 90), variant="a"), small))
    assert (mixed.decision, [one.verdict for one in mixed.verdicts]) == ("keep_control", ["harmed", "too small"])
    one_open = decided(findings(judged(-0.2, -0.1, variant="a"), small, judged(-0.05, 0.05, variant="c")))
    assert one_open.decision == "inconclusive" and not one_open.ends


def test_each_verdict_names_its_treatment() -> None:
    withdrawn = replace(judged(0.01, 0.09, variant="a"), withdrawn=True)
    small = judged(-0.01, 0.015, variant="e", minimum_effect=0.02)
    others = judged(-0.2, -0.1, variant="b"), judged(-0.05, 0.05, slower(5, 90), variant="c"), judged(0.01, 0.09, variant="d")
    found = decided(findings(withdrawn, *others, small, judged(-0.05, 0.05, variant="f"))).verdicts
    assert [(one.variant, one.verdict) for one in found] == [
        ("a", "harmed"), ("b", "worse"), ("c", "harmed"), ("d", "better"), ("e", "too small"), ("f", "open"),
    ]  # fmt: skip


def test_what_holds_a_rollout_and_what_should_be_known_beside_it_are_said_in_order() -> None:
    answers = compared(0.02, 0.06, "feedback_rate", mean_control=0.10, mean_treatment=0.14)
    held = decided(findings(judged(-0.2, 0.2, answers=answers), rollout=Step(1, 5, 25), waiting=(HELD, "7 units are there.")))
    note = (
        "Treatment is answered by feedback more often (14.0% of executions instead of 10.0%): those who answer are not the same in both arms, and what "
        "feedback says of them need not hold for everybody."
    )
    assert (held.decision, held.held, held.said) == ("inconclusive", (HELD, "7 units are there."), (note,))
    assert held.reason == f"It waits at 5 % of the traffic. {HELD} 7 units are there. {note}"
    better = decided(findings(judged(0.01, 0.09, answers=answers)))
    assert better.reason == f"{better.verdicts[0].why} {note}"


def test_a_guardrail_that_harms_is_named_with_the_others_that_do() -> None:
    outcome = decided(findings(judged(0.01, 0.09, slower(5, 90), slower(-20, 20), slower(1, 3))))
    assert outcome.verdicts[0].why == (
        "Treatment harms: latency_ms differs by +47.5 (+5 to +90; 1000 against 1000 units); latency_ms differs by +2 (+1 to +3; 1000 against 1000 units)."
    )
    gone = decided(findings(replace(judged(0.01, 0.09), withdrawn=True)))
    assert gone.verdicts[0].why == "Treatment was withdrawn for the harm that was seen."


def test_a_rollout_that_waits_too_long_ends_and_what_it_says_stands_behind_its_reason() -> None:
    step, answers = Step(1, 5, 25), compared(-0.06, -0.02, "feedback_rate", mean_control=0.14, mean_treatment=0.10)
    late = decided(findings(judged(-0.2, 0.2), rollout=step, waiting=(HELD,), overdue=OVER))
    assert (late.decision, late.ends, late.winner, late.reason) == ("inconclusive", True, None, f"{OVER} {HELD}")
    longer = Missing(1.0, 2, None, {})
    told = decided(findings(judged(-0.2, 0.2, answers=answers), rollout=step, longer=longer, ratios=(ratio(500, 500),)))
    assert told.reason.startswith("No harm is seen at 5 %: 25 % follows. Treatment is answered by feedback less often (10.0% of executions instead of 14.0%)")
    assert (told.longer, told.sample_ratio_p, told.said) == (longer, ratio(500, 500).p, (told.reason.partition("follows. ")[2],))
    assert set(told.numbers) == {"treatment"} and told.next_step == 2 and not told.ends
    last = decided(findings(judged(-0.05, 0.04), rollout=Step(3, 50, 100)))
    assert last.ends and last.reason == f"No harm was seen at 50 %: everybody gets it. {last.verdicts[0].why}"
    assert decided(findings(judged(-0.2, 0.2), rollout=step, overdue=OVER)).next_step == 2
    harmed = decided(findings(judged(-0.2, -0.1), rollout=step))
    assert (harmed.decision, harmed.winner, harmed.ends) == ("rollback", "control", True)


def test_an_experiment_that_ran_too_long_says_what_it_saw() -> None:
    outcome = decided(findings(judged(-0.05, 0.05), overdue=OVER, longer=Missing(1.0, 2, None, {})))
    assert outcome.reason == f"{OVER} {outcome.verdicts[0].why}" and outcome.longer is None and outcome.winner is None


def test_shares_come_from_the_ranges_of_each_epoch() -> None:
    epochs = [epoch(1, "02T00:00", "03T00:00"), epoch(2, "03T00:00", None, {"control": [[0.0, 0.9]], "treatment": [[0.9, 1.0]]})]
    found = findings_of(evidence(epochs=epochs, exposures={"2": {"control": 90, "treatment": 10}}))
    assert [one.epoch for one in found.ratios] == [2] and HALVES["control"] == [[0.0, 0.5]]
    (only,) = found.ratios
    assert dict(only.counts.observed) == {"control": 90, "treatment": 10} and dict(only.counts.shares) == pytest.approx({"control": 0.9, "treatment": 0.1})
    assert only.p == sample_ratio.sequential_p([only.counts])


def test_answers_are_said_only_where_both_rates_are_known_and_differ() -> None:
    answers: dict[str, Any] = {"metric": "feedback_rate", "mean_control": 0.10, "mean_treatment": 0.14}
    for more in ({"ready": False}, {"mean_control": None}, {"mean_treatment": None}):
        assert decided(findings(judged(0.01, 0.09, answers=compared(0.02, 0.06, **{**answers, **more})))).said == ()
