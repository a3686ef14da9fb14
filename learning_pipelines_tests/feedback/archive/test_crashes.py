"""Archiving that is interrupted, a store that is full or not to be written, files that are damaged: named, nothing lost, done at the next run.

Belongs here: everything that goes wrong. Not here: what goes right (test_archiving.py).
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import errno
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest

from learning_pipelines.errors import LearningError
from learning_pipelines.examples.export_files import HashedFile
from learning_pipelines.feedback.archive.archiving import archive
from learning_pipelines.feedback.archive.checking import check
from learning_pipelines.storage import archive as storage
from learning_pipelines.storage import outbox_pruning
from learning_pipelines.storage.database import Connection, Database
from learning_pipelines.storage.store import Store
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.feedback.archive.conftest import APRIL, MARCH, NOW, Arrived, clean_up, computed_again, metrics, up_to_date
from learning_pipelines_tests.feedback.rows import execution, said, table

STEPS = ("carried", "written", "verified", "registered", "detached agent_executions", "detached agent_feedback", "brought back", "dropped")
every_step = pytest.mark.parametrize("step", STEPS)


class Stopped(Exception):
    """What ends a run at a step."""


def stop_at(wanted: str) -> Any:
    def step(name: str) -> None:
        if name == wanted:
            raise Stopped(name)

    return step


def rows_file(store: Store, name: str = "agent_feedback") -> Path:
    return store.settings.home / "artifacts" / "archive" / name / "organization=default" / "month=2025-03" / "rows.parquet"


def flip_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    path.write_bytes(data)


@every_step
def test_stopped_after_any_step_the_metrics_hold_and_the_next_run_ends_it(step: str, store: Store, march: None, load: Load, pipeline: Connection) -> None:
    up_to_date(store)
    before = metrics(pipeline)
    with pytest.raises(Stopped):
        archive(store, now=NOW, step=stop_at(step))
    assert computed_again(store) == before
    load("feedback", [said("late", "e2", "thumbs_down", user="ada", created_at="2025-03-17T12:00:00Z")])
    up_to_date(store)
    done = clean_up(store)
    assert (done.months, check(store).wrong) == ([] if step == "dropped" else ["2025-03"], [])
    up_to_date(store)
    after = metrics(pipeline)
    assert computed_again(store) == after
    assert sum(row["thumbs_down"] for row in after) == 2 and sum(row["executions"] for row in after) == 2
    kept = {row["id"] for row in table(pipeline, "agent_feedback")}
    assert kept == {"late"} and {row["id"] for row in table(pipeline, "agent_executions")} == {"e2"}


@pytest.mark.slow
@every_step
def test_killed_after_any_step_the_next_run_ends_it(step: str, store: Store, march: None, database: Database) -> None:
    up_to_date(store)
    program = f"""
