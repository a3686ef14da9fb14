"""Where a rollout is: its share of the traffic, since when, and what its next step waits for.

Belongs here: from evidence to plain values. Not here: when a step is taken (decision.py), taking it (canary.py).
"""

from __future__ import annotations

from typing import Any

from learning_pipelines.experiments import evidence as given
from learning_pipelines.experiments.analysis import Findings, units_needed
from learning_pipelines.experiments.evidence import Evidence
from learning_pipelines.experiments.options import options_of


def ramp_of(evidence: Evidence, findings: Findings) -> dict[str, Any] | None:
    """{percent, next_percent, since, hours, hours_needed, units, units_needed, waits}; None of what is no rollout. `units`: of the treatment, with a value
    of the primary metric; `hours`: without pauses; `waits`: sentences, none where the next look takes the step."""
    if findings.rollout is None:
        return None
    experiment = evidence["experiment"]
    options, step = options_of(experiment["config"]), findings.rollout
    return {
        "percent": step.percent, "next_percent": step.next_percent, "since": _since(evidence), "hours": given.hours_of_step(evidence),
        "hours_needed": options.step_hours, "units": findings.treatments[0].primary.comparison.n_treatment,
        "units_needed": units_needed(options, experiment["steps"], step.number),
        "waits": list(findings.waiting if findings.broken_ratio is None else (findings.broken_ratio, *findings.waiting)),
    }  # fmt: skip


def _since(evidence: Evidence) -> str | None:
    """When the shares became what they are."""
    since, ranges = None, None
    for epoch in reversed(evidence["epochs"]):
        if ranges is not None and epoch["ranges"] != ranges:
            break
        since, ranges = epoch["started_at"], epoch["ranges"]
    return since
