"""What the assets of reports say of themselves in the Dagster UI: numbers, links, tables of ids; no text that people wrote.

Belongs here: metadata, as pure functions. Not here: assets (reports.py).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from learning_pipelines.reports.delivery import Delivery
from learning_pipelines.reports.markdown import week_markdown
from learning_pipelines.storage.serving_scores import Score
from learning_pipelines.storage.tenants import AgentRef


def report_metadata(numbers: Sequence[Mapping[str, Any]], link: str) -> dict[str, Any]:
    """Sums over organizations, rates of them together, the pages without queries and without the names that people gave experiments."""
    executions, ratings = sum(one["executions"] for one in numbers), sum(one["ratings"] for one in numbers)
    answered = sum(one["executions"] * one["feedback_rate"] for one in numbers if one["feedback_rate"] is not None)
    stars = sum(one["ratings"] * one["avg_rating"] for one in numbers if one["avg_rating"] is not None)
    known = {
        "feedback_rate": answered / executions if executions else None, "avg_rating": stars / ratings if ratings else None,
        "model_cost_usd": sum(one["cost"]["cost_usd"] or 0.0 for one in numbers),
    }  # fmt: skip
    return {
        "dagster/row_count": len(numbers),
        "dagster/table_name": "learning.learning_reports",
        "executions": executions,
        "feedback": sum(one["feedback"] for one in numbers),
        "examples_approved": sum(one["examples"]["approved"] for one in numbers),
        "adopted": sum(one["learning"]["adopted"] for one in numbers),
        "drift_alarms": sum(part["alarm"] for one in numbers for part in one["serving"]),
        **{name: value for name, value in known.items() if value is not None},
        **({"page": dg.MetadataValue.url(f"{link}/reports#{numbers[0]['week']}")} if numbers else {}),
        "report": dg.MetadataValue.md("\n\n".join(_shown(one) for one in numbers) or "There is no organization yet."),
    }


def serving_metadata(found: Sequence[tuple[AgentRef, str, Score | None]]) -> dict[str, Any]:
    """How many were measured now, and a line for each."""
    rows = [
        f"| {agent.partition} | {kind} | {_version(score)} | {'measured before' if score is None else _score(score)} |" for agent, kind, score in found
    ]  # fmt: skip
    return {
        "dagster/row_count": sum(score is not None and bool(score.scores) for _, _, score in found),
        "dagster/table_name": "learning.serving_scores",
        "calls": sum(score.calls for _, _, score in found if score is not None),
        "not_measured": sum(score is not None and not score.scores for _, _, score in found),
        "scores": dg.MetadataValue.md("\n".join(["| agent | kind | version | score |", "|---|---|---|---|", *rows])),
    }


def delivery_metadata(made: Sequence[Delivery]) -> dict[str, Any]:
    """How many went out, and how each ended."""
    head = ["| organization | channel | state | |", "|---|---|---|---|"]
    rows = [f"| {one.organization} | {one.channel} | {one.state} | {one.error} |" for one in made]
    return {
        "sent": sum(one.state == "sent" for one in made),
        "not_sent": sum(one.state in ("failed", "unknown") for one in made),
        "sent_before": sum(one.state == "already" for one in made),
        "deliveries": dg.MetadataValue.md("\n".join([*head, *rows]) if rows else "Nothing was to be sent."),
    }


def _shown(numbers: Mapping[str, Any]) -> str:
    decided = [{**one, "name": one["id"]} for one in numbers["experiments"]["decided"]]
    actions = [one for one in numbers["actions"] if one["key"] != "rolled_back"]
    plain = {**numbers, "experiments": {**numbers["experiments"], "decided": decided}, "actions": actions}
    return week_markdown(plain).split("\n## Queries\n")[0].rstrip()


def _version(score: Score | None) -> str:
    return "" if score is None or score.version is None else str(score.version)


def _score(score: Score) -> str:
    if score.score is None or score.interval is None:
        return f"no evidence: {score.reason}"
    alarm = ", drift alarm" if score.drift.get("alarm") else ""
    return f"{score.score:.3f} [{score.interval[0]:.3f}, {score.interval[1]:.3f}] (n = {len(score.scores)}{alarm})"
