"""Archived months without a person: their files written anew, what is kept of the months, everything that goes wrong on the way.

Belongs here: the first step of an erasure over real files. Not here: the rest of it (feedback/erasure/), archiving itself.
"""

from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import duckdb
import pytest

from learning_pipelines.errors import LearningError, Unavailable
from learning_pipelines.feedback.archive import reading
from learning_pipelines.feedback.archive.archiving import archive
from learning_pipelines.feedback.archive.checking import check
from learning_pipelines.feedback.erasure import archives, gathering, rows
from learning_pipelines.feedback.erasure.person import Person
from learning_pipelines.feedback.erasure.touched import Touched
from learning_pipelines.feedback.identity import organization_id, user_id
from learning_pipelines.storage import archive as storage
from learning_pipelines.storage.database import Connection, Database
from learning_pipelines.storage.executions import Sought
from learning_pipelines.storage.store import Store
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.feedback.archive import conftest
from learning_pipelines_tests.feedback.archive.conftest import APRIL, MARCH, NOW, Arrived, computed_again, metrics, up_to_date
from learning_pipelines_tests.feedback.archive.test_crashes import Stopped, flip_a_byte, rows_file, stop_at
from learning_pipelines_tests.feedback.rows import execution, said, table

STEPS = ("mended", "written", "registered", "published")
every_step = pytest.mark.parametrize("step", STEPS)
DEFAULT = organization_id("default")


def person(name: str = "ada") -> Person:
    return Person(DEFAULT, "default", user_id(DEFAULT, name), name, "erased-1", UUID(int=1))


def erased(store: Store, name: str = "ada", step: Callable[[str], object] = lambda name: None) -> Touched:
    """The files written anew, then the rows as far as they are capture's."""
    touched = Touched()
    archives.rewrite(store, person(name), touched, step)
    with store.pipeline() as connection, connection.transaction():
        gathering.gather(connection, store, person(name))
        rows.erase(connection, store, person(name), touched)
    return touched


def clean_up(store: Store) -> None:
    """Archives both months: a server's own transactions may hold the readers of the outbox up for a moment."""
    for _ in range(100):
        if conftest.clean_up(store).waiting is None:
            return
        time.sleep(0.1)
    raise AssertionError("entries of the outbox are not taken up")


def archived(store: Store, name: str = "agent_executions") -> list[str]:
    """What DuckDB reads in all files of a table, in the way of the guide."""
    folder = store.settings.home / "artifacts" / "archive" / name
    if not list(folder.glob("*/*/rows.parquet")):
        return []
    found = duckdb.sql(f"SELECT id FROM read_parquet('{folder}/*/*/rows.parquet', hive_partitioning = true) ORDER BY id").fetchall()
    return [str(row[0]) for row in found]


@pytest.fixture
def months(desk: None, arrived: Arrived) -> None:
    """Ada's execution in March, of which bob says something, and bob's, of which ada alone does; an agent ran something for hers in April, for which
    nobody is named. Cyd's execution is in both months' middle of nothing."""
    arrived(
        MARCH, [execution("ada1", user="ada", session_id="s1"), execution("bob1", user="bob"), execution("cyd1", user="cyd", latency_ms=3.5)],
        [said("on-ada", "ada1", "star_rating", user="bob", rating=2), said("by-ada", "bob1", "correction", user="ada", correction_text="Words of ada"),
         said("on-cyd", "cyd1", "thumbs_up", user="bob", issue_categories=["tone"])],
    )  # fmt: skip
    arrived(APRIL, [execution("child", parent_id="ada1"), execution("grandchild", parent_id="child"), execution("dan1", user="dan", parent_id="ada1")])


