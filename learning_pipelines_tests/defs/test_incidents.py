"""Failed checks and runs kept for the weekly report: by organization, each once, and a check's end with it.

Belongs here: defs/incidents.py and storage/incidents.py on runs that really ended. Not here: telling people (test_alerts.py), counting (reports/test_week.py).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from learning_pipelines import run_tags
from learning_pipelines.defs import alerts, housekeeping, incidents
from learning_pipelines.settings import Settings
from learning_pipelines.storage.database import Connection, Database, of_server
from learning_pipelines.storage.embedded import EmbeddedServer
from learning_pipelines.storage.incidents import Seen, record
from learning_pipelines.storage.store import Store
from learning_pipelines_tests.feedback.rows import table

SECRET = "Ada's salary is 5"
OURS = {run_tags.ORGANIZATION: "default"}


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """An instance with the storage of sensors, which the one in memory lacks."""
    with dg.DagsterInstance.local_temp(str(tmp_path)) as one:
        yield one


def checked(passed: bool, check: str = "adds_up", partitions: dg.PartitionsDefinition | None = None) -> dg.AssetsDefinition:
    @dg.asset(name="learning_report", check_specs=[dg.AssetCheckSpec(check, asset="learning_report")], partitions_def=partitions)
    def one() -> dg.MaterializeResult:
        return dg.MaterializeResult(check_results=[dg.AssetCheckResult(check_name=check, passed=passed, metadata={"said": SECRET})])

    return one


def told(instance: dg.DagsterInstance, store: Store, result: dg.ExecuteInProcessResult, sensor: str = "failed_checks") -> Any:
    """What a sensor answers of a run."""
    run = instance.get_run_by_id(result.run_id)
    assert run is not None
    event = result.get_run_success_event() if result.success else result.get_run_failure_event()
    context = dg.build_run_status_sensor_context(sensor, event, instance, run, resources={"store": store})
    return getattr(alerts, sensor)(context)


def breaking_with(error: Exception) -> dg.JobDefinition:
    @dg.op
    def breaks() -> None:
        raise error

    @dg.job
    def breaking() -> None:
        breaks()

    return breaking


def evaluated(instance: dg.DagsterInstance, store: Store, passed: bool, tags: dict[str, str] | None = None, check: str = "adds_up") -> None:
    told(instance, store, dg.materialize([checked(passed, check)], instance=instance, tags=OURS if tags is None else tags))


def known(pipeline: Connection, kind: str = "check") -> list[tuple[str, str, bool]]:
    """Name, partition, and whether it is over."""
    rows = sorted(table(pipeline, "incidents", f"kind = '{kind}'"), key=lambda row: (row["began_at"], row["name"]))
    return [(row["name"], row["partition_key"], row["ended_at"] is not None) for row in rows]


@pytest.mark.usefixtures("desk")
def test_a_check_is_one_incident_until_it_passes_and_another_when_it_fails_again(kept: dg.DagsterInstance, store: Store, pipeline: Connection) -> None:
    name = "learning_report:adds_up"
    for passed, expected in ((False, [False]), (False, [False]), (True, [True]), (False, [True, False])):
        evaluated(kept, store, passed)
        assert known(pipeline) == [(name, "", over) for over in expected]
    assert SECRET not in str(table(pipeline, "incidents"))


@pytest.mark.usefixtures("desk")
def test_the_sensors_keep_what_ended_since_they_looked_last(kept: dg.DagsterInstance, store: Store, pipeline: Connection) -> None:
    def ticked(sensor: dg.SensorDefinition, cursor: str | None) -> str | None:
        return sensor.evaluate_tick(dg.build_sensor_context(instance=kept, cursor=cursor, resources={"store": store})).cursor

    began = [ticked(sensor, None) for sensor in (alerts.failed_checks, alerts.failed_runs)]
    dg.materialize([checked(False)], instance=kept, tags=OURS)
    breaking_with(ValueError(SECRET)).execute_in_process(instance=kept, tags=OURS, raise_on_error=False)
    for sensor, cursor in zip((alerts.failed_checks, alerts.failed_runs), began, strict=True):
        ticked(sensor, cursor)
    assert (known(pipeline), known(pipeline, "run")) == ([("learning_report:adds_up", "", False)], [("breaking", "", True)])


@pytest.mark.usefixtures("desk")
def test_a_run_that_is_looked_at_again_adds_nothing(kept: dg.DagsterInstance, store: Store, pipeline: Connection) -> None:
    failed = dg.materialize([checked(False)], instance=kept, tags=OURS)
    told(kept, store, failed)
    evaluated(kept, store, True)
    told(kept, store, failed)
    assert known(pipeline) == [("learning_report:adds_up", "", True)]


@pytest.mark.usefixtures("desk")
def test_the_partition_says_whose_it_is_and_what_is_of_nobody_or_only_found_nothing_better_is_not_kept(
    kept: dg.DagsterInstance, store: Store, pipeline: Connection
) -> None:
    agents = dg.StaticPartitionsDefinition(["default/desk", "unknown/desk"])
    for partition in agents.get_partition_keys():
        told(kept, store, dg.materialize([checked(False, partitions=agents)], instance=kept, partition_key=partition))
    evaluated(kept, store, False, tags={})
    evaluated(kept, store, False, check="beats_current_prompt")
    assert known(pipeline) == [("learning_report:adds_up", "default/desk", False)]
    assert [row["ended_at"] > row["began_at"] for row in table(pipeline, "incidents", "kind = 'watch'")] == [True]


@pytest.mark.usefixtures("desk")
def test_a_run_that_failed_is_kept_when_it_ended_and_one_that_is_tried_again_is_not(
    kept: dg.DagsterInstance, store: Store, pipeline: Connection
) -> None:
    class EmbeddedServerError(Exception): ...

    for error in (EmbeddedServerError(SECRET), ValueError(SECRET)):
        told(kept, store, breaking_with(error).execute_in_process(instance=kept, tags=OURS, raise_on_error=False), "failed_runs")
    assert known(pipeline, "run") == [("breaking", "", True)]
    (row,) = table(pipeline, "incidents", "kind = 'run'")
    ended = kept.get_run_record_by_id(row["run_id"])
    assert ended is not None and ended.end_time == pytest.approx(row["began_at"].timestamp(), abs=0.001)
    assert SECRET not in str(row)


def test_a_database_that_is_away_is_said_and_the_check_is_kept_with_its_next_failing_run(
    desk: None, kept: dg.DagsterInstance, store: Store, server: EmbeddedServer, pipeline: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    away = Store(Settings(home=store.settings.home), of_server(server, "nowhere"))
    first = dg.materialize([checked(False)], instance=kept, tags=OURS)
    assert "is not counted in the weekly report" in told(kept, away, first).skip_message
    assert "Check adds_up of learning_report failed" in caplog.text
    evaluated(kept, store, False)
    assert known(pipeline) == [("learning_report:adds_up", "", False)]


def test_what_is_older_than_history_days_goes_with_the_knowledge_that_it_was_looked_at(
    desk: None, database: Database, store: Store, pipeline: Connection
) -> None:
    now = dt.datetime.now(dt.UTC)
    for days in (400, 200, 10):
        at = now - dt.timedelta(days=days)
        record(pipeline, [Seen("default", "check", f"fails_since_{days}", "", True, at, "r"), Seen("default", "run", f"failed_{days}", "", True, at, "r")])
    assert housekeeping._consumed(pipeline, store)["incidents"] == 4
    assert (known(pipeline, "check"), known(pipeline, "run")) == ([("fails_since_10", "", False)], [("failed_10", "", True)])
    (watch,) = table(pipeline, "incidents", "kind = 'watch'")
    assert now - watch["began_at"] == pytest.approx(dt.timedelta(days=180), abs=dt.timedelta(hours=1))
    pipeline.execute("UPDATE incidents SET began_at = began_at - interval '1 year', ended_at = ended_at - interval '1 year'")
    housekeeping._consumed(pipeline, store)
    assert table(pipeline, "incidents", "kind = 'watch'") == []


def test_a_tag_names_the_organization_where_the_partition_does_not() -> None:
    assert [incidents.organization_of(OURS, key) for key in ("2024-07-01", "acme/desk", "")] == ["default", "acme", "default"]
    assert incidents.organization_of({}, "2024-07-01") is None
