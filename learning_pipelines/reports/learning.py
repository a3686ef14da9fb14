"""What a week says of learning: milestones, agreement of reviewers, proposals and their gains, experiments, cost, incidents, what serves.

Belongs here: rows of the queries in, sections of a report out. Not here: SQL (storage/report_queries.py), numbers at the top (headline.py), wording of pages.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from learning_pipelines.reports.headline import NONE, against

GAIN_TARGET = 0.10
AGREEMENT_TARGET = 0.667
"""K. Krippendorff's lowest alpha for tentative conclusions (Content Analysis, 2nd edition 2004, page 241)."""
INCIDENTS = {
    "orphans": "Feedback whose execution never arrived",
    "distrusted_raters": "Raters of next to no weight who said something",
    "conflicts_found": "Contradictory examples found",
    "conflicts_open": "Contradictory examples that nobody settled",
    "failed_runs": "Training runs that failed",
    "refused_exposures": "Executions that experiments could not count",
    "failing_checks": "Checks of the data that failed, each once until it passes",
    "failed_jobs": "Runs of jobs that failed and were not tried again",
}
_NAMED = {"failing_checks": "check", "failed_jobs": "run"}
"""Incidents that are listed by name, with their kind in the rows."""
Rows = Sequence[Mapping[str, Any]]


def milestones(rows: Rows, end: dt.datetime) -> list[dict[str, Any]]:
    """Approved examples against 100 in the first month and 500 in the first quarter since the first example; none before that. `met`, `missed` once
    the time is over, before that `open` (or `met` early)."""
    found = []
    for row in rows:
        met, over = row["approved"] >= row["target"], end >= row["due"]
        found.append({
            "name": row["name"], "target": row["target"], "approved": row["approved"], "since": row["first_example"].isoformat(),
            "due": row["due"].isoformat(), "verdict": "met" if met else "missed" if over else "open", "query": "milestones",
        })  # fmt: skip
    return found


def agreement(rows: Rows) -> list[dict[str, Any]]:
    """Agreement per agent and pair of raters: of the week where it could be computed, and of all time. Krippendorff's alpha with its interval."""
    return [
        {
            "agent": row["agent"], "raters": row["pair"], "period": row["period"], "examples": row["units"], "alpha": row["alpha"],
            "interval": None if row["alpha_low"] is None else [row["alpha_low"], row["alpha_high"]],
            "verdict": against(None if row["alpha_low"] is None else (row["alpha_low"], row["alpha_high"]), AGREEMENT_TARGET),
            "reason": row["undefined"] or None, "query": "agreement",
        }
        for row in rows
    ]  # fmt: skip


def learnt(proposals: Rows, tests: Rows, waiting: Rows) -> dict[str, Any]:
    """What was tested, proposed, adopted and rejected in the week, and what each proposal gained on held-out items, against 10 % more than before."""
    listed = [_proposal(row) for row in proposals]
    return {
        "tests": sum(row["tests"] for row in tests), "tests_by_verdict": _added(tests, "verdict", "tests"),
        "proposed": sum(row["proposed"] for row in proposals),
        "adopted": sum(bool(row["reviewed"]) and row["state"] == "approved" for row in proposals),
        "rejected": sum(bool(row["reviewed"]) and row["state"] == "rejected" for row in proposals),
        "waiting_for_approval": waiting[0]["waiting"] if waiting else 0, "waiting_query": "waiting proposals",
        "gain_target": GAIN_TARGET, "proposals": listed, "query": "proposals", "tests_query": "tests",
    }  # fmt: skip


def experiments(decided: Rows, running: Rows) -> dict[str, Any]:
    """Decisions that ended an experiment in the week, with the primary comparison of its first treatment."""
    return {"running": running[0]["running"] if running else 0, "decided": [_experiment(row) for row in decided], "query": "experiments",
            "running_query": "running experiments"}  # fmt: skip


