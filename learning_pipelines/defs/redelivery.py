"""A sensor that has failed deliveries of the weekly report tried again.

Belongs here: asking for the run. Not here: pauses and when it gives up (storage/report_deliveries.py), sending (reports/delivery.py).
"""

import datetime as dt

import dagster as dg

from learning_pipelines.defs import jobs
from learning_pipelines.defs.ticks import unless_away
from learning_pipelines.reports.week import last_closed_week
from learning_pipelines.storage import report_deliveries
from learning_pipelines.storage.store import Store


@dg.sensor(
    name="failed_deliveries",
    jobs=[jobs.report_redelivery],
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Asks again for deliveries of the latest weekly report that failed, with growing pauses, eight attempts in all.",
)
@unless_away
def failed_deliveries(context: dg.SensorEvaluationContext, store: dg.ResourceParam[Store]):
    monday = last_closed_week(dt.datetime.now(dt.UTC), store.settings.zone)
    with store.pipeline() as connection:
        due = report_deliveries.due(connection, monday)
    if not due:
        return dg.SkipReason("No delivery that failed is due.")
    attempts = ",".join(f"{organization}/{channel}/{attempt}" for organization, channel, attempt in due)  # the same ones are asked for once
    return dg.RunRequest(run_key=f"{monday}/{attempts}", partition_key=monday.isoformat())
