"""Old months on their way into the archive, on a real database and real files.

Belongs here: what goes where, what stays behind, what keeps a month. Not here: crashes and damage (test_crashes.py), rows that come back (test_returning.py).
"""

from __future__ import annotations

import datetime as dt
import hashlib

import orjson
import pytest

from learning_pipelines.feedback.archive.archiving import archive
from learning_pipelines.storage import archive as storage
from learning_pipelines.storage import archive_export
from learning_pipelines.storage.database import Connection, Database, snapshot
from learning_pipelines.storage.store import Store
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.feedback.archive.conftest import APRIL, MARCH, NOW, Arrived, clean_up, computed_again, metrics
from learning_pipelines_tests.feedback.rows import AGENT, execution, said, table


def folder(store: Store, table_name: str, organization: str = "default", month: str = "2025-03") -> object:
    return store.settings.home / "artifacts" / "archive" / table_name / f"organization={organization}" / f"month={month}"


def test_a_month_goes_into_one_file_per_organization_and_the_partitions_are_dropped(
    store: Store, march: None, load: Load, arrived: Arrived, pipeline: Connection
) -> None:
    load("agents", [AGENT], "other")
    arrived(MARCH, [execution("e1", user="eve")], [said("f1", "e1", user="eve")], "other")
    done = clean_up(store)
    assert (done.months, done.rows, done.files) == (["2025-03"], {"agent_executions": 3, "agent_feedback": 4}, 4)
    assert (table(pipeline, "agent_executions"), table(pipeline, "agent_feedback")) == ([], [])
    assert not table(pipeline, "pg_class", "relname LIKE 'agent_%_2025_03'")
    import pyarrow.parquet as pq

    for organization, ids in (("default", ["e1", "e2"]), ("other", ["e1"])):
        read = pq.read_table(folder(store, "agent_executions", organization) / "rows.parquet", partitioning=None).to_pylist()
        assert [row["id"] for row in read] == ids


def test_the_manifest_says_what_the_file_holds(store: Store, march: None) -> None:
    clean_up(store)
    place = folder(store, "agent_feedback")
    manifest = orjson.loads((place / "manifest.json").read_bytes())
    assert manifest["sha256"] == hashlib.sha256((place / "rows.parquet").read_bytes()).hexdigest()
    assert (manifest["rows"], manifest["rows_per_day"]) == (3, {"2025-03-15": 2, "2025-03-16": 1})
    assert (manifest["created_at"]["min"], manifest["timezone"]) == ("2025-03-15T12:00:00+00:00", "Europe/Berlin")


def test_metrics_stay_what_they_were_also_where_every_day_is_computed_again(store: Store, march: None, pipeline: Connection) -> None:
    clean_up(store)
    kept = metrics(pipeline)
    assert kept and sum(row["feedback"] for row in kept) == 2
    assert computed_again(store) == kept


def test_an_execution_with_later_feedback_moves_on_with_everything_said_about_it(store: Store, march: None, arrived: Arrived, pipeline: Connection) -> None:
    late = dt.date(2025, 9, 1)
    arrived(late, [], [said("f9", "e1", "thumbs_up", user="ada", created_at="2025-03-01T10:00:00Z")])
    before = [row["facets_in_force"] for row in sorted(table(pipeline, "feedback_in_force"), key=lambda row: row["id"])]
    done = clean_up(store)
    assert (done.months, done.rows, done.carried) == (["2025-03"], {"agent_executions": 1, "agent_feedback": 0}, 4)
    assert [row["facets_in_force"] for row in sorted(table(pipeline, "feedback_in_force"), key=lambda row: row["id"])] == before
    assert {row["received_at"].month for row in table(pipeline, "agent_executions")} == {9}


