"""The metrics that experiments compare: what each counts, in which unit, which direction is better, and by which family of tests it is judged.

Belongs here: definitions and their names. Not here: statistics (exact.py, asymptotic.py), how values are collected (storage/experiment_units.py).

Exact metrics take one value per unit, the first that it gave after its exposure (a later change of mind changes no value that a test has seen).
Ratio metrics are totals of units over totals of units (latency per execution, corrections per execution), clustered by unit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from learning_pipelines.errors import BadInput
from learning_pipelines.feedback.kinds import IssueCategory

Family = Literal["exact", "ratio"]


@dataclass(frozen=True, slots=True)
class Metric:
    """`better`: 1 where more is better, -1 where less is. Exact: `value` is a key of a unit's first values, scaled from [low, high] to [0, 1] for the
    test. Ratio: `numerator` and `denominator` are keys of a unit's totals."""

    name: str
    family: Family
    better: Literal[1, -1]
    description: str
    value: str = ""
    low: float = 0.0
    high: float = 1.0
    numerator: str = ""
    denominator: str = ""


def _ratio(name: str, better: Literal[1, -1], numerator: str, denominator: str, description: str) -> Metric:
    return Metric(name, "ratio", better, description, numerator=numerator, denominator=denominator)


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("thumbs", "exact", 1, "Share of thumbs up among the units that gave a thumb.", "thumb"),
        Metric("rating", "exact", 1, "Mean stars, 1 to 5, of the units that rated.", "rating", 1.0, 5.0),
        Metric("thumbs_down_rate", "exact", -1, "Share of thumbs down among the units that gave a thumb.", "thumb_down"),
        _ratio("feedback_rate", 1, "with_feedback", "executions", "Share of executions with feedback: who answers is not everybody."),
        _ratio("correction_rate", -1, "corrections", "executions", "Share of executions that were corrected."),
        _ratio("latency_ms", -1, "latency_ms", "latency_count", "Milliseconds per execution."),
        _ratio("cost_usd", -1, "cost_usd", "cost_count", "US dollars per execution."),
        _ratio("refusal_rate", -1, "refusals", "executions", "Share of executions whose output refuses to answer."),
        *(_ratio(f"issue_rate:{name}", -1, f"issue:{name}", "executions", f"Share of executions reported as {name}.") for name in get_args(IssueCategory)),
    )
}
GUARDRAILS = ("thumbs_down_rate", "latency_ms", "cost_usd", "refusal_rate", "issue_rate:incorrect", "issue_rate:hallucination")
"""Watched where an experiment names none."""


def metric(name: str) -> Metric:
    """The metric of this name. Raises BadInput naming the known ones."""
    if name not in METRICS:
        raise BadInput(f"{name!r} is no metric.", f"There are {', '.join(METRICS)}.")
    return METRICS[name]
