"""The numbers of one week of one organization, against the week before.

Belongs here: rates, means and their changes from daily sums. Not here: SQL (storage/), the page or mail made of it.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo

from learning_pipelines.errors import BadInput
from learning_pipelines.feedback import statistics
from learning_pipelines.feedback.trust_refresh import refresh_weights
from learning_pipelines.storage import metrics, reports
from learning_pipelines.storage.database import Connection, database_errors
from learning_pipelines.storage.store import Store

FEEDBACK_RATE_TARGET = 0.20
RATING_TARGET = 4.0
_Z95 = 1.959963984540054


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
        return week_numbers(connection, organization, monday, zone)


def week_numbers(connection: Connection, organization: str, monday: dt.date, zone: ZoneInfo) -> dict[str, Any]:
    """The week's numbers from the stored daily metrics. A rate or mean without anything behind it is None, never 0.

    feedback_rate: executions of the week that got any feedback, over executions of the week (0–1). rating.interval: 95 %, normal
    approximation on the mean of the stars in force. weighted_…: every feedback counted by its rater's
    weight. issues.share: of all issues named. change: this week minus the week before.
    """
    with database_errors(f"reading week {format_week(monday)}"):
        this, before = (_sums(connection, organization, start) for start in (monday, monday - dt.timedelta(days=7)))
        start = dt.datetime.combine(monday, dt.time(), zone)
        counted = reports.counts(connection, organization, start, dt.datetime.combine(monday + dt.timedelta(days=7), dt.time(), zone))
    total, earlier = _added(this), _added(before)
    numbers = _described(total)
    previous = _described(earlier)
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
    mean = _ratio(sums["rating_sum"], count)
    return {
        "executions": sums["executions"],
        "feedback": sums["feedback"],
        "simulated_feedback": sums["simulated"],
        "feedback_rate": _ratio(sums["executions_with_feedback"], sums["executions"]),
        "avg_rating": mean,
        "weighted_rating": _ratio(sums["rating_weighted_sum"], sums["rating_weight_sum"]),
        "weighted_thumbs_up_share": _ratio(sums["thumbs_up_weighted"], sums["thumbs_up_weighted"] + sums["thumbs_down_weighted"]),
        "rating_interval": _interval(mean, count, sums["rating_sum_squares"]),
        "ratings": count,
        "thumbs_up": sums["thumbs_up"],
        "thumbs_down": sums["thumbs_down"],
        "corrections": sums["corrections"],
        "dimensions": {name: {"mean": _ratio(sums[f"{name}_sum"], sums[f"{name}_count"]), "count": sums[f"{name}_count"]} for name in metrics.DIMENSIONS},
        "avg_latency_ms": _ratio(sums["latency_ms_sum"], sums["latency_count"]),
        "tokens": sums["tokens_sum"],
        "cost_usd": sums["cost_usd_sum"],
    }


def _interval(mean: float | None, count: int, squares: float) -> list[float] | None:
    if mean is None or count < 2:
        return None
    variance = max(0.0, (squares - count * mean * mean) / (count - 1))
    half = _Z95 * math.sqrt(variance / count)
    return [max(1.0, mean - half), min(5.0, mean + half)]


def _issues(now: Mapping[str, int], before: Mapping[str, int]) -> list[dict[str, Any]]:
    total = sum(now.values())
    named = sorted(set(now) | set(before), key=lambda category: (-now.get(category, 0), category))
    return [
        {"category": name, "count": now.get(name, 0), "share": _ratio(now.get(name, 0), total), "change": now.get(name, 0) - before.get(name, 0)}
        for name in named
    ]


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _difference(now: float | None, before: float | None) -> float | None:
    return None if now is None or before is None else now - before
