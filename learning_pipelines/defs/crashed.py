"""Runs that crashed are tried again: their process was killed, its server or the database went away, or they never started.

Belongs here: which ones, how often, with what; failing those that never start. Not here: looking for the process (run_launcher.py), telling people (alerts.py).

Dagster's own retries are off (dagster.yaml): one that fails itself, because the code server is away at that moment, is never repeated, and what the sensor
had asked for would wait for the hourly job. This sensor has a cursor in the database, so no failure is passed over, and a run key per failed run, so none
is repeated twice.
"""

from collections.abc import Sequence

import dagster as dg

from learning_pipelines import run_tags
from learning_pipelines.defs import batches, erasure, jobs, maintenance
from learning_pipelines.defs.queued import not_waiting
from learning_pipelines.defs.run_launcher import WatchedRunLauncher

MOST_ATTEMPTS = 5
"""With the first. A run that crashes as often has a cause of its own."""
MOST_REFRESHES = 50
"""Of what takes up rows that were written: seconds of work, and nobody else asks for it again before the next row comes."""
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


@dg.run_failure_sensor(
    name="crashed_runs", request_jobs=_ALL, minimum_interval_seconds=15, default_status=dg.DefaultSensorStatus.RUNNING,
    description="Asks again for runs that crashed, at most five times each, what takes up written rows fifty times.",
)  # fmt: skip
def crashed_runs(context: dg.RunFailureSensorContext):
    run = context.dagster_run
    context.instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)  # a process that was killed gave back nothing: its pool would stand still
    if not tried_again(run, context.get_step_failure_events()):
        return dg.SkipReason(f"{run.run_id} is not tried again.")
    request = again(run)
    if run.job_name in REFRESHES and not not_waiting(context.instance, [request]):
        return dg.SkipReason(f"The same as {run.run_id} waits already, and takes up what that one left.")
    return request


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
    """The same job over the same partition with the tags that say what was asked for."""
    kept = {name: value for name, value in run.tags.items() if name in _KEPT or name.startswith("learning/")}
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
