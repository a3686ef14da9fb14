"""How many units an experiment needs: planning by simulation of our own sequential tests.

Belongs here: units for an effect. Not here: the tests (exact.py, asymptotic.py), how much longer a running one takes (longer.py).

No formula of fixed size holds for a test that ends when it has seen enough, so the test itself is run on simulated experiments of two equal arms, looked
at all the time, and the units after which the wanted share of them had concluded in the right direction are counted. Binary and bounded values go through
ExactState event by event: values of five steps (or 0 and 1) with the stated mean and spread and otherwise as little shape as possible. Ratios and plain
means are Brownian motion against the boundary of asymptotic.py, at looks 3 % apart; that the units are then what data of that spread need is tested.
Simulations are seeded: the same question has the same answer. Its simulation error is stated in units.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from learning_pipelines.errors import BadInput
from learning_pipelines.experiments.asymptotic import BURN_IN, squared_bound
from learning_pipelines.experiments.exact import STEPS, ExactState
from learning_pipelines.experiments.metrics import Metric
from learning_pipelines.experiments.unit_sums import Array

POWER = 0.8
PATHS, EXACT_PATHS = 4_000, 300
MOST_UNITS = 20_000
"""Per arm; larger experiments of one value per unit are not simulated but computed from one of this size (units go with 1 / effect², nearly)."""
_SPACING = 1.03


@dataclass(frozen=True, slots=True)
class Size:
    """Units per arm until the share `power` of experiments has concluded, and until half of them has; `error`: simulation error of the former (one
    standard error). `effect` is in the metric's own unit; `alpha` two-sided."""

    effect: float
    power: float
    alpha: float
    units: int
    half: int
    error: int

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def units_for_ratio(effect: float, spread: float, *, alpha: float = 0.05, power: float = POWER) -> Size:
    """For ratios and plain means. `spread`: standard deviation per unit (> 0) of the values or, of a ratio, by the delta method (`unit_variance` is its
    square; a covariate with correlation r leaves √(1 - r²) of it). At least the burn-in. Raises BadInput for numbers that are none."""
    _check(alpha, power, effect=effect, spread=spread)
    crossed = _brownian(round(abs(effect) / spread, 12), alpha)
    return _size(effect, alpha, power, crossed, grid=_SPACING - 1)


def units_for_values(effect: float, mean: float, *, metric: Metric, spread: float | None = None, alpha: float = 0.05, power: float = POWER) -> Size:
    """For one value per unit: `mean` and `mean` + `effect` in the metric's own unit; `spread`: standard deviation of a unit's value, None: binary.
    Raises BadInput where the scale does not hold them."""
    scale = metric.high - metric.low
    low, high, wide = (mean - metric.low) / scale, (mean + effect - metric.low) / scale, None if spread is None else spread / scale
    _check(alpha, power, effect=effect)
    if not (0 <= low <= 1 and 0 <= high <= 1):
        raise BadInput(
            f"Means of {mean:g} and {mean + effect:g} do not both lie on the scale of {metric.name}, {metric.low:g} to {metric.high:g}.",
            "Give the control's mean and an effect that stays on the scale.",
        )
    crossed, simulated = _betting(round(low, 9), round(high, 9), None if wide is None else round(wide, 9), alpha, power)
    return _size(effect, alpha, power, crossed, factor=(simulated * scale / effect) ** 2)


def _size(effect: float, alpha: float, power: float, crossed: Array, *, factor: float = 1.0, grid: float = 0.0) -> Size:
    """From the units at which each path concluded (infinite: it did not). The error is what the share's own standard error is in units, and half the
    distance of looks."""
    n = len(crossed)
    ordered = np.sort(crossed) * factor
    units, off = float(np.quantile(ordered, power, method="inverted_cdf")), math.sqrt(power * (1 - power) / n)
    fewer, more = (float(np.quantile(ordered, share, method="inverted_cdf")) for share in (max(0.0, power - off), min(1.0, power + off)))
    error = max(units - fewer, more - units if math.isfinite(more) else 0.0, units * grid / 2)
    half = float(np.quantile(ordered, 0.5, method="inverted_cdf"))
    return Size(effect, power, alpha, math.ceil(units), math.ceil(half), math.ceil(error))


@lru_cache(maxsize=256)
def _brownian(standardized: float, alpha: float) -> Array:
    """Units per arm at which each path's mean difference, drifting by `standardized` standard deviations, leaves the boundary upwards."""
    last = BURN_IN
    while standardized * math.sqrt(last / 2) < math.sqrt(squared_bound(last / 2, alpha)) + 4:  # all but one path of 30,000 have left by then
        last = math.ceil(last * 1.2)
    looks = np.unique(np.append(np.geomspace(BURN_IN, last, 1 + math.ceil(math.log(last / BURN_IN) / math.log(_SPACING))).astype(int), last))
    bound = np.array([math.sqrt(squared_bound(n / 2, alpha) * n / 2) for n in looks])
    steps = np.diff(looks, prepend=0) / 2
    drift = standardized * steps
    path = (np.random.default_rng(1).normal(size=(PATHS, len(looks))) * np.sqrt(steps) + drift).cumsum(axis=1)
    over = path > bound
    return np.where(over.any(axis=1), looks[over.argmax(axis=1)], np.inf).astype(np.float64)