def test_feedback_that_waits_for_its_execution_goes_on_waiting(store: Store, march: None, arrived: Arrived, load: Load, pipeline: Connection) -> None:
    arrived(MARCH, [], [said("f9", "unknown", agent="desk")])
    clean_up(store)
    assert [row["id"] for row in table(pipeline, "agent_feedback", "pending_execution")] == ["f9"]
    load("executions", [execution("unknown")])
    assert not table(pipeline, "agent_feedback", "pending_execution")


def test_months_are_archived_the_oldest_first_and_young_ones_stay(store: Store, march: None, arrived: Arrived) -> None:
    arrived(APRIL, [execution("a1")])
    arrived(dt.date(2025, 6, 1), [execution("j1")])
    assert clean_up(store).months == ["2025-03", "2025-04"]


def test_a_month_without_rows_goes_without_a_file(store: Store, desk: None, database: Database) -> None:
    with database.connect("owner") as owner:
        for name in ("agent_executions", "agent_feedback"):
            owner.execute("SELECT learning.make_partitions(%s, '2025-02-01', 1)", [name])
    done = clean_up(store)
    assert (done.months, done.files) == (["2025-02"], 0)


def test_a_month_stays_while_somebody_has_not_read_its_entries(store: Store, march: None, pipeline: Connection) -> None:
    done = archive(store, now=NOW)
    assert done.months == [] and done.waiting is not None
    assert "2025-03 stays" in done.waiting and "default/desk" in done.waiting
    assert len(table(pipeline, "agent_executions")) == 2


def test_a_dry_run_says_what_would_go_and_changes_nothing(store: Store, march: None, pipeline: Connection) -> None:
    done = clean_up(store, dry_run=True)
    assert (done.months, done.rows) == (["2025-03"], {"agent_executions": 2, "agent_feedback": 3})
    assert len(table(pipeline, "agent_executions")) == 2 and not table(pipeline, "archived_partitions")


def test_reading_a_month_out_sorts_nothing(store: Store, march: None, database: Database) -> None:
    with database.connect("owner") as owner, snapshot(owner):
        archive_export.prepare(owner)
        (month,) = [one for one in storage.months(owner) if one.first == MARCH]
        for name in storage.TABLES:
            plan = "\n".join(row[0] for row in owner.execute(f"EXPLAIN {archive_export.export_query(month, name)}").fetchall())  # type: ignore[arg-type]
            assert "Sort" not in plan and "Index Scan" in plan, plan
            assert "user_id_created_at" not in plan, plan


def test_raters_and_thumbs_outlive_their_rows(store: Store, march: None, pipeline: Connection) -> None:
    clean_up(store)
    assert sorted(row["ratings"] for row in table(pipeline, "archived_raters")) == [1, 2]
    assert [row["feedback_id"] for row in table(pipeline, "archived_thumbs")] == ["f2"]


def test_duckdb_reads_the_archive_with_one_line(store: Store, march: None, load: Load, arrived: Arrived) -> None:
    duckdb = pytest.importorskip("duckdb")
    load("agents", [AGENT], "other")
    arrived(MARCH, [execution("e1")], [said("f1", "e1", "thumbs_up")], "other")
    clean_up(store)
    files = f"{store.settings.home}/artifacts/archive/agent_feedback/*/*/rows.parquet"
    found = duckdb.sql(
        f"SELECT organization, month, agent, count(*), avg(rating) FROM read_parquet('{files}', hive_partitioning = true) GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    assert [tuple(map(str, row)) for row in found] == [("default", "2025-03", "desk", "3", "2.0"), ("other", "2025-03", "desk", "1", "None")]


@pytest.mark.parametrize("other", [("ab", "c"), ("a", None), ("a", "-"), ("a", "bc "), ("", "abc"), (None, "abc")])
def test_rows_of_different_values_have_different_digests(other: tuple[str | None, str | None]) -> None:
    columns = (archive_export.Column("one", "text"), archive_export.Column("two", "text"))
    assert archive_export.digest_of(columns, other) != archive_export.digest_of(columns, ("a", "bc"))
