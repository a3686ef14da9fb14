"""Metadata of learning and testing a policy: numbers, ids, links and small plots, never a user's text.

Belongs here: pure functions from results to dictionaries. Not here: assets (behavior.py).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from learning_pipelines.behavior.contradictions import summary
from learning_pipelines.behavior.policy_gate import Tested
from learning_pipelines.behavior.task import Shown
from learning_pipelines.examples import plots


def shown_metadata(shown: Sequence[Shown], left: Mapping[str, int]) -> dict[str, Any]:
    """What was shown, where it contradicts itself (ids of the demonstrations), and why others do not count."""
    found = summary(shown)
    return {
        **{name: found[name] for name in ("failures", "experts", "contradictions", "contradictions_between_experts", "action_types_seen_once")},
        **{f"not counting: {reason}": count for reason, count in left.items()}, "shown": dg.MetadataValue.json(found),
    }  # fmt: skip


def learnt_metadata(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """What was learnt from, what was chosen on steps that were not learnt from, and how well each component did there."""
    names = ("steps", "types", "judging_steps", "failed_left_out")
    return {
        "chosen": str(metrics["chosen"]), **{name: int(metrics[name]) for name in names},
        **{f"log_loss: {name}": float(value) for name, value in metrics["log_loss"].items()},
        **({} if metrics["calibration_error"] is None else {"calibration_error_validation": float(metrics["calibration_error"])}),
    }  # fmt: skip


def tested_metadata(tested: Tested) -> dict[str, Any]:
    """The verdict in numbers, the guards and the baselines as tables."""
    evidence, own = tested.evidence, tested.candidate
    return {
        "verdict": tested.verdict.value, "reason": tested.reason, "dagster/row_count": evidence.n, "top1_serving": evidence.incumbent_mean,
        "top1_candidate": evidence.candidate_mean, "difference": evidence.difference, "low": evidence.low, "high": evidence.high,
        "wins": evidence.wins, "losses": evidence.losses, "ties": evidence.n - evidence.wins - evidence.losses, "p_value": evidence.p_value,
        "alpha": evidence.alpha, "test_number": evidence.k, "calibration_error": own.calibration_error, "coverage": own.coverage,
        **({} if own.covered_top1 is None else {"covered_top1": own.covered_top1}),
        "accuracy": dg.MetadataValue.md(_accuracy(tested)), "guards": dg.MetadataValue.md(_guards(tested)),
        "wins_and_losses": dg.MetadataValue.md(plots.markdown(_differences(tested), "top-1 of the candidate less that of what serves")),
    }  # fmt: skip


def _accuracy(tested: Tested) -> str:
    own = tested.candidate
    rows = {"policy": own.policy, **own.baselines, **({} if tested.incumbent is None else {"serving policy": tested.incumbent.policy})}
    lines = [f"| on {own.n} steps | top-1 | 95 % interval | top-3 |", "|---|---|---|---|"]
    lines += [f"| {name} | {one.top1:.3f} | [{one.interval[0]:.3f}, {one.interval[1]:.3f}] | {one.top3:.3f} |" for name, one in rows.items()]
    return "\n".join(lines)


def _guards(tested: Tested) -> str:
    """By number: names of kinds of tasks are people's words."""
    lines = ["| guard | demonstrations | difference | lower bound | p of harm | |", "|---|---|---|---|---|---|"]
    for place, one in enumerate(tested.guards, 1):
        name = f"task type {place}" if one.name.startswith("task type ") else one.name
        lines.append(f"| {name} | {one.n} | {one.difference:+.3f} | {one.low:+.3f} | {one.p_harm:.3f} | {one.state} |")
    return "\n".join(lines)


def _differences(tested: Tested) -> str:
    """Demonstrations by how much they gained, in twenty steps from -1 to 1; those that did not change are left out."""
    before = tested.candidate.baselines["transition"].scores if tested.incumbent is None else tested.incumbent.scores
    counts = [0] * 20
    for item, score in tested.candidate.scores.items():
        if (gained := score - before[item]) != 0:
            counts[min(19, int((gained + 1) * 10))] += 1
    return plots.histogram(counts, -1.0, 1.0)
