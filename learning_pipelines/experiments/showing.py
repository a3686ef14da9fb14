"""Experiments as people and clients read them: what they are, how many units each arm has, what was decided.

Belongs here: from rows to plain values, the same for verbs and routes. Not here: comparisons (numbers.py), tables for a terminal (cli_experiments_table.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from learning_pipelines.experiments.numbers import so_far
from learning_pipelines.storage import experiment_assignments, experiment_decisions
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.experiment_rows import Decision, Epoch, Experiment
from learning_pipelines.storage.tenants import AgentRef

Counts = Mapping[int, Mapping[str, int]]
"""Epoch → variant → units that were exposed."""


def listed(connection: Connection, organization_id: UUID, experiments: Sequence[Experiment]) -> list[dict[str, Any]]:
    """Each with the units of its arms, in their order."""
    ids = [one.id for one in experiments]
    counts = experiment_assignments.counts(connection, organization_id, ids)
    decisions = experiment_decisions.newest(connection, organization_id, ids)
    return [as_json(one, counts.get(one.id, {}), decisions.get(one.id)) for one in experiments]


def whole(connection: Connection, organization_id: UUID, experiment: Experiment) -> dict[str, Any]:
    """One with its numbers so far (numbers.py). An arm also has `mean`, that of the primary metric, None before anything is known."""
    agent = AgentRef(organization_id, "", experiment.agent_id, experiment.agent)
    numbers = so_far(connection, agent, experiment)
    document = listed(connection, organization_id, [experiment])[0]
    primary = {one["variant"]: one for one in numbers["comparisons"] if one["role"] == "primary"}
    for arm in document["arms"]:
        treated = arm["variant"] in primary
        compared = primary[arm["variant"]] if treated else next(iter(primary.values()), None)
        arm["mean"] = None if compared is None else compared["mean_treatment" if treated else "mean_control"]
    return document | numbers


def as_json(experiment: Experiment, counts: Counts, decision: Decision | None = None) -> dict[str, Any]:
    """{id, state, arms, decision, …}. `units` of an arm: those that were exposed to it so far. `decision`: how it ended, else that of the last look."""
    return {
        "id": str(experiment.id), "state": experiment.status,
        "arms": [arm.as_json() | {"units": sum(one.get(arm.variant, 0) for one in counts.values())} for arm in experiment.arms],
        "decision": experiment.decision or decision, "winner": experiment.winner, "agent": experiment.agent, "name": experiment.name, "kind": experiment.kind,
        "subject": experiment.subject, "unit": experiment.unit, "primary_metric": experiment.primary_metric, "guardrails": list(experiment.guardrails),
        "exclusion_group": experiment.exclusion_group, "min_duration_hours": experiment.min_duration_hours, "min_sample_size": experiment.min_sample_size,
        "config": dict(experiment.config), "steps": list(experiment.steps), "step": experiment.step,
        "proposal_id": None if experiment.proposal_id is None else str(experiment.proposal_id),
        "epochs": [_epoch(epoch, counts.get(epoch.number, {})) for epoch in experiment.epochs],
        "created_at": experiment.created_at.isoformat(), "started_at": _time(experiment.started_at), "ended_at": _time(experiment.ended_at),
    }  # fmt: skip


def _epoch(epoch: Epoch, units: Mapping[str, int]) -> dict[str, Any]:
    shares = {variant: round(sum(high - low for low, high in spans), 9) for variant, spans in epoch.ranges.items()}
    return {
        "number": epoch.number, "shares": shares, "units": {variant: units.get(variant, 0) for variant in shares},
        "started_at": epoch.started_at.isoformat(), "ended_at": _time(epoch.ended_at),
    }  # fmt: skip


def _time(at: Any) -> str | None:
    return None if at is None else str(at.isoformat())
