"""A sensor that measures how the installation stands every half minute, for /metrics: the service reads one row and asks nobody.

Belongs here: putting the database's numbers and Dagster's together. Not here: SQL (storage/operating.py), exposition (api/operating.py), reading Dagster
(standing.py).
"""

import datetime as dt

import dagster as dg

from learning_pipelines.defs import standing
from learning_pipelines.defs.cursors import BY_OUTBOX, position_of
from learning_pipelines.defs.ticks import unless_away
from learning_pipelines.storage import operating, outbox
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.operating import Sample
from learning_pipelines.storage.store import Store

FAILED_WITHIN = dt.timedelta(days=1)


@dg.sensor(
    name="operating_numbers",
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Measures queues, lags, rates, failures and cost of the whole installation, for Prometheus.",
)
@unless_away
def operating_numbers(context: dg.SensorEvaluationContext, store: dg.ResourceParam[Store]):
    now = dt.datetime.now(dt.UTC)
    of_dagster = dagster_samples(context.instance, context.repository_def, now)
    with store.pipeline() as connection:
        lags = sensor_lags(connection, standing.sensor_states(context.instance, context.repository_def))
        measured = [*operating.samples(connection, now.astimezone(store.settings.zone).date()), *of_dagster, *lags]
        operating.write(connection, measured)
    return dg.SkipReason(f"Measured: {len(measured)} numbers.")


def dagster_samples(instance: dg.DagsterInstance, repository: dg.RepositoryDefinition, now: dt.datetime) -> list[Sample]:
    """Runs that wait, run and failed within a day, checks that fail, assets that are stale, last ticks."""
    runs = standing.runs(instance)
    jobs = sorted(name for name in repository.job_names if not name.startswith("__"))
    fresh = standing.freshness(instance, repository, now)
    return [
        Sample("runs_queued", runs["queued"]), Sample("runs_running", runs["running"]),
        *(Sample("runs_failed", count, {"job": job}) for job, count in standing.failures(instance, jobs, now - FAILED_WITHIN).items()),
        Sample("checks_failed", len(standing.failed_checks(instance, repository))),
        Sample("assets_stale", sum(one["state"] == "stale" for one in fresh if one["scheduled"])),
        *(
            Sample("sensor_last_tick_timestamp_seconds", one["last_tick"], {"sensor": one["name"]})
            for one in standing.sensor_states(instance, repository) if one["last_tick"] is not None
        ),
    ]  # fmt: skip


def sensor_lags(connection: Connection, sensors: list[dict]) -> list[Sample]:
    """Outbox entries that the sensors which read it have not come to yet."""
    return [
        Sample("sensor_lag_entries", outbox.lag(connection, position_of(one["cursor"]), operating.MOST_COUNTED), {"sensor": one["name"]})
        for one in sensors
        if one["name"] in BY_OUTBOX
    ]
