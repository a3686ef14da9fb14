"""A sequential plot of an experiment: the difference and its interval at every look that saw something new.

Belongs here: from outcomes to a picture. Not here: drawing (examples/plots.py). No plot holds text that people wrote.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from learning_pipelines.examples import plots

MOST_POINTS = 120
"""So many looks are drawn at most, evenly spread and with the last: a plot stays below 50 kB."""


def sequential(outcomes: Sequence[tuple[dt.datetime, Mapping[str, Any]]], variant: str) -> str | None:
    """The treatment's difference to the control over its looks, as SVG; None before any look knew one."""
    known = [(when, found) for when, outcome in outcomes if (found := outcome["numbers"].get(variant)) and found["difference"] is not None]
    if not known:
        return None
    drawn = [known[round(place * (len(known) - 1) / (MOST_POINTS - 1))] for place in range(MOST_POINTS)] if len(known) > MOST_POINTS else known
    series = {name: [found[name] for _, found in drawn] for name in ("difference", "low", "high")}
    ends = [abs(value) for values in series.values() for value in values if value is not None]
    reach = max(max(ends), 1e-9)
    labels = [f"{when:%Y-%m-%d %H:%M} (n = {found['n_treatment']})" for when, found in drawn]
    return plots.lines({**series, "no difference": [0.0] * len(drawn)}, labels, -reach, reach)