def test_files_without_a_person_hold_everybody_elses_rows(store: Store, months: None, pipeline: Connection) -> None:
    clean_up(store)
    touched = erased(store)
    assert (archived(store), archived(store, "agent_feedback")) == (["bob1", "cyd1", "dan1"], ["on-cyd"])
    assert touched.rows["agent_executions (archived)"] == 3 and touched.rows["agent_feedback (archived)"] == 2
    assert check(store).wrong == [] and len(touched.archives) == 3
    entries = {(entry.table, entry.month): entry for entry in storage.entries(pipeline)}
    assert {key: entry.rows for key, entry in entries.items()} == {
        ("agent_executions", MARCH): 2, ("agent_feedback", MARCH): 1, ("agent_executions", APRIL): 1,
    }  # fmt: skip
    assert not list((store.settings.home / "artifacts").rglob("*.part")) and not list((store.settings.home / "artifacts").rglob("rows.without*"))


def test_days_count_as_if_the_person_had_never_been(store: Store, months: None, pipeline: Connection) -> None:
    clean_up(store)
    erased(store)
    after = metrics(pipeline)
    assert computed_again(store) == after
    sums = {name: sum(row[name] for row in after) for name in ("executions", "executions_with_feedback", "feedback", "corrections", "rating_count")}
    assert sums == {"executions": 3, "executions_with_feedback": 1, "feedback": 1, "corrections": 0, "rating_count": 0}
    assert sum(row["latency_ms_sum"] for row in after) == 3.5 and [row["issues"] for row in after if row["feedback"]] == [{"tone": 1}]
    told = table(pipeline, "outbox", "row_id = 'erased'")
    assert {row["kind"] for row in told} == {"rater_weights"}
    up_to_date(store)
    assert metrics(pipeline) == after


def test_what_is_kept_of_a_month_follows(store: Store, months: None, pipeline: Connection) -> None:
    clean_up(store)
    assert {row["user_id"]: row["ratings"] for row in table(pipeline, "archived_raters")} == {user_id(DEFAULT, "bob"): 2, user_id(DEFAULT, "ada"): 1}
    erased(store)
    assert {row["user_id"]: row["ratings"] for row in table(pipeline, "archived_raters")} == {user_id(DEFAULT, "bob"): 1}
    assert {row["feedback_id"] for row in table(pipeline, "archived_thumbs")} <= {"on-cyd"}
    assert table(pipeline, "erased_archive_rows") == []


def test_ids_and_words_of_archived_rows_are_known_to_the_steps_that_follow(store: Store, months: None, load: Load) -> None:
    messages = [{"role": "system", "content": "You answer nothing but this."}, {"role": "user", "content": [{"text": "Once I lived in Ulm, you know"}]}]
    load("executions", [execution("live", user="ada", parent_id="bob1", messages=messages), execution("liveschild", parent_id="live")])
    clean_up(store)
    with store.pipeline() as connection:
        archives.rewrite(store, person(), Touched())
        with connection.transaction():
            gathering.gather(connection, store, person())
            found = {row["execution_id"]: row["archived"] for row in table(connection, "erased_executions")}
            assert found == {"ada1": True, "child": True, "grandchild": True, "live": False, "liveschild": False}
            assert {row["feedback_id"] for row in table(connection, "erased_feedback")} == {"on-ada", "by-ada"}
            assert table(connection, "erased_sessions") == [{"session_id": "s1"}]
            texts = {row["text"] for row in table(connection, "erased_texts")}
    assert "Once I lived in Ulm, you know" in texts and not any(text.startswith("You answer") for text in texts)


def test_the_service_reads_the_new_file(store: Store, months: None, pipeline: Connection) -> None:
    clean_up(store)
    erased(store)
    shelf = storage.Shelf(list(storage.entries(pipeline, DEFAULT)), frozenset(), None)
    page = reading.page(store.settings.artifacts, shelf, Sought(), 10)
    assert {row["execution_id"] for row in page} == {"bob1", "cyd1", "dan1"}
    found = reading.one(store.settings.artifacts, shelf, "cyd1")
    assert found is not None and [one["feedback_id"] for one in found["feedback"]] == ["on-cyd"]
    assert reading.one(store.settings.artifacts, shelf, "ada1") is None


