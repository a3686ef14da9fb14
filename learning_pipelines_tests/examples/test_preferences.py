"""Which pairs are made of corrections, choices and ratings, and which of two contradicting ones stands.

Belongs here: the pure rules. Not here: keeping pairs in step with stored examples (test_pairing.py).
"""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from learning_pipelines.examples.preferences import (
    MARGIN,
    PAIRS_PER_GROUP,
    Contested,
    Pair,
    Rated,
    Side,
    comparable,
    pairs_of_example,
    pairs_of_ratings,
    same_input,
    settle,
    texts,
)

NAMES = ("original_output", "expected_output", "output_a", "output_b", "preferred_output", "preference_strength")


def content(**given: Any) -> dict[str, Any]:
    return {"input_text": "Which form?", **dict.fromkeys(NAMES), **given}


def made(**given: Any) -> list[Pair]:
    return pairs_of_example(Side("x1", b"c" * 32), content(**given), 1.3)


def rated(name: str, score: float, answer: str | None = None, weight: float = 1.0, split: str = "train") -> Rated:
    return Rated(Side(name, name.encode()), split, "Which form?", answer or f"Answer of {name}", score, weight)


def test_a_correction_is_preferred_over_what_it_corrects() -> None:
    (pair,) = made(original_output="Form 1", expected_output="Form 2")
    assert (pair.source, pair.weight, pair.strength) == ("correction", 1.3, None)
    shown = content(original_output="Form 1", expected_output="Form 2")
    assert texts(pair.source, shown, shown) == ("Which form?", "Form 2", "Form 1")


@pytest.mark.parametrize(("preferred", "chosen", "rejected"), [("A", "One", "Two"), ("B", "Two", "One")])
def test_the_preferred_output_of_two_is_chosen(preferred: str, chosen: str, rejected: str) -> None:
    shown = content(output_a="One", output_b="Two", preferred_output=preferred, preference_strength=4)
    (pair,) = pairs_of_example(Side("x1", b"c"), shown, 1.0)
    assert (pair.source, pair.strength, *texts(pair.source, shown, shown)[1:]) == ("choice", 0.8, chosen, rejected)


@pytest.mark.parametrize(
    "given",
    [
        {"expected_output": "Form 2"},
        {"original_output": "Form 2", "expected_output": "Form 2"},
        {"original_output": " Form 2\n", "expected_output": "Form 2"},
        {"original_output": "Form 1", "expected_output": "  "},
        {"output_a": "One", "output_b": "One", "preferred_output": "A"},
        {"output_a": "One", "preferred_output": "A"},
        {"output_a": "One", "output_b": "Two"},
    ],
)
def test_what_says_nothing_about_two_answers_makes_no_pair(given: dict[str, Any]) -> None:
    assert made(**given) == []


def test_an_example_may_hold_a_correction_and_a_choice() -> None:
    given = {"original_output": "Form 1", "expected_output": "Form 2", "output_a": "One", "output_b": "Two", "preferred_output": "A"}
    assert [pair.source for pair in made(**given)] == ["correction", "choice"]


def test_the_better_rated_answer_is_preferred_with_its_margin_and_the_smaller_weight() -> None:
    (pair,) = pairs_of_ratings([rated("a", 1.0, weight=0.9), rated("b", 0.25, weight=0.4)])
    assert (pair.chosen.example_id, pair.rejected.example_id, pair.strength, pair.weight) == ("a", "b", 0.75, 0.4)


@pytest.mark.parametrize(("first", "second", "count"), [(1.0, 1.0 - MARGIN, 1), (1.0, 1.01 - MARGIN, 0), (0.5, 0.5, 0)])
def test_ratings_that_are_close_say_nothing(first: float, second: float, count: int) -> None:
    assert len(pairs_of_ratings([rated("a", first), rated("b", second)])) == count


def test_an_answer_that_was_rated_both_ways_counts_with_its_mean() -> None:
    answers = [rated("a", 1.0, "Same"), rated("b", 0.0, "Same"), rated("c", 0.9), rated("d", 0.0)]
    assert {(pair.chosen.example_id, pair.rejected.example_id) for pair in pairs_of_ratings(answers)} == {("a", "d"), ("c", "d")}


def test_answers_of_two_splits_are_never_compared() -> None:
    assert pairs_of_ratings([rated("a", 1.0), rated("b", 0.0, split="test")]) == []


def test_the_order_of_the_answers_makes_no_difference() -> None:
    answers = [rated("a", 1.0), rated("b", 0.3), rated("c", 0.0), rated("d", 0.9, "Answer of a")]
    found = {tuple(pair.id for pair in pairs_of_ratings(list(order))) for order in permutations(answers)}
    assert len(found) == 1


def test_many_answers_to_one_input_make_a_bounded_number_of_pairs_the_clearest_ones() -> None:
    pairs = pairs_of_ratings([rated(f"{number:02}", number / 40) for number in range(41)])
    assert len(pairs) == PAIRS_PER_GROUP
    assert min(pair.strength or 0 for pair in pairs) > 0.8


def test_equal_inputs_are_found_beyond_case_white_space_and_punctuation() -> None:
    assert same_input("Which  FORM, please?") == same_input("which form please")
    assert same_input("Which form?") != same_input("Which farm?")


def test_inputs_with_other_numbers_do_not_ask_the_same() -> None:
    assert comparable("How do I file VAT for 2023?", "How do I file the VAT for 2023")
    assert not comparable("How do I file VAT for 2023?", "How do I file VAT for 2024?")


def vote(name: str, chosen: bytes, rejected: bytes, weight: float, prompt: bytes = b"p") -> Contested:
    return Contested(name, prompt, chosen, rejected, weight)


@pytest.mark.parametrize(
    ("for_a", "for_b", "states"),
    [
        (2.0, 1.0, ("active", "outvoted")),
        (1.0, 2.0, ("outvoted", "active")),
        (1.9, 1.0, ("contradicted", "contradicted")),
        (1.0, 1.0, ("contradicted", "contradicted")),
        (0.0, 0.0, ("contradicted", "contradicted")),
        (0.5, 0.0, ("active", "outvoted")),
    ],
)
def test_two_thirds_of_the_weight_decide_a_contradiction(for_a: float, for_b: float, states: tuple[str, str]) -> None:
    found = settle([vote("1", b"a", b"b", for_a), vote("2", b"b", b"a", for_b)])
    assert (found["1"], found["2"]) == states


def test_all_who_say_the_same_add_up() -> None:
    found = settle([vote("1", b"a", b"b", 1.0), vote("2", b"a", b"b", 1.0), vote("3", b"b", b"a", 1.0)])
    assert found == {"1": "active", "2": "active", "3": "outvoted"}


def test_contradictions_about_another_input_do_not_count() -> None:
    found = settle([vote("1", b"a", b"b", 1.0), vote("2", b"b", b"a", 1.0), vote("3", b"a", b"b", 5.0, b"other"), vote("4", b"b", b"a", 1.0, b"other")])
    assert found == {"1": "contradicted", "2": "contradicted", "3": "active", "4": "outvoted"}
