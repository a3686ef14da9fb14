"""Everything that a decision is made from, as plain JSON: made again from it, a decision is the same.

Belongs here: the shape of evidence, what counts as new in it. Not here: SQL (storage/), statistics (analysis.py), rules (decision.py).

{format, at, experiment {id, name, kind, subject, arms, primary_metric, guardrails, min_duration_hours, min_sample_size, config, steps, step,
started_at}, epochs [{number, ranges, started_at, ended_at}], metrics {metric: {epoch: {variant: state}}}, exposures {epoch: {variant: units}}, refused
{why: events}}. Times are ISO 8601, keys of epochs are numbers as text, which is what JSON has for them.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from learning_pipelines.storage.experiment_rows import Epoch, Experiment

FORMAT = 1
Evidence = Mapping[str, Any]
States = Mapping[tuple[str, int, str], Mapping[str, Any]]
"""(metric, epoch, variant) → state."""
Counts = Mapping[int, Mapping[str, int]]
"""Epoch → variant → units that were exposed."""


def evidence_of(experiment: Experiment, states: States, exposures: Counts, refused: Mapping[str, int], at: dt.datetime) -> dict[str, Any]:
    """What is known of an experiment at one moment."""
    return {
        "format": FORMAT,
        "at": at.isoformat(),
        "experiment": {
            "id": str(experiment.id), "name": experiment.name, "kind": experiment.kind, "subject": experiment.subject,
            "arms": [arm.as_json() for arm in experiment.arms], "primary_metric": experiment.primary_metric, "guardrails": list(experiment.guardrails),
            "min_duration_hours": experiment.min_duration_hours, "min_sample_size": experiment.min_sample_size, "config": dict(experiment.config),
            "steps": list(experiment.steps), "step": experiment.step,
            "started_at": None if experiment.started_at is None else experiment.started_at.isoformat(),
        },
        "epochs": [_epoch(epoch) for epoch in experiment.epochs],
        "metrics": _nested(states),
        "exposures": {str(epoch): dict(sorted(arms.items())) for epoch, arms in sorted(exposures.items())},
        "refused": dict(sorted(refused.items())),
    }  # fmt: skip


def is_new(before: Evidence, after: Evidence) -> bool:
    """Whether anything but the clock moved between two looks."""
    return any(before.get(name) != after.get(name) for name in ("format", "experiment", "epochs", "metrics", "exposures", "refused"))


def hours_run(evidence: Evidence) -> float:
    """Hours that the epochs of an evidence lasted together: a pause that ended an epoch counts for nothing."""
    return sum(_hours(epoch, evidence) for epoch in evidence["epochs"])


def hours_of_step(evidence: Evidence) -> float:
    """Hours since the shares last changed: epochs of the same ranges in a row are one step, whatever was paused between them."""
    hours, ranges = 0.0, None
    for epoch in reversed(evidence["epochs"]):
        if ranges is not None and epoch["ranges"] != ranges:
            break
        ranges = epoch["ranges"]
        hours += _hours(epoch, evidence)
    return hours


def exposed(evidence: Evidence) -> dict[str, int]:
    """Units of each arm, over all epochs."""
    return {
        str(arm["variant"]): sum(int(counts.get(arm["variant"], 0)) for counts in evidence["exposures"].values()) for arm in evidence["experiment"]["arms"]
    }


def _nested(states: States) -> dict[str, dict[str, dict[str, Any]]]:
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for name, epoch, variant in sorted(states):
        found.setdefault(name, {}).setdefault(str(epoch), {})[variant] = dict(states[name, epoch, variant])
    return found


def _hours(epoch: Mapping[str, Any], evidence: Evidence) -> float:
    ended = epoch["ended_at"] or evidence["at"]
    # Clocks of two servers may differ: an epoch that begins in the future has lasted no time yet.
    return max(0.0, (dt.datetime.fromisoformat(ended) - dt.datetime.fromisoformat(epoch["started_at"])).total_seconds() / 3600)


def _epoch(epoch: Epoch) -> dict[str, Any]:
    return {
        "number": epoch.number, "ranges": {variant: [list(span) for span in spans] for variant, spans in epoch.ranges.items()},
        "started_at": epoch.started_at.isoformat(), "ended_at": None if epoch.ended_at is None else epoch.ended_at.isoformat(),
    }  # fmt: skip
