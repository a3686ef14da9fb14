"""Nothing is counted twice or lost: not by a crash half-way, not by two readers at once, not by a restore, not by pruning.

Belongs here: the reader of experiments and its position. Not here: what is counted (test_collecting.py), the outbox itself (storage/test_outbox.py).
"""

from __future__ import annotations

import datetime as dt
import signal
import subprocess
import sys
import time
from typing import Any
from uuid import UUID

import pytest

from learning_pipelines.experiments.collecting import collect
from learning_pipelines.storage import experiment_units, experiments, outbox, outbox_pruning
from learning_pipelines.storage.database import Connection, Database
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.experiments.world import Trial, said, trial

CHILD = """
import sys
from learning_pipelines.experiments.collecting import collect
from learning_pipelines.storage.database import SESSION
import psycopg
with psycopg.connect(sys.argv[1], options=SESSION, autocommit=True) as connection:
    collect(connection)
"""


@pytest.fixture
def running(pipeline: Connection, load: Load) -> Trial:
    one = trial(pipeline, load)
    for unit, variant in (("ann", "control"), ("bob", "treatment")):
        one.expose(pipeline, unit, variant)
    load("executions", [one.execution("a1", "ann", "control", latency_ms=10), one.execution("b1", "bob", "treatment", latency_ms=20)])
    load("feedback", [said("f1", "a1", "thumbs_up"), said("f2", "b1", "thumbs_down")])
    return one


def seen(connection: Connection, one: Trial) -> tuple[Any, Any]:
    organization: UUID = one.agent.organization_id
    return experiment_units.units(connection, organization, one.id), experiment_units.states(connection, organization, one.id)


def test_a_run_that_is_killed_half_way_has_counted_nothing_and_the_next_counts_once(
    database: Database, pipeline: Connection, load: Load, running: Trial
) -> None:
    collect(pipeline)
    before = seen(pipeline, running)
    load("executions", [running.execution("a2", "ann", "control", latency_ms=30)])
    with database.connect("pipeline", autocommit=False) as other:
        # The child has moved ann when it comes to this state, which somebody holds.
        other.execute("SELECT FROM experiment_metrics WHERE metric = 'latency_ms' FOR UPDATE")
        child = subprocess.Popen([sys.executable, "-c", CHILD, database.role_urls["pipeline"]])
        _until_it_waits(pipeline)
        child.send_signal(signal.SIGKILL)
        child.wait()
        other.rollback()
    _until_nobody_reads(pipeline)
    assert seen(pipeline, running) == before
    assert collect(pipeline).executions == 1
    units, states = seen(pipeline, running)
    assert {unit.unit: unit.totals["executions"] for unit in units} == {"ann": 2, "bob": 1}
    assert (states["latency_ms", 1, "control"]["n"], states["latency_ms", 1, "control"]["x"]) == (1, 40)


def _until_it_waits(connection: Connection) -> None:
    _until(connection, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()", lambda number: number > 0)


def _until_nobody_reads(connection: Connection) -> None:
    _until(connection, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'", lambda number: number == 0)


def _until(connection: Connection, query: str, holds: Any) -> None:
    for _ in range(1200):
        row = connection.execute(query).fetchone()  # type: ignore[call-overload]
        if row is not None and holds(row[0]):
            return
        time.sleep(0.05)
    raise AssertionError(f"still not so after a minute: {query}")


def test_a_restore_into_another_cluster_reads_everything_again_and_adds_nothing(pipeline: Connection, running: Trial) -> None:
    collect(pipeline)
    before = seen(pipeline, running)
    pipeline.execute("UPDATE outbox_positions SET cluster = 'another'")
    again = collect(pipeline)
    assert (again.entries, again.executions, again.units, again.states, seen(pipeline, running)) == (4, 0, 0, 0, before)


def test_two_readers_at_once_count_once(database: Database, pipeline: Connection, running: Trial) -> None:
    children = [subprocess.Popen([sys.executable, "-c", CHILD, database.role_urls["pipeline"]]) for _ in range(2)]
    assert [child.wait() for child in children] == [0, 0]
    assert [unit.totals["executions"] for unit in seen(pipeline, running)[0]] == [1, 1]


def test_an_experiment_can_be_paused_while_its_values_are_taken_up(database: Database, pipeline: Connection, running: Trial) -> None:
    with database.connect("pipeline", autocommit=False) as collecting, database.connect("pipeline", autocommit=False) as pausing:
        collect(collecting)  # its transaction stays open
        pausing.execute("SET LOCAL lock_timeout = '5s'")
        assert experiments.find(pausing, running.agent.organization_id, running.id, lock=True) is not None


def test_an_execution_delivered_twice_counts_once(pipeline: Connection, load: Load, running: Trial) -> None:
    collect(pipeline)
    before = seen(pipeline, running)
    load("executions", [running.execution("a1", "ann", "control", latency_ms=10)])
    load("feedback", [said("f1", "a1", "thumbs_up")])
    pipeline.execute("""INSERT INTO outbox
        SELECT organization_id, agent_id, pg_current_xact_id(), nextval('arrivals'), kind, row_id, execution_id, happened_at FROM outbox""")
    collect(pipeline)
    assert seen(pipeline, running) == before


def test_entries_are_kept_until_experiments_have_taken_them_up(pipeline: Connection, running: Trial) -> None:
    def left() -> int:
        outbox_pruning.prune(pipeline, dt.timedelta(0), readers=())
        row = pipeline.execute("SELECT count(*) FROM outbox WHERE kind IN ('executions', 'feedback')").fetchone()
        return int(row[0]) if row else 0

    assert left() == 4
    collect(pipeline)
    assert left() == 0


def test_entries_of_organizations_without_an_experiment_are_passed_over_and_not_kept(pipeline: Connection, load: Load) -> None:
    load("agents", [{"agent": "desk"}])
    load("executions", [{"execution_id": "e1", "agent": "desk", "input": "How?", "output": "So.", "context": {"experiment": "x"}}])
    assert collect(pipeline).entries == 0
    behind = """SELECT count(*) FROM outbox o WHERE (o.xid, o.id) > (SELECT p.xid, p.id FROM outbox_positions p WHERE reader = %s)"""
    assert pipeline.execute(behind, [outbox.EXPERIMENTS_READER]).fetchone() == (0,)
    outbox_pruning.prune(pipeline, dt.timedelta(0), readers=())
    assert pipeline.execute("SELECT count(*) FROM outbox WHERE kind = 'executions'").fetchone() == (0,)
