"""The numbers of one week of one organization, against the week before.

Belongs here: putting a report's numbers together, weeks as people name them. Not here: SQL (storage/), intervals and verdicts (headline.py,
learning.py), actions (actions.py), the page or mail made of it.

The same data give the same numbers, byte for byte: nothing here asks for the time. What cannot be computed again later is named in `notes`.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo

from learning_pipelines.errors import BadInput
from learning_pipelines.feedback import statistics
from learning_pipelines.feedback.trust_refresh import refresh_weights
from learning_pipelines.reports import learning
from learning_pipelines.reports.actions import suggested
from learning_pipelines.reports.headline import FEEDBACK_RATE_TARGET, RATING_TARGET, headline
from learning_pipelines.reports.intervals import Sums, mean, moved, share
from learning_pipelines.storage import metrics, report_queries, reports
from learning_pipelines.storage.database import Connection, database_errors, snapshot
from learning_pipelines.storage.store import Store

FORMAT = 2
NOTES = (
    "Scores of what serves are measured once, at the end of their week, and stored: what served in an earlier week cannot be asked any more.",
    "Weights of raters, agreement, open conflicts, proposals that wait, orphans and examples that wait for review are as of the last computation.",
    "Failed checks and jobs are known from the first run that was looked at; those of runs over several organizations are in no report.",
    "Intervals take ratings as independent of each other; a person who says much counts as often as they speak.",
)
"""What a reader, or whoever computes an old week again, should know."""


def parse_week(text: str) -> dt.date:
    """The Monday of an ISO week such as 2026-W47. Raises BadInput."""
    match = re.fullmatch(r"(\d{4})-W(\d{2})", text)
    try:
        if match is None:
            raise ValueError(text)
        return dt.date.fromisocalendar(int(match[1]), int(match[2]), 1)
    except ValueError as error:
        raise BadInput(f"{text!r} is not a week.", "Weeks look like 2026-W47.") from error


def format_week(monday: dt.date) -> str:
    """YYYY-Www of a Monday."""
    year, week, _ = monday.isocalendar()
    return f"{year:04d}-W{week:02d}"


def last_closed_week(now: dt.datetime, zone: ZoneInfo) -> dt.date:
    """The Monday of the latest week that is over."""
    today = now.astimezone(zone).date()
    return today - dt.timedelta(days=today.weekday() + 7)


def report_for(store: Store, organization: str, week: str | None) -> dict[str, Any]:
    """The numbers of the named week (default: the latest closed one), with weights and metrics brought up to date first."""
    zone = store.settings.zone
    monday = parse_week(week) if week is not None else last_closed_week(dt.datetime.now(dt.UTC), zone)
    with store.pipeline() as connection:
        refresh_weights(connection, store.settings.timezone, organization)
        statistics.catch_up(connection, store.settings.timezone, organization)
        return week_numbers(connection, organization, monday, zone, orphan_days=store.settings.orphan_days)


def week_numbers(connection: Connection, organization: str, monday: dt.date, zone: ZoneInfo, *, orphan_days: int = 7) -> dict[str, Any]:
    """The week's numbers from the stored daily metrics. A rate or mean without anything behind it is None, never 0.

    feedback_rate: executions of the week that got any feedback, over executions of the week (0–1). rating_interval: 95 % (intervals.mean).
    weighted_…: every feedback counted by its rater's weight. issues.share: of all issues named. change: this week minus the week before. headline, …:
    headline.py, learning.py; each names the entry of `queries` that gives it, which is SQL as it was run. history: up to 13 weeks, this one last.
    """
    start, end = (dt.datetime.combine(day, dt.time(), zone) for day in (monday, monday + dt.timedelta(days=7)))
    asked = report_queries.Asked(organization, monday, start.astimezone(dt.UTC), end.astimezone(dt.UTC), orphan_days)
    with database_errors(f"reading week {format_week(monday)}"), snapshot(connection):
        this, before = (_sums(connection, organization, day) for day in (monday, monday - dt.timedelta(days=7)))
        counted = reports.counts(connection, organization, start, end)
        rows, queries = report_queries.run_all(connection, asked)
    numbers = _weekly(organization, monday, zone, this, before, counted)
    weeks = {row["period"]: row for row in rows["feedback"]}
    numbers |= {
        "format": FORMAT,
        "headline": headline(weeks),
        "issues": _issues_moved(numbers["issues"], *(int(weeks[period]["feedback"]) if period in weeks else 0 for period in ("week", "week before"))),
        "milestones": learning.milestones(rows["milestones"], asked.end),
        "agreement": learning.agreement(rows["agreement"]),
        "learning": learning.learnt(rows["proposals"], rows["tests"], rows["waiting proposals"]),
        "serving": learning.serving(rows["serving"]),
        "experiments": learning.experiments(rows["experiments"], rows["running experiments"]),
        "cost": learning.cost(rows["model cost"], rows["training"]),
        "incidents": learning.incidents(rows["incidents"], rows["failures"]),
        "history": _history(rows["history"], monday),
        "queries": queries,
        "notes": list(NOTES),
    }
    return {**numbers, "actions": suggested(numbers)}


def _weekly(
    organization: str, monday: dt.date, zone: ZoneInfo, this: Sequence[Mapping[str, Any]], before: Sequence[Mapping[str, Any]],
    counted: Mapping[str, int | None],
) -> dict[str, Any]:  # fmt: skip
    """The counts and rates of the week and their changes."""
    total, earlier = _added(this), _added(before)
    numbers, previous = _described(total), _described(earlier)
    return {
        "organization": organization,
        "week": format_week(monday),
        "starts": monday.isoformat(),
        "ends": (monday + dt.timedelta(days=6)).isoformat(),
        "timezone": str(zone),
        **numbers,
        "targets": {"feedback_rate": FEEDBACK_RATE_TARGET, "avg_rating": RATING_TARGET},
        "change": {name: _difference(numbers[name], previous[name]) for name in ("executions", "feedback", "feedback_rate", "avg_rating", "corrections")},
        "issues": _issues(total["issues"], earlier["issues"]),
        "examples": {name: counted[name] for name in ("collected", "reviewed", "approved", "waiting_for_review")},
        "dataset_versions": counted["dataset_versions"],
        "feedback_without_execution": counted["feedback_without_execution"],
        "distrusted_raters": counted["distrusted_raters"],
        "agents": [{"agent": row["agent"], **_described(row)} for row in this],
    }


def _sums(connection: Connection, organization: str, monday: dt.date) -> list[dict[str, Any]]:
    return metrics.totals(connection, organization, monday, monday + dt.timedelta(days=6))


def _added(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    issues: dict[str, int] = {}
    for row in rows:
        for category, count in row["issues"].items():
            issues[category] = issues.get(category, 0) + count
    return {**{name: sum(row[name] for row in rows) for name in metrics.SUMS}, "issues": issues}


def _described(sums: Mapping[str, Any]) -> dict[str, Any]:
    count = sums["rating_count"]
    interval = mean(Sums(count, sums["rating_sum"], sums["rating_sum_squares"]))
    return {
        "executions": sums["executions"],
        "feedback": sums["feedback"],
        "simulated_feedback": sums["simulated"],
        "feedback_rate": _ratio(sums["executions_with_feedback"], sums["executions"]),
        "avg_rating": _ratio(sums["rating_sum"], count),
        "weighted_rating": _ratio(sums["rating_weighted_sum"], sums["rating_weight_sum"]),
        "weighted_thumbs_up_share": _ratio(sums["thumbs_up_weighted"], sums["thumbs_up_weighted"] + sums["thumbs_down_weighted"]),
        "rating_interval": None if interval is None else list(interval),
        "ratings": count,
        "thumbs_up": sums["thumbs_up"],
        "thumbs_down": sums["thumbs_down"],
        "corrections": sums["corrections"],
        "dimensions": {name: {"mean": _ratio(sums[f"{name}_sum"], sums[f"{name}_count"]), "count": sums[f"{name}_count"]} for name in metrics.DIMENSIONS},
        "avg_latency_ms": _ratio(sums["latency_ms_sum"], sums["latency_count"]),
        "tokens": sums["tokens_sum"],
        "cost_usd": sums["cost_usd_sum"],
    }


def _issues(now: Mapping[str, int], before: Mapping[str, int]) -> list[dict[str, Any]]:
    total = sum(now.values())
    named = sorted(set(now) | set(before), key=lambda category: (-now.get(category, 0), category))
    return [
        {"category": name, "count": now.get(name, 0), "share": _ratio(now.get(name, 0), total), "change": now.get(name, 0) - before.get(name, 0)}
        for name in named
    ]


def _issues_moved(issues: Sequence[Mapping[str, Any]], feedback: int, feedback_before: int) -> list[dict[str, Any]]:
    """The issues with whether their share of all feedback rises or falls."""
    now, before = {one["category"]: one["count"] for one in issues}, {one["category"]: one["count"] - one["change"] for one in issues}
    found = moved(now, before, feedback, feedback_before)
    return [
        {**one, "before": before[one["category"]], "of": feedback, "of_before": feedback_before, "verdict": found[one["category"]][0],
         "p": found[one["category"]][1], "query": "issues"}
        for one in issues
    ]  # fmt: skip


def _history(rows: Sequence[Mapping[str, Any]], monday: dt.date) -> list[dict[str, Any]]:
    """Rates and ratings of the weeks up to this one, oldest first, none left out: a week without data has counts of 0 and no rates."""
    known = {row["monday"]: {name: value if name == "monday" else int(value) for name, value in row.items()} for row in rows}
    found = []
    for back in range(report_queries.WEEKS_SHOWN - 1, -1, -1):
        day = monday - dt.timedelta(days=7 * back)
        row = known.get(day, dict.fromkeys(("executions", "executions_with_feedback", "rating_count", "rating_sum", "rating_sum_squares", "feedback"), 0))
        rate, rating = share(row["executions_with_feedback"], row["executions"]), mean(Sums(row["rating_count"], row["rating_sum"], row["rating_sum_squares"]))
        found.append({
            "week": format_week(day), "executions": row["executions"], "feedback": row["feedback"], "ratings": row["rating_count"],
            "feedback_rate": _ratio(row["executions_with_feedback"], row["executions"]), "feedback_rate_interval": None if rate is None else list(rate),
            "avg_rating": _ratio(row["rating_sum"], row["rating_count"]), "rating_interval": None if rating is None else list(rating),
        })  # fmt: skip
    return found


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _difference(now: float | None, before: float | None) -> float | None:
    return None if now is None or before is None else now - before
