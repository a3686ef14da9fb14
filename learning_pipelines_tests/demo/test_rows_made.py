"""The import files of the demo: the model is asked once, an interruption costs nothing but time, the test side stays out of every file.
Belongs here: learning_pipelines/demo/rows_made.py with the real encoder and an endpoint that guesses. Not here: the embedded model (test_desk.py)."""

from __future__ import annotations

import datetime as dt
import json
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from learning_pipelines.demo.desk import asks, read_rows
from learning_pipelines.demo.rows_made import APPROVED_MESSAGES, COUNTS, answer_shares, approved_examples, write_rows
from learning_pipelines.demo.simulate import is_test_side
from learning_pipelines.feedback.kinds import KINDS
from learning_pipelines.llm_errors import ModelError
from learning_pipelines.settings import Settings
from learning_pipelines_tests.conftest import ShareEncoder
from learning_pipelines_tests.fake_endpoint import FakeEndpoint, refuses, says

ASKED = sum(COUNTS["quick"].values())


@pytest.fixture(scope="module")
def endpoint() -> Iterator[FakeEndpoint]:
    """Picks any of the allowed answers, sometimes the right one, and is at a loss where there are none."""

    def pick(handler: Any, body: dict[str, Any]) -> None:
        match body:
            case {"response_format": {"json_schema": {"schema": {"properties": {"answer": {"enum": [*allowed]}}}}}}:
                says(json.dumps({"answer": allowed[zlib.crc32(json.dumps(body["messages"]).encode()) % len(allowed)]}))(handler, body)
            case _:
                says("I do not know.")(handler, body)

    with FakeEndpoint().running() as running:
        running.always = pick
        yield running


@pytest.fixture(scope="module")
def settings(endpoint: FakeEndpoint, tmp_path_factory: pytest.TempPathFactory, share_encoder: ShareEncoder) -> Settings:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAI_BASE_URL", endpoint.base_url)
        patch.setenv("OPENAI_API_KEY", "none")
        return Settings(home=share_encoder(tmp_path_factory.mktemp("rows_made")), embedding_model=None, task_model="guessing")


@pytest.fixture(scope="module")
def files(settings: Settings) -> dict[str, Path]:
    return write_rows(settings, print, "quick")


@pytest.fixture
def fresh(settings: Settings, files: dict[str, Path]) -> Iterator[Settings]:
    """The same installation without any answer so far; afterwards it has those it had."""
    folder = settings.home / "demo"
    kept = {path: path.read_bytes() for path in folder.iterdir()}
    for path in kept:
        path.unlink()
    yield settings
    for path in folder.iterdir():
        path.unlink()
    for path, content in kept.items():
        path.write_bytes(content)


def read(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def contents(settings: Settings) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (settings.home / "demo").iterdir()}


