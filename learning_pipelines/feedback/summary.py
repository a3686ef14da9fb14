"""What people said about one agent over the last days: means, rates, issues and their change.

Belongs here: from daily sums to the numbers that the service shows. Not here: SQL (storage/metrics.py), keeping daily metrics (statistics.py).
"""

from __future__ import annotations

import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

from learning_pipelines.storage import metrics
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef


def summary(connection: Connection, agent: AgentRef, days: int, zone: str) -> dict[str, Any]:
    """Counts, means (stars 1–5) and the feedback rate (0–1) of the last `days` days, today included. Without anything behind it a mean is None."""
    first, last = _period(days, zone)
    sums = metrics.added_up(metrics.days_of_agent(connection, agent, first, last, zone))
    return {
        "total_feedback": sums["feedback"],
        "avg_rating": _ratio(sums["rating_sum"], sums["rating_count"]),
        "ratings": sums["rating_count"],
        "dimensions": {name: _ratio(sums[f"{name}_sum"], sums[f"{name}_count"]) for name in metrics.DIMENSIONS},
        "thumbs_up": sums["thumbs_up"],
        "thumbs_down": sums["thumbs_down"],
        "corrections": sums["corrections"],
        "feedback_rate": _ratio(sums["executions_with_feedback"], sums["executions"]),
        "executions": sums["executions"],
        "simulated_feedback": sums["simulated"],
        "period": {"days": days, "first": first, "last": last},
    }


def issues(connection: Connection, agent: AgentRef, days: int, limit: int, zone: str) -> list[dict[str, Any]]:
    """The issue categories of the last `days` days, most frequent first: count, share of all issues (0–1), change against the days before."""
    first, last = _period(days, zone)
    earlier = first - dt.timedelta(days=days)
    rows = metrics.days_of_agent(connection, agent, earlier, last, zone)
    now = metrics.added_up([row for row in rows if row["day"] >= first])["issues"]
    before = metrics.added_up([row for row in rows if row["day"] < first])["issues"]
    total = sum(now.values())
    named = sorted(now, key=lambda category: (-now[category], category))[:limit]
    return [{"category": name, "count": now[name], "share": now[name] / total, "change": now[name] - before.get(name, 0)} for name in named]


def _period(days: int, zone: str) -> tuple[dt.date, dt.date]:
    """A record up to a day ahead of our clock counts as today's."""
    today = dt.datetime.now(ZoneInfo(zone)).date()
    return today - dt.timedelta(days=days - 1), today + dt.timedelta(days=1)


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None
