"""Runs that crashed are tried again: their process was killed, its server or the database went away, or they never started.

Belongs here: which ones, how often, with what; failing those that never start. Not here: looking for the process (run_launcher.py), telling people (alerts.py).

Dagster's own retries are off (dagster.yaml): one that fails itself, because the code server is away at that moment, is never repeated, and what the sensor
had asked for would wait for the hourly job. This sensor has a cursor in the database, so no failure is passed over, and a run key per failed run, so none
is repeated twice. Of several failures of the same refresh only the last is made good.
"""

from collections.abc import Sequence

import dagster as dg
from dagster._core.definitions.run_status_sensor_definition import RunStatusSensorCursor

from learning_pipelines import run_tags
from learning_pipelines.defs import batches, erasure, jobs, maintenance
from learning_pipelines.defs.queued import asked_since, not_waiting
from learning_pipelines.defs.run_launcher import WatchedRunLauncher

MOST_ATTEMPTS = 5
"""With the first. A run that crashes as often has a cause of its own."""
MOST_REFRESHES = 50
"""Of what takes up rows that were written: seconds of work, and nobody else asks for it again before the next row comes."""
FAILURES_PER_TICK = 100
REFRESHES = ("examples_refresh", "dataset_refresh", "index_refresh", "pairs_refresh", "metrics_refresh", "weights_refresh")
_OF_ITS_OWN = ("STEP_FAILURE", "JOB_INITIALIZATION_FAILURE")
_AWAY = {
    "OperationalError", "AdminShutdown", "CrashShutdown", "CannotConnectNow", "DiskFull", "InterfaceError", "ConnectError", "ConnectionRefusedError",
    "ConnectionResetError", "BrokenPipeError", "Unavailable", "Busy", "EmbeddedServerError", "EncoderDown", "EncoderStartFailed", "TrainingKilled",
    "EmbeddedModelError", "ServerDidNotStart",
}  # fmt: skip
"""Errors of a step that say that something around it was away."""
_KEPT = (run_tags.RANGE_START, run_tags.RANGE_END)
_FOUND = (*vars(batches).values(), *vars(jobs).values(), *vars(maintenance).values(), *vars(erasure).values())
_ALL = [one for one in _FOUND if isinstance(one, dg.JobDefinition) or type(one).__name__ == "UnresolvedAssetJobDefinition"]
_NAMES = {one.name for one in _ALL}


@dg.sensor(
    name="crashed_runs", jobs=_ALL, minimum_interval_seconds=15, default_status=dg.DefaultSensorStatus.RUNNING,
    description="Asks again for runs that crashed, at most five times each, what takes up written rows fifty times.",
)  # fmt: skip
def crashed_runs(context: dg.SensorEvaluationContext):
    """Every failure since the last look. A sensor of Dagster's own kind for failures looks at one in each tick: after a night without the code server
    it would ask for the last one hours later."""
    instance = context.instance
    if context.cursor is None or not RunStatusSensorCursor.is_valid(context.cursor):
        newest = instance.fetch_run_status_changes(dg.DagsterEventType.RUN_FAILURE, limit=1).records
        return dg.SensorResult(skip_reason="Looks from now on.", cursor=_cursor(newest[0].storage_id if newest else -1))
    place = RunStatusSensorCursor.from_json(context.cursor).record_id
    wanted = dg.RunStatusChangeRecordsFilter(event_type=dg.DagsterEventType.RUN_FAILURE, after_storage_id=place)
    found = instance.fetch_run_status_changes(wanted, limit=FAILURES_PER_TICK, ascending=True).records
    if not found:
        return dg.SkipReason("No run failed.")
    records = instance.get_run_records(dg.RunsFilter(run_ids=list({one.event_log_entry.run_id for one in found})))
    for record in records:  # a process that was killed gave back nothing: its pool would stand still
        instance.event_log_storage.free_concurrency_slots_for_run(record.dagster_run.run_id)
    requests = [again(record.dagster_run) for record in sorted(records, key=lambda one: one.storage_id) if _wanted(instance, record)]
    refreshes = list({_what(one): one for one in requests if one.job_name in REFRESHES}.values())  # of several failures of the same the last
    asked = [*(one for one in requests if one.job_name not in REFRESHES), *not_waiting(instance, refreshes)]
    return dg.SensorResult(
        run_requests=asked, cursor=_cursor(found[-1].storage_id), skip_reason=None if asked else f"Of {len(records)} that failed none is tried again."
    )