import json, os, signal, datetime as dt
from learning_pipelines.feedback.archive.archiving import archive
from learning_pipelines.settings import Settings
from learning_pipelines.storage.database import Database
from learning_pipelines.storage.store import Store
database = Database(**json.loads({json.dumps(json.dumps(dataclasses.asdict(database)))}))
store = Store(Settings(home={str(store.settings.home)!r}, timezone="Europe/Berlin", duplicate_cosine=None), database)
archive(store, now=dt.datetime.fromisoformat({NOW.isoformat()!r}), step=lambda name: name == {step!r} and os.kill(os.getpid(), signal.SIGKILL))
"""
    ended = subprocess.run([sys.executable, "-c", program], check=False, timeout=120)
    assert ended.returncode == -signal.SIGKILL
    done = clean_up(store)
    assert (done.months, check(store).wrong) == ([] if step == "dropped" else ["2025-03"], [])


def test_a_detach_that_was_cut_off_is_ended_by_the_next_run(store: Store, march: None, database: Database, pipeline: Connection) -> None:
    up_to_date(store)
    with database.connect("pipeline", autocommit=False) as reader, database.connect("owner") as owner:
        reader.execute("SELECT count(*) FROM agent_executions")  # whoever reads holds the second half of the detaching up
        with pytest.raises(Stopped):
            archive(store, now=NOW, step=stop_at("registered"))
        owner.execute("SET statement_timeout = 300")
        (month,) = [one for one in storage.months(owner) if one.first == MARCH]
        with pytest.raises(psycopg.errors.QueryCanceled):
            storage.detach(owner, month, "agent_executions")
        assert [one.state["agent_executions"] for one in storage.months(owner) if one.first == MARCH] == ["detaching"]
        reader.rollback()
    before = metrics(pipeline)
    assert computed_again(store) == before
    assert clean_up(store).months == ["2025-03"]
    assert computed_again(store) == before


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_store_that_cannot_be_written_is_named_and_nothing_goes(number: int, store: Store, march: None, pipeline: Connection, monkeypatch: Any) -> None:
    def refuse(self: HashedFile, data: Any) -> int:
        raise OSError(number, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(HashedFile, "write", refuse)
        with pytest.raises(LearningError, match=r"rows.parquet could not be written to its end: No space left on device\. Free space"):
            clean_up(store)
    assert len(table(pipeline, "agent_executions")) == 2 and not table(pipeline, "archived_partitions")
    assert not list(store.settings.home.rglob("*.part"))
    assert clean_up(store).months == ["2025-03"]


def test_a_byte_that_changes_before_the_file_is_read_back_keeps_the_rows(store: Store, march: None, pipeline: Connection) -> None:
    up_to_date(store)
    with pytest.raises(LearningError, match=r"rows.parquet (is damaged|does not hold)"):
        archive(store, now=NOW, step=lambda name: flip_a_byte(rows_file(store)) if name == "written" else None)
    assert len(table(pipeline, "agent_feedback")) == 3
    assert clean_up(store).months == ["2025-03"]


def test_a_byte_that_changes_before_the_rows_are_dropped_is_mended_from_the_rows(store: Store, march: None, pipeline: Connection) -> None:
    up_to_date(store)
    done = archive(store, now=NOW, step=lambda name: flip_a_byte(rows_file(store)) if name == "registered" else None)
    assert (done.months, check(store).wrong) == (["2025-03"], [])


def test_a_byte_that_changes_afterwards_is_found_and_named(store: Store, march: None) -> None:
    clean_up(store)
    flip_a_byte(rows_file(store))
    (wrong,) = check(store).wrong
    assert "agent_feedback/organization=default/month=2025-03/rows.parquet: its bytes are not those that were written" in wrong


def test_a_manifest_that_is_gone_is_named_and_written_again(store: Store, march: None) -> None:
    clean_up(store)
    (rows_file(store).parent / "manifest.json").unlink()
    (wrong,) = check(store).wrong
    assert "it was written again" in wrong and check(store).wrong == []


def test_late_feedback_about_a_damaged_file_waits_and_keeps_nothing_else_up(store: Store, march: None, load: Load, pipeline: Connection) -> None:
    clean_up(store)
    whole = rows_file(store, "agent_executions").read_bytes()
    rows_file(store, "agent_executions").unlink()
    load("feedback", [said("late", "e1", "thumbs_up", user="ada")])
    returned = up_to_date(store)
    assert returned.executions == 0 and "it is gone" in returned.problems[0]
    rows_file(store, "agent_executions").write_bytes(whole)
    assert up_to_date(store).executions == 1


def test_a_damaged_month_keeps_no_other_month_up(store: Store, march: None, arrived: Arrived, load: Load) -> None:
    arrived(APRIL, [execution("e3", user="bob")])
    clean_up(store)
    rows_file(store, "agent_executions").unlink()
    load("feedback", [said("late", "e1", "thumbs_up", user="ada"), said("later", "e3", "thumbs_up", user="ada")])
    returned = up_to_date(store)
    assert (returned.executions, len(returned.problems)) == (1, 1)


def test_what_waits_for_a_damaged_file_waits_longer_than_the_outbox_is_kept(store: Store, march: None, load: Load, pipeline: Connection) -> None:
    clean_up(store)
    whole = rows_file(store, "agent_executions").read_bytes()
    rows_file(store, "agent_executions").unlink()
    load("feedback", [said("late", "e1", "thumbs_up", user="ada")])
    up_to_date(store)
    outbox_pruning.prune(pipeline, dt.timedelta(0))
    assert [row["row_id"] for row in table(pipeline, "outbox")] == ["late"]
    rows_file(store, "agent_executions").write_bytes(whole)
    assert up_to_date(store).executions == 1
    outbox_pruning.prune(pipeline, dt.timedelta(0))
    assert table(pipeline, "outbox") == []
