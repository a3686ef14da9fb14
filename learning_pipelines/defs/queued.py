"""Refreshes that wait in Dagster's queue already: nobody asks for the same a second time.

Belongs here: that look at the queue. Not here: what asks (sensors.py, crashed.py).

A run that waits reads what is stored when it begins, so it also takes up what came while it waited; a second one behind it would find nothing. Without the
look the queue grows for as long as rows come faster than runs end, and is worked off long after the last row. Runs that have begun do not count: they may
have read before the row came.
"""

from collections.abc import Iterable

import dagster as dg

from learning_pipelines import run_tags

_MOST = 1_000
"""Runs that one look reads: somebody may have asked for years of days by hand."""


def not_waiting(instance: dg.DagsterInstance, requests: Iterable[dg.RunRequest], default_job: str = "") -> list[dg.RunRequest]:
    """The requests for which no run of the same job and partition waits, or for a stretch of days that no waiting run covers. Requests without a job are of
    `default_job`. Call it after what is new was read: then a run that waits begins after that."""
    by_job: dict[str, list[dg.RunRequest]] = {}
    for request in requests:
        by_job.setdefault(request.job_name or default_job, []).append(request)
    return [request for job, asked in by_job.items() for request in _left(instance, job, asked)]


def _left(instance: dg.DagsterInstance, job: str, requests: list[dg.RunRequest]) -> list[dg.RunRequest]:
    """One look per job. It finds no more runs than were asked for: of each there waits one at most."""
    keys = [request.partition_key for request in requests if request.partition_key is not None]
    runs = _waiting(instance, job, {run_tags.PARTITION: keys}) if keys else []
    if len(keys) < len(requests):
        runs += _waiting(instance, job, {})
    partitions = {run.tags.get(run_tags.PARTITION) for run in runs}
    stretches = [(run.tags[run_tags.RANGE_START], run.tags[run_tags.RANGE_END]) for run in runs if run_tags.RANGE_START in run.tags]
    return [request for request in requests if not _waits(request, partitions, stretches)]


def _waiting(instance: dg.DagsterInstance, job: str, tags: dict[str, str | list[str]]) -> list[dg.DagsterRun]:
    """Whole runs of every organization: not what somebody has repeated from where it failed."""
    found = instance.get_runs(dg.RunsFilter(job_name=job, statuses=[dg.DagsterRunStatus.QUEUED], tags=tags), limit=_MOST)
    return [run for run in found if run.parent_run_id is None and run_tags.ORGANIZATION not in run.tags]


def _waits(request: dg.RunRequest, partitions: set[str | None], stretches: list[tuple[str, str]]) -> bool:
    if run_tags.RANGE_START in request.tags:  # ISO dates are ordered as days are
        return any(first <= request.tags[run_tags.RANGE_START] and request.tags[run_tags.RANGE_END] <= last for first, last in stretches)
    return request.partition_key in partitions