def _wanted(instance: dg.DagsterInstance, record: dg.RunRecord) -> bool:
    """Whether a failed run is tried again by itself: not a refresh behind which the same was asked for, which took up, or will take up, what it left."""
    run = record.dagster_run
    events = [one.event_log_entry.dagster_event for one in instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE).records]
    if run.job_name not in _NAMES or not tried_again(run, [event for event in events if event is not None]):
        return False
    return run.job_name not in REFRESHES or not asked_since(instance, record)


def _what(request: dg.RunRequest) -> tuple[str | None, ...]:
    return (request.job_name, request.partition_key, *(request.tags.get(name) for name in _KEPT))


def _cursor(place: int) -> str:
    """As Dagster's own sensors of failures write it, which this one was."""
    return RunStatusSensorCursor(record_id=place).to_json()


@dg.sensor(
    name="lost_starts", minimum_interval_seconds=15, default_status=dg.DefaultSensorStatus.RUNNING,
    description="Fails runs that were lost while they were launched, so that they are asked for again and others get their place.",
)  # fmt: skip
def lost_starts(context: dg.SensorEvaluationContext):
    """Run monitoring looks at processes only of runs that have begun, and gives the others three minutes."""
    instance = context.instance
    if not isinstance(instance.run_launcher, WatchedRunLauncher):
        return dg.SkipReason("Another launcher starts the runs.")
    failed = 0
    for run in instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTING])):
        why = instance.run_launcher.lost_start(run)
        now = instance.get_run_by_id(run.run_id) if why is not None else None
        if now is not None and now.status is dg.DagsterRunStatus.STARTING:  # not if it began, or ended, meanwhile
            instance.report_run_failed(now, f"It will never start: {why}.")
            failed += 1
    return dg.SkipReason(f"{failed} runs will never start." if failed else "Every run that is starting may start.")


def tried_again(run: dg.DagsterRun, failures: Sequence[dg.DagsterEvent]) -> bool:
    """Whether a failed run is asked for again. One whose step failed is only if that was because something around it was away; one of the command line
    is not: whoever typed it sees that it failed."""
    if run_tags.HOST in run.tags or _attempt(run) >= (MOST_REFRESHES if run.job_name in REFRESHES else MOST_ATTEMPTS):
        return False
    if run.tags.get(run_tags.FAILURE_REASON) in _OF_ITS_OWN or failures:
        return bool(failures) and all(_classes(event) & _AWAY for event in failures)
    return True


def again(run: dg.DagsterRun) -> dg.RunRequest:
    """The same job over the same partition with the tags that say what was asked for; not who worked on it: another worker takes it."""
    kept = {name: value for name, value in run.tags.items() if name in _KEPT or (name.startswith("learning/") and name != run_tags.WORKER)}
    return dg.RunRequest(
        run_key=f"again/{run.run_id}", job_name=run.job_name, partition_key=run.tags.get(run_tags.PARTITION), run_config=dict(run.run_config),
        tags={**kept, run_tags.ATTEMPT: str(_attempt(run) + 1), run_tags.AFTER: run.run_id},
    )  # fmt: skip


def _attempt(run: dg.DagsterRun) -> int:
    return int(run.tags.get(run_tags.ATTEMPT, 1))


def _classes(event: dg.DagsterEvent) -> set[str]:
    """The classes of a step's error and of what caused it."""
    found, error = set(), event.step_failure_data.error
    while error is not None:
        found.add(str(error.cls_name))
        error = error.cause
    return found
