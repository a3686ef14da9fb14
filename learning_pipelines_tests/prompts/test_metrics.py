"""What each metric makes of an answer, and which choices of a metric are refused.

Belongs here: scores of single answers, options. Not here: asking a model (test_evaluation.py), the judge (test_judge.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learning_pipelines.encoder import Vectors
from learning_pipelines.errors import BadInput
from learning_pipelines.prompts.answer_values import number_in
from learning_pipelines.prompts.metric_options import TYPES, metric_of_agent, options_of
from learning_pipelines.prompts.metrics import metric_of, normalised
from learning_pipelines.prompts.task import Item


def score(spec: dict[str, Any], expected: str, output: str) -> float:
    return metric_of(spec, Letters()).score(Item("1", "", expected), output)


class Letters:
    """An encoder of two dimensions: how many a, how many b, minus signs turn the vector round. Counts what it was asked."""

    name, dimensions = "letters", 2

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def encode(self, texts: Sequence[str], *, batch_size: int = 64) -> Vectors:
        self.asked.append(list(texts))
        rows = np.array([[text.count("a"), text.count("b")] for text in texts], dtype=np.float32) + 1e-6
        rows *= np.array([[-1.0 if "-" in text else 1.0] for text in texts], dtype=np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("expected", "output", "right"),
    [
        ("invoice", "Invoice", True),
        ("invoice", ' "invoice".\n', True),
        ("invoice", "**Invoice**", True),
        ("invoice", "`invoice`", True),
        ("payroll tax", "payroll\n  tax", True),
        ("ﬁne", "fine", True),
        ("STRASSE", "straße", True),
        ("yes", "yes!", True),
        ("invoice", "invoices", False),
        ("invoice", "The answer is invoice", False),
        ("-5", "5", False),
        ("?", "!", False),
        ("[]", "{}", False),
        ("", "", True),
        ("", "x", False),
    ],
)
def test_exact_match_looks_past_dress_but_not_past_words(expected: str, output: str, right: bool) -> None:
    assert score({"type": "exact_match"}, expected, output) == right


def test_strict_exact_match_minds_case_and_marks() -> None:
    strict = {"type": "exact_match", "strict": True}
    assert [score(strict, "Yes", one) for one in ("Yes", " Yes\n", "yes", "Yes.")] == [1, 1, 0, 0]


@given(st.text(max_size=30))
@settings(max_examples=200, deadline=None)
def test_normalising_twice_is_normalising_once(text: str) -> None:
    assert normalised(normalised(text)) == normalised(text)


@pytest.mark.parametrize(
    ("options", "expected", "output", "right"),
    [
        ({}, "art. 12", "See Art.  12 of the act.", True),
        ({}, "art", "party", True),
        ({"whole_words": True}, "art", "party", False),
        ({"whole_words": True}, "art", "modern Art!", True),
        ({"whole_words": True}, "c++", "written in C++.", True),
        ({}, "30 days", "thirty days", False),
        ({}, "", "anything", False),
    ],
)
def test_contains_finds_the_approved_answer_within_the_given_one(options: dict[str, Any], expected: str, output: str, right: bool) -> None:
    assert score({"type": "contains", **options}, expected, output) == right


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1,234.5", "1234.5"),
        ("1.234,5", "1234.5"),
        ("1.234.567", "1234567"),
        ("about 1,234 units", "1234"),
        ("3,5 %", "3.5"),
        ("1\u00a0234\u202f567,8 €", "1234567.8"),
        ("CHF 1'234.50", "1234.50"),
        ("$5.", "5"),
        ("-$1,000", "-1000"),
        ("−3", "-3"),
        ("-.5", "-0.5"),
        ("10-12 days", "10"),
        ("2e3", "2000"),
        ("5'10", "5"),
        ("1,2,3", "1"),
        ("Q3 was 7", "7"),
        ("version 1.2.3 has 4", "4"),
        ("none", None),
        ("", None),
        ("1" * 5_000, "1" * 5_000),
    ],
)
def test_numbers_are_read_as_people_write_them(text: str, number: str | None) -> None:
    found = number_in(text)
    assert (None if found is None else format(found, "f")) == number


@pytest.mark.parametrize(
    ("options", "expected", "output", "right"),
    [
        ({}, "0.3", "It is 0.30.", True),
        ({}, "100", "101", False),
        ({"tolerance": 1}, "100", "101", True),
        ({"tolerance": 1}, "100", "101.01", False),
        ({"tolerance": {"relative": 0.01}}, "-1000", "-1,010", True),
        ({"tolerance": {"relative": 0.01}}, "-1000", "1,000", False),
        ({"tolerance": {"absolute": 0.1, "relative": 0.01}}, "0", "0.1", True),
        ({"tolerance": 0.1}, "0.3", "0.2", True),
        ({"take": "last"}, "12", "3 times 4 is 12", True),
        ({}, "12", "3 times 4 is 12", False),
        ({"tolerance": 1}, "1e9999", "2e9999", False),
    ],
)
def test_numeric_allows_what_the_tolerance_says(options: dict[str, Any], expected: str, output: str, right: bool) -> None:
    assert score({"type": "numeric", **options}, expected, output) == right


def test_an_answer_without_what_the_metric_reads_is_a_fault_that_names_it() -> None:
    answers = [(Item("1", "", "5"), "five"), (Item("2", "", "five"), "5")]
    assert [mark.fault for mark in metric_of({"type": "numeric"}).marks(answers)] == ["the answer holds no number", "the expected output holds no number"]
    answers = [(Item("1", "", '{"a": 1}'), "I cannot"), (Item("2", "", "a: 1"), '{"a": 1}')]
    assert [mark.fault for mark in metric_of({"type": "json_match"}).marks(answers)] == ["the answer holds no JSON", "the expected output holds no JSON"]


MAIL = '{"urgency": "high", "sentiment": "neutral", "categories": {"cleaning": true, "training": false}}'


@pytest.mark.parametrize(
    ("options", "expected", "output", "share"),
    [
        ({}, MAIL, MAIL, 1),
        ({}, MAIL, f"Here you are:\n```json\n{MAIL}\n```\nAnything else?", 1),
        ({}, MAIL, MAIL.replace("true", "false"), (1 + 1 + 0.5) / 3),
        ({}, MAIL, '{"urgency": "High"}', 1 / 3),
        ({"fields": ["urgency", "categories.cleaning"]}, MAIL, MAIL.replace("neutral", "bad").replace("true", "false"), 0.5),
        ({}, '{"a": 1}', '{"a": 1, "b": 2, "c": 3, "d": 4}', 0.25),
        ({}, '{"a": 1, "b": null}', '{"a": 1}', 1),
        ({"fields": ["a"]}, '{"a": 1}', '{"a": 1, "b": 2}', 1),
        ({}, '{"a": 0.1}', '{"a": "0.10"}', 1),
        ({}, '{"a": 1}', '{"a": true}', 0),
        ({}, '{"a": true}', '{"a": "True"}', 1),
        ({}, '{"a": ""}', '{"a": []}', 0),
        ({"tolerance": {"relative": 0.1}}, '{"a": 10}', '{"a": 11}', 1),
        ({"tolerance": 0.5}, '{"a": 10}', '{"a": 11}', 0),
        ({}, '["make", "transfer"]', '["transfer", "make"]', 1),
        ({}, '["make", "transfer"]', '["make"]', 2 / 3),
        ({}, '["a", "a"]', '["a", "b"]', 0.5),
        ({}, "[]", "[]", 1),
        ({}, "{}", "{}", 1),
        ({}, '{"a": {"b": 1}}', '{"a": 1}', 0),
        ({}, '{"a": NaN}', '{"a": NaN}', 0),
        ({"fields": ["a.b"]}, '{"a.b": 1}', '{"a": {"b": 1}}', 1),
        ({}, '{"a": 1}', "[" * 100_000, 0),
    ],
)
def test_json_match_gives_each_field_its_share(options: dict[str, Any], expected: str, output: str, share: float) -> None:
    assert score({"type": "json_match", **options}, expected, output) == pytest.approx(share)


def test_similarity_is_the_cosine_within_0_and_1_and_asks_once_for_all() -> None:
    letters = Letters()
    metric = metric_of({"type": "similarity"}, letters)
    answers = [(Item("1", "", "aa"), "a"), (Item("2", "", "a"), "b"), (Item("3", "", "ab"), "a"), (Item("4", "", "a"), "-a"), (Item("5", "", "a"), " ")]
    assert [mark.score for mark in metric.marks(answers)] == pytest.approx([1, 0, 0.5**0.5, 0, 0], abs=1e-3)
    assert len(letters.asked) == 1 and len(letters.asked[0]) == len(set(letters.asked[0]))


@given(st.sampled_from(sorted(set(TYPES) - {"judge"})), st.text(max_size=40), st.text(max_size=40))
@settings(max_examples=300, deadline=None)
def test_every_metric_takes_every_text_and_stays_within_0_and_1(name: str, expected: str, output: str) -> None:
    assert 0 <= score({"type": name}, expected, output) <= 1


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        ({"type": "magic"}, "type: there is no metric 'magic'"),
        ({}, "type"),
        ({"type": "exact_match", "tolerance": 1}, "tolerance: exact_match has no such option; it has strict"),
        ({"type": "similarity", "threshold": 1}, "it has none"),
        ({"type": "json_match", "fields": []}, "fields: needs at least one"),
        ({"type": "json_match", "fields": "urgency"}, "fields"),
        ({"type": "numeric", "tolerance": -1}, "tolerance.absolute"),
        ({"type": "numeric", "tolerance": {"percent": 1}}, "tolerance.percent"),
        ({"type": "numeric", "tolerance": float("nan")}, "tolerance.absolute"),
        ({"type": "judge", "weights": {"beauty": 1}}, "weights.beauty"),
        ({"type": "judge", "weights": {"clarity": 0}}, "weights: at least one"),
    ],
)
def test_a_metric_that_cannot_be_used_is_refused_by_name(spec: dict[str, Any], named: str) -> None:
    with pytest.raises(BadInput, match="metric cannot be used") as caught:
        options_of(spec)
    assert named in str(caught.value)


def test_metrics_that_need_somebody_say_whom() -> None:
    with pytest.raises(BadInput, match="needs an encoder"):
        metric_of({"type": "similarity"})
    with pytest.raises(BadInput, match="needs a judging model"):
        metric_of({"type": "judge"})


def test_an_agent_without_a_metric_is_scored_by_the_kind_of_its_answers() -> None:
    assert metric_of_agent(None, ["a", "b"]) == {"type": "exact_match"}
    assert metric_of_agent(None, None) == {"type": "similarity"}
    assert metric_of_agent({"type": "numeric"}, ["1"]) == {"type": "numeric"}
