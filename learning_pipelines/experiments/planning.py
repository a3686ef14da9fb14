"""How large an experiment has to be, with arms of any shares and any number of treatments.

Belongs here: from units of two equal arms to those of the arms that are meant. Not here: the simulations (sizes.py), how much longer one takes (longer.py).

sizes.py plans two equal arms of n units. The variance of a difference goes with 1 / units of the one + 1 / units of the other, so that shares s and t of N
units see the same as n each where N (1/s + 1/t)⁻¹ = n / 2: N = n / 2 · (1/s + 1/t). Each of several treatments has its part of alpha, as analysis.py gives
it; N is what the treatment with the smallest share needs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from learning_pipelines.errors import BadInput
from learning_pipelines.experiments import multiplicity, sizes
from learning_pipelines.experiments.metrics import Metric


@dataclass(frozen=True, slots=True)
class Planned:
    """Units of each arm, the control first, until the share `power` of experiments with this effect has concluded, `half`: until half of them has (all arms
    together); `error`: simulation error of all units (one standard error)."""

    metric: str
    effect: float
    power: float
    alpha: float
    shares: tuple[float, ...]
    units: tuple[int, ...]
    half: int
    error: int

    @property
    def units_in_all(self) -> int:
        return sum(self.units)

    def as_json(self) -> dict[str, Any]:
        arms = [{"share": share, "units": units} for share, units in zip(self.shares, self.units, strict=True)]
        said = {"metric": self.metric, "effect": self.effect, "power": self.power, "alpha": self.alpha}
        return {**said, "arms": arms, "units": self.units_in_all, "half": self.half, "error": self.error}


def planned(
    metric: Metric, effect: float, *, baseline: float | None = None, spread: float | None = None, shares: Sequence[float] = (0.5, 0.5),
    power: float = sizes.POWER, alpha: float = 0.05,
) -> Planned:  # fmt: skip
    """`effect`: treatment minus control in the metric's own unit; `baseline`: mean of the control (metrics of one value per unit); `spread`: standard
    deviation of a unit's value (None: binary). `shares`: the control's first, above 0, summing to 1. Raises BadInput for what cannot be planned."""
    if len(shares) < 2 or min(shares) <= 0 or abs(math.fsum(shares) - 1) > 1e-9:
        raise BadInput(f"The shares {', '.join(f'{share:g}' for share in shares)} are none.", "Give two or more above 0 that sum to 1, the control's first.")
    each = multiplicity.each(alpha, len(shares) - 1)
    if metric.family == "exact":
        if baseline is None:
            raise BadInput(f"How many units {metric.name} needs depends on where the control is.", "Give its mean as baseline.")
        size = sizes.units_for_values(effect, baseline, metric=metric, spread=spread, alpha=each, power=power)
    else:
        if spread is None:
            raise BadInput(f"How many units {metric.name} needs depends on how much units differ.", "Give the standard deviation of single units as spread.")
        size = sizes.units_for_ratio(effect, spread, alpha=each, power=power)
    factor = max(1 / shares[0] + 1 / share for share in shares[1:]) / 2
    units = tuple(math.ceil(size.units * factor * share - 1e-9) for share in shares)
    return Planned(metric.name, effect, power, alpha, tuple(shares), units, math.ceil(size.half * factor), math.ceil(size.error * factor))
