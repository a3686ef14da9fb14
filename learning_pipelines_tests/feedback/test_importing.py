"""Importing whole files: every kind, what is counted, what is listed, what goes where.

Belongs here: files that are mostly good. Not here: identity (test_identity.py), damaged lines and files (test_bad_lines.py).
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from learning_pipelines.errors import BadInput
from learning_pipelines.feedback import importing
from learning_pipelines.feedback.importing import import_file, window_now
from learning_pipelines.storage.database import Connection
from learning_pipelines_tests.conftest import START, Load
from learning_pipelines_tests.feedback.rows import AGENT, execution, one_of_each, said, table

KINDS = ("agents", "executions", "feedback", "examples", "demonstrations", "documents", "retrieval_feedback")
TABLES = {
    "agents": "agents", "executions": "agent_executions", "feedback": "agent_feedback", "examples": "learning_examples",
    "demonstrations": "demonstrations", "documents": "documents", "retrieval_feedback": "retrieval_events",
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_lands_in_its_table(load: Load, pipeline: Connection, kind: str) -> None:
    for earlier in ("agents", "executions"):
        if kind != earlier:
            load(earlier, [one_of_each()[earlier]])
    result = load(kind, [one_of_each()[kind]])
    assert (result.read, result.imported, result.errors) == (1, 1, [])
    assert len(table(pipeline, TABLES[kind])) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_leaves_a_key_and_an_outbox_entry_per_row(load: Load, pipeline: Connection, kind: str) -> None:
    load("agents", [AGENT])
    load(kind, [one_of_each()[kind]])
    assert len(table(pipeline, "ingest_keys", f"kind = '{kind}'")) == 1
    assert len(table(pipeline, "outbox", f"kind = '{kind}'")) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_unchanged_the_second_time(load: Load, pipeline: Connection, kind: str) -> None:
    load("agents", [AGENT])
    load(kind, [one_of_each()[kind]])
    before = len(table(pipeline, "outbox"))
    again = load(kind, [one_of_each()[kind]])
    assert (again.imported, again.unchanged) == (0, 1)
    assert len(table(pipeline, "outbox")) == before


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_keeps_unknown_keys_whatever_they_are_called(load: Load, pipeline: Connection, kind: str) -> None:
    load("agents", [AGENT])
    unknown = {"created": {"by": ["x"]}, "kind": 3, "model_fields": "m", "own": None, "id_key": True}
    result = load(kind, [one_of_each()[kind] | unknown])
    assert result.errors == []
    column = "input_context" if kind == "examples" else "context"
    stored = table(pipeline, TABLES[kind])[0][column]
    assert {key: stored.get(key, "lost") for key in unknown} == unknown


@pytest.mark.parametrize("kind", ["agents", "documents"])
def test_keys_of_other_kinds_are_unknown_keys(load: Load, pipeline: Connection, kind: str) -> None:
    load("agents", [AGENT])
    result = load(kind, [one_of_each()[kind] | {"created_at": "yesterday", "user": {"name": "Ada"}}])
    assert result.errors == []
    assert table(pipeline, TABLES[kind])[0]["context"]["created_at"] == "yesterday"


def test_every_line_read_is_imported_unchanged_or_rejected(load: Load) -> None:
    load("agents", [AGENT])
    load("executions", [execution("e1")])
    result = load("executions", [execution("e1"), execution("e2"), {"execution_id": "e3"}, b"", execution("e2"), b"{"])
    assert (result.read, result.imported, result.unchanged, result.rejected) == (5, 1, 2, 2)


def test_an_error_names_the_physical_line_the_field_and_the_reason(load: Load) -> None:
    load("agents", [AGENT])
    result = load("executions", [execution("e1"), b"", b"   ", execution("e2") | {"latency_ms": -1}])
    assert result.errors == [{"line": 4, "field": "latency_ms", "reason": "should be greater than or equal to 0"}]


def test_a_thousand_errors_are_listed_in_line_order_and_all_are_counted(load: Load) -> None:
    load("agents", [AGENT])
    rows: list[dict[str, Any]] = [execution(f"e{i}") | ({} if i % 2 else {"latency_ms": -1}) for i in range(5_000)]
    result = load("executions", rows)
    assert (result.imported, result.rejected) == (2_500, 2_500)
    assert [error["line"] for error in result.errors] == list(range(1, 2_001, 2))


def test_errors_of_the_database_are_sorted_among_the_others(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "BATCH_ROWS", 3)
    load("agents", [AGENT])
    load("executions", [execution("e1")])
    known = execution("e1", output="another answer")
    result = load("executions", [known, b"{", execution("e2"), b"[]", execution("e3"), known, b"1"])
    assert [error["line"] for error in result.errors] == [1, 2, 4, 6, 7]


def test_an_unknown_agent_is_refused_by_name(load: Load) -> None:
    load("agents", [AGENT])
    result = load("executions", [execution("e1") | {"agent": "nobody"}])
    assert result.errors[0]["field"] == "agent"
    assert "'nobody'" in result.errors[0]["reason"]


def test_agents_of_one_organization_are_unknown_to_another(load: Load) -> None:
    load("agents", [AGENT])
    assert load("executions", [execution("e1")], organization="other").rejected == 1


def test_two_organizations_may_use_the_same_ids(load: Load, pipeline: Connection) -> None:
    for organization in ("one", "two"):
        load("agents", [AGENT], organization=organization)
        assert load("executions", [execution("e1")], organization=organization).imported == 1
    assert len(table(pipeline, "agent_executions")) == 2


def test_users_and_experts_are_created_at_first_sight(load: Load, pipeline: Connection) -> None:
    load("agents", [AGENT])
    load("executions", [execution("e1", user="ada")])
    load("feedback", [said("f1", "e1", user="ada"), said("f2", "e1", user="bob")])
    load("demonstrations", [one_of_each()["demonstrations"] | {"expert": "eve"}])
    assert {(row["external_id"], row["role"]) for row in table(pipeline, "users")} == {("ada", "user"), ("bob", "user"), ("eve", "expert")}


def test_rows_point_at_the_user_they_name(load: Load, pipeline: Connection) -> None:
    load("agents", [AGENT])
    load("executions", [execution("e1", user="ada")])
    found = pipeline.execute("SELECT u.external_id FROM agent_executions x JOIN users u ON u.id = x.user_id").fetchone()
    assert found == ("ada",)


def test_chat_inputs_are_kept_as_json_text(load: Load, pipeline: Connection) -> None:
    load("agents", [AGENT])
    load("executions", [execution("e1") | {"input": [{"role": "user", "content": "Hi"}]}])
    assert table(pipeline, "agent_executions")[0]["input"] == '[{"role":"user","content":"Hi"}]'


@pytest.mark.parametrize(
    ("moment", "reason"),
    [("2015-01-04T23:59:59Z", "before 2015-01-05"), ("0001-01-01T00:00:00+14:00", "before 2015-01-05"), ("9999-12-31T23:59:59-14:00", "future")],
)
def test_a_time_outside_the_window_is_refused_by_name(load: Load, moment: str, reason: str) -> None:
    load("agents", [AGENT])
    error = load("executions", [execution("e1") | {"created_at": moment}]).errors[0]
    assert error["field"] == "created_at"
    assert reason in error["reason"]


def test_the_first_moment_of_the_start_date_counts(load: Load) -> None:
    load("agents", [AGENT])
    assert load("executions", [execution("e1") | {"created_at": "2015-01-05T00:00:00Z"}]).imported == 1


@pytest.mark.parametrize(("hours", "imported"), [(23, 1), (25, 0)])
def test_a_clock_may_be_a_day_ahead_and_no_more(load: Load, hours: int, imported: int) -> None:
    load("agents", [AGENT])
    ahead = dt.datetime.now(dt.UTC) + dt.timedelta(hours=hours)
    assert load("executions", [execution("e1") | {"created_at": ahead.isoformat()}]).imported == imported


def test_a_row_without_a_time_happened_when_it_was_received(load: Load, pipeline: Connection) -> None:
    load("agents", [AGENT])
    load("executions", [execution("e1")])
    row = table(pipeline, "agent_executions")[0]
    assert row["created_at"] == row["received_at"]


def test_imported_examples_are_scrubbed_and_keep_their_review(load: Load, pipeline: Connection) -> None:
    load("agents", [AGENT])
    load("examples", [one_of_each()["examples"] | {"input_text": "Mail jo@example.com about it", "review_status": "approved"}])
    row = table(pipeline, "learning_examples")[0]
    assert "jo@example.com" not in row["input_text"]
    assert (row["review_status"], row["source_type"]) == ("approved", "imported")


def test_an_unknown_kind_is_bad_input_that_lists_the_known_ones(load: Load) -> None:
    with pytest.raises(BadInput, match="retrieval_feedback"):
        load("opinions", [{}])


def test_an_impossible_organization_is_bad_input(load: Load) -> None:
    with pytest.raises(BadInput, match="'No Such'"):
        load("agents", [AGENT], organization="No Such")


@pytest.mark.parametrize(("path", "words"), [("missing.jsonl", "does not exist"), (".", "is a folder")])
def test_a_path_that_cannot_be_read_leaves_nothing_behind(pipeline: Connection, tmp_path: Path, path: str, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        import_file(pipeline, "default", "agents", tmp_path / path, window=window_now(START, dt.UTC))
    assert table(pipeline, "organizations") == []


def test_progress_tells_the_bytes_read_so_far(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "BATCH_ROWS", 10)
    load("agents", [AGENT])
    seen: list[int] = []
    load("executions", [execution(f"e{i}") for i in range(100)], progress=seen.append)
    assert len(seen) == 10
    assert seen == sorted(seen)
