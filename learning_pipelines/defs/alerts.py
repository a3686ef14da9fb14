"""Sensors that tell people: a run failed, a check fails.

Belongs here: noticing, and that each incident is told once. Not here: what is said and to whom (reports/alerts.py), keeping it for the weekly report
(incidents.py).

A failed run is told when nobody tries it again. A check is told when it begins to fail, and again only after it passed in between: one that fails every
hour says so once. What began to fail is remembered per check and partition, in Dagster's own store.
"""

import json
from collections.abc import Callable, Iterable

import dagster as dg

from learning_pipelines import run_tags
from learning_pipelines.defs import incidents, standing
from learning_pipelines.defs.crashed import tried_again
from learning_pipelines.defs.standing import Evaluated
from learning_pipelines.errors import LearningError
from learning_pipelines.reports import alerts
from learning_pipelines.reports.alerts import Alert
from learning_pipelines.settings import load_settings
from learning_pipelines.storage.incidents import record
from learning_pipelines.storage.store import Store

_ON = {"minimum_interval_seconds": 15, "default_status": dg.DefaultSensorStatus.RUNNING}


@dg.run_failure_sensor(name="failed_runs", description="Tells log, Slack and webhook of runs that failed, and of checks that failed in them.", **_ON)
def failed_runs(context: dg.RunFailureSensorContext, store: dg.ResourceParam[Store]):
    run = context.dagster_run
    found = checks_that_began_to_fail(context.instance, run)
    failures = context.get_step_failure_events()
    over = not tried_again(run, failures)
    if over:
        found = [failure_of(run, failures, load_settings().dagster_link), *found]
    _tell(found)
    return _keep(store, context.instance, run, failed=over)


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.SUCCESS, name="failed_checks", description="Tells log, Slack and webhook of checks that began to fail.", **_ON
)
def failed_checks(context: dg.RunStatusSensorContext, store: dg.ResourceParam[Store]):
    _tell(checks_that_began_to_fail(context.instance, context.dagster_run))
    return _keep(store, context.instance, context.dagster_run, failed=False)


def failure_of(run: dg.DagsterRun, events: Iterable[dg.DagsterEvent], link: str) -> Alert:
    """What to say of a failed run: steps, and classes of errors; their texts may quote people."""
    steps = {str(event.step_key): _class_of(event) for event in events}
    return alerts.failed_run(run.job_name, run.run_id, run.tags.get(run_tags.PARTITION), steps, link)


def _class_of(event: dg.DagsterEvent) -> str:
    error = event.step_failure_data.error
    while error is not None and error.cause is not None:
        error = error.cause
    return "error" if error is None or not error.cls_name else str(error.cls_name)


def checks_that_began_to_fail(instance: dg.DagsterInstance, run: dg.DagsterRun) -> list[Alert]:
    """Alerts for the checks of a run that fail and did not before; remembers how each stands."""
    evaluated = {_key(one): one for one in standing.evaluations(instance, run)}
    if not evaluated:
        return []
    known = instance.run_storage.get_cursor_values(set(evaluated))
    began = [key for key, one in evaluated.items() if not one.passed and known.get(key, "") in ("", _OK)]
    changed = {key: json.dumps({"failing": run.run_id}) for key in began}
    changed |= {key: _OK for key, one in evaluated.items() if one.passed and known.get(key, _OK) != _OK}
    if changed:
        instance.run_storage.set_cursor_values(changed)
    return [_check(evaluated[key], run.run_id) for key in began]


_OK = json.dumps({"failing": None})


def _key(one: Evaluated) -> str:
    return f"learning/alerts/{one.asset}/{one.check}/{one.partition}"


def _check(one: Evaluated, run_id: str) -> Alert:
    return alerts.failed_check(one.asset, one.check, one.partition, one.severity, run_id, load_settings().dagster_link)


def _keep(store: Store, instance: dg.DagsterInstance, run: dg.DagsterRun, *, failed: bool) -> dg.SkipReason | None:
    """Last, so that a database that is away keeps nobody from being told. A check that still fails is then kept with its next run."""
    seen = incidents.seen_in(instance, run, failed=failed)
    if not seen:
        return None
    try:
        with store.pipeline() as connection:
            record(connection, seen)
    except LearningError as error:
        return dg.SkipReason(f"Run {run.run_id} is not counted in the weekly report: {error}")
    return None


def _tell(found: Iterable[Alert], send: Callable[..., object] = alerts.send) -> None:
    for alert in found:
        send(load_settings(), alert)
