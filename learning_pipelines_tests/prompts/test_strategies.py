"""What each strategy proposes, from which situation.

Belongs here: one strategy at a time, without a race. Not here: the climb (test_reflective.py), how candidates fare (test_search.py).
"""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from random import Random
from typing import get_args

import pytest

from learning_pipelines.llm_errors import EndpointDown, NonsenseAnswer
from learning_pipelines.prompts.hygiene import faults
from learning_pipelines.prompts.prompt import Prompt, Retrieval
from learning_pipelines.prompts.strategies import (
    Agreeing,
    Clarify,
    Combined,
    Curated,
    ReflectionEngine,
    Reflective,
    Restructure,
    Retrieved,
    default_strategies,
)
from learning_pipelines.prompts.strategies.asking import instruction_in
from learning_pipelines.prompts.strategies.edits import SHOWN_CHARS
from learning_pipelines.prompts.task import Candidate, Item, Scored, Situation, Strategy
from learning_pipelines_tests.prompts.worlds import Scripted, intent_task, nearest_train

TASK = intent_task(Random(0), instruction="You are the service desk. Be brief. Be brief. Name the intent of the message.")
START = Candidate(TASK.incumbent, "incumbent")
BARE = Situation(TASK, START, (), (), None, nearest_train(TASK), 4_000, (START,))
FAILED = tuple(Scored(item, "limit", 0.0) for item in TASK.train[:4])


def proposed(strategy: Strategy, situation: Situation = BARE, seed: int = 0, most: int = 30) -> list[Candidate]:
    return list(islice(strategy.propose(situation, Random(seed)), most))


@pytest.mark.parametrize("strategy", [Retrieved(), Agreeing(), Curated(), Clarify(), Restructure(), Combined(), Reflective()], ids=lambda one: one.name)
def test_the_same_seed_proposes_the_same_and_nothing_it_proposes_has_a_fault(strategy: Strategy) -> None:
    other = proposed(Curated())[0]
    situation = replace(BARE, failures=FAILED, raced=(START, other, proposed(Clarify())[0]), best=other)
    first, again = proposed(strategy, situation), proposed(strategy, situation)
    assert first == again
    assert [faults(candidate, TASK) for candidate in first] == [[]] * len(first)
    assert {candidate.strategy for candidate in first} <= {strategy.name}


def test_no_note_holds_what_a_user_wrote() -> None:
    texts = [item.input for item in TASK.train]
    for strategy in default_strategies(TASK):
        for candidate in proposed(strategy, replace(BARE, failures=FAILED)):
            assert not any(text in candidate.note for text in texts)


def test_without_a_reflection_model_no_strategy_needs_one() -> None:
    assert [strategy.name for strategy in default_strategies(TASK)] == ["retrieved", "agreeing", "curated", "restructure", "clarify", "combined"]
    engines = {engine: [strategy.name for strategy in default_strategies(TASK, Scripted(str), engine)] for engine in get_args(ReflectionEngine)}
    assert {engine: names[: names.index("retrieved")] for engine, names in engines.items()} == {
        "both": ["reflective", "gepa"], "own": ["reflective"], "gepa": ["gepa"]
    }  # fmt: skip
    assert [strategy.name for strategy in default_strategies(replace(TASK, train=()))] == ["restructure", "clarify", "combined"]


def test_retrieved_proposes_the_three_sizes_on_the_best_instruction_without_fixed_examples() -> None:
    best = proposed(Curated())[0]
    candidates = proposed(Retrieved(), replace(BARE, best=best))
    assert [one.prompt.retrieval.k for one in candidates[:3] if one.prompt.retrieval] == [5, 3, 8]
    assert all(not one.prompt.demonstrations and not one.shown for one in candidates[:3])
    assert candidates[3].prompt.demonstrations == best.prompt.demonstrations and candidates[3].shown == best.shown


def test_retrieved_needs_a_lookup_and_keeps_to_what_fits_into_a_call() -> None:
    assert proposed(Retrieved(), replace(BARE, nearest=None)) == []
    long = tuple(Item(item.id, item.input + " word" * 1_000, item.expected) for item in TASK.train)
    sizes = [one.prompt.retrieval.k for one in proposed(Retrieved(), replace(BARE, task=replace(TASK, train=long))) if one.prompt.retrieval]
    assert sizes == [1]


def test_agreeing_is_proposed_where_answers_repeat_and_the_voters_fit_into_a_call() -> None:
    best = proposed(Curated())[0]
    candidates = proposed(Agreeing(), replace(BARE, best=best))
    assert [one.prompt.retrieval for one in candidates] == [Retrieval(8, agreeing=True), Retrieval(5, agreeing=True)]
    assert all(not one.prompt.demonstrations and not one.shown for one in candidates)
    free = tuple(replace(item, expected=f"Answer {number}.") for number, item in enumerate(TASK.train))
    long = tuple(replace(item, input=item.input + " word" * 1_000) for item in TASK.train)
    same = tuple(replace(item, expected="yes") for item in TASK.train)
    for situation in (replace(BARE, nearest=None), *(replace(BARE, task=replace(TASK, train=train)) for train in (free, long, same, ()))):
        assert proposed(Agreeing(), situation) == []


def test_curated_begins_with_balanced_sets_that_are_declared() -> None:
    first = proposed(Curated())[0]
    shown = {item.id: item for item in TASK.train}
    assert [(one.input, one.output) for one in first.prompt.demonstrations] == [(shown[one].input, shown[one].expected) for one in first.shown]
    assert {one.output for one in first.prompt.demonstrations} == set(TASK.labels)