@lru_cache(maxsize=256)
def _betting(control: float, treatment: float, spread: float | None, alpha: float, power: float) -> tuple[Array, float]:
    """Units per arm at which each simulated experiment concluded in the right direction, and the effect that was simulated (a larger one where this would
    take more than MOST_UNITS). Means and spread on the scale [0, 1]."""
    effect = treatment - control
    rough = 2 * _rough_variance(control, treatment, spread) * 12 / effect**2
    if rough > MOST_UNITS:
        effect *= math.sqrt(rough / MOST_UNITS)
        control, treatment = _moved(control, treatment, effect)
    units, side = int(min(rough, MOST_UNITS)) + 50, 0 if effect > 0 else 1
    levels = _cumulated(control, spread), _cumulated(treatment, spread)
    while True:
        crossed = np.array([_concluded(np.random.default_rng(seed), *levels, units, alpha, side) for seed in range(EXACT_PATHS)])
        if np.isfinite(crossed).mean() >= min(0.995, power + 0.05):
            return crossed, effect
        units *= 2


def _concluded(draw: np.random.Generator, control: Array, treatment: Array, units: int, alpha: float, side: int) -> float:
    """Units per arm (half of all so far) when the capital of one simulated experiment reached 2/α; infinite if it did not within `units` per arm.
    control, treatment: cumulated shares of the levels."""
    state, enough, portion = ExactState(), math.log(2 / alpha), max(100, units // 4)
    for before in range(0, 2 * units, portion):
        treated, at = draw.random(portion) < 0.5, draw.random(portion)
        levels = np.where(treated, np.searchsorted(treatment, at, side="right"), np.searchsorted(control, at, side="right"))
        made, capital = state.add(treated, levels / STEPS)
        over = np.flatnonzero(capital[:, side] >= enough)
        if over.size:
            return (before + float(made.last[over[0]]) + 1) / 2
    return math.inf


def _cumulated(mean: float, spread: float | None) -> Array:
    """Shares of values up to each level but the last; without a spread all are 0 or 1."""
    return np.full(STEPS, 1 - mean) if spread is None else np.cumsum(_shares(mean, spread))[:-1]


@lru_cache(maxsize=256)
def _shares(mean: float, spread: float) -> Array:
    """Shares of the STEPS + 1 levels with this mean and spread and the largest entropy. Raises BadInput where no shares have them."""
    from scipy.optimize import minimize  # slow to import

    levels = np.linspace(0, 1, STEPS + 1)

    def unshaped(at: Array) -> float:
        """Convex; its least point has the wanted moments (the dual of the largest entropy)."""
        return float(np.logaddexp.reduce(at[0] * (levels - mean) + at[1] * ((levels - mean) ** 2 - spread**2)))

    least = minimize(unshaped, np.zeros(2), method="BFGS", options={"gtol": 1e-9}).x
    logarithms = least[0] * levels + least[1] * (levels - mean) ** 2
    shares = np.exp(logarithms - logarithms.max())
    shares /= shares.sum()
    if abs(shares @ levels - mean) > 1e-3 or abs(math.sqrt(shares @ (levels - mean) ** 2) - spread) > 1e-2:
        raise BadInput(
            f"No ratings of {STEPS + 1} steps have their mean at {mean:.0%} of the scale and a standard deviation of {spread:.0%} of it.",
            "Give the standard deviation of single ratings, or leave it out for binary values.",
        )
    return np.asarray(shares, dtype=np.float64)


def _rough_variance(control: float, treatment: float, spread: float | None) -> float:
    return spread**2 if spread is not None else max((mean * (1 - mean) for mean in (control, treatment)), default=0.25)


def _moved(control: float, treatment: float, effect: float) -> tuple[float, float]:
    """Two means `effect` apart around the middle of those given, within [0, 1]."""
    middle = min(1 - abs(effect) / 2, max(abs(effect) / 2, (control + treatment) / 2))
    return middle - effect / 2, middle + effect / 2


def _check(alpha: float, power: float, **positive: float) -> None:
    if not 0 < alpha < 1 or not 0 < power < 1:
        raise BadInput(f"alpha {alpha} and power {power} are no probabilities.", "Give both between 0 and 1, for example 0.05 and 0.8.")
    for name, value in positive.items():
        if not math.isfinite(value) or value == 0 or (name == "spread" and value < 0):
            raise BadInput(f"An experiment cannot be planned for {name} {value}.", "Give a difference that would matter, and the spread of single units.")
