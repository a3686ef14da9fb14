"""Lines that cannot be stored: each is refused with a reason a person understands, and every good line around it is kept.

Belongs here: one bad line among good ones. Not here: files that are damaged as a whole (test_bad_files.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from learning_pipelines.feedback.importing import ImportResult
from learning_pipelines.storage.database import Database
from learning_pipelines_tests.conftest import Load, MakeDatabase
from learning_pipelines_tests.feedback.rows import AGENT, Row, execution, one_of_each, said

MEGABYTE = "x" * 1_000_000


@pytest.fixture(scope="module")
def database(make_database: MakeDatabase) -> Iterator[Database]:
    """One for the whole module: what is refused leaves nothing behind."""
    with make_database() as fresh:
        yield fresh


@pytest.fixture(autouse=True)
def _ground(load: Load) -> None:
    load("agents", [AGENT])
    load("executions", [execution("e1")])


def between_good_lines(load: Load, kind: str, bad: Row | bytes) -> dict[str, Any]:
    """Imports the bad row as line 2 of 3; returns its error, after checking that the others were kept."""
    good: list[Row] = [execution("g1"), execution("g2")] if kind == "executions" else [said("g1", "e1"), said("g2", "e1")]
    if kind not in ("executions", "feedback"):
        good = [{"document_id": "g1", "text": "t"}, {"document_id": "g2", "text": "t"}] if kind == "documents" else []
    result: ImportResult = load(kind, [*good[:1], bad, *good[1:]])
    assert (result.imported + result.unchanged, result.rejected) == (len(good), 1)
    assert result.errors[0]["line"] == (2 if good else 1)
    return result.errors[0]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"execution_id": "x"', "is not JSON"),
        (b"execution_id,agent", "is not JSON"),
        (b'{"x": NaN}', "is not JSON"),
        (b'{"x": 1e400}', "is not JSON"),
        (b"[" * 2_000 + b"]" * 2_000, "is not JSON"),
        (b'{"input": "\\ud800"}', "is not JSON"),
        (b"[1, 2]", "is an array"),
        (b'"text"', "is a string"),
        (b"17", "is a number"),
        (b"true", "is a boolean"),
        (b"null", "is null"),
    ],
)
def test_a_line_that_is_no_json_object_is_refused_in_words(load: Load, line: bytes, reason: str) -> None:
    error = between_good_lines(load, "executions", line)
    assert error["field"] is None
    assert error["reason"].startswith(reason)


@pytest.mark.parametrize("rating", [0, 6, 4.5, "5", True, 1e30, [5]])
def test_a_rating_is_a_whole_number_from_one_to_five(load: Load, rating: object) -> None:
    assert between_good_lines(load, "feedback", said("f1", "e1", "star_rating", rating=rating))["field"] == "rating"


@pytest.mark.parametrize("value", [0, 6, 2.5, "3", False])
def test_so_is_a_dimension(load: Load, value: object) -> None:
    assert between_good_lines(load, "feedback", said("f1", "e1", dimensions={"clarity": value}))["field"] == "dimensions.clarity"


@pytest.mark.parametrize(
    ("row", "field"),
    [
        (said("f1", "e1", "love"), "feedback_type"),
        (said("f1", "e1", "star_rating"), "rating"),
        (said("f1", "e1", "correction"), "correction_text"),
        (said("f1", "e1", "correction", correction_text=" \n"), "correction_text"),
        (said("f1", "e1", issue_categories=["ugly"]), "issue_categories.0"),
        (said("f1", "e1", dimensions={"beauty": 5}), "dimensions.beauty"),
        (said("f1", ""), "execution_id"),
        (said("f1", "e" * 256), "execution_id"),
        (said("", "e1"), "feedback_id"),
        (said("f1", "e1", user=["ada"]), "user"),
        (said("f1", "e1", task_context=5), "task_context"),
        (said("f1", "e1", created_at="yesterday"), "created_at"),
        (said("f1", "e1", created_at="2026-03-01"), "created_at"),
        (said("f1", "e1", created_at="2026-03-01T10:00:00"), "created_at"),
        (said("f1", "e1", created_at=1_760_000_000), "created_at"),
        ({"feedback_id": "f1", "feedback_type": "thumbs_up"}, "execution_id"),
    ],
)
def test_feedback_names_the_field_at_fault(load: Load, row: Row, field: str) -> None:
    assert between_good_lines(load, "feedback", row)["field"] == field


@pytest.mark.parametrize(
    ("kind", "change", "field"),
    [
        ("agents", {"agent": "a...b"}, "agent"),
        ("agents", {"agent": "with space"}, "agent"),
        ("agents", {"metric": {"type": "magic"}}, "metric.type"),
        ("agents", {"metric": {"type": "json_match", "fields": []}}, "metric.fields"),
        ("agents", {"metric": {"type": "exact_match", "tolerance": 1}}, "metric.tolerance"),
        ("executions", {"execution_id": "x", "latency_ms": -1}, "latency_ms"),
        ("executions", {"execution_id": "x", "input_tokens": 2**31}, "input_tokens"),
        ("executions", {"execution_id": "x", "retrieved": [{"rank": 1}]}, "retrieved.0"),
        ("executions", {"execution_id": "x", "output": None}, "output"),
        ("examples", {"input_text": ""}, "input_text"),
        ("examples", {"example_type": "preference"}, "output_a"),
        ("examples", {"quality_score": 1.5}, "quality_score"),
        ("examples", {"review_status": "fine"}, "review_status"),
        ("demonstrations", {"actions": []}, "actions"),
        ("demonstrations", {"actions": [{"arguments": 1}]}, "actions.0.type"),
        ("documents", {"text": "  "}, "text"),
        ("documents", {"metadata": []}, "metadata"),
        ("retrieval_feedback", {"relevant": None}, "relevant"),
        ("retrieval_feedback", {"helped": "yes"}, "helped"),
    ],
)
def test_every_kind_names_the_field_at_fault(load: Load, kind: str, change: Row, field: str) -> None:
    assert between_good_lines(load, kind, one_of_each()[kind] | change)["field"] == field


@pytest.mark.parametrize(
    ("kind", "row", "field"),
    [
        ("executions", execution("x", output=5 * MEGABYTE), "output"),
        ("executions", execution("x", input=[{"content": 5 * MEGABYTE}]), "input"),
        ("feedback", said("f1", "e1", feedback_text=5 * MEGABYTE), "feedback_text"),
        ("documents", {"document_id": "d1", "text": 5 * MEGABYTE}, "text"),
    ],
)
def test_a_text_of_five_megabytes_is_refused_with_its_limit(load: Load, kind: str, row: Row, field: str) -> None:
    error = between_good_lines(load, kind, row)
    assert (error["field"], "000000 characters" in error["reason"]) == (field, True)


def test_the_longest_texts_that_are_allowed_are_stored(load: Load) -> None:
    assert load("executions", [execution("long", output=MEGABYTE)]).imported == 1
    assert load("documents", [{"document_id": "d1", "text": 4 * MEGABYTE}]).imported == 1


def test_a_raw_nul_byte_is_named_with_its_place(load: Load) -> None:
    error = between_good_lines(load, "executions", orjson.dumps(execution("x")).replace(b"Answer", b"An\x00swer"))
    assert "NUL byte at position" in error["reason"]


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"output": "a\x00b"}, "output"),
        ({"execution_id": "a\x00b"}, "execution_id"),
        ({"user": "a\x00b"}, "user"),
        ({"tags": ["fine", "a\x00b"]}, "tags.1"),
        ({"context": {"deep": [{"er": "a\x00b"}]}}, "context.deep.0.er"),
        ({"context": {"deep": {"k\x00": 1}}}, "context.deep.'k\\x00'"),
        ({"unknown\x00": 1}, "'unknown\\x00'"),
        ({"input": {"text": "a\x00b"}}, "input.text"),
    ],
)
def test_an_escaped_nul_is_found_wherever_it_hides(load: Load, more: Row, field: str) -> None:
    error = between_good_lines(load, "executions", execution("x") | more)
    assert error["field"] == field
    assert "NUL" in error["reason"]


def test_the_six_characters_of_an_escape_are_no_nul(load: Load) -> None:
    assert load("executions", [execution("escape", output="write \\u0000 in JSON", context={"\\u0000": "\\u0000"})]).imported == 1


def test_invalid_utf8_is_named_with_its_byte(load: Load) -> None:
    error = between_good_lines(load, "executions", b'{"execution_id": "x\xff"}')
    assert error["reason"] == "is not UTF-8 (byte 20); save the file as UTF-8"


@pytest.mark.parametrize("key", ["unknown", "context", "input"])
def test_nesting_beyond_what_can_be_stored_is_refused(load: Load, key: str) -> None:
    nested = b'{"a":' * 400 + b"1" + b"}" * 400
    line = orjson.dumps(execution("x") | {key: "HERE"}).replace(b'"HERE"', nested)
    assert "nested" in between_good_lines(load, "executions", line)["reason"]


def test_nesting_up_to_the_limit_is_stored_and_scrubbed(load: Load) -> None:
    nested = b'{"a":' * 250 + b'"jo@example.com"' + b"}" * 250
    line = orjson.dumps(one_of_each()["examples"] | {"input_context": "HERE"}).replace(b'"HERE"', nested)
    assert load("examples", [line]).imported == 1


def test_whole_numbers_of_any_size_in_unknown_keys_are_stored(load: Load) -> None:
    assert load("executions", [b'{"execution_id":"number","agent":"desk","input":"","output":"","context":{"n":123456789012345678901234567890}}']).imported == 1


def test_any_text_that_unicode_has_is_stored_as_it_is(load: Load) -> None:
    text = "\u2028 \ufeff \U0001f600 \u202e\t\\N \\. \x7f 'quote' \"double\" {a,b} NULL"
    assert load("executions", [execution("unicode", output=text, tags=[text, "", "NULL"], user=text)]).imported == 1
