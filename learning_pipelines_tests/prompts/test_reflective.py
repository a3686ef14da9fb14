"""The climb on minibatches, ours and that of the gepa library, in the rule task.

Belongs here: what a step takes, when a climb ends, the budget. Not here: figures over many seeds (test_rule_task.py, benchmarks/rule_task.py).
"""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from learning_pipelines.llm_errors import BudgetExceeded
from learning_pipelines.prompts.ledger import CountedModel, Ledger
from learning_pipelines.prompts.strategies import GepaEngine, Reflective
from learning_pipelines.prompts.task import Candidate, Situation, Strategy
from learning_pipelines_tests.prompts.worlds import Counting, Scripted, by_rules, rule_reflection, rule_task

BOTH = pytest.mark.parametrize("strategy", [Reflective(), GepaEngine()], ids=lambda one: one.name)


def climbed(strategy: Strategy, calls: int, model: Scripted | None = None, admits: bool = True) -> tuple[list[Candidate], Counting, Scripted, Ledger]:
    rng = Random(0)
    task, needs = rule_task(rng)
    evaluate, model = by_rules(needs), model or rule_reflection(rng)
    ledger = Ledger(evaluate, calls)
    situation = Situation(
        task, Candidate(task.incumbent, "incumbent"), (), (), CountedModel(model, ledger), None, 4_000, trial=ledger, admits=lambda candidate: admits
    )
    return list(strategy.propose(situation, Random(1))), evaluate, model, ledger


@BOTH
def test_the_climb_finds_rules_on_train_items_alone(strategy: Strategy) -> None:
    candidates, evaluate, _, _ = climbed(strategy, 400)
    assert candidates[0].prompt.instruction.count("R") > 6  # the R of Rules, and six rules or more
    assert {item[:5] for _, item in evaluate.asked} == {"train"}


@BOTH
def test_the_budget_holds_to_the_unit_and_what_was_climbed_counts(strategy: Strategy) -> None:
    for calls in (0, 1, 3, 10, 47, 90):
        candidates, evaluate, model, ledger = climbed(strategy, calls)
        assert len(evaluate.asked) + len(model.asked) == ledger.spent <= calls
        assert len(set(evaluate.asked)) == len(evaluate.asked)
    assert candidates


@BOTH
def test_no_money_left_ends_it_all(strategy: Strategy) -> None:
    def answer(text: str) -> str:
        raise BudgetExceeded("The budget of this run is used up.", "Raise it.")

    with pytest.raises(BudgetExceeded):  # gepa's engine would swallow it
        climbed(strategy, 400, Scripted(answer))


@BOTH
@pytest.mark.parametrize("said", ["", "I cannot do that.", "```\nRules:\n```"])
def test_a_model_that_brings_nothing_new_proposes_nothing(strategy: Strategy, said: str) -> None:
    candidates, *_ = climbed(strategy, 300, Scripted(lambda text: said))
    assert candidates == []


@BOTH
def test_what_hygiene_refuses_is_not_scored_even_on_train(strategy: Strategy) -> None:
    candidates, evaluate, _, _ = climbed(strategy, 300, admits=False)
    assert candidates == [] and len({prompt for prompt, _ in evaluate.asked}) == 1


def test_a_step_that_is_not_better_on_the_minibatch_is_not_taken() -> None:
    candidates, _, model, _ = climbed(Reflective(patience=4), 400, Scripted(lambda text: "```\nAnother wording without any rule\n```"))
    assert candidates == [] and len(model.asked) == 4


def test_gepa_writes_nothing_to_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    climbed(GepaEngine(), 200)
    assert list(tmp_path.iterdir()) == []
