"""Metadata of learning and testing retrieval: numbers, ids, links and small plots, never a user's text.

Belongs here: pure functions from results to dictionaries. Not here: assets (retrieval.py).
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from learning_pipelines.acceptance.guards import Guard
from learning_pipelines.examples import plots
from learning_pipelines.retrieval.gate import Tested
from learning_pipelines.retrieval.metrics import NAMES, Measured
from learning_pipelines.retrieval.training import Choice, Offer

PLOTTED = ("loss", "ndcg")
MOST_POINTS = 200


class Points:
    """What learners reported over their time, for plots."""

    def __init__(self) -> None:
        self.series: dict[str, list[float]] = {}

    def add(self, numbers: Mapping[str, float]) -> None:
        for name in PLOTTED:
            if name in numbers:
                self.series.setdefault(name, []).append(float(numbers[name]))

    def plots(self) -> dict[str, Any]:
        """One small plot per name with two points or more; thinned to MOST_POINTS."""
        drawn = {}
        for name, values in self.series.items():
            if len(values) >= 2:
                thinned = values[:: max(1, len(values) // MOST_POINTS)]
                top = max(max(thinned), 1e-9)
                svg = plots.lines({name: thinned}, [str(number) for number in range(1, len(thinned) + 1)], 0.0, 1.0 if name == "ndcg" else top)
                drawn[f"{name} while learning"] = dg.MetadataValue.md(plots.markdown(svg, name))
        return drawn


def offers_metadata(offers: Sequence[Offer], points: Points) -> dict[str, Any]:
    """What each learner offers, or why nothing, and its numbers."""
    found: dict[str, Any] = {"dagster/row_count": sum(offer.config is not None for offer in offers)}
    for offer in offers:
        found[offer.name] = "offered" if offer.config is not None else f"nothing: {offer.reason}"
        found |= {f"{offer.name}: {name}": float(value) for name, value in offer.numbers.items()}
    return found | points.plots()


def choice_metadata(choice: Choice) -> dict[str, Any]:
    """Who won on validation, and what every contender scored there."""
    return {
        "winner": "serving" if choice.offer is None else choice.offer.name, "validation_queries": len(choice.serving.ids),
        **{f"validation ndcg@10: {name}": score for name, score in choice.scores.items()},
    }  # fmt: skip


def gate_metadata(kind: str, tested: Tested) -> dict[str, Any]:
    """The verdict in numbers, with the guards as a table."""
    evidence = tested.evidence
    return {
        "kind": kind, "verdict": tested.verdict.value, "reason": tested.reason, "dagster/row_count": evidence.n, "ndcg_serving": evidence.incumbent_mean,
        "ndcg_candidate": evidence.candidate_mean, "difference": evidence.difference, "low": evidence.low, "high": evidence.high, "wins": evidence.wins,
        "losses": evidence.losses, "ties": evidence.n - evidence.wins - evidence.losses, "p_value": evidence.p_value, "alpha": evidence.alpha,
        "test_number": evidence.k, "detectable_gain": tested.detectable, "guards": dg.MetadataValue.md(_guards(tested.guards)),
        "metrics": dg.MetadataValue.md(_metrics(tested.incumbent, tested.candidate)),
        "wins_and_losses": dg.MetadataValue.md(plots.markdown(_differences(tested), "nDCG@10 of the candidate less that of what serves")),
    }  # fmt: skip


def tested_metadata(history: Sequence[tuple[dt.datetime, float, float]]) -> dict[str, Any]:
    """nDCG@10 of what served and of the candidates, run by run."""
    if len(history) < 2:
        return {}
    series = {"serving": [before for _, before, _ in history], "candidate": [after for _, _, after in history]}
    svg = plots.lines(series, [f"{when:%Y-%m-%d}" for when, _, _ in history])
    return {"ndcg_over_time": dg.MetadataValue.md(plots.markdown(svg, "nDCG@10 over time"))}


def _differences(tested: Tested) -> str:
    """Queries by how much they gained, in twenty steps from -1 to 1; those that did not change are left out."""
    before, after = tested.incumbent.of(), tested.candidate.of()
    counts = [0] * 20
    for item, score in before.items():
        if (gained := after[item] - score) != 0:
            counts[min(19, int((gained + 1) * 10))] += 1
    return plots.histogram(counts, -1.0, 1.0)


def _guards(guards: Sequence[Guard]) -> str:
    lines = ["| guard | queries | difference | lower bound | p of harm | power | |", "|---|---|---|---|---|---|---|"]
    lines += [f"| {one.name} | {one.n} | {one.difference:+.3f} | {one.low:+.3f} | {one.p_harm:.3f} | {one.power:.2f} | {one.state} |" for one in guards]
    return "\n".join(lines)


def _metrics(incumbent: Measured, candidate: Measured) -> str:
    lines = ["| metric | serving | candidate |", "|---|---|---|"]
    before, after = ((one.means(), one.intervals()) for one in (incumbent, candidate))
    for name in NAMES:
        shown = [f"{means[name]:.3f} [{bounds[name][0]:.3f}, {bounds[name][1]:.3f}]" for means, bounds in (before, after) if name in means]
        lines.append(f"| {name} | {' | '.join(shown)} |")
    return "\n".join(lines)
