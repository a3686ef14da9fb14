"""The numbers at the top of a report: each with its count, interval, target and verdict, its change, and the query that gives it.

Belongs here: what is a headline number, and what may be said of it. Not here: intervals (intervals.py), SQL, layout.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from learning_pipelines.reports.intervals import Bounds, Sums, mean, mean_difference, share, share_difference
from learning_pipelines.storage.metrics import DIMENSIONS

NONE = "no evidence"
FEEDBACK_RATE_TARGET, RATING_TARGET = 0.20, 4.0
_EMPTY = {"executions": 0, "executions_with_feedback": 0, "rating_count": 0, "rating_sum": 0, "rating_sum_squares": 0}


def headline(weeks: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Collection rate, mean rating, share of thumbs up, share of feedback that corrects, the four dimensions. `weeks`: sums of `week`, `week before`."""
    now, before = weeks.get("week", _EMPTY), weeks.get("week before", _EMPTY)
    return [
        _share("feedback_rate", "Executions with feedback", "executions_with_feedback", "executions", now, before, target=FEEDBACK_RATE_TARGET),
        _mean("avg_rating", "Average rating", "rating", now, before, target=RATING_TARGET),
        _thumbs(now, before),
        _share("correction_share", "Feedback that corrects", "corrections", "feedback", now, before),
        *(_dimension(name, now, before) for name in DIMENSIONS),
    ]


def against(interval: Bounds | Sequence[float] | None, target: float) -> str:
    """reached: the interval lies at the target or above it; missed: below it; open: it holds both; no evidence: there is none."""
    if interval is None:
        return NONE
    return "reached" if interval[0] >= target else "missed" if interval[1] < target else "open"


def direction(interval: Bounds | Sequence[float] | None) -> str:
    """up or down where the interval of a change leaves out 0, else no evidence."""
    if interval is None or interval[0] <= 0 <= interval[1]:
        return NONE
    return "up" if interval[0] > 0 else "down"


def _row(
    key: str, label: str, unit: str, n: int, of: str, value: float | None, interval: Bounds | None, change: float | None, changed: Bounds | None,
    target: float | None = None,
) -> dict[str, Any]:  # fmt: skip
    return {
        "key": key, "label": label, "unit": unit, "value": value, "n": n, "of": of, "interval": None if interval is None else list(interval),
        "target": target, "verdict": None if target is None else against(interval, target), "change": change,
        "change_interval": None if changed is None else list(changed), "change_verdict": direction(changed), "query": "feedback",
    }  # fmt: skip


def _share(
    key: str, label: str, part: str, whole: str, now: Mapping[str, Any], before: Mapping[str, Any], target: float | None = None
) -> dict[str, Any]:  # fmt: skip
    return _shares(key, label, (int(now.get(part, 0)), int(now.get(whole, 0))), (int(before.get(part, 0)), int(before.get(whole, 0))), whole, target)


def _shares(key: str, label: str, now: tuple[int, int], before: tuple[int, int], of: str, target: float | None) -> dict[str, Any]:
    # A feedback that says several things may count twice where the whole counts once: a share never says more than all.
    now, before = (min(now[0], now[1]), now[1]), (min(before[0], before[1]), before[1])
    value = now[0] / now[1] if now[1] else None
    earlier = before[0] / before[1] if before[1] else None
    change = None if value is None or earlier is None else value - earlier
    return _row(key, label, "share", now[1], of, value, share(*now), change, share_difference(now, before), target)


def _thumbs(now: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    counts = [(int(week.get("thumbs_up", 0)), int(week.get("thumbs_up", 0)) + int(week.get("thumbs_down", 0))) for week in (now, before)]
    return _shares("thumbs_up_share", "Thumbs up", counts[0], counts[1], "thumbs", None)


def _mean(key: str, label: str, name: str, now: Mapping[str, Any], before: Mapping[str, Any], target: float | None = None) -> dict[str, Any]:
    one, two = (_sums(week, name) for week in (now, before))
    value, earlier = (sums.total / sums.n if sums.n else None for sums in (one, two))
    change = None if value is None or earlier is None else value - earlier
    return _row(key, label, "stars", one.n, "ratings", value, mean(one), change, mean_difference(one, two), target)


def _dimension(name: str, now: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """Means of one dimension. Of their squares nothing is stored: as shares of the way from 1 to 5 they get Wilson's intervals, the widest that values
    within a scale can need."""
    (way, n), (way_before, n_before) = ((week.get(f"{name}_sum", 0) - week.get(f"{name}_count", 0), week.get(f"{name}_count", 0)) for week in (now, before))
    one, two = (float(way) / 4, int(n)), (float(way_before) / 4, int(n_before))
    value, earlier = (1 + 4 * part / whole if whole else None for part, whole in (one, two))
    change = None if value is None or earlier is None else value - earlier
    inside, moved = share(*one), share_difference(one, two)
    interval = None if inside is None else (1 + 4 * inside[0], 1 + 4 * inside[1])
    changed = None if moved is None else (4 * moved[0], 4 * moved[1])
    return _row(name, name.capitalize(), "stars", one[1], "ratings", value, interval, change, changed)


def _sums(week: Mapping[str, Any], name: str) -> Sums:
    return Sums(int(week.get(f"{name}_count", 0)), float(week.get(f"{name}_sum", 0)), float(week.get(f"{name}_sum_squares", 0)))
