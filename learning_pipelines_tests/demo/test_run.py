"""`learning-pipelines demo`: the service desk goes through the whole loop, and a second time changes nothing.

Belongs here: the demo as a process. Not here: its rows (test_rows.py).
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from learning_pipelines.storage import embedded, overview
from learning_pipelines_tests.cli.command_line import Ended, call, database_of
from learning_pipelines_tests.cli.running import PATIENCE, family, lasting, start
from learning_pipelines_tests.fake_endpoint import FakeEndpoint, says


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with lasting(tmp_path_factory.mktemp("demo") / "home") as path:
        yield path


@pytest.fixture(scope="module")
def model() -> Iterator[dict[str, str]]:
    """Settings of a model that picks any of the allowed answers, and is at a loss otherwise: sometimes right, and at once."""

    def pick(handler: Any, body: dict[str, Any]) -> None:
        match body:
            case {"response_format": {"json_schema": {"schema": {"properties": {"answer": {"enum": [*allowed]}}}}}}:
                says(json.dumps({"answer": allowed[zlib.crc32(json.dumps(body["messages"]).encode()) % len(allowed)]}))(handler, body)
            case _:
                says("I do not know.")(handler, body)

    endpoint = FakeEndpoint()
    endpoint.always = pick
    with endpoint.running():
        yield {"OPENAI_BASE_URL": endpoint.base_url, "OPENAI_API_KEY": "none", "LEARNING_TASK_MODEL": "guessing"}


@pytest.fixture(scope="module")
def first(home: Path, model: dict[str, str]) -> Ended:
    return call(home, "demo", "--quick", "--no-serve", "--json", **model)


@pytest.fixture(scope="module")
def second(first: Ended, home: Path, model: dict[str, str]) -> str:
    """What a run says that keeps the UI, until somebody types `down` elsewhere."""
    running = start(home, "demo", "--quick", **model)
    assert httpx.get(f"http://127.0.0.1:{running.port}/server_info", timeout=60).status_code == 200
    assert call(home, "down", "--json").document["stopped"][0] == "feedback service and Dagster"
    assert running.process.wait(PATIENCE) == 0, running.words()
    return running.words()


def stored(home: Path) -> dict[str, int]:
    """Rows of every table; the server runs only for this look."""
    with database_of(home).connect("pipeline") as connection:
        counts = overview.table_counts(connection, "demo")
    embedded.stop(home)
    return counts


def test_every_step_goes_through_dagster_and_succeeds(first: Ended) -> None:
    assert first.code == 0, first.err
    runs = first.document["runs"]
    assert {run["status"] for run in runs} == {"success"}
    assert {run["job"] for run in runs} == {"observe", "dataset_refresh", "metrics_refresh", "learning_report"}


def test_the_rows_become_examples_datasets_and_a_report(first: Ended) -> None:
    document = first.document
    assert document["counts"]["agent_executions"] == 30
    assert document["counts"]["agent_feedback"] >= 8
    assert {"correction", "positive", "negative", "demonstration"} <= set(document["examples"])
    assert all(dataset["train"] and dataset["validation"] and dataset["test"] for dataset in document["datasets"])
    assert Path(document["report"].removeprefix("file://")).read_text(encoding="utf-8").startswith("# Week ")


def test_retrieval_is_put_to_a_test_on_held_out_questions_whatever_comes_of_it(first: Ended) -> None:
    retrieval = first.document["retrieval"]
    assert retrieval["agent"] == "knowledge"
    assert retrieval["changes"] or "no test was spent" in retrieval["reason"], retrieval  # validation may choose what serves: other processors round otherwise
    for one in retrieval["changes"]:
        assert one["n"] >= 54 and one["verdict"] in ("better", "no evidence", "worse") and one["low"] <= one["difference"] <= one["high"]


def test_it_leaves_no_server_behind(first: Ended, home: Path) -> None:
    assert embedded.running(home) is None


@pytest.mark.slow
def test_a_second_run_says_what_happened_in_about_ten_lines(second: str, home: Path) -> None:
    answer = second[second.index("The service desk of") : second.index("Starting the feedback service")]
    assert 8 <= len(answer.splitlines()) <= 17
    assert str(home / "artifacts" / "reports" / "demo") in answer


@pytest.mark.slow
def test_running_it_again_changes_no_count(first: Ended, second: str, home: Path) -> None:
    assert [line for line in second.splitlines() if line.endswith(" new") and not line.endswith(" 0 new")] == []
    notes = {"example_changes": 0}  # what changed since a dataset was made: the next refresh takes it up
    assert {**stored(home), **notes} == {**first.document["counts"], **notes}


@pytest.mark.slow
def test_down_from_elsewhere_leaves_no_process_behind(second: str, home: Path) -> None:
    assert family(home) == []
    assert embedded.running(home) is None
