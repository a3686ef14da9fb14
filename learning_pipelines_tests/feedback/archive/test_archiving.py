"""Old months on their way into the archive, on a real database and real files.

Belongs here: what goes where, what stays behind, what keeps a month. Not here: crashes and damage (test_crashes.py), rows that come back (test_returning.py).
"""

from __future__ import annotations

import hashlib

import orjson

from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.store import Store
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.feedback.archive.conftest import MARCH, Arrived, clean_up, computed_again, metrics
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
