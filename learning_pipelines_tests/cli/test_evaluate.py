"""`evaluate prompt` as typed: what it prints, one version and two, what it refuses, what a model that fails leads to.

Belongs here: the verb over an endpoint that answers as told. Not here: scoring itself (prompts/test_evaluation.py).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from learning_pipelines import cli_store
from learning_pipelines.cli import main
from learning_pipelines.examples.datasets import refresh_dataset
from learning_pipelines.settings import Settings
from learning_pipelines.storage.tenants import agents
from learning_pipelines.storage.versions import list_versions, members
from learning_pipelines_tests.acceptance.proposing import learnt, proposed
from learning_pipelines_tests.cli.command_line import Ended, call, database_of, write_rows
from learning_pipelines_tests.cli.conftest import Load
from learning_pipelines_tests.examples.approved import SHARES, TEXT_ONLY
from learning_pipelines_tests.fake_endpoint import FakeEndpoint, echoes, raw, refuses, says

Evaluate = Callable[..., Ended]
WORDS = ["invoice", "invoice", "invoice", "payroll", "payroll", "vat"]
_numbers = itertools.count(1)


def answers(handler: Any, body: dict[str, Any]) -> None:
    """Version 2 makes it say the input, which holds the right answer; anything else makes it say invoice."""
    (echoes if "well" in body["messages"][0]["content"] else says("invoice"))(handler, body)


@pytest.fixture
def endpoint() -> Iterator[FakeEndpoint]:
    with FakeEndpoint().running() as running:
        running.always = answers
        yield running


@pytest.fixture
def organization(home: Path, load_rows: Load) -> str:
    """An organization whose agent serves version 1, with a better version 2 proposed."""
    name = f"evaluate-{next(_numbers)}"
    load_rows("agents", [{"agent": "desk", "system_prompt": "You sort.", "metric": {"type": "contains"}}, {"agent": "bare"}], name)
    with database_of(home).connect("pipeline") as connection:
        desk = agents(connection, name, "desk")[0]
        proposed(connection, desk, learnt(connection, desk))
    return name


@pytest.fixture
def examples(tmp_path: Path) -> Path:
    rows = [{"example_id": f"e{at}", "agent": "desk", "input_text": f"{word} {at}", "expected_output": word} for at, word in enumerate(WORDS)]
    return write_rows(tmp_path / "examples.jsonl", rows)


@pytest.fixture
def evaluate(home: Path, organization: str, endpoint: FakeEndpoint, examples: Path, monkeypatch: pytest.MonkeyPatch) -> Evaluate:
    """Without a process for each; the first test is one."""
    settings = Settings(home=home, database_url=None, OPENAI_BASE_URL=endpoint.base_url, OPENAI_API_KEY=None, task_model="m")
    monkeypatch.setattr(cli_store, "load_settings", lambda: settings)

    def run(*more: str, agent: str = "desk", file: Path = examples) -> Ended:
        typed = ["evaluate", "prompt", "--agent", agent, "--examples", str(file), *more, "--organization", organization, "--json"]
        ended = CliRunner().invoke(main, typed)
        return Ended(ended.exit_code, ended.stdout, ended.stderr)

    return run


def test_what_serves_is_scored_with_the_keys_of_the_contract_and_asked_once(
    home: Path, organization: str, examples: Path, evaluate: Evaluate, endpoint: FakeEndpoint
) -> None:
    variables = {"OPENAI_BASE_URL": endpoint.base_url, "LEARNING_TASK_MODEL": "m"}
    ended = call(home, "evaluate", "prompt", "--agent", "desk", "--examples", examples, "--organization", organization, "--json", **variables)
    found = ended.document
    assert ended.code == 0, ended.err
    assert {key: found[key] for key in ("n", "version", "metric", "score", "calls", "input_tokens", "output_tokens")} == {
        "n": 6, "version": 1, "metric": "contains", "score": 0.5, "calls": 6, "input_tokens": 60, "output_tokens": 12,
    }  # fmt: skip
    assert 0.1 < found["interval"][0] < 0.5 < found["interval"][1] < 0.9
    assert [item["score"] for item in found["items"]] == [1.0, 1.0, 1.0, 0.0, 0.0, 0.0]
    assert {"input": "payroll 3", "expected": "payroll", "output": "invoice"}.items() <= found["items"][3].items()
    again = evaluate().document
    assert (again["score"], again["calls"], again["input_tokens"]) == (0.5, 0, 60)
    assert [message["role"] for message in endpoint.requests[0]["messages"]] == ["system", "user"]


def test_two_versions_are_shown_side_by_side(evaluate: Evaluate) -> None:
    found = evaluate("--version", "candidate", "--against", "1").document
    assert (found["version"], found["score"], found["against"]["version"], found["against"]["score"]) == (2, 1.0, 1, 0.5)
    assert (found["difference"], found["wins"], found["losses"]) == (0.5, 3, 0)
    assert found["difference_interval"][0] < 0.5 < found["difference_interval"][1]
    assert [(item["output"], item["against_output"]) for item in found["items"]][2:4] == [("invoice 2", "invoice"), ("payroll 3", "invoice")]


def test_examples_that_prompts_learn_from_are_counted_and_said_whatever_their_ids_and_spacing(
    home: Path, organization: str, load_rows: Load, evaluate: Evaluate
) -> None:
    assert evaluate().document["in_train"] == 0
    rows = [{"example_id": f"t{at}", "agent": "desk", "input_text": f" {word.upper()}  {at}", "expected_output": word} for at, word in enumerate(WORDS)]
    load_rows("examples", [row | {"review_status": "approved"} for row in rows], organization)
    with database_of(home).connect("pipeline") as connection:
        desk = agents(connection, organization, "desk")[0]
        refresh_dataset(connection, desk, rule=TEXT_ONLY, shares=SHARES)
        splits = [member[2] for member, _ in members(connection, desk, list_versions(connection, desk)[0]["id"])]
    ended = evaluate()
    assert 0 < splits.count("train") == ended.document["in_train"] < len(WORDS)
    assert f"{splits.count('train')} of the 6 examples are in the train split of dataset version 1" in ended.err and ended.code == 0


def test_bad_lines_are_listed_and_the_good_ones_are_scored(evaluate: Evaluate, tmp_path: Path) -> None:
    file = tmp_path / "some.jsonl"
    file.write_text(
        '{"agent": "desk", "input_text": "vat", "expected_output": "vat"}\n{"agent": "desk", "input_text": "vat"}\nnot JSON\n'
        '{"agent": "other", "input_text": "vat", "expected_output": "vat"}\n{"agent": "desk", "input_text": "vat", "expected_output": "vat"}\n'
    )
    ended = evaluate(file=file)
    assert (ended.code, ended.document["n"], ended.document["rejected"]) == (1, 1, 2)
    assert [(error["line"], error["field"]) for error in ended.document["errors"]] == [(2, "expected_output"), (3, None)]
    assert "1 lines are of other agents" in ended.err


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"agent": "nobody"}, "There is no agent 'nobody'"),
        ({"agent": "bare"}, "the label production"),
        ({"more": ("--version", "9")}, "no prompt version 9"),
        ({"text": ""}, "it is empty"),
        ({"text": '{"agent": "other", "input_text": "a", "expected_output": "b"}\n'}, "are of other"),
        ({"text": None}, "does not exist"),
    ],
)
def test_what_cannot_be_scored_is_said_before_the_model_is_asked(
    evaluate: Evaluate, endpoint: FakeEndpoint, tmp_path: Path, given: dict[str, Any], said: str
) -> None:
    options: dict[str, Any] = {"agent": given["agent"]} if "agent" in given else {}
    if "text" in given:
        options["file"] = tmp_path / "given.jsonl"
        if given["text"] is not None:
            options["file"].write_text(given["text"])
    ended = evaluate(*given.get("more", ()), **options)
    assert ended.code == 2 and said in ended.document["error"]["cause"], ended.err
    assert endpoint.requests == []


@pytest.mark.parametrize("reply", [says(""), raw("<html>busy</html>", "text/html", 200)])
def test_answers_that_cannot_be_used_score_nothing_are_named_and_are_no_success(evaluate: Evaluate, endpoint: FakeEndpoint, reply: Any) -> None:
    endpoint.always = reply
    ended = evaluate()
    assert (ended.code, ended.document["score"], sum(ended.document["faults"].values())) == (1, 0.0, 6)
    assert "No answer could be used" in ended.err


def test_an_endpoint_that_refuses_is_an_error_with_its_cause(evaluate: Evaluate, endpoint: FakeEndpoint) -> None:
    endpoint.always = refuses(401, "bad key")
    ended = evaluate()
    assert ended.code == 1 and ended.document["error"]["advice"], ended.out