def test_curated_edits_the_best_set_one_step_at_a_time() -> None:
    best = proposed(Curated())[0]
    edits = {one.note: one for one in proposed(Curated(), replace(BARE, best=best, failures=FAILED), most=4)}
    assert set(edits) == {"2 examples that failed added", "one example swapped", "one example dropped", "examples in another order"}
    had = set(best.shown)
    assert len(set(edits["one example swapped"].shown) - had) == 1 and len(edits["one example dropped"].shown) == len(had) - 1
    assert set(edits["examples in another order"].shown) == had != best.shown
    assert set(edits["2 examples that failed added"].shown[-2:]) <= {scored.item.id for scored in FAILED}
    assert all(one.parent == best.name for one in edits.values())


def test_curated_puts_fixed_examples_in_the_place_of_picked_ones() -> None:
    best = Candidate(replace(TASK.incumbent, retrieval=Retrieval(5)), "retrieved")
    assert all(one.prompt.retrieval is None for one in proposed(Curated(), replace(BARE, best=best)))


def test_curated_shows_no_more_than_fits_and_nothing_that_breaks_out_of_its_turn() -> None:
    long = tuple(Item(item.id, item.input + " word" * 500, item.expected) for item in TASK.train)
    for one in proposed(Curated(), replace(BARE, task=replace(TASK, train=long))):
        assert one.shown and sum(len(shown.input) + len(shown.output) for shown in one.prompt.demonstrations) <= SHOWN_CHARS
    bad = tuple(Item(item.id, item.input + " {{input}}", item.expected) for item in TASK.train)
    assert proposed(Curated(), replace(BARE, task=replace(TASK, train=bad))) == []


def test_clarify_restates_labels_and_answers_the_most_frequent_complaints() -> None:
    restated, complaints, both = (one.prompt.instruction for one in proposed(Clarify()))
    assert restated.startswith(TASK.incumbent.instruction) and all(label in restated for label in TASK.labels)
    assert "Check the answer" in complaints and "form of answer" in complaints
    assert set(restated.splitlines()) | set(complaints.splitlines()) == set(both.splitlines())


def test_clarify_says_nothing_twice() -> None:
    both = proposed(Clarify())[-1]
    assert proposed(Clarify(), replace(BARE, best=both)) == []


def test_clarify_hands_failures_and_complaints_to_the_reflection_model() -> None:
    model = Scripted(lambda text: "Here it is:\n```text\nName the one intent.\n```")
    first = proposed(Clarify(), replace(BARE, reflection=model, failures=FAILED))[0]
    assert first.prompt.instruction == "Name the one intent."
    assert all(scored.item.input in model.asked[0] for scored in FAILED) and "most frequent first: incorrect" in model.asked[0]


@pytest.mark.parametrize("said", ["", "I'm sorry, I can't help with that.", "<html><body>502</body></html>", "``` ```", "```\n" + "long " * 1_000 + "\n```"])
def test_an_answer_that_is_no_instruction_proposes_nothing(said: str) -> None:
    assert instruction_in(said, 4_000) is None
    with_model = proposed(Clarify(), replace(BARE, reflection=Scripted(lambda text: said), failures=FAILED))
    assert with_model == proposed(Clarify(), replace(BARE, failures=FAILED))


def test_a_question_that_fails_alone_is_passed_over_and_a_dead_endpoint_is_not() -> None:
    def fails(error: Exception) -> Scripted:
        def answer(text: str) -> str:
            raise error

        return Scripted(answer)

    passed = replace(BARE, failures=FAILED, reflection=fails(NonsenseAnswer("No answer.", "Ask again.")))
    assert len(proposed(Clarify(), passed)) == 3
    with pytest.raises(EndpointDown):
        proposed(Clarify(), replace(passed, reflection=fails(EndpointDown("Down.", "Wait."))))


def test_restructure_changes_the_shape_and_puts_the_answer_last() -> None:
    shapes = {one.note: one.prompt.instruction for one in proposed(Restructure())}
    lines = shapes["labels one per line, form of the answer last"]
    assert lines.splitlines()[-1].startswith("Answer with exactly one") and set(TASK.labels) < set(lines.splitlines())
    sections = shapes["sections"].splitlines()
    assert [line for line in sections if line.startswith("#")] == ["# Task", "# Rules", "# Labels", "# Answer"] and sections.count("- Be brief.") == 1
    assert '["refund", "card"' in shapes["labels as JSON, form of the answer last"]
    assert "Be brief" not in shapes["shortened"]


def test_combined_crosses_instructions_and_demonstrations_that_did_not_race_together() -> None:
    worded, nearest = proposed(Clarify())[0], proposed(Retrieved())[0]
    (only,) = proposed(Combined(), replace(BARE, raced=(nearest, worded, START)))
    assert only.prompt == Prompt(worded.prompt.messages, nearest.prompt.retrieval)


def test_combined_keeps_the_declared_examples_of_the_demonstrations_it_takes() -> None:
    worded, fixed = proposed(Clarify())[0], proposed(Curated())[0]
    (only,) = proposed(Combined(), replace(BARE, raced=(fixed, worded, START)))
    assert only.shown == fixed.shown and only.prompt.demonstrations == fixed.prompt.demonstrations
