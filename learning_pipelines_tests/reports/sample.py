"""A report with something in every section, made by the functions that make reports of rows.

Belongs here: values. Not here: assertions.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from learning_pipelines.reports import learning
from learning_pipelines.reports.actions import suggested
from learning_pipelines.reports.drift import drift
from learning_pipelines.reports.headline import headline
from learning_pipelines.reports.intervals import Sums, mean, share
from learning_pipelines.reports.week import NOTES, _issues_moved, format_week
from learning_pipelines.storage.metrics import SUMS
from learning_pipelines.storage.report_queries import QUERIES

FIRST = dt.datetime(2026, 9, 14, tzinfo=dt.UTC)
MONDAY, END = dt.date(2026, 11, 16), dt.datetime(2026, 11, 23, tzinfo=dt.UTC)


def _sums(executions: int, answered: int, ratings: tuple[int, ...]) -> dict[str, Any]:
    """Sums of a week; `ratings`: how many gave each star."""
    stars = range(1, 6)
    return dict.fromkeys(SUMS, 0) | {
        "executions": executions, "executions_with_feedback": answered, "feedback": answered, "rating_count": sum(ratings), "corrections": answered // 8,
        "rating_sum": sum(count * star for count, star in zip(ratings, stars, strict=True)), "thumbs_up": answered // 3, "thumbs_down": answered // 10,
        "rating_sum_squares": sum(count * star**2 for count, star in zip(ratings, stars, strict=True)), "accuracy_count": 40, "accuracy_sum": 170,
    }  # fmt: skip


def _history() -> list[dict[str, Any]]:
    found = []
    for back in range(12, -1, -1):
        executions, answered = (0, 0) if back == 8 else (1800 + 130 * (12 - back), round((0.11 + 0.008 * (12 - back)) * (1800 + 130 * (12 - back))))
        sums = Sums(answered // 2, answered // 2 * (3.3 + 0.05 * (12 - back)), answered // 2 * (13.2 + 0.3 * (12 - back)))
        rate, rating = share(answered, executions), mean(sums)
        found.append({
            "week": format_week(MONDAY - dt.timedelta(weeks=back)), "executions": executions, "feedback": answered, "ratings": sums.n,
            "feedback_rate": answered / executions if executions else None, "feedback_rate_interval": None if rate is None else list(rate),
            "avg_rating": sums.total / sums.n if sums.n else None, "rating_interval": None if rating is None else list(rating),
        })  # fmt: skip
    return found


def numbers() -> dict[str, Any]:
    """The whole of it, new each time."""
    week, before = _sums(3400, 700, (20, 25, 60, 120, 125)), _sums(3250, 600, (10, 15, 50, 110, 115))
    counts = {"incorrect": (64, 24), "incomplete": (30, 28), "unclear": (21, 25), "tone": (6, 4), "outdated": (4, 0)}
    issues = [{"category": name, "count": now, "share": now / 125, "change": now - then} for name, (now, then) in counts.items()]
    first, second = [1.0] * 88 + [0.0] * 12, [1.0] * 70 + [0.0] * 30
    scored = {"set_number": 1, "metric": "exact_match", "model": "qwen3-8b", "n": 100, "faults": 0, "calls": 100, "reason": "", "first_week": MONDAY,
              "kind": "prompt", "first_score": 0.88}  # fmt: skip
    found: dict[str, Any] = {
        "organization": "northwind", "week": "2026-W47", "starts": "2026-11-16", "ends": "2026-11-22", "timezone": "Europe/Berlin", "format": 2,
        "executions": 3400, "feedback": 700, "simulated_feedback": 0, "feedback_rate": 700 / 3400, "avg_rating": 3.87, "weighted_rating": 3.91, "ratings": 350,
        "weighted_thumbs_up_share": 0.8, "rating_interval": [3.76, 3.98], "thumbs_up": 233, "thumbs_down": 70, "corrections": 87, "tokens": 2_914_022,
        "cost_usd": 41.07, "avg_latency_ms": 812.0, "targets": {"feedback_rate": 0.2, "avg_rating": 4.0},
        "change": {"executions": 150, "feedback": 100, "feedback_rate": 0.021, "avg_rating": -0.15, "corrections": 12},
        "headline": headline({"week": week, "week before": before}), "issues": _issues_moved(issues, 700, 600),
        "examples": {"collected": 96, "reviewed": 41, "approved": 33, "waiting_for_review": 118}, "dataset_versions": 3, "feedback_without_execution": 4,
        "distrusted_raters": 2,
        "agents": [
            {"agent": name, "executions": executions, "feedback_rate": rate, "avg_rating": rating, "ratings": ratings, "corrections": corrections}
            for name, executions, rate, rating, ratings, corrections in (("service-desk", 2400, 0.25, 4.02, 300, 61), ("billing", 1000, 0.1, 3.1, 50, 26))
        ],
        "milestones": learning.milestones([
            {"name": name, "target": target, "approved": approved, "first_example": FIRST, "due": FIRST + dt.timedelta(days=days)}
            for name, target, approved, days in (("first month", 100, 131, 30), ("first quarter", 500, 312, 91))
        ], END),
        "agreement": learning.agreement([
            {"agent": "service-desk", "pair": "experts", "period": "all", "units": 74, "alpha": 0.71, "alpha_low": 0.58, "alpha_high": 0.82, "undefined": ""},
            {"agent": "service-desk", "pair": "users/experts", "period": "2026-W47", "units": 3, "alpha": None, "alpha_low": None, "alpha_high": None,
             "undefined": "all ratings are equal"},
        ]),
        "learning": learning.learnt([
            {"id": "p1", "agent": "service-desk", "kind": "prompt", "verdict": "better", "state": "approved", "proposed": True, "reviewed": True, "n": 180,
             "incumbent": 0.64, "candidate": 0.78, "difference": 0.14, "low": 0.06, "high": 0.21, "alpha": 0.0125},
            {"id": "p2", "agent": "billing", "kind": "index", "verdict": "better", "state": "open", "proposed": True, "reviewed": False, "n": 240,
             "incumbent": 0.51, "candidate": 0.56, "difference": 0.05, "low": 0.01, "high": 0.09, "alpha": 0.0125},
        ], [{"kind": "prompt", "verdict": "better", "tests": 1}, {"kind": "index", "verdict": "no evidence", "tests": 2}], [{"waiting": 1}]),
        "serving": learning.serving([
            {**scored, "agent": "billing", "version": 3, "score": 0.7, "low": 0.604, "high": 0.781, "drift": drift(first, second)},
            {**scored, "agent": "service-desk", "version": 5, "score": 0.88, "low": 0.802, "high": 0.93, "drift": drift(first, first)},
            {**scored, "agent": "service-desk", "kind": "index", "version": None, "score": None, "low": None, "high": None, "drift": {}, "n": 0,
             "reason": "fewer than 5 judged questions are in the test split"},
        ]),
        "experiments": learning.experiments([
            {"id": "x1", "agent": "service-desk", "name": "shorter answers", "kind": "experiment", "decision": "adopt_treatment", "winner": "treatment",
             "p": 0.004, "primary_metric": "thumbs", "decided_at": END, "numbers": {"difference": 0.041, "low": 0.009, "high": 0.073}},
        ], [{"running": 2}]),
        "cost": learning.cost(
            [{"role": "task", "model": "qwen3-8b", "requests": 1210, "cache_hits": 430, "input_tokens": 912_000, "output_tokens": 88_000,
              "cost_usd": 1.84, "unpriced": 0}],
            [{"type": "prompt_optimization", "runs": 2, "failed": 0, "seconds": 1912.0}, {"type": "rag_tuning", "runs": 3, "failed": 1, "seconds": 2740.0}],
        ),
        "incidents": learning.incidents([dict(zip(learning.INCIDENTS, (4, 2, 3, 5, 1, 0, 3, 0), strict=True))], [
            {"kind": "check", "name": "learning_examples:references_hold", "count": 2, "still_failing": 1},
            {"kind": "check", "name": "knowledge_index:every_chunk_is_found", "count": 1, "still_failing": 0},
        ]),
        "history": _history(), "queries": dict.fromkeys(QUERIES, "SELECT 1"), "notes": list(NOTES),
    }  # fmt: skip
    return {**found, "actions": suggested(found)}
