"""`learning-pipelines experiments size`: how many units an experiment will need.

Belongs here: the verb. Not here: the plan (experiments/planning.py), how much longer a running one takes (`experiments show`).
"""

from __future__ import annotations

import math

import click

from learning_pipelines.cli_output import Output, verb
from learning_pipelines.errors import BadInput


@click.command("size")
@click.option("--metric", "name", default="thumbs", show_default=True, help="What decides.")
@click.option("--baseline", type=float, help="The control's mean, in the metric's own unit (thumbs: the share of thumbs up). Not for ratios.")
@click.option("--effect", type=float, required=True, help="The smallest difference that would matter, treatment minus control.")
@click.option("--spread", type=float, help="Standard deviation of a unit's value (default: of thumbs).")
@click.option("--shares", default="0.5,0.5", show_default=True, metavar="SHARES", help="Shares of the arms, the control's first; one for each treatment.")
@click.option("--power", type=float, default=0.8, show_default=True, help="Share of such experiments that are to conclude with so many units.")
@click.option("--alpha", type=float, default=0.05, show_default=True, help="Two-sided error rate over the whole life and all treatments.")
@click.option("--per-day", type=click.FloatRange(0, min_open=True), help="Units that come each day: says how long it takes.")
@verb
def size_command(
    name: str, baseline: float | None, effect: float, spread: float | None, shares: str, power: float, alpha: float, per_day: float | None, output: Output
) -> None:
    """Say how many units an experiment needs, with the test that may be looked at all the time."""
    from learning_pipelines.experiments.metrics import metric
    from learning_pipelines.experiments.planning import planned

    found = planned(metric(name), effect, baseline=baseline, spread=spread, shares=_shares(shares), power=power, alpha=alpha)
    days = None if per_day is None else found.units_in_all / per_day
    arms = " and ".join(f"{units:,}" for units in found.units)
    lines = [
        f"{arms} units (control first; {found.units_in_all:,} in all, ± {found.error:,}) conclude with a probability of {power:.0%}"
        f" where {name} differs by {effect:+g}; half of such experiments conclude with {found.half:,}.",
        *([] if days is None else [f"That is {math.ceil(days)} days at {per_day:g} units a day."]),
    ]
    output.answer({**found.as_json(), "days": days}, lambda: lines)


def _shares(text: str) -> tuple[float, ...]:
    try:
        given = [float(part) for part in text.split(",")]
    except ValueError:
        raise BadInput(f"{text!r} are no shares.", "Shares are numbers with commas, the control's first, for example 0.5,0.5 or 50,25,25.") from None
    whole = 100.0 if max(given) > 1 else 1.0
    return tuple(share / whole for share in given)
