"""`learning-pipelines experiments analyze`: what the data of an experiment that ran elsewhere say.

Belongs here: the verb. Not here: reading (experiments/outside_files.py), the analysis (experiments/outside.py), our own experiments (cli_experiments.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from learning_pipelines.cli_output import Output, verb
from learning_pipelines.errors import BadInput

SCALES = ("binary", "bounded", "continuous")
_LEFT_OUT = {"units_in_two_variants": "units in two variants", "further_values": "further values of known units"}


@click.command("analyze")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--metric", "scale", type=click.Choice(SCALES), required=True, help="Values: 0 or 1; from 0 to 1; any number.")
@click.option("--weights", metavar="SHARES", help="Shares of the units that the variants should get, for example 0.9,0.1 (default: equal).")
@click.option("--alpha", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.05, show_default=True, help="Error rate of all together.")
@verb
def analyze_command(file: Path, scale: Any, weights: str | None, alpha: float, output: Output) -> None:
    """Analyze FILE (.jsonl or .jsonl.gz): events {unit, variant, value, at} in order, or totals {variant, n, sum, sum_squares}.

    The variant that is named first is the control. Intervals of events hold at any time, those of totals for one look.
    """
    from learning_pipelines.experiments.outside import analyzed
    from learning_pipelines.experiments.outside_files import read

    shares = None if weights is None else _weights(weights)
    document = analyzed(read(file, scale), scale, shares, alpha)
    output.answer(document, lambda: _lines(document))


def _weights(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise BadInput(f"{text!r} are no weights.", "Weights are shares between commas, for example --weights 0.9,0.1.") from None


def _lines(document: dict[str, Any]) -> list[str]:
    arms = [f"{arm['variant']:20} {arm['n']:>9}  mean {'–' if arm['mean'] is None else format(arm['mean'], '.5g')}" for arm in document["arms"]]
    rows = [_row(one, "events" in document) for one in document["comparisons"]]
    left = document.get("left_out", {})
    notes = [f"{left[name]} {what} left out." for name, what in _LEFT_OUT.items() if left.get(name)]
    trust = "" if document["srm_p"] >= 0.001 else "  The variants did not get the units that they should: trust no comparison before you know why."
    return [*arms, *rows, f"Sample ratio: p = {document['srm_p']:.2g}.{trust}", *notes]


def _row(one: dict[str, Any], any_time: bool) -> str:
    if one["difference"] is None or one["interval"][0] is None:
        return f"{one['variant']}: too few values for a statement."
    low, high = ("0" if abs(end) < 1e-9 else f"{end:+.5g}" for end in one["interval"])  # 1e-12: everything up to 0 was refuted before
    since = f" since event {one['first_conclusive_event']}" if one["first_conclusive_event"] else ""
    verdict = f"conclusive{since}" if one["conclusive"] else "not conclusive"
    holds = "at any time" if any_time else "for one look"
    return f"{one['variant']}: {one['difference']:+.5g} [{low}, {high}] ({1 - one['alpha']:.3g} {holds}), {verdict}."
