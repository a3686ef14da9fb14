"""A sensor that asks for what nobody takes up: rows that came a while ago, for which no run is on its way.

Belongs here: when a refresh is asked for once more. Not here: what is not taken up (storage/left_behind.py), asking for rows that are new (sensors.py),
trying failed runs again (crashed.py).

Those two remember what they asked for in cursors, and a run may still be lost behind them: it failed in a way that is not repeated, or a hundred times,
or somebody cancelled it. Then the rows would wait until the next ones come. Here nothing is remembered: what counts are the rows and their readers' places.
"""

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import dagster as dg

from learning_pipelines import run_tags
from learning_pipelines.defs import jobs
from learning_pipelines.defs.cursors import Cursor, position_of
from learning_pipelines.defs.ticks import asked, unless_away
from learning_pipelines.storage import left_behind as storage
from learning_pipelines.storage.left_behind import LeftBehind
from learning_pipelines.storage.store import Store

SHORTEST, LONGEST = dt.timedelta(minutes=1), dt.timedelta(hours=1)
SHARE = 10
"""A pause is this part of the time that rows have waited for: what always fails is asked for again and again, but less and less often."""
ENTRIES_PER_TICK = 10_000
REQUESTS_PER_TICK = 200
_MOST_RUNS = 1_000
_UNDER_WAY = [
    dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING,
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Asked:
    """A run of a job over a partition. `ended`: None while it is under way."""

    partition: str | None
    ended: dt.datetime | None


@dg.sensor(
    name="rows_left_behind",
    jobs=[jobs.examples_refresh, jobs.dataset_refresh, jobs.weights_refresh, jobs.metrics_refresh, jobs.index_refresh, jobs.pairs_refresh],
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Asks again for what was written a minute ago or longer, is not taken up, and for which no run is on its way.",
)
@unless_away
def rows_left_behind(context: dg.SensorEvaluationContext, store: dg.ResourceParam[Store]):
    now = dt.datetime.now(dt.UTC)
    with store.pipeline() as connection:
        waiting, place = storage.of_retrieval(connection, position_of(context.cursor), SHORTEST, ENTRIES_PER_TICK)
        waiting = [*storage.of_readers(connection, SHORTEST), *waiting]
    found = [
        one for job in dict.fromkeys(one.job for one in waiting)
        for one in _due([one for one in waiting if one.job == job], _runs(context.instance, job, min(one.since for one in waiting if one.job == job)), now)
    ]  # fmt: skip
    chosen = sorted(found, key=lambda one: one.since)[:REQUESTS_PER_TICK]
    today = now.astimezone(store.settings.zone).date().isoformat()
    otherwise = "Runs are on their way, or were asked for a moment ago." if waiting else "All that was written is taken up."
    return asked(context, [_request(one, today) for one in chosen], Cursor.at(place), [one.partition for one in chosen if one.partition], otherwise)


def _request(one: LeftBehind, today: str) -> dg.RunRequest:
    """Without a run key: the same is asked for as often as it takes. Metrics take up every changed day, whichever day they are asked for."""
    tags = {run_tags.RANGE_START: today, run_tags.RANGE_END: today, run_tags.CHANGED_ONLY: "true"} if one.job == "metrics_refresh" else {}
    return dg.RunRequest(job_name=one.job, partition_key=one.partition, tags=tags)


def _due(waiting: Iterable[LeftBehind], runs: Sequence[Asked], now: dt.datetime) -> list[LeftBehind]:
    """Those to be asked for now, given the runs of their job."""
    return [one for one in waiting if due(one.since, [run for run in runs if one.partition in (None, run.partition)], now)]


def due(since: dt.datetime, runs: Iterable[Asked], now: dt.datetime) -> bool:
    """Whether to ask for what has waited since a moment: no run is under way, and the last one ended long enough ago."""
    ends = [since]
    for run in runs:
        if run.ended is None:
            return False
        ends.append(run.ended)
    return now - max(ends) >= min(max(SHORTEST, (now - since) / SHARE), LONGEST)


def _runs(instance: dg.DagsterInstance, job: str, since: dt.datetime) -> list[Asked]:
    """Runs of a job that are under way, or were asked for since a moment."""
    under_way = instance.get_run_records(dg.RunsFilter(job_name=job, statuses=_UNDER_WAY), limit=_MOST_RUNS)
    later = instance.get_run_records(dg.RunsFilter(job_name=job, created_after=since), limit=_MOST_RUNS)
    return [_asked(record) for record in (*under_way, *later)]


def _asked(record: dg.RunRecord) -> Asked:
    run = record.dagster_run
    over = run.status not in _UNDER_WAY
    ended = dt.datetime.fromtimestamp(record.end_time, dt.UTC) if over and record.end_time else record.update_timestamp.replace(tzinfo=dt.UTC) if over else None
    return Asked(run.tags.get(run_tags.PARTITION), ended)
