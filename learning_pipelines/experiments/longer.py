"""How much longer an inconclusive experiment takes, from its interval now and the rate at which units come.

Belongs here: the forecast and what it does not know. Not here: planning before the start (sizes.py), decisions (decision.py).

The interval narrows as the boundary says (asymptotic.py; the exact one's narrows alike). It leaves zero out when it is narrower than twice the effect,
and the effect is what nobody knows: `expected` takes the estimate for the truth, then about half of such experiments take longer; `least` and `most`
take it one standard error larger and smaller. Where that crosses zero there is no most: an effect of zero is never told apart. Only a smallest effect
that matters bounds it: when the whole interval is narrower than that, either zero or the effect is excluded, whatever the truth.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from learning_pipelines.experiments.asymptotic import BURN_IN, squared_bound
from learning_pipelines.experiments.comparison import Comparison

MOST_GROWTH = 1_000.0
"""A forecast of more than a thousand times the units so far is none."""


@dataclass(frozen=True, slots=True)
class Longer:
    """Units of both arms together still to come, and hours at the rate now; None: not to be foreseen. least ≤ expected ≤ most."""

    least_units: int | None
    expected_units: int | None
    most_units: int | None
    least_hours: float | None
    expected_hours: float | None
    most_hours: float | None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def sentence(self) -> str:
        """For the person who waits."""
        if self.least_units is None:
            return "How much longer cannot be foreseen."
        said = f"At least {_units(self.least_units, self.least_hours)} more"
        if self.expected_units is not None:
            said += f", {_units(self.expected_units, self.expected_hours)} if the difference is what it looks like now"
        return said + (", with no upper limit." if self.most_units is None else f", at most {_units(self.most_units, self.most_hours)}.")


NOTHING = Longer(0, 0, 0, 0.0, 0.0, 0.0)
UNKNOWN = Longer(None, None, None, None, None, None)


def how_much_longer(comparison: Comparison, units_per_hour: float, smallest: float = 0.0) -> Longer:
    """`units_per_hour`: new units of both arms, at their shares so far (0: hours are unknown); `smallest`: effect that matters, in the metric's own unit
    (0: none is stated). Not ready: at least the burn-in of the rarer arm, and no more is known."""
    if comparison.conclusive:
        return NOTHING
    units = comparison.n_control + comparison.n_treatment
    rarer = min(comparison.n_control, comparison.n_treatment)
    if not comparison.ready or comparison.difference is None or not math.isfinite(comparison.high - comparison.low) or not rarer:
        missing = max(0, BURN_IN - rarer)
        return _longer(math.ceil(missing * units / rarer) if rarer else 2 * missing, None, None, units_per_hour) if not comparison.exact else UNKNOWN
    size = comparison.n_control * comparison.n_treatment / units
    radius = (comparison.high - comparison.low) / 2
    error = radius / math.sqrt(squared_bound(size, comparison.alpha))
    effect = abs(comparison.difference)

    def more(narrow: float) -> int | None:
        return _more(narrow / radius, size, comparison.alpha, units)

    forecasts = [more(effect + error), more(effect), more(effect - error)]
    if smallest > 0:
        bounded = more(smallest / 2)
        forecasts = [bounded if one is None or (bounded is not None and bounded < one) else one for one in forecasts]
    return _longer(forecasts[0], forecasts[1], forecasts[2], units_per_hour)


def _more(share: float, size: float, alpha: float, units: int) -> int | None:
    """Units until the interval is `share` as wide as now; None where that is beyond MOST_GROWTH."""

    def width(growth: float) -> float:
        return math.sqrt(squared_bound(growth * size, alpha) / squared_bound(size, alpha) / growth)

    if share >= 1:
        return 1
    if share <= width(MOST_GROWTH):
        return None
    low, high = 1.0, MOST_GROWTH
    while high / low > 1.0001:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if width(middle) > share else (low, middle)
    return math.ceil((high - 1) * units)


def _longer(least: int | None, expected: int | None, most: int | None, per_hour: float) -> Longer:
    hours = [None if units is None or per_hour <= 0 else units / per_hour for units in (least, expected, most)]
    return Longer(least, expected, most, *hours)


def _units(units: int, hours: float | None) -> str:
    if hours is None:
        return f"{units:,} units"
    return f"{units:,} units ({f'{hours:,.0f} hours' if hours < 48 else f'{hours / 24:,.0f} days'})"
