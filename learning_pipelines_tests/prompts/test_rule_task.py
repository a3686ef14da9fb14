"""Reflective evolution on the bench's rule task, over five seeds: found, generalising, with a bounded number of calls.

Belongs here: our own numbers. Not here: gepa beside it (benchmarks/rule_task.py), what the climb does step by step (test_reflective.py).
"""

from __future__ import annotations

import statistics
from random import Random

import pytest

from benchmarks.rule_task import Round, ours
from learning_pipelines.prompts.search import search
from learning_pipelines.prompts.strategies import default_strategies
from learning_pipelines_tests.prompts.worlds import by_rules, rule_reflection, rule_task


@pytest.fixture(scope="module")
def rounds() -> list[Round]:
    return [ours(seed) for seed in range(5)]


def test_all_rules_are_found_and_hold_on_the_test_split(rounds: list[Round]) -> None:
    assert [(one.validation, one.test) for one in rounds] == [(1.0, 1.0)] * 5


def test_the_prompt_exists_after_half_the_calls_that_gepa_takes_at_best(rounds: list[Round]) -> None:
    """gepa 0.1.4 takes 480 to 1,032 on these items, 612 in the median of 20 seeds."""
    assert statistics.median(one.existed_after for one in rounds) <= 250
    assert max(one.existed_after for one in rounds) < 480


def test_no_more_reflection_is_asked_for_than_by_gepa(rounds: list[Round]) -> None:
    """Twelve rules at a chance of .7 take 17 questions without any mistake; gepa asks 22.5 in the median."""
    assert statistics.median(one.reflections for one in rounds) <= 22


def test_the_search_stops_when_nothing_can_win_any_more(rounds: list[Round]) -> None:
    assert all(one.evaluations < 600 for one in rounds)  # of 1,500 allowed, with both engines
    assert all(ours(seed, engine="own").evaluations < 400 for seed in range(5))


def test_the_engine_of_gepa_serves_the_same_search() -> None:
    rng = Random(0)
    task, needs = rule_task(rng)
    evaluate, reflection = by_rules(needs), rule_reflection(rng)
    result = search(task, evaluate, default_strategies(task, reflection, "gepa"), calls=1_500, reflection=reflection)
    assert result.winner.score == 1.0 and result.winner.candidate.strategy in ("gepa", "clarify", "combined")
    assert len(evaluate.asked) == len(set(evaluate.asked)) == result.evaluations
