"""Metadata of fine-tuning: losses, scores, verdicts and ids, never a user's text.

Belongs here: pure functions from results to dictionaries. Not here: assets (fine_tuning.py).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from learning_pipelines.behavior.fine_tuning.gate import Tested
from learning_pipelines.behavior.fine_tuning.running import Done
from learning_pipelines.defs.links import Pages
from learning_pipelines.examples import plots
from learning_pipelines.storage.training_runs import TrainingRun

_SHOWN = ("training_loss", "start_validation_loss", "validation_loss", "validation_preferred", "steps", "best_step", "train_rows", "validation_rows", "seconds")


def method_metadata(method: str, run: TrainingRun, done: Done, pages: Pages) -> dict[str, Any]:
    """What one method did, each name with the method in front."""
    found: dict[str, Any] = {"training_run": str(run.id), "resumed": run.resumed}
    for name, side in (("", done.outcome.learnt), ("control ", done.outcome.control)):
        if side is not None:
            found |= {f"{name}{one}": side.numbers[one] for one in _SHOWN if one in side.numbers}
            found |= _plot(f"{name}loss", side.curve)
    found |= {"verdict": "nothing was tested"} if done.tested is None else _tested(done.tested)
    if done.reason:
        found["reason"] = done.reason
    if done.version is not None:
        found |= {"version": done.version, "proposal": str(done.proposal)}
    if done.proposal is not None:
        found["review"] = pages.proposal(done.proposal)
    if done.artifact is not None:
        found |= {"artifact": done.artifact.path, "sha256": done.artifact.sha256}
    return {f"{method}: {name}": value for name, value in found.items()}


def _tested(tested: Tested) -> dict[str, Any]:
    evidence, control = tested.evidence, tested.control
    return {
        "verdict": tested.verdict.value, "test_items": evidence.n, "incumbent": tested.incumbent, "incumbent score": evidence.incumbent_mean,
        "score": evidence.candidate_mean, "difference": evidence.difference, "low": evidence.low, "high": evidence.high, "p_value": evidence.p_value,
        "alpha": evidence.alpha, "test_number": evidence.k, "control score": control.candidate_mean, "control verdict": control.verdict.value,
        "control p_value": control.p_value, "over control": tested.over_control.difference, "over control p_value": tested.over_control.p_value,
    }  # fmt: skip


def _plot(name: str, curve: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    drawn: dict[str, Any] = {}
    for series in ("loss", "validation_loss"):
        values = [float(point[series]) for point in curve if series in point]
        if len(values) >= 2:
            svg = plots.lines({series: values}, [str(number) for number in range(1, len(values) + 1)], 0.0, max(*values, 1e-9))
            drawn[f"{name.removesuffix('loss')}{series} by step"] = dg.MetadataValue.md(plots.markdown(svg, series))
    return drawn
