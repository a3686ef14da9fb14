"""The counts afterwards hold where all is well, also after a kill, and each fails where its fault is planted: a check that cannot fail would prove nothing.

Belongs here: faults planted into rows, files and history that are sound. Not here: workers (test_story.py).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import dagster as dg
import orjson
import psycopg
import pytest

from learning_pipelines import run_tags
from learning_pipelines.definitions import defs
from learning_pipelines.defs import batches
from learning_pipelines.examples.export_files import located
from learning_pipelines.feedback.importing import import_file, window_now
from learning_pipelines.settings import Settings
from learning_pipelines.storage import metrics
from learning_pipelines.storage.database import Connection, Database
from learning_pipelines.storage.store import Store
from learning_pipelines_tests.conftest import START, MakeDatabase
from learning_pipelines_tests.scale_out.checks import Told, checks
from learning_pipelines_tests.scale_out.history import BATCHED, History, history, recovery, throughput
from learning_pipelines_tests.scale_out.installation import KINDS
from learning_pipelines_tests.scale_out.rows import names, rows

AGENTS = 3
FIRST = "default/agent-0000"


class Killed(BaseException):
    """As good as SIGKILL: nobody handles it."""


@dataclass(frozen=True)
class Sound:
    database: Database
    artifacts: str
    found: History
    told: Told


@pytest.fixture(scope="module")
def sound(make_database: MakeDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sound]:
    """Three agents that three runs brought up to date; the first run was cut off in the middle of its agent, and another worker did it again."""
    folder = tmp_path_factory.mktemp("scale")
    with make_database() as database, database.connect("pipeline") as connection, dg.DagsterInstance.ephemeral() as instance:
        for kind in KINDS:
            path = folder / f"{kind}.jsonl"
            path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows(kind, AGENTS, 1)))
            assert import_file(connection, "default", kind, path, window=window_now(START, dt.UTC)).rejected == 0
        store = Store(Settings(home=folder / "home", timezone="UTC", duplicate_cosine=None), database)
        job = defs().resolve_job_def(BATCHED)

        def run(partition: str, tags: dict[str, str]) -> None:
            job.execute_in_process(instance=instance, partition_key=batches.batch_of(partition), tags=tags, resources={"store": store})

        with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
            patch.setattr(batches, "refresh_artifacts", _dies)
            run(FIRST, {run_tags.WORKER: "one"})
        (cut,) = instance.get_runs()
        for name in names(AGENTS):
            partition = f"default/{name}"
            run(partition, {run_tags.WORKER: "two", **({run_tags.AFTER: cut.run_id} if partition == FIRST else {})})
        today = dt.datetime.now(dt.UTC).date()
        metrics.compute_days(connection, today, today, "UTC")
        yield Sound(database, store.settings.artifacts, history(instance, BATCHED), Told(BATCHED, AGENTS, AGENTS, (cut.run_id,)))


def _dies(*_: object) -> None:
    raise Killed


@pytest.fixture
def connection(sound: Sound) -> Iterator[Connection]:
    """As a superuser who may break constraints, in a transaction that is undone."""
    with psycopg.connect(sound.database.admin_url) as session:
        session.execute("SET search_path = learning, public")
        session.execute("SET session_replication_role = replica")
        yield session
        session.rollback()


def wrong(connection: Connection, sound: Sound, found: History | None = None) -> set[str]:
    return {one.name for one in checks(connection, found or sound.found, sound.artifacts, sound.told) if not one.ok}


def test_all_hold_after_a_kill_that_another_worker_made_good(connection: Connection, sound: Sound) -> None:
    assert [one for one in checks(connection, sound.found, sound.artifacts, sound.told) if not one.ok] == []


ROWS = {
    "a correction is lost": ("corrections stored", "DELETE FROM agent_feedback WHERE id = 'agent-0001-f1'"),
    "a correction became no example": (
        "corrections that are in exactly one example", "DELETE FROM example_sources WHERE feedback_id = 'agent-0001-f1'"),
    "a correction became two examples": (
        "corrections that are in exactly one example",
        """ALTER TABLE example_sources DROP CONSTRAINT example_sources_pkey;
            INSERT INTO example_sources SELECT (jsonb_populate_record(s, jsonb_build_object('example_id', (SELECT max(e.id) FROM learning_examples e
            WHERE e.agent_id = x.agent_id AND e.id <> s.example_id)))).* FROM example_sources s JOIN learning_examples x ON x.id = s.example_id
            WHERE s.feedback_id = 'agent-0001-f1'"""),
    "an example is there twice": (
        "different ones among these",
        """DROP INDEX learning_examples_one_per_content;
            UPDATE learning_examples e SET content_hash = o.content_hash FROM learning_examples o
            WHERE o.agent_id = e.agent_id AND o.source_id = 'agent-0001-f0' AND e.source_id = 'agent-0001-f1'"""),
    "an example is gone": ("examples derived from them", "DELETE FROM learning_examples WHERE source_id = 'agent-0001-f1'"),
    "an imported example is gone": ("all examples", "DELETE FROM learning_examples WHERE source_type <> 'user_feedback' AND id = (SELECT max(id) FROM "
        "learning_examples WHERE source_type <> 'user_feedback')"),
    "an agent has no dataset": ("agents with a dataset", "DELETE FROM training_datasets WHERE name = 'agent-0002'"),
    "an agent has a second version": (
        "dataset versions", """INSERT INTO training_datasets SELECT (jsonb_populate_record(d, jsonb_build_object('id', gen_random_uuid(), 'version', 2))).*
            FROM training_datasets d WHERE name = 'agent-0002'"""),
    "a dataset has lost a member": (
        "datasets with all of their approved examples",
        "DELETE FROM dataset_examples WHERE example_id = (SELECT min(example_id) FROM dataset_examples)"),
    "a dataset is not what was hashed": (
        "faults: datasets whole", "UPDATE training_datasets SET total_examples = total_examples + 1 WHERE name = 'agent-0000'"),
    "a counter is wrong": ("faults: counters equal recounts", "UPDATE feedback_metrics SET executions = executions + 1"),
    "an agent was not counted": (
        "agents with metrics of their day", "DELETE FROM feedback_metrics WHERE agent_id = (SELECT min(agent_id::text) FROM feedback_metrics)::uuid"),
    "a correction was counted twice": ("corrections in the metrics", "UPDATE feedback_metrics SET corrections = corrections + 1"),
    "a record of a file is gone": ("recorded files", "DELETE FROM dataset_exports WHERE path = (SELECT min(path) FROM dataset_exports)"),
    "an agent has no files": ("agents with exported files", "DELETE FROM dataset_exports WHERE path LIKE '%agent-0002%'"),
}  # fmt: skip


@pytest.mark.parametrize("fault", ROWS)
def test_a_fault_in_the_rows_is_found(fault: str, connection: Connection, sound: Sound) -> None:
    name, statements = ROWS[fault]
    for statement in statements.split(";"):  # a constraint that would refuse the fault goes first
        done = connection.execute(statement)  # type: ignore[arg-type]
    assert done.rowcount > 0
    assert name in wrong(connection, sound)


def test_files_that_are_changed_or_beside_the_records_are_found(connection: Connection, sound: Sound) -> None:
    _, root = located(sound.artifacts)
    one = next(path for path in Path(root).rglob("*") if path.is_file())
    stood = one.read_bytes()
    try:
        one.write_bytes(stood + b"x")
        (one.parent / "beside").write_bytes(stood)
        assert wrong(connection, sound) == {"recorded files with their bytes in the store", "files in the store"}
    finally:
        one.write_bytes(stood)
        (one.parent / "beside").unlink()


def _run(**changed: Any) -> Callable[[History], History]:
    """The last run is another than it was."""
    return lambda found: replace(found, runs=(*found.runs[:-1], replace(found.runs[-1], **changed)))


HISTORIES: dict[str, tuple[str, Callable[[History], History]]] = {
    "a run is missing": ("partitions of the job whose run succeeded", lambda found: replace(found, runs=found.runs[:-1])),
    "a batch was run twice": ("runs that succeeded", lambda found: replace(found, runs=(*found.runs, replace(found.runs[-1], id="again")))),
    "a run failed by itself": ("runs that failed, other than the killed ones", _run(status="FAILURE")),
    "a run hangs": ("runs that failed, other than the killed ones", _run(status="STARTED")),
    "a run was begun twice": ("runs that a worker began more than once", _run(starts=2)),
    "the killed run was not repeated": (
        "killed runs that another worker did again", lambda found: replace(found, runs=tuple(replace(run, after=None) for run in found.runs))),
    "it was repeated by the killed worker": (
        "killed runs that another worker did again", lambda found: replace(found, runs=tuple(replace(run, worker="one") for run in found.runs))),
    "an agent was done twice": (
        "materializations of dataset_exports", lambda found: replace(found, materialized=(*found.materialized, found.of("dataset_exports")[-1]))),
    "an agent was left out": (
        "agents in dataset_exports",
        lambda found: replace(found, materialized=tuple(one for one in found.materialized if one != found.of("dataset_exports")[-1]))),
    "a step of an agent that was not cut off was repeated": (
        "materializations of example_quality",
        lambda found: replace(found, materialized=(*found.materialized, next(one for one in found.of("example_quality") if one.partition != FIRST)))),
}  # fmt: skip


@pytest.mark.parametrize("fault", HISTORIES)
def test_a_fault_in_what_dagster_recorded_is_found(fault: str, connection: Connection, sound: Sound) -> None:
    name, planted = HISTORIES[fault]
    assert name in wrong(connection, sound, planted(sound.found))


def test_throughput_counts_finished_agents_of_each_worker_and_recovery_says_who_and_when(sound: Sound) -> None:
    assert {one["worker"]: (one["agents"], one["runs"], one["failed"]) for one in throughput(sound.found)} == {"one": (0, 0, 1), "two": (AGENTS, AGENTS, 0)}
    (cut,) = [run for run in sound.found.runs if run.worker == "one"]
    assert cut.started is not None
    (one,) = recovery(sound.found, sound.told.cut, cut.started)
    assert (one["partition"], one["killed_worker"], one["by"]) == (batches.batch_of(FIRST), "one", "two")
    assert 0 <= one["noticed_seconds"] <= one["asked_again_seconds"] <= one["at_work_again_seconds"] <= one["done_seconds"]
