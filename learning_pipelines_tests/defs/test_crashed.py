"""Runs whose process was killed: noticed, ended, and asked for again.

Belongs here: defs/crashed.py and defs/run_launcher.py on runs as they are stored. Not here: real kills (chaos/, test_end_to_end.py).
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.metadata import MetadataValue
from dagster._core.definitions.run_status_sensor_definition import RunStatusSensorCursor
from dagster._core.events import EngineEventData
from dagster._core.launcher.base import WorkerStatus
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._grpc.client import DagsterGrpcClient
from dagster._grpc.types import CanCancelExecutionResult
from dagster._serdes import serialize_value

from learning_pipelines import run_tags
from learning_pipelines.defs import crashed
from learning_pipelines.defs.run_launcher import LAUNCH_SECONDS, WatchedRunLauncher, process_there
from learning_pipelines_tests.defs.conftest import queued

_FROM_THE_BEGINNING = RunStatusSensorCursor(record_id=-1).to_json()
HERE = {GRPC_INFO_TAG: '{"host": "127.0.0.1", "port": 4000}'}


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """An instance with our launcher, as dagster.yaml names it."""
    overrides = {"run_launcher": {"module": "learning_pipelines.defs.run_launcher", "class": "WatchedRunLauncher"}}
    with dg.DagsterInstance.local_temp(str(tmp_path), overrides=overrides) as one:
        yield one


@pytest.fixture
def ended_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def started(instance: dg.DagsterInstance, tags: dict[str, str], pid: int | None) -> dg.DagsterRun:
    """A run that says that it goes on in a process."""
    run = instance.create_run_for_job(a_job(), status=dg.DagsterRunStatus.STARTED, tags=tags)
    if pid is not None:
        instance.report_engine_event("Started process for run.", run, EngineEventData({"pid": MetadataValue.text(str(pid))}))
    return run


def a_job() -> dg.JobDefinition:
    @dg.op
    def work() -> None: ...

    @dg.job
    def working() -> None:
        work()

    return working


def health(instance: dg.DagsterInstance, run: dg.DagsterRun) -> WorkerStatus:
    assert isinstance(instance.run_launcher, WatchedRunLauncher)
    return instance.run_launcher.check_run_worker_health(run).status


def test_a_run_whose_process_is_gone_is_noticed(kept: dg.DagsterInstance, ended_process: int) -> None:
    assert kept.run_launcher.supports_check_run_worker_health
    assert health(kept, started(kept, HERE, ended_process)) is WorkerStatus.NOT_FOUND
    assert health(kept, started(kept, HERE, os.getpid())) is WorkerStatus.RUNNING


def test_a_command_that_was_killed_is_noticed_too(kept: dg.DagsterInstance, ended_process: int) -> None:
    assert health(kept, started(kept, {run_tags.HOST: socket.gethostname()}, ended_process)) is WorkerStatus.NOT_FOUND


@pytest.mark.parametrize("tags", [{GRPC_INFO_TAG: '{"host": "code-server", "port": 4000}'}, {run_tags.HOST: "another-machine"}, {}])
def test_a_process_of_another_machine_is_not_missed_here(kept: dg.DagsterInstance, ended_process: int, tags: dict[str, str]) -> None:
    assert health(kept, started(kept, tags, ended_process)) is WorkerStatus.RUNNING


def test_a_run_that_has_not_named_its_process_yet_counts_as_running(kept: dg.DagsterInstance) -> None:
    assert health(kept, started(kept, HERE, None)) is WorkerStatus.RUNNING


def test_a_younger_process_with_the_same_id_is_another() -> None:
    assert process_there(os.getpid(), time.time())
    assert not process_there(os.getpid(), time.time() - 86_400 * 365)


def failed(tags: dict[str, str], job: str = "examples_refresh") -> dg.DagsterRun:
    return dg.DagsterRun(job_name=job, run_id="r1", status=dg.DagsterRunStatus.FAILURE, tags=tags)


def step_failure(error: Exception) -> list[dg.DagsterEvent]:
    @dg.op
    def breaks() -> None:
        raise RuntimeError("the work could not be done") from error

    @dg.job
    def breaking() -> None:
        breaks()

    return [event for event in breaking.execute_in_process(raise_on_error=False).all_events if event.is_step_failure]


def test_a_crashed_run_is_asked_for_again_over_the_same_partition_and_with_what_was_asked() -> None:
    asked = {"dagster/partition": "default/desk", "learning/budget": "20", "dagster/run_key": "k"}
    run = failed({"dagster/failure_reason": "UNKNOWN", "learning/worker": "one", **asked})
    assert crashed.tried_again(run, [])
    request = crashed.again(run)
    assert (request.job_name, request.partition_key, request.run_key) == ("examples_refresh", "default/desk", "again/r1")
    assert request.tags == {"learning/budget": "20", "learning/attempt": "2", "learning/after": "r1"} | {
        name: value for name, value in request.tags.items() if name.startswith("dagster/")
    }


def test_days_that_a_crashed_run_was_to_compute_are_asked_for_again() -> None:
    days = {"dagster/asset_partition_range_start": "2026-11-01", "dagster/asset_partition_range_end": "2026-11-03"}
    assert crashed.again(failed(days)).tags.items() >= days.items()


def test_a_run_that_crashes_again_and_again_is_given_up() -> None:
    for job, most in (("prompt_optimization", 5), ("examples_refresh", 50)):
        assert [crashed.tried_again(failed({"learning/attempt": str(number)}, job), []) for number in (most - 1, most)] == [True, False]


def test_a_step_that_failed_by_itself_is_not_repeated_but_one_whose_database_was_away_is() -> None:
    import psycopg

    reason = {"dagster/failure_reason": "STEP_FAILURE"}
    assert not crashed.tried_again(failed(reason), step_failure(ValueError("a bug")))
    assert crashed.tried_again(failed(reason), step_failure(psycopg.OperationalError("the connection was lost")))
    assert not crashed.tried_again(failed(reason), [])


def test_a_command_that_failed_is_repeated_by_whoever_typed_it() -> None:
    assert not crashed.tried_again(failed({run_tags.HOST: "here"}), [])


def look(instance: dg.DagsterInstance, cursor: str | None = _FROM_THE_BEGINNING) -> dg.SensorResult:
    """A tick of the sensor crashed_runs."""
    result = crashed.crashed_runs(dg.build_sensor_context(instance=instance, cursor=cursor))
    assert isinstance(result, dg.SensorResult)
    return result


def asked(result: dg.SensorResult) -> list[tuple[str, str | None]]:
    return [(str(one.job_name), one.partition_key) for one in result.run_requests or ()]


def crashed_run(location: dg.Definitions, instance: dg.DagsterInstance, agent: str, job: str = "examples_refresh") -> dg.DagsterRun:
    run = stored_run(location, instance, dg.DagsterRunStatus.STARTED, agent, job)
    instance.report_run_failed(run, "its process is gone")
    return run


def test_the_sensor_asks_for_all_that_crashed_since_its_last_look_and_for_nothing_twice(location: dg.Definitions, kept: dg.DagsterInstance) -> None:
    crashed_run(location, kept, "default/before")
    first = look(kept, None)
    assert (asked(first), isinstance(crashed.crashed_runs(dg.build_sensor_context(instance=kept, cursor=first.cursor)), dg.SkipReason)) == ([], True)
    runs = [crashed_run(location, kept, f"default/{number}") for number in range(3)]
    second = look(kept, first.cursor)
    assert [one.run_key for one in second.run_requests or ()] == [f"again/{run.run_id}" for run in runs]
    assert isinstance(crashed.crashed_runs(dg.build_sensor_context(instance=kept, cursor=second.cursor)), dg.SkipReason)


def test_of_a_refresh_that_crashed_several_times_only_the_last_is_asked_for_again(location: dg.Definitions, kept: dg.DagsterInstance) -> None:
    crashed_run(location, kept, "default/desk")
    last = crashed_run(location, kept, "default/desk")
    crashed_run(location, kept, "default/tax")
    done = stored_run(location, kept, dg.DagsterRunStatus.SUCCESS, "default/tax")  # took up what that one left
    assert [one.run_key for one in look(kept).run_requests or ()] == [f"again/{last.run_id}"]
    kept.delete_run(done.run_id)
    stored_run(location, kept, dg.DagsterRunStatus.CANCELED, "default/tax")
    assert asked(look(kept)) == [("examples_refresh", "default/desk"), ("examples_refresh", "default/tax")]


def test_a_later_one_that_failed_and_is_not_tried_again_stands_for_nothing(location: dg.Definitions, kept: dg.DagsterInstance) -> None:
    first = crashed_run(location, kept, "default/desk")
    tags = {run_tags.PARTITION: "default/desk", run_tags.ATTEMPT: str(crashed.MOST_REFRESHES)}
    last = kept.create_run_for_job(location.resolve_job_def("examples_refresh"), status=dg.DagsterRunStatus.STARTED, tags=tags)
    kept.report_run_failed(last, "its process is gone")
    assert [one.run_key for one in look(kept).run_requests or ()] == [f"again/{first.run_id}"]


def test_days_count_as_asked_for_again_only_where_all_of_them_are(location: dg.Definitions, kept: dg.DagsterInstance) -> None:
    def days(first: str, last: str, status: dg.DagsterRunStatus) -> dg.DagsterRun:
        tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
        return kept.create_run_for_job(location.resolve_job_def("metrics_refresh"), status=status, tags=tags)

    kept.report_run_failed(days("2026-11-01", "2026-11-03", dg.DagsterRunStatus.STARTED), "its process is gone")
    days("2026-11-02", "2026-11-09", dg.DagsterRunStatus.STARTED)
    assert asked(look(kept)) == [("metrics_refresh", None)]
    days("2026-11-01", "2026-11-09", dg.DagsterRunStatus.STARTED)
    assert asked(look(kept)) == []


def stored_run(location: dg.Definitions, instance: dg.DagsterInstance, status: dg.DagsterRunStatus, agent: str, job: str = "examples_refresh") -> dg.DagsterRun:
    definition, tags = location.resolve_job_def(job), {"dagster/partition": agent}
    if status is dg.DagsterRunStatus.QUEUED:
        return queued(instance, definition, tags)
    return instance.create_run_for_job(definition, status=status, tags=tags)


def test_a_refresh_is_not_asked_for_again_while_the_same_one_waits(location: dg.Definitions, kept: dg.DagsterInstance) -> None:
    stored_run(location, kept, dg.DagsterRunStatus.QUEUED, "default/desk")
    stored_run(location, kept, dg.DagsterRunStatus.STARTED, "default/tax")  # it may have read before that row came
    for agent in ("default/desk", "default/tax"):
        crashed_run(location, kept, agent)
    crashed_run(location, kept, "default/desk", "dataset_refresh")
    assert asked(look(kept)) == [("examples_refresh", "default/tax"), ("dataset_refresh", "default/desk")]


def test_a_training_is_asked_for_again_although_another_one_waits(location: dg.Definitions, kept: dg.DagsterInstance) -> None:
    stored_run(location, kept, dg.DagsterRunStatus.QUEUED, "default/desk", "prompt_optimization")
    crashed_run(location, kept, "default/desk", "prompt_optimization")
    assert asked(look(kept)) == [("prompt_optimization", "default/desk")]


def launched(instance: dg.DagsterInstance, ago: float, tags: dict[str, str], pid: int | None = None) -> dg.DagsterRun:
    """A run that left the queue so many seconds ago and has not begun."""
    run = queued(instance, a_job(), tags)
    event = dg.DagsterEvent(event_type_value=dg.DagsterEventType.RUN_STARTING.value, job_name=run.job_name)
    instance.report_dagster_event(event, run.run_id, timestamp=time.time() - ago)
    if pid is not None:
        instance.report_engine_event("Started process for run.", run, EngineEventData({"pid": MetadataValue.text(str(pid))}))
    return run


def status_after_a_look(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.DagsterRunStatus:
    crashed.lost_starts(dg.build_sensor_context(instance=instance))
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    return found.status


def test_a_run_that_was_lost_while_it_was_launched_fails_and_others_get_its_place(kept: dg.DagsterInstance, ended_process: int) -> None:
    for run in (launched(kept, LAUNCH_SECONDS + 1, {}), launched(kept, 1, HERE, ended_process)):
        assert status_after_a_look(kept, run) is dg.DagsterRunStatus.FAILURE
        stored = kept.get_run_by_id(run.run_id)
        assert stored is not None and crashed.tried_again(stored, [])


def test_a_run_that_may_still_start_is_left_alone(kept: dg.DagsterInstance) -> None:
    away = {GRPC_INFO_TAG: '{"host": "127.0.0.1", "port": 1}'}  # a server that is restarted this moment may know it or not
    elsewhere = {GRPC_INFO_TAG: '{"host": "code-server", "port": 4000}'}
    for run in (launched(kept, LAUNCH_SECONDS - 10, {}), launched(kept, 100, HERE, os.getpid()), launched(kept, 100, away), launched(kept, 1, elsewhere, 1)):
        assert status_after_a_look(kept, run) is dg.DagsterRunStatus.STARTING


def test_a_code_server_that_knows_nothing_of_a_run_will_never_start_it(kept: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    run = launched(kept, LAUNCH_SECONDS + 1, HERE)
    for known, status in ((True, dg.DagsterRunStatus.STARTING), (False, dg.DagsterRunStatus.FAILURE)):
        answer = serialize_value(CanCancelExecutionResult(can_cancel=known))
        monkeypatch.setattr(DagsterGrpcClient, "can_cancel_execution", lambda *_, answer=answer, **__: answer)
        assert status_after_a_look(kept, run) is status
