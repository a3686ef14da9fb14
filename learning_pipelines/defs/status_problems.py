"""What is wrong, and what to do next: the sentences of `status`.

Belongs here: judging what was read. Not here: reading Dagster (standing.py), checks of the installation (storage/installation.py); dagster is not imported.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from typing import Any

from learning_pipelines.feedback.archive.archiving import due
from learning_pipelines.settings import Settings
from learning_pipelines.storage import archive, report_deliveries
from learning_pipelines.storage.database import Connection

_CLEANUP_DAYS = 8
"""The weekly clean-up archives what is due; what is due for longer was not archived."""
_SENT_DAYS = 14


def of_data(connection: Connection, settings: Settings, organization: str | None, now: dt.datetime) -> list[str]:
    """Months that wait for the archive, reports that did not arrive."""
    return [*_archive(archive.months(connection), settings, now), *_deliveries(connection, organization, now)]


def of_dagster(settings: Settings, state: dict[str, Any]) -> list[str]:
    """Schedules and sensors that are off, jobs whose last run failed, checks that fail, assets that are stale."""
    link = settings.dagster_link
    problems = [f"{name} is switched off: switch it on in the Dagster UI ({link}/automation)" for name in state["stopped"]]
    problems += [f"{job['name']} failed in its last run: see {link}/runs/{job['last_run_id']}" for job in state["jobs"] if job["last_status"] == "failure"]
    problems += [f"Check {one['check']} of {one['asset']} failed ({one['severity']}): see {link}/runs/{one['run_id']}" for one in state["failed_checks"]]
    stale = [one["asset"] for one in state["freshness"] if one["scheduled"] and one["state"] == "stale"]
    if stale:
        problems.append(f"Stale, not made when it was due: {', '.join(stale)}. Run its job (`learning-pipelines run`), and see why the last one did not")
    return problems


def _archive(months: list[archive.Month], settings: Settings, now: dt.datetime) -> list[str]:
    again = "(`learning-pipelines run cleanup`, whose log says why)"
    half = [f"{month.first:%Y-%m}" for month in months if not month.attached]
    late = [f"{month.first:%Y-%m}" for month in due(months, settings, now - dt.timedelta(days=_CLEANUP_DAYS)) if month.attached]
    problems = [f"Half archived, every row still there: {', '.join(half)} {again}"] if half else []
    return problems + ([f"Due for the archive for more than {_CLEANUP_DAYS} days: {', '.join(late)} {again}"] if late else [])


def _deliveries(connection: Connection, organization: str | None, now: dt.datetime) -> list[str]:
    failed = report_deliveries.not_sent(connection, now.date() - dt.timedelta(days=_SENT_DAYS), organization)
    counts = Counter((channel, state, error) for _, _, channel, state, error in failed)
    return [
        f"{count} weekly {'report' if count == 1 else 'reports'} by {channel}: "
        + (f"not sent ({error}). It is tried again by itself for ten hours, and by `learning-pipelines run learning_report`" if state == "failed" else
           f"nobody knows whether it arrived ({error or 'the process ended'}). Ask there; it is not sent twice")
        for (channel, state, error), count in counts.items()
    ]  # fmt: skip