def test_an_archive_whose_last_row_goes_loses_its_file_and_its_registration(store: Store, march: None, pipeline: Connection) -> None:
    clean_up(store)
    touched = erased(store)
    assert archived(store, "agent_feedback") == [] and not rows_file(store).parent.exists()
    assert [entry.table for entry in storage.entries(pipeline)] == ["agent_executions"]
    assert [path.rpartition("/")[2] for path in touched.files] == ["rows.parquet", "manifest.json"]
    assert check(store).wrong == [] and computed_again(store) == metrics(pipeline)
    erased(store, "bob")
    assert list(storage.entries(pipeline)) == [] and metrics(pipeline) == [] and check(store).files == 0


def test_rows_that_came_back_are_erased_here_and_there_and_counted_once(store: Store, months: None, load: Load, pipeline: Connection) -> None:
    clean_up(store)
    load("feedback", [said("late", "ada1", "thumbs_up", user="cyd"), said("late2", "cyd1", "thumbs_down", user="ada")])
    up_to_date(store)
    assert {row["id"] for row in table(pipeline, "agent_executions")} == {"ada1", "cyd1"}
    erased(store)
    # An example of bob1 had ada among its sources: bob1 comes back, so that it is derived again from what others said.
    back = {"bob1", "cyd1"}
    assert {row["id"] for row in table(pipeline, "agent_executions")} == {row["execution_id"] for row in table(pipeline, "archived_returns")} == back
    assert archived(store) == ["bob1", "cyd1", "dan1"]
    assert computed_again(store) == metrics(pipeline)
    assert sum(row["executions"] for row in metrics(pipeline)) == 3 and sum(row["feedback"] for row in metrics(pipeline)) == 1


@every_step
def test_stopped_after_any_step_nothing_is_lost_and_the_next_run_ends_it(step: str, store: Store, months: None, pipeline: Connection) -> None:
    clean_up(store)
    with pytest.raises(Stopped):
        archives.rewrite(store, person(), Touched(), stop_at(step))
    assert {"bob1", "cyd1", "dan1"} <= set(archived(store)) and "on-cyd" in archived(store, "agent_feedback")
    _ended(store, pipeline)


@pytest.mark.slow
@every_step
def test_killed_after_any_step_the_next_run_ends_it(step: str, store: Store, months: None, database: Database, pipeline: Connection) -> None:
    clean_up(store)
    program = f"""
import json, os, signal
from uuid import UUID
from learning_pipelines.feedback.erasure import archives
from learning_pipelines.feedback.erasure.person import Person
from learning_pipelines.feedback.erasure.touched import Touched
from learning_pipelines.settings import Settings
from learning_pipelines.storage.database import Database
from learning_pipelines.storage.store import Store
database = Database(**json.loads({json.dumps(json.dumps(dataclasses.asdict(database)))}))
store = Store(Settings(home={str(store.settings.home)!r}, timezone="Europe/Berlin", duplicate_cosine=None), database)
person = Person(UUID({str(DEFAULT)!r}), "default", UUID({str(user_id(DEFAULT, "ada"))!r}), "ada", "erased-1", UUID(int=1))
archives.rewrite(store, person, Touched(), lambda name: name == {step!r} and os.kill(os.getpid(), signal.SIGKILL))
"""
    ended = subprocess.run([sys.executable, "-c", program], check=False, timeout=120)
    assert ended.returncode == -signal.SIGKILL
    _ended(store, pipeline)


def _ended(store: Store, pipeline: Connection) -> None:
    erased(store)
    assert (archived(store), archived(store, "agent_feedback")) == (["bob1", "cyd1", "dan1"], ["on-cyd"])
    assert check(store).wrong == [] and computed_again(store) == metrics(pipeline)
    assert not [path for path in (store.settings.home / "artifacts").rglob("*.p*") if path.name != "rows.parquet"]


