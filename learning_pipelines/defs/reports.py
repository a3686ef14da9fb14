"""Group reports: how good what serves is, the weekly learning report, its delivery.

Belongs here: assets and checks of the noun reports. Not here: the numbers (reports/week.py), their wording, sending.

The three run in this order. A model that cannot be asked leaves "no evidence" in the report, a channel that does not work a warning: neither keeps the
report from being made.
"""

import datetime as dt
from collections.abc import Mapping
from typing import Any

import dagster as dg

from learning_pipelines.defs.common import OWNERS, bring_up_to_date, check, table_columns
from learning_pipelines.defs.freshness import WEEKLY_REPORT
from learning_pipelines.defs.partitions import weeks
from learning_pipelines.defs.reports_metadata import delivery_metadata, report_metadata, serving_metadata
from learning_pipelines.reports import alerts, delivery
from learning_pipelines.reports.files import write_report
from learning_pipelines.reports.serving_scores import score_week
from learning_pipelines.reports.week import format_week, last_closed_week, week_numbers
from learning_pipelines.storage import checks, reports, tenants
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.report_deliveries import MOST_ATTEMPTS
from learning_pipelines.storage.store import Store

REDELIVERY = "report_redelivery"
"""The job that tries again by itself: it sends what failed and is due, and nothing for the first time."""


@dg.asset(
    partitions_def=weeks,
    deps=[dg.AssetDep("training_datasets", partition_mapping=dg.AllPartitionMapping())],
    group_name="reports",
    kinds={"postgres", "openai"},
    owners=OWNERS,
    freshness_policy=WEEKLY_REPORT,
    backfill_policy=dg.BackfillPolicy.multi_run(),
    pool="llm",
    code_version="1",
    check_specs=[dg.AssetCheckSpec("no_drift", asset="serving_scores", description="Nothing that serves answers its held-out set worse than at first.")],
)
def serving_scores(context: dg.AssetExecutionContext, store: dg.ResourceParam[Store]) -> dg.MaterializeResult:
    """What serves of every agent, asked anew on a held-out set that stays the same. Measured for the latest closed week only, and once."""
    bring_up_to_date(context, store)
    monday = dt.date.fromisoformat(context.partition_key)
    closed = monday == _latest(store)
    with store.pipeline() as connection:
        found = [
            (agent, kind, score)
            for slug in reports.organizations(connection)
            for agent in tenants.agents(connection, slug)
            for kind, score in score_week(connection, agent, store.settings, monday, closed=closed).items()
        ]
        alarms = [f"{agent.partition} {kind}" for agent, kind, score in found if score is not None and score.drift.get("alarm")]
        return dg.MaterializeResult(
            metadata={**serving_metadata(found), "dagster/column_schema": table_columns(connection, "serving_scores")},
            check_results=[
                dg.AssetCheckResult(
                    check_name="no_drift", passed=not alarms, severity=dg.AssetCheckSeverity.WARN, metadata={"alarms": len(alarms), "worse": ", ".join(alarms)}
                )
            ],
        )


# A multi_asset, because the job of the same name would otherwise clash with the asset's op.
@dg.multi_asset(
    name="write_learning_report",
    specs=[
        dg.AssetSpec(
            "learning_report",
            description="The numbers of one week for every organization: feedback, quality, issues, learning, what serves, cost, and what to do next.",
            deps=[
                "feedback_metrics",
                "serving_scores",
                dg.AssetDep("learning_examples", partition_mapping=dg.AllPartitionMapping()),
                dg.AssetDep("training_datasets", partition_mapping=dg.AllPartitionMapping()),
            ],
            group_name="reports",
            kinds={"postgres", "markdown", "html"},
            owners=OWNERS,
            freshness_policy=WEEKLY_REPORT,
            code_version="2",
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
    zone, days, link = store.settings.zone, store.settings.orphan_days, store.settings.page_link
    with store.pipeline() as connection:
        numbers = [week_numbers(connection, slug, monday, zone, orphan_days=days) for slug in reports.organizations(connection)]
        for one in numbers:
            reports.store(connection, one["organization"], monday, one)
            write_report(store.settings.artifacts, one, link)
        # Asked of the schedule's own week only: a backfill of old weeks must not fail because the latest one is still to come.
        missing = checks.reports_missing(connection, monday) if monday == _latest(store) else 0
        return dg.MaterializeResult(
            asset_key="learning_report",
            metadata={**report_metadata(numbers, link), "dagster/column_schema": table_columns(connection, "learning_reports")},
            check_results=[
                check("latest_closed_week_exists", missing, "organizations without the report of the latest closed week"),
                check("adds_up", sum(_miscounted(connection, store, one) for one in numbers), "feedback rows that the reports miss or count twice"),
            ],
        )


@dg.asset(
    partitions_def=weeks,
    deps=["learning_report"],
    group_name="reports",
    kinds={"email", "slack"},
    owners=OWNERS,
    freshness_policy=WEEKLY_REPORT,
    backfill_policy=dg.BackfillPolicy.multi_run(),
    code_version="1",
    check_specs=[dg.AssetCheckSpec("everybody_got_it", asset="report_delivery", description="Every channel that is configured took the report.")],
)
def report_delivery(context: dg.AssetExecutionContext, store: dg.ResourceParam[Store]) -> dg.MaterializeResult:
    """The report of the latest closed week by mail, Slack and webhook, where they are configured; nobody gets one twice. Older weeks are not sent."""
    monday = dt.date.fromisoformat(context.partition_key)
    send = delivery.deliver_again if context.job_name == REDELIVERY else delivery.deliver
    with store.pipeline() as connection:
        numbers = reports.stored(connection, monday) if monday == _latest(store) else []
        made = [one for each in numbers for one in send(connection, store.settings, each)]
        _tell_of_those_given_up(store, monday, made)
    failed = [one for one in made if one.state in ("failed", "unknown")]
    for one in failed:
        context.log.warning(f"{one.organization}, {one.channel}: {one.state}, {one.error}")
    return dg.MaterializeResult(
        metadata=delivery_metadata(made),
        check_results=[
            dg.AssetCheckResult(check_name="everybody_got_it", passed=not failed, severity=dg.AssetCheckSeverity.WARN, metadata={"not_sent": len(failed)})
        ],
    )


def _tell_of_those_given_up(store: Store, monday: dt.date, made: list[delivery.Delivery]) -> None:
    for one in made:
        if one.gave_up:
            alerts.send(store.settings, alerts.undelivered(one.organization, format_week(monday), one.channel, MOST_ATTEMPTS, store.settings.page_link))


def _latest(store: Store) -> dt.date:
    return last_closed_week(dt.datetime.now(dt.UTC), store.settings.zone)


def _miscounted(connection: Connection, store: Store, numbers: Mapping[str, Any]) -> int:
    """The difference between a report's feedback and that of the rows."""
    first, last = (dt.date.fromisoformat(numbers[name]) for name in ("starts", "ends"))
    return abs(numbers["feedback"] - checks.feedback_in_force(connection, numbers["organization"], first, last, store.settings.timezone))