def strings(value: Any) -> Iterator[str]:
    """Every text in a row, however deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from strings(one)


def grams(text: str) -> set[str]:
    plain = re.sub(r"\W+", " ", text).strip().casefold()
    return {plain[start : start + 5] for start in range(len(plain) - 4)}


def asked_on_the_test_side() -> list[str]:
    keys = {"messages": "text", "questions": "text", "filing_requests": "text", "examples": "input_text", "retrieval_feedback": "query"}
    found = [row[key] for kind, key in keys.items() for row in read_rows(kind) if "user" in row and is_test_side(row["user"])]
    apart = [row for row in read_rows("demonstrations") if is_test_side(row["demonstration_id"])]
    return found + [row[key] for row in apart for key in ("task_description", "reasoning")]


# The files


def test_every_row_is_valid_for_its_kind(files: dict[str, Path]) -> None:
    for kind, path in files.items():
        for row in read(path):
            KINDS[kind].model_validate(row)


def test_as_many_executions_of_each_agent_as_the_extent_says(files: dict[str, Path]) -> None:
    assert Counter(row["agent"] for row in read(files["executions"])) == COUNTS["quick"]


def test_executions_are_in_the_order_of_their_times(files: dict[str, Path]) -> None:
    times = [row["created_at"] for row in read(files["executions"])]
    assert times == sorted(times)


def test_feedback_is_simulated_and_about_these_executions(files: dict[str, Path]) -> None:
    rows = read(files["feedback"])
    assert rows and all(row["simulated"] is True for row in rows)
    assert {row["execution_id"] for row in rows} <= {row["execution_id"] for row in read(files["executions"])}


def test_the_shares_count_every_execution_once(files: dict[str, Path]) -> None:
    shares = answer_shares(files)
    assert {agent: asked for agent, (_, asked) in shares.items()} == COUNTS["quick"]
    assert all(0 <= right <= asked for right, asked in shares.values())


def test_what_was_right_is_in_no_import_file(files: dict[str, Path]) -> None:
    assert "answers.jsonl" not in {path.name for path in files.values()}
    assert not any("right" in row for kind in ("executions", "feedback") for row in read(files[kind]))


# Asked once


def test_a_second_call_asks_nothing_and_changes_no_byte(settings: Settings, files: dict[str, Path], endpoint: FakeEndpoint) -> None:
    before, asked = contents(settings), len(endpoint.requests)
    assert write_rows(settings, print, "quick") == files
    assert contents(settings) == before and len(endpoint.requests) == asked


def test_a_larger_extent_asks_only_what_is_missing(fresh: Settings, endpoint: FakeEndpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    files = write_rows(fresh, print, "quick")
    before = {row["execution_id"]: row for row in read(files["executions"])}
    said, asked = read(files["feedback"]), len(endpoint.requests)
    monkeypatch.setitem(COUNTS, "usual", {"router": 25, "filing": 6, "knowledge": 5})
    write_rows(fresh, print, "usual")
    after = {row["execution_id"]: row for row in read(files["executions"])}
    assert len(endpoint.requests) - asked == len(after) - ASKED == 6
    assert before.items() <= after.items() and all(row in read(files["feedback"]) for row in said)


def test_an_interruption_leaves_no_half_of_the_answers_and_all_are_asked_again(fresh: Settings, endpoint: FakeEndpoint) -> None:
    usual = endpoint.always
    endpoint.replies.extend([usual] * 5)
    endpoint.always = refuses(401)
    try:
        with pytest.raises(ModelError):
            write_rows(fresh, print, "quick")
    finally:
        endpoint.replies.clear()
        endpoint.always = usual
    assert not {"answers.jsonl", "executions.jsonl", "feedback.jsonl"} & set(contents(fresh))
    asked = len(endpoint.requests)
    assert len(read(write_rows(fresh, print, "quick")["executions"])) == ASKED == len(endpoint.requests) - asked


def test_import_files_that_were_lost_come_back_without_asking(settings: Settings, files: dict[str, Path], endpoint: FakeEndpoint) -> None:
    before, asked = contents(settings), len(endpoint.requests)
    files["executions"].unlink()
    files["feedback"].write_text("half a li", encoding="utf-8")
    write_rows(settings, print, "quick")
    assert contents(settings) == before and len(endpoint.requests) == asked


# Who learns from what


def test_as_many_messages_of_every_intent_are_approved() -> None:
    intents = Counter(row["expected_output"] for row in approved_examples())
    assert set(intents.values()) == {APPROVED_MESSAGES} and len(intents) == 14


def test_no_input_of_an_approved_example_is_asked(files: dict[str, Path]) -> None:
    approved = {row["input_text"] for row in read(files["examples"])}
    labelled = {row["example_id"].removeprefix("approved-") for row in approved_examples()}
    asked = {row["input"] for row in read(files["executions"])}
    assert not approved & asked
    assert not approved & {ask.text for ask in asks(dt.datetime.now(dt.UTC), COUNTS["full"], without=labelled)}


def test_anonymous_examples_are_learnt_from(files: dict[str, Path]) -> None:
    anonymous = {row["example_id"] for row in read_rows("examples") if "user" not in row}
    assert anonymous and anonymous <= {row["example_id"] for row in read(files["examples"])}


def test_nobody_of_the_test_side_is_in_an_import_file(files: dict[str, Path]) -> None:
    assert not [row for path in files.values() for row in read(path) if "user" in row and is_test_side(row["user"])]


def test_nothing_asked_or_shown_on_the_test_side_is_in_an_import_file(files: dict[str, Path]) -> None:
    texts = asked_on_the_test_side()
    imported = "\n".join(text for path in files.values() for row in read(path) for text in strings(row))
    assert len(texts) > 300 and [text for text in texts if text in imported] == []


def test_no_approved_answer_of_the_test_side_is_in_an_import_file(files: dict[str, Path]) -> None:
    answers = [row["answer"] for row in read_rows("questions") if "answer" in row and is_test_side(row["user"])]
    others = files.keys() - {"documents"}  # the articles are what the answers are taken from
    imported = "\n".join(text for kind in others for row in read(files[kind]) for text in strings(row))
    assert len(answers) > 40 and [text for text in answers if text in imported] == []


def test_no_approved_example_is_nearly_something_of_the_test_side(files: dict[str, Path]) -> None:
    apart = [(text, grams(text)) for text in asked_on_the_test_side()]
    approved = [(row["input_text"], grams(row["input_text"])) for row in read(files["examples"])]
    assert [(a, b) for a, one in approved for b, other in apart if len(one & other) >= 0.5 * len(one | other)] == []
