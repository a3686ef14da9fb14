"""`learning-pipelines demo`: the service desk goes through the whole loop, and a second time changes nothing.

Belongs here: the demo as a process. Not here: its rows (test_rows.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from learning_pipelines.storage import embedded, overview
from learning_pipelines_tests.cli.command_line import Ended, call, database_of, remove


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("demo") / "home"
    try:
        yield path
    finally:
        remove(path)


@pytest.fixture(scope="module")
def first(home: Path) -> Ended:
    return call(home, "demo", "--no-serve", "--json")


@pytest.fixture(scope="module")
def second(first: Ended, home: Path) -> Ended:
    return call(home, "demo", "--no-serve")


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
    assert document["counts"]["agent_executions"] >= 200
    assert document["counts"]["agent_feedback"] >= 200
    assert {"correction", "positive", "negative", "failure", "demonstration"} <= set(document["examples"])
    assert all(dataset["train"] and dataset["validation"] and dataset["test"] for dataset in document["datasets"])
    assert Path(document["report"].removeprefix("file://")).read_text(encoding="utf-8").startswith("# Week ")


def test_it_leaves_no_server_behind(first: Ended, home: Path) -> None:
    assert embedded.running(home) is None


def test_a_second_run_says_what_happened_in_about_ten_lines(second: Ended, home: Path) -> None:
    assert second.code == 0, second.err
    lines = [line for line in second.out.splitlines() if line]
    assert 8 <= len(lines) <= 12
    assert str(home / "artifacts" / "reports" / "demo") in second.out


def test_running_it_again_changes_no_count(first: Ended, second: Ended, home: Path) -> None:
    assert stored(home) == first.document["counts"]
    assert all(f"{kind}: " in second.err and " 0 new" in second.err for kind in first.document["imported"])
