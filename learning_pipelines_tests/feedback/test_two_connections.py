"""An import that stages on one connection while it merges on another: the same outcome as on one, in file order.

Belongs here: what two connections could get wrong. Not here: what an import does (test_importing.py), identity on one (test_identity.py).
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from learning_pipelines.errors import Unavailable
from learning_pipelines.feedback import importing
from learning_pipelines.storage.database import Connection, Database
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.feedback.rows import AGENT, execution, said, table


@pytest.fixture
def second(database: Database, load: Load, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connection]:
    monkeypatch.setattr(importing, "BATCH_ROWS", 3)
    load("agents", [AGENT])
    with database.connect("pipeline") as connection:
        yield connection


def test_every_row_is_stored_once_and_in_the_order_of_the_file(load: Load, pipeline: Connection, second: Connection) -> None:
    load("executions", [execution("e1")])
    result = load("feedback", [said(f"f{number}", "e1") for number in range(100)], second=second)
    assert (result.imported, result.unchanged, result.rejected) == (100, 0, 0)
    rows = sorted(table(pipeline, "agent_feedback"), key=lambda row: row["arrival"])
    assert [row["id"] for row in rows] == [f"f{number}" for number in range(100)]


def test_the_first_of_two_contents_wins_across_batches(load: Load, pipeline: Connection, second: Connection) -> None:
    rows = [execution(f"e{number % 20}", output=f"answer {number // 20}") for number in range(60)]
    result = load("executions", rows, second=second)
    assert (result.imported, result.rejected) == (20, 40)
    assert {row["output"] for row in table(pipeline, "agent_executions")} == {"answer 0"}


def test_the_last_version_of_a_document_wins_across_batches(load: Load, pipeline: Connection, second: Connection) -> None:
    load("documents", [{"document_id": f"d{number % 4}", "text": f"version {number // 4}"} for number in range(40)], second=second)
    assert {row["text"] for row in table(pipeline, "documents")} == {"version 9"}


def test_the_later_line_supersedes_at_the_same_moment(load: Load, pipeline: Connection, second: Connection) -> None:
    load("executions", [execution("e1")])
    moment = "2026-03-02T10:00:00Z"
    load("feedback", [said(f"f{number}", "e1", user="ada", created_at=moment) for number in range(10)], second=second)
    assert [row["id"] for row in table(pipeline, "feedback_in_force", "facets_in_force <> 0")] == ["f9"]


def test_when_one_connection_is_lost_nothing_after_it_is_stored(load: Load, pipeline: Connection, second: Connection) -> None:
    second.close()
    with pytest.raises(Unavailable):
        load("executions", [execution(f"e{number}") for number in range(30)], second=second)
    stored = {row["id"] for row in table(pipeline, "agent_executions")}
    assert stored in ({f"e{number}" for number in range(count)} for count in (0, 3, 6))
    assert load("executions", [execution(f"e{number}") for number in range(30)]).unchanged == len(stored)