def test_a_damaged_file_is_named_before_anything_changes(store: Store, months: None, pipeline: Connection) -> None:
    clean_up(store)
    before, whole = archived(store), rows_file(store).read_bytes()
    flip_a_byte(rows_file(store))
    with pytest.raises(LearningError, match=r"agent_feedback/organization=default/month=2025-03/rows.parquet: its bytes are not those"):
        archives.rewrite(store, person(), Touched())
    assert archived(store) == before and table(pipeline, "erased_archive_rows") == []
    rows_file(store).write_bytes(whole)
    _ended(store, pipeline)


def test_a_file_that_holds_something_else_than_the_ledger_says_is_not_written_anew(store: Store, months: None, pipeline: Connection) -> None:
    clean_up(store)
    pipeline.execute("UPDATE archived_partitions SET content_hash = decode('0000000000000001', 'hex') WHERE table_name = 'agent_executions'")
    with pytest.raises(LearningError, match="cannot be written without some of its rows"):
        archives.rewrite(store, person(), Touched())
    assert "ada1" in archived(store) and check(store).wrong == []


def test_a_month_that_is_half_archived_is_left_to_the_clean_up(store: Store, months: None) -> None:
    up_to_date(store)
    with pytest.raises(Stopped):
        archive(store, now=NOW, step=stop_at("detached agent_executions"))
    with pytest.raises(Unavailable, match="2025-03 is half archived"):
        archives.rewrite(store, person(), Touched())
    clean_up(store)
    erased(store)
    assert archived(store) == ["bob1", "cyd1", "dan1"]


def test_files_of_an_attempt_to_archive_that_did_not_get_far_go(store: Store, months: None, pipeline: Connection) -> None:
    up_to_date(store)
    with pytest.raises(Stopped):
        archive(store, now=NOW, step=stop_at("registered"))
    erased(store)
    assert archived(store) == [] and {row["id"] for row in table(pipeline, "agent_executions")} == {"bob1", "cyd1", "dan1"}
    clean_up(store)
    assert archived(store) == ["bob1", "cyd1", "dan1"] and computed_again(store) == metrics(pipeline)


def test_what_others_said_of_archived_executions_makes_its_example_again(store: Store, desk: None, arrived: Arrived, pipeline: Connection) -> None:
    same = {"input": "How much is it?", "output": "It is nineteen per cent."}
    both = [said("f1", "ada1", "thumbs_up", user="ada"), said("f2", "bob1", "thumbs_up", user="bob")]
    arrived(MARCH, [execution("ada1", user="ada", **same), execution("bob1", user="bob", **same)], both)
    arrived(APRIL, [execution("cyd1", user="cyd", **same)], [said("f3", "cyd1", "thumbs_up", user="cyd")])
    clean_up(store)
    (example,) = table(pipeline, "learning_examples")
    assert example["support"] == 3
    touched = Touched()
    archives.rewrite(store, person(), touched)
    with pipeline.transaction():
        gathering.gather(pipeline, store, person())
        pipeline.execute("DELETE FROM learning_examples e USING erased_examples t WHERE e.id = t.example_id")  # what the part between the two does
        rows.erase(pipeline, store, person(), touched)
    assert table(pipeline, "learning_examples") == [] and {row["id"] for row in table(pipeline, "agent_executions")} == {"bob1", "cyd1"}
    up_to_date(store)
    assert {row["user_id"] for row in table(pipeline, "example_sources")} == {user_id(DEFAULT, "bob"), user_id(DEFAULT, "cyd")}
    assert computed_again(store) == metrics(pipeline)


def test_another_organizations_files_stay_as_they_are(store: Store, months: None, load: Load, arrived: Arrived) -> None:
    from learning_pipelines_tests.feedback.rows import AGENT

    load("agents", [AGENT], "other")
    arrived(MARCH, [execution("theirs", user="ada")], [], "other")
    clean_up(store)
    theirs = Path(str(rows_file(store, "agent_executions")).replace("=default", "=other"))
    before = theirs.read_bytes()
    erased(store)
    assert theirs.read_bytes() == before
