"""The numbers of one experiment so far: comparisons with their intervals, shares, what they lead to, and the looks before.

Belongs here: from evidence to plain values. Not here: what an experiment is (showing.py), the statistics (analysis.py), the rules (decision.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from learning_pipelines.experiments import gathering
from learning_pipelines.experiments.analysis import Findings, Reading, findings_of
from learning_pipelines.experiments.decision import decided
from learning_pipelines.experiments.plots import MOST_POINTS
from learning_pipelines.experiments.ramp import ramp_of
from learning_pipelines.storage import experiment_decisions
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.experiment_rows import Experiment
from learning_pipelines.storage.tenants import AgentRef

NOTHING: Mapping[str, Any] = {"verdict": None, "comparisons": [], "sample_ratio": None, "refused": {}, "looks": [], "ramp": None, "ending": None}
_IN_A_LOOK = ("difference", "low", "high", "p", "n_control", "n_treatment")
_ANSWERS = {"role": "answers", "tolerance": 0.0, "harmed": False}


def so_far(connection: Connection, agent: AgentRef, experiment: Experiment) -> dict[str, Any]:
    """{verdict, comparisons, sample_ratio, refused, looks, ramp, ending}: from the values as they were last collected. Nothing of a draft."""
    if not experiment.epochs:
        return dict(NOTHING)
    evidence = gathering.gathered(connection, experiment, agent)
    findings = findings_of(evidence)
    outcome = decided(findings)
    verdict = {
        "decision": outcome.decision, "winner": outcome.winner, "reason": outcome.reason,
        "longer": None if outcome.longer is None else outcome.longer.as_json(),
        "treatments": {one.variant: {"verdict": one.verdict, "why": one.why} for one in outcome.verdicts},
    }  # fmt: skip
    return {
        "verdict": verdict, "comparisons": _comparisons(findings), "refused": dict(evidence["refused"]), "looks": _looks(connection, agent, experiment),
        "ramp": ramp_of(evidence, findings) if experiment.ended_at is None else None, "ending": _ending(connection, agent, experiment),
        "sample_ratio": {
            "p": findings.ratio_p, "broken": findings.broken_ratio is not None,
            "epochs": [{"epoch": one.epoch, "observed": dict(one.counts.observed), "shares": dict(one.counts.shares), "p": one.p} for one in findings.ratios],
        },
    }  # fmt: skip


def _comparisons(findings: Findings) -> list[dict[str, Any]]:
    """Each with `role`: primary, guardrail or answers (the feedback rate)."""
    found = []
    for one in findings.treatments:
        found.append(_comparison("primary", one.primary))
        found += [_comparison("guardrail", watched) for watched in one.guardrails]
        if one.answers is not None:
            found.append(one.answers.as_json() | _ANSWERS)
    return found


def _comparison(role: str, reading: Reading) -> dict[str, Any]:
    return reading.comparison.as_json() | {"role": role, "tolerance": reading.tolerance, "harmed": reading.harmed}


def _ending(connection: Connection, agent: AgentRef, experiment: Experiment) -> dict[str, Any] | None:
    """The decision that it ended with; None while it lasts, and where it was aborted without one."""
    last = experiment_decisions.last(connection, agent.organization_id, experiment.id) if experiment.ended_at is not None else None
    if last is None or not last.final:
        return None
    return {"decision": last.decision, "reason": last.reason, "decided_by": last.decided_by, "at": last.decided_at.isoformat()}


def _looks(connection: Connection, agent: AgentRef, experiment: Experiment) -> list[dict[str, Any]]:
    """What looks found that saw something new, oldest first, MOST_POINTS of them at most: what a sequential plot is drawn from."""
    return [
        {
            "at": when.isoformat(), "decision": outcome["decision"],
            "treatments": {variant: {name: one[name] for name in _IN_A_LOOK} for variant, one in outcome["numbers"].items()},
        }
        for when, outcome in experiment_decisions.outcomes(connection, agent.organization_id, experiment.id, MOST_POINTS)
    ]  # fmt: skip