def cost(models: Rows, training: Rows) -> dict[str, Any]:
    """What learning took: requests, tokens and money of language models (days in UTC), runs and seconds of training. Money is unknown where one price is."""
    unpriced = sum(int(row["unpriced"]) for row in models)
    names = ("requests", "cache_hits", "input_tokens", "output_tokens")
    return {
        **{name: sum(int(row[name]) for row in models) for name in names},
        "cost_usd": None if unpriced else round(sum(row["cost_usd"] for row in models), 6), "unpriced_answers": unpriced,
        "models": [{"role": row["role"], "model": row["model"], **{name: int(row[name]) for name in names}, "cost_usd": row["cost_usd"],
                    "unpriced": int(row["unpriced"])} for row in models],
        "training_seconds": round(sum(row["seconds"] for row in training), 1), "training_runs": sum(row["runs"] for row in training),
        "training": [dict(row) for row in training], "query": "model cost", "training_query": "training",
    }  # fmt: skip


def incidents(rows: Rows, failures: Rows) -> list[dict[str, Any]]:
    """What is wrong with the data, by kind; all kinds, so that 0 is seen to be 0. A count is None where it is not known. `by_name`: which checks and jobs."""
    counts = rows[0] if rows else {}
    found = {key: counts.get(key, 0) for key in INCIDENTS}
    return [
        {"key": key, "label": label, "count": None if found[key] is None else int(found[key]), "query": "incidents",
         "by_name": [
            {"name": row["name"], "count": row["count"], "still_failing": row["still_failing"], "query": "failures"}
            for row in failures if row["kind"] == _NAMED.get(key)
         ]}
        for key, label in INCIDENTS.items()
    ]  # fmt: skip


def serving(rows: Rows) -> list[dict[str, Any]]:
    """How well what serves now answers its frozen held-out set, by agent and kind, with the alarm if it fell since its first score."""
    found = []
    for row in rows:
        measured = row["n"] > 0
        found.append({
            "agent": row["agent"], "kind": row["kind"], "version": row["version"], "set": row["set_number"], "metric": row["metric"], "model": row["model"],
            "n": row["n"], "score": row["score"], "interval": [row["low"], row["high"]] if measured else None, "faults": row["faults"], "calls": row["calls"],
            "first_week": row["first_week"].isoformat() if measured and row["first_week"] else None, "first_score": row["first_score"] if measured else None,
            "drift": dict(row["drift"]), "alarm": bool(row["drift"].get("alarm")), "reason": None if measured else f"{NONE}: {row['reason']}",
            "query": "serving",
        })  # fmt: skip
    return found


def _proposal(row: Mapping[str, Any]) -> dict[str, Any]:
    """A proposal with its gain: absolute with the bounds of its test (one on each side at the level that it spent), and as a share of what was before."""
    base, measured = row["incumbent"], row["difference"] is not None and row["low"] is not None
    relative = row["difference"] / base if measured and base else None
    bounds = (row["low"] / base, row["high"] / base) if relative is not None else None
    return {
        **{name: row[name] for name in ("id", "agent", "kind", "verdict", "state", "proposed", "reviewed", "n")},
        "before": base, "after": row["candidate"], "gain": row["difference"], "interval": [row["low"], row["high"]] if measured else None,
        "level": None if row["alpha"] is None else 1 - row["alpha"], "relative_gain": relative, "relative_interval": None if bounds is None else list(bounds),
        "verdict_on_target": against(bounds, GAIN_TARGET), "query": "proposals",
    }  # fmt: skip


def _experiment(row: Mapping[str, Any]) -> dict[str, Any]:
    numbers = row["numbers"] or {}
    interval = [numbers.get("low"), numbers.get("high")] if numbers else None
    return {
        **{name: row[name] for name in ("id", "agent", "name", "kind", "decision", "winner", "p")}, "metric": row["primary_metric"],
        "decided_at": row["decided_at"].isoformat(), "difference": numbers.get("difference"), "interval": interval, "query": "experiments",
    }  # fmt: skip


def _added(rows: Rows, key: str, value: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for row in rows:
        found[str(row[key])] = found.get(str(row[key]), 0) + int(row[value])
    return found
