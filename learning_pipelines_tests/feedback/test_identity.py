"""When two lines are the same record: given ids, canonical form, updates and conflicts, repeats within one file and between writers.

Belongs here: unchanged, conflict, update. Not here: which feedback is in force (test_supersession.py).
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from learning_pipelines.feedback import importing
from learning_pipelines.storage.database import Connection, Database
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.feedback.rows import AGENT, agent_ref, execution, one_of_each, said, table

CHANGES: dict[str, dict[str, Any]] = {
    "executions": {"output": "something else"},
    "feedback": {"rating": 1},
    "examples": {"expected_output": "something else"},
    "demonstrations": {"final_output": "something else"},
}


@pytest.mark.parametrize("kind", CHANGES)
def test_a_known_id_with_other_content_is_a_conflict(load: Load, pipeline: Connection, kind: str) -> None:
    row = one_of_each()[kind]
    load("agents", [AGENT])
    load(kind, [row])
    before = table(pipeline, "outbox")
    result = load(kind, [row | CHANGES[kind]])
    assert (result.imported, result.unchanged, result.rejected) == (0, 0, 1)
    assert result.errors[0]["reason"].startswith("conflict:")
    assert table(pipeline, "outbox") == before


def test_the_reason_of_a_conflict_names_the_id_and_its_key(load: Load) -> None:
    load("agents", [AGENT])
    load("executions", [execution("e1")])
    error = load("executions", [execution("e1", output="other")]).errors[0]
    assert error["field"] == "execution_id"
    assert "'e1'" in error["reason"]


def test_a_conflict_of_feedback_names_the_feedback_not_its_execution(load: Load) -> None:
    load("agents", [AGENT])
    load("executions", [execution("e1")])
    load("feedback", [said("f1", "e1")])
    error = load("feedback", [said("f1", "e1", "thumbs_down")]).errors[0]
    assert (error["field"], "'f1'" in error["reason"]) == ("feedback_id", True)


def test_a_changed_document_updates_the_stored_one(load: Load, pipeline: Connection) -> None:
    load("documents", [{"document_id": "d1", "text": "old", "title": "T"}])
    assert load("documents", [{"document_id": "d1", "text": "new"}]).imported == 1
    (row,) = table(pipeline, "documents")
    assert (row["text"], row["title"]) == ("new", None)


def test_a_document_that_changes_back_is_an_update_again(load: Load, pipeline: Connection) -> None:
    for text in ("old", "new", "old"):
        assert load("documents", [{"document_id": "d1", "text": text}]).imported == 1
    assert [row["text"] for row in table(pipeline, "documents")] == ["old"]


def test_the_last_version_of_a_document_in_one_file_wins(load: Load, pipeline: Connection) -> None:
    result = load("documents", [{"document_id": "d1", "text": text} for text in ("one", "two", "two", "three")])
    assert (result.imported, result.unchanged) == (3, 1)
    assert [row["text"] for row in table(pipeline, "documents")] == ["three"]


def test_a_changed_agent_updates_the_stored_one_and_keeps_its_id(load: Load, pipeline: Connection) -> None:
    load("agents", [AGENT])
    before = agent_ref(pipeline)
    load("agents", [AGENT | {"model": "small"}])
    assert (agent_ref(pipeline), table(pipeline, "agents")[0]["model"]) == (before, "small")


def prompts(connection: Connection) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """Versions as (version, parent, text) and labels as (label, version)."""
    versions = connection.execute("SELECT version, parent_version, messages->0->>'content' FROM prompt_versions ORDER BY 1").fetchall()
    return versions, connection.execute("SELECT label, version FROM prompt_labels ORDER BY 1").fetchall()


def test_the_first_prompt_of_an_agent_is_version_one_in_production(load: Load, pipeline: Connection) -> None:
    load("agents", [AGENT])
    assert prompts(pipeline) == ([(1, None, "You answer.")], [("production", 1)])


def test_a_changed_prompt_becomes_a_version_and_takes_production_from_previous(load: Load, pipeline: Connection) -> None:
    load("agents", [AGENT])
    load("agents", [AGENT | {"system_prompt": "You answer well."}])
    assert prompts(pipeline) == ([(1, None, "You answer."), (2, 1, "You answer well.")], [("previous", 1), ("production", 2)])


def test_an_agent_that_changes_in_another_way_makes_no_prompt_version(load: Load, pipeline: Connection) -> None:
    load("agents", [AGENT])
    load("agents", [AGENT | {"name": "Other", "labels": ["a", "b"]}])
    assert prompts(pipeline)[1] == [("production", 1)]


@pytest.mark.parametrize("origin", ["learnt", "written"])
def test_an_imported_prompt_does_not_displace_one_that_was_learnt_or_written(load: Load, pipeline: Connection, origin: str) -> None:
    load("agents", [AGENT])
    pipeline.execute(
        """INSERT INTO prompt_versions (organization_id, agent_id, version, parent_version, origin, messages, content_hash)
        SELECT organization_id, agent_id, 2, 1, %s, '[{"role": "system", "content": "Better."}]', 'x' FROM prompt_versions""",
        [origin],
    )
    pipeline.execute("UPDATE prompt_labels SET version = 2")
    load("agents", [AGENT | {"system_prompt": "Third."}])
    versions, labels = prompts(pipeline)
    assert (versions[-1], labels) == ((3, 2, "Third."), [("production", 2)])


def test_an_agent_without_a_prompt_has_no_version(load: Load, pipeline: Connection) -> None:
    load("agents", [{"agent": "desk"}])
    assert prompts(pipeline) == ([], [])


def test_the_order_of_keys_and_empty_values_do_not_matter(load: Load) -> None:
    load("agents", [AGENT])
    load("executions", [execution("e1")])
    lines = [
        b'{"execution_id": "e1", "feedback_type": "thumbs_up", "task_context": {"a": 1, "b": 2}}',
        b'{"task_context": {"b": 2, "a": 1}, "feedback_type":"thumbs_up", "rating": null, "execution_id":"e1", "issue_categories": []}',
    ]
    assert [load("feedback", [line]).imported for line in lines] == [1, 0]


def test_the_same_moment_in_another_zone_is_the_same_line(load: Load) -> None:
    load("agents", [AGENT])
    load("executions", [execution("e1")])
    rows = [said(None, "e1", created_at=moment) for moment in ("2026-03-01T10:00:00Z", "2026-03-01T12:00:00+02:00", "2026-03-01T10:00:00.000Z")]
    result = load("feedback", rows)
    assert (result.imported, result.unchanged) == (1, 2)


def test_lines_without_an_id_that_differ_are_two_records(load: Load) -> None:
    load("agents", [AGENT])
    load("executions", [execution("e1")])
    assert load("feedback", [said(None, "e1", user="ada"), said(None, "e1", user="bob")]).imported == 2


def test_equal_lines_with_ids_are_two_records(load: Load) -> None:
    load("agents", [AGENT])
    load("executions", [execution("e1")])
    assert load("feedback", [said("f1", "e1"), said("f2", "e1")]).imported == 2


@pytest.mark.parametrize("batch", [2, 10_000])
def test_repeats_in_one_file_are_found_inside_a_batch_and_across_batches(load: Load, monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    monkeypatch.setattr(importing, "BATCH_ROWS", batch)
    load("agents", [AGENT])
    rows = [execution("e1"), execution("e2"), execution("e1"), execution("e3"), execution("e2", output="other"), execution("e1")]
    result = load("executions", rows)
    assert (result.imported, result.unchanged, [error["line"] for error in result.errors]) == (3, 2, [5])


def test_ids_of_one_kind_do_not_clash_with_those_of_another(load: Load) -> None:
    load("agents", [AGENT])
    load("executions", [execution("same")])
    assert load("feedback", [said("same", "same")]).imported == 1


def test_a_number_and_a_text_are_the_same_id(load: Load, pipeline: Connection) -> None:
    load("agents", [AGENT])
    load("executions", [execution("7")])
    load("feedback", [said("f1", "7") | {"execution_id": 7}])
    assert table(pipeline, "agent_feedback")[0]["pending_execution"] is False


@pytest.mark.parametrize("kind", ["agents", "executions", "feedback", "documents"])
def test_four_writers_of_one_file_store_each_row_once(load: Load, database: Database, pipeline: Connection, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(importing, "BATCH_ROWS", 50)
    load("agents", [AGENT])
    load("executions", [execution(f"run{i}") for i in range(5)])
    rows: list[dict[str, Any]] = [
        {
            "agents": {"agent": f"a{i}", "system_prompt": f"p{i}"},
            "executions": execution(f"e{i}", user=f"u{i % 7}"),
            "feedback": said(f"f{i}", f"run{i % 5}", user=f"u{i % 7}"),
            "documents": {"document_id": f"d{i}", "text": f"t{i}"},
        }[kind]
        for i in range(300)
    ]
    start = threading.Barrier(4)

    def write(writer: int) -> tuple[int, int]:
        with database.connect("pipeline") as connection:
            start.wait()
            result = load(kind, rows[writer * 75 :] + rows[: writer * 75], connection=connection)
            assert result.errors == []
            return result.imported, result.unchanged

    with ThreadPoolExecutor(4) as pool:
        counts = list(pool.map(write, range(4)))
    assert (sum(new for new, _ in counts), sum(old for _, old in counts)) == (300, 900)
    prefix = {"agents": "a", "executions": "e", "feedback": "f", "documents": "d"}[kind]
    name, column = {"agents": ("agents", "slug"), "executions": ("agent_executions", "id"), "feedback": ("agent_feedback", "id")}.get(kind, ("documents", "id"))
    wanted = {f"{prefix}{i}" for i in range(300)}
    stored = [row[column] for row in table(pipeline, name, f"{column} ~ '^{prefix}[0-9]'")]
    keys = [row["external_id"] for row in table(pipeline, "ingest_keys", f"kind = '{kind}' AND external_id ~ '^{prefix}[0-9]'")]
    noted = [row["row_id"] for row in table(pipeline, "outbox", f"kind = '{kind}' AND row_id ~ '^{prefix}[0-9]'")]
    assert all((len(found), set(found)) == (300, wanted) for found in (stored, keys, noted))
