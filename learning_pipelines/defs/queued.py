"""Refreshes that wait in Dagster's queue already, or were asked for since: nobody asks for the same a second time.

Belongs here: these looks at the runs. Not here: what asks (sensors.py, crashed.py).

A run that waits reads what is stored when it begins, so it also takes up what came while it waited; a second one behind it would find nothing. Without the
look the queue grows for as long as rows come faster than runs end, and is worked off long after the last row. Runs that have begun do not count: they may
have read before the row came.
"""

from collections.abc import Iterable

import dagster as dg

from learning_pipelines import run_tags

_VAIN = {dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELING, dg.DagsterRunStatus.CANCELED}
_MOST = 1_000
"""Runs that one look reads: somebody may have asked for years of days by hand."""


def not_waiting(instance: dg.DagsterInstance, requests: Iterable[dg.RunRequest], default_job: str = "") -> list[dg.RunRequest]:
    """The requests for which no run of the same job and partition waits, or for a stretch of days that no waiting run covers. Requests without a job are of
    `default_job`. Call it after what is new was read: then a run that waits begins after that."""
    by_job: dict[str, list[dg.RunRequest]] = {}
    for request in requests:
        by_job.setdefault(request.job_name or default_job, []).append(request)
    return [request for job, asked in by_job.items() for request in _left(instance, job, asked)]


def asked_since(instance: dg.DagsterInstance, failed: dg.RunRecord) -> bool:
    """Whether a run of the same job and partition (or over all of its days) was asked for after one that failed: it read, or will read, what is stored. One
    that failed itself, that somebody cancelled, or that runs from the command line does not count."""
    run = failed.dagster_run
    tags = {run_tags.PARTITION: run.tags[run_tags.PARTITION]} if run_tags.PARTITION in run.tags else {}
    later = instance.get_run_records(dg.RunsFilter(job_name=run.job_name, tags=tags, created_after=failed.create_timestamp), limit=_MOST)
    runs = [one.dagster_run for one in later if one.storage_id > failed.storage_id]
    runs = [one for one in runs if one.status not in _VAIN and run_tags.HOST not in one.tags and _whole(one)]
    return _waits(dg.RunRequest(partition_key=run.tags.get(run_tags.PARTITION), tags=dict(run.tags)), *_reach(runs))


def _left(instance: dg.DagsterInstance, job: str, requests: list[dg.RunRequest]) -> list[dg.RunRequest]:
    """One look per job. It finds no more runs than were asked for: of each there waits one at most."""
    keys = [request.partition_key for request in requests if request.partition_key is not None]
    runs = _waiting(instance, job, {run_tags.PARTITION: keys}) if keys else []
    if len(keys) < len(requests):
        runs += _waiting(instance, job, {})
    reach = _reach(runs)
    return [request for request in requests if not _waits(request, *reach)]


def _reach(runs: Iterable[dg.DagsterRun]) -> tuple[set[str | None], list[tuple[str, str]]]:
    """Partitions, and stretches of days, that runs are over."""
    runs = list(runs)
    stretches = [(run.tags[run_tags.RANGE_START], run.tags[run_tags.RANGE_END]) for run in runs if run_tags.RANGE_START in run.tags]
    return {run.tags.get(run_tags.PARTITION) for run in runs}, stretches


def _waiting(instance: dg.DagsterInstance, job: str, tags: dict[str, str | list[str]]) -> list[dg.DagsterRun]:
    found = instance.get_runs(dg.RunsFilter(job_name=job, statuses=[dg.DagsterRunStatus.QUEUED], tags=tags), limit=_MOST)
    return [run for run in found if _whole(run)]


def _whole(run: dg.DagsterRun) -> bool:
    """Whether a run is all of its job, for every organization: not what somebody repeats from where it failed."""
    return run.parent_run_id is None and run_tags.ORGANIZATION not in run.tags


def _waits(request: dg.RunRequest, partitions: set[str | None], stretches: list[tuple[str, str]]) -> bool:
    if run_tags.RANGE_START in request.tags:  # ISO dates are ordered as days are
        return any(first <= request.tags[run_tags.RANGE_START] and request.tags[run_tags.RANGE_END] <= last for first, last in stretches)
    return request.partition_key in partitions
