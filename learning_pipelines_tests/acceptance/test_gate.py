"""Verdicts, their rules, and that each can be computed again from what is kept."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from learning_pipelines.acceptance.gate import Evidence, Rules, Verdict, decide, deviations, recompute
from learning_pipelines.acceptance.paired import BOUNDED_MEAN
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
    found = decide(incumbent, candidate, k=k, rules=Rules(min_effect=0.01, planned_effect=0.2))
    stored = json.loads(json.dumps(found.as_json()))
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
