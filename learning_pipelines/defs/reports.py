"""Group reports: the weekly learning report.

Belongs here: assets and checks of the noun reports. Not here: the numbers (reports/week.py) and their wording.
"""

import datetime as dt
from collections.abc import Mapping
from typing import Any

import dagster as dg

from learning_pipelines.defs.common import OWNERS, bring_up_to_date, check, table_columns
from learning_pipelines.defs.partitions import weeks
from learning_pipelines.reports.files import write_report
from learning_pipelines.reports.markdown import week_markdown
from learning_pipelines.reports.week import last_closed_week, week_numbers
from learning_pipelines.storage import checks, reports
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.store import Store


# A multi_asset, because the job of the same name would otherwise clash with the asset's op.
@dg.multi_asset(
    name="write_learning_report",
    specs=[
        dg.AssetSpec(
            "learning_report",
            description="The numbers of one week for every organization: collection rate, ratings, issues, examples, datasets, and their change.",
            deps=[
                "feedback_metrics",
                dg.AssetDep("learning_examples", partition_mapping=dg.AllPartitionMapping()),
                dg.AssetDep("training_datasets", partition_mapping=dg.AllPartitionMapping()),
            ],
            group_name="reports",
            kinds={"postgres", "markdown"},
            owners=OWNERS,
            code_version="1",
        )
    ],
    partitions_def=weeks,
    backfill_policy=dg.BackfillPolicy.multi_run(),
    pool="postgres_write",
    check_specs=[
        dg.AssetCheckSpec("latest_closed_week_exists", asset="learning_report", description="Every organization has the report of the latest closed week."),
        dg.AssetCheckSpec("adds_up", asset="learning_report", description="The report counts every feedback in force of its week, once."),
    ],
)
def learning_report(context: dg.AssetExecutionContext, store: dg.ResourceParam[Store]) -> dg.MaterializeResult:
    bring_up_to_date(context, store)
    monday = dt.date.fromisoformat(context.partition_key)
    with store.pipeline() as connection:
        zone, days = store.settings.zone, store.settings.orphan_days
        numbers = [week_numbers(connection, slug, monday, zone, orphan_days=days) for slug in reports.organizations(connection)]
        for one in numbers:
            reports.store(connection, one["organization"], monday, one)
            write_report(store.settings.artifacts, one, store.settings.page_link)
        latest = last_closed_week(dt.datetime.now(dt.UTC), store.settings.zone)
        # Asked of the schedule's own week only: a backfill of old weeks must not fail because the latest one is still to come.
        missing = checks.reports_missing(connection, latest) if monday == latest else 0
        return dg.MaterializeResult(
            asset_key="learning_report",
            metadata={
                "dagster/row_count": len(numbers),
                "dagster/table_name": "learning.learning_reports",
                "dagster/column_schema": table_columns(connection, "learning_reports"),
                "executions": sum(one["executions"] for one in numbers),
                "feedback": sum(one["feedback"] for one in numbers),
                "report": dg.MetadataValue.md("\n\n".join(week_markdown(one) for one in numbers) or "There is no organization yet."),
            },
            check_results=[
                check("latest_closed_week_exists", missing, "organizations without the report of the latest closed week"),
                check("adds_up", sum(_miscounted(connection, store, one) for one in numbers), "feedback rows that the reports miss or count twice"),
            ],
        )


def _miscounted(connection: Connection, store: Store, numbers: Mapping[str, Any]) -> int:
    """The difference between a report's feedback and that of the rows."""
    first, last = (dt.date.fromisoformat(numbers[name]) for name in ("starts", "ends"))
    return abs(numbers["feedback"] - checks.feedback_in_force(connection, numbers["organization"], first, last, store.settings.timezone))
