"""Verdicts, their rules, and that each can be computed again from what is kept."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from learning_pipelines.acceptance.alpha import spent
from learning_pipelines.acceptance.gate import Evidence, Rules, Verdict, _verdict, decide, deviations, recompute
from learning_pipelines.acceptance.paired import BOUNDED_MEAN, compare
from learning_pipelines.acceptance.power import plan
from learning_pipelines.errors import BadInput
from learning_pipelines.settings import Settings
from learning_pipelines_tests.acceptance.simulated import promotes


def pairs(wins: int, losses: int, n: int) -> tuple[list[float], list[float]]:
    return [0.0] * wins + [1.0] * losses + [1.0] * (n - wins - losses), [1.0] * wins + [0.0] * losses + [1.0] * (n - wins - losses)


def test_a_clear_gain_is_better_and_its_mirror_is_worse() -> None:
    found = decide(*pairs(24, 4, 200))
    assert (found.verdict, found.k, found.alpha) == (Verdict.BETTER, 1, 0.0125)
    assert 0 < found.low < found.difference < found.high
    assert decide(*pairs(4, 24, 200)).verdict is Verdict.WORSE


def test_the_same_scores_that_suffice_at_the_first_test_do_not_at_a_later_one() -> None:
    assert decide(*pairs(21, 7, 200), k=1).verdict is Verdict.BETTER
    assert decide(*pairs(21, 7, 200), k=2).verdict is Verdict.NO_EVIDENCE


def test_a_certain_gain_below_the_minimum_effect_is_no_evidence_and_says_so() -> None:
    found = decide(*pairs(15, 0, 1000))
    assert found.p_value < found.alpha
    assert (found.verdict, found.difference) == (Verdict.NO_EVIDENCE, 0.015)
    assert "below the minimum effect 0.02" in found.reason
    assert decide(*pairs(15, 0, 1000), rules=Rules(min_effect=0.015)).verdict is Verdict.BETTER


def test_with_too_few_items_the_evidence_says_how_many_are_missing() -> None:
    found = decide(*pairs(9, 3, 20))
    assert (found.verdict, found.needed, found.missing, found.missing_examples) == (Verdict.NO_EVIDENCE, 54, 34, 114)
    assert "54 would with 80 %" in found.reason


def test_a_reason_says_the_numbers_that_a_verdict_rests_on_and_sizes_only_where_they_are_missing() -> None:
    assert decide(*pairs(24, 4, 200)).reason == "24 of 200 items score higher, 4 lower: better (p = 9e-05 at level 0.013)."
    assert decide(*pairs(4, 24, 200)).reason == "4 of 200 items score higher, 24 lower: worse (p = 9e-05 at level 0.013)."
    assert decide(*pairs(10, 0, 20)).reason == "10 of 20 items score higher, 0 lower: better (p = 0.00098 at level 0.013)."
    assert decide(*pairs(9, 8, 200)).reason == "9 of 200 items score higher, 8 lower: that can be chance (p = 0.5 at level 0.013)."
    few = decide(*pairs(9, 8, 20))
    assert few.reason == (
        "9 of 20 items score higher, 8 lower: that can be chance (p = 0.5 at level 0.013)."
        f" 20 items see a gain of 0.3 with {few.power:.0%} power; 54 would with 80 %."
    )


def test_a_p_value_of_just_the_level_is_within_it() -> None:
    found, rules = compare(*pairs(24, 4, 200), 0.0125), Rules()
    assert _verdict(dataclasses.replace(found, p_better=0.0125), 0.0125, rules)[0] is Verdict.BETTER
    assert _verdict(dataclasses.replace(found, p_worse=0.0125), 0.0125, rules)[0] is Verdict.WORSE
    for rounding in (0, 1e-12):
        assert _verdict(dataclasses.replace(found, difference=rules.min_effect - rounding), 0.0125, rules)[0] is Verdict.BETTER


def test_evidence_holds_what_was_compared_what_was_spent_and_what_was_planned() -> None:
    given, rules = pairs(9, 3, 20), Rules(0.01, 0.25, 0.2)
    found, planned = compare(*given, spent(2)), plan(20, 2, effect=0.25, min_effect=0.01, test_share=0.2)
    evidence = dataclasses.asdict(decide(*given, k=2, rules=rules))
    assert evidence.pop("verdict") is Verdict.NO_EVIDENCE and evidence.pop("reason")
    assert evidence == {
        "n": 20, "wins": 9, "losses": 3, "incumbent_mean": 11 / 20, "candidate_mean": 17 / 20, "difference": found.difference, "low": found.low,
        "high": found.high, "p_value": found.p_better, "p_worse": found.p_worse, "alpha": spent(2), "k": 2, "method": found.method, "min_effect": 0.01,
        "planned_effect": 0.25, "test_share": 0.2, "power": planned.power, "needed": planned.needed, "missing": planned.missing_items,
        "missing_examples": planned.missing_examples,
    }  # fmt: skip


def test_no_items_are_no_evidence() -> None:
    assert decide([], []).verdict is Verdict.NO_EVIDENCE


def test_graded_scores_meet_the_same_rules() -> None:
    rng = np.random.default_rng(0)
    incumbent = rng.integers(0, 3, 80) / 4
    found = decide(incumbent, incumbent + rng.choice([0, 0.25, 0.5], 80))
    assert (found.method, found.verdict) == (BOUNDED_MEAN, Verdict.BETTER)


def test_the_rules_are_read_from_the_settings() -> None:
    assert Rules.of(Settings(min_effect=0.05, planned_effect=0.2, split_shares=(0.6, 0.2, 0.2))) == Rules(0.05, 0.2, 0.2)
    assert Rules.of(Settings()) == Rules()


def test_rules_that_cannot_be_planned_by_are_refused_before_a_test_is_spent() -> None:
    with pytest.raises(BadInput, match="LEARNING_PLANNED_EFFECT above LEARNING_MIN_EFFECT"):
        Rules.of(Settings(min_effect=0.3))


@pytest.mark.parametrize("k", [1, 4])
@pytest.mark.parametrize("graded", [False, True])
def test_every_verdict_can_be_computed_again_from_its_evidence_and_the_items(graded: bool, k: int) -> None:
    rng = np.random.default_rng(k)
    incumbent, candidate = ((rng.random(90) if graded else rng.integers(0, 2, 90)) for _ in range(2))
    found = decide(incumbent, candidate, k=k, rules=Rules(min_effect=0.01, planned_effect=0.2, test_share=0.25))
    stored = json.loads(json.dumps(found.as_json()))
    assert list(stored) == [field.name for field in dataclasses.fields(found)] and type(found.as_json()["verdict"]) is str
    again = recompute(stored, incumbent, candidate)
    assert again == found == Evidence.from_json(stored)
    assert deviations(stored, again) == []


def test_evidence_that_does_not_follow_from_the_items_is_found_out() -> None:
    incumbent, candidate = pairs(24, 4, 200)
    stored = decide(incumbent, candidate).as_json()
    candidate[0] = 0.0
    assert {"wins", "difference", "p_value", "low"} <= set(deviations(stored, recompute(stored, incumbent, candidate)))
    forged = decide(*pairs(9, 3, 20)).as_json() | {"verdict": "better"}
    assert deviations(forged, recompute(forged, *pairs(9, 3, 20))) == ["verdict"]


def test_numbers_deviate_by_more_than_the_tolerance_and_values_of_another_kind_always() -> None:
    found = dataclasses.replace(decide(*pairs(9, 3, 20)), planned_effect=1e6, power=0.0)
    stored = found.as_json()
    assert deviations(stored | {"planned_effect": 1e6 + 900, "power": 9e-4}, found, 1e-3) == []
    assert deviations(stored | {"planned_effect": 1e6 + 1100, "power": 1.1e-3}, found, 1e-3) == ["planned_effect", "power"]
    assert deviations(stored | {"difference": 1, "p_value": "small", "method": 3}, found) == ["difference", "p_value", "method"]


def test_evidence_of_something_else_is_refused() -> None:
    with pytest.raises(BadInput, match="lacks verdict, reason"):
        recompute({"p_value": 0.01}, [], [])


def test_evidence_does_not_change_once_made() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        decide([], []).verdict = Verdict.BETTER  # type: ignore[misc]


def test_what_the_simulations_count_as_promoted_is_what_the_gate_promotes() -> None:
    rng = np.random.default_rng(11)
    verdicts = set()
    for _ in range(60):
        n, k = int(rng.integers(8, 300)), int(rng.integers(1, 4))
        wins, losses, _ = rng.multinomial(n, [0.13, 0.05, 0.82])
        found = decide(*pairs(wins, losses, n), k=k)
        assert (found.verdict is Verdict.BETTER) == bool(promotes(np.array(wins), np.array(losses), n, found.alpha))
        verdicts.add(found.verdict)
    assert Verdict.BETTER in verdicts and len(verdicts) > 1
