"""Ratios of totals (latency, cost, rates per execution) and plain means, compared at any time: asymptotic confidence sequences, clustered by unit.

Belongs here: the comparison of two variants from their sums over units. Not here: those sums (unit_sums.py), one bounded value per unit (exact.py),
fixed looks (fixed_horizon.py), what follows (decision.py).

Estimate. In each epoch the ratio of sums, treatment minus control. Over epochs the mean of these, weighted by n_c·n_t/(n_c + n_t), the units of a
comparison of equal precision (the weights of Cochran, Mantel and Haenszel): best where the spread does not change, and made of counts alone, so that
no epoch weighs more because its values happened to be small. Pooling the units instead would compare other times with each other.

Variance. Units are independent, their executions are not: delta method on sums over units (A. Deng, U. Knoblich and J. Lu, "Applying the delta method
in metric analytics", KDD 2018). In an epoch the larger of two is taken: with each arm's own variance, and with that of both together. With equal
shares they are the same. With unequal ones a small arm of skewed values often misses the long tail, looks fast and sure of it; the large arm knows
better. With its own variance alone, lognormal values (σ 1.5) and 5 % treatment give 15 % false differences in place of 5; with the larger, below 1.

At any time. I. Waudby-Smith, D. Arbour, R. Sinha, E. Kennedy and A. Ramdas, "Time-uniform central limit theory and asymptotic confidence sequences",
Annals of Statistics 52 (2024) 2613-2640: with H the units of a comparison of equal precision, summed over epochs, the interval is the estimate ±
its standard error × √((1 + 1/(ρ²H)) · log((1 + ρ²H)/α²)), the boundary of a Gaussian mixture. ρ is chosen so that it is narrowest at TUNED_UNITS per
arm. It is asymptotic: before BURN_IN units per arm nothing is said. The number is from simulations (tests: lognormal, clustered, growing, trending).

CUPED. A. Deng, Y. Xu, R. Kohavi and T. Walker, "Improving the sensitivity of online controlled experiments by utilizing pre-experiment data", WSDM
2013, with the unit's ratio before its exposure as covariate: the difference of those ratios times θ is taken off. One θ for all variants' units of
all epochs together, from both arms' joint moments as gbstats does it (θ of single arms or small epochs would be fitted to noise).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from learning_pipelines.experiments.comparison import Comparison
from learning_pipelines.experiments.unit_sums import Array, UnitSums

BURN_IN = 100
"""Units per arm before the first statement."""
MIN_IN_EPOCH = 10
"""Units per arm below which an epoch has no say (its variance is not known)."""
TUNED_UNITS = 1_000
"""Units per arm at which the interval is narrowest for what it is; within 5 % of it from a third to four times as many."""
SURE_DENOMINATOR = 25.0
"""A mean denominator is known well enough for the delta method if its square is this many times its own variance (standard error up to 20 %)."""
ROUNDING = 1e-10
"""A variance below this share of the second moment is rounding, not spread."""
_LOG = -2 * math.log(0.05)
RHO_SQUARED = (_LOG + math.log(_LOG) + 1) / (TUNED_UNITS / 2)
"""Of the mixture, for 5 % whatever α is asked for, so that a p value does not depend on it."""


@dataclass(frozen=True, slots=True)
class Stratum:
    """One epoch: its difference, that difference's variance, the units of a comparison of equal precision."""

    difference: float
    variance: float
    size: float


def compare(
    control: Mapping[int, UnitSums], treatment: Mapping[int, UnitSums], *, metric: str, variant: str, alpha: float = 0.05, cuped: bool = False,
    burn_in: int = BURN_IN,
) -> Comparison:  # fmt: skip
    """Treatment minus control in a ratio of totals, from the states per epoch (missing: nobody came). Not ready before `burn_in` units per arm in
    epochs that have a say, without denominators, without variance (but for a rate of 0 in one arm and 1 in the other)."""
    pairs = [(control[epoch], treatment[epoch]) for epoch in sorted(control.keys() & treatment.keys()) if _sayable(control[epoch], treatment[epoch])]
    theta = common_theta(pairs) if cuped else 0.0
    strata = [(stratum, pair) for pair in pairs if (stratum := _stratum(*pair, theta)).variance > 0]
    size = math.fsum(stratum.size for stratum, _ in strata)
    difference, low, high, p, ready = None, -math.inf, math.inf, 1.0, False
    if size:
        difference = math.fsum(stratum.size * stratum.difference for stratum, _ in strata) / size
        variance = math.fsum(stratum.size**2 * stratum.variance for stratum, _ in strata) / size**2
        ready = min(sum(pair[arm].n for _, pair in strata) for arm in (0, 1)) >= burn_in
        if ready:
            radius = math.sqrt(variance * squared_bound(size, alpha))
            low, high, p = difference - radius, difference + radius, anytime_p(difference**2 / variance, size)
    units = [sum(sums.n for sums in arm.values()) for arm in (control, treatment)]
    means = [ratio(math.fsum(sums.x for sums in arm.values()), math.fsum(sums.y for sums in arm.values())) for arm in (control, treatment)]
    return Comparison(metric, variant, units[0], units[1], means[0], means[1], difference, low, high, p, alpha, exact=False, ready=ready)


def squared_bound(size: float, alpha: float) -> float:
    """What the squared estimate must exceed, in units of its variance, to leave zero out at `size` (n_c·n_t/(n_c + n_t), > 0)."""
    spread = RHO_SQUARED * size
    return (1 + 1 / spread) * (math.log1p(spread) - 2 * math.log(alpha))


def anytime_p(squared: float, size: float) -> float:
    """The smallest α at which `squared` exceeds the bound, at most 1: valid at any time."""
    spread = RHO_SQUARED * size
    return math.exp(min(0.0, (math.log1p(spread) - squared * spread / (1 + spread)) / 2))


def anytime_ps(squared: Array, size: Array) -> Array:
    """`anytime_p` of many looks."""
    spread = RHO_SQUARED * size
    return np.exp(np.minimum(0.0, (np.log1p(spread) - squared * spread / (1 + spread)) / 2))


def ratio(numerators: float, denominators: float) -> float | None:
    """None without denominators."""
    return numerators / denominators if denominators > 0 else None


def unit_variance(sums: UnitSums) -> float:
    """Variance per unit of the ratio (delta method): the ratio's own variance is this over n. 0 for fewer than two units and where it is rounding. There are
    denominators (`ratio` is not None)."""
    return _after(sums, 0.0) if sums.n > 1 else 0.0


def common_theta(pairs: list[tuple[UnitSums, UnitSums]]) -> float:
    """θ from the joint moments of both arms in each epoch where the past is known well enough; 0 where nothing varies."""
    joint = [one + other for one, other in pairs if _past_known(one) and _past_known(other)]
    shared = math.fsum((both.n - 1) * _covariance(both) for both in joint)
    past = math.fsum((both.n - 1) * _past_variance(both) for both in joint)
    return shared / past if past > 0 else 0.0


def _stratum(control: UnitSums, treatment: UnitSums, theta: float) -> Stratum:
    theta = theta if _past_known(control) and _past_known(treatment) else 0.0
    variances = [_after(arm, theta) for arm in (control, treatment)]
    difference = treatment.x / treatment.y - control.x / control.y
    before = treatment.c / treatment.d - control.c / control.d if theta else 0.0
    own = variances[0] / control.n + variances[1] / treatment.n
    n = control.n + treatment.n
    size = control.n * treatment.n / n
    together = (control.n * variances[0] + treatment.n * variances[1]) / n / size
    variance = max(own, together)
    if not variance and _all_or_nothing(control, treatment):
        variance = _after(control + treatment, 0.0) / size
    return Stratum(difference - theta * before, variance, size)


def _all_or_nothing(control: UnitSums, treatment: UnitSums) -> bool:
    """Whether a rate is 0 in one arm and 1 in the other: every output of a broken variant is a refusal. Then no unit differs from its arm, and still the
    difference is the largest there is; its variance is that of all units together, which is right if the variant makes none."""
    nothing, everything = sorted((control, treatment), key=lambda arm: arm.x)
    return nothing.xx == 0 and everything.xx - 2 * everything.xy + everything.yy == 0


def _sayable(control: UnitSums, treatment: UnitSums) -> bool:
    return all(arm.n >= MIN_IN_EPOCH and _known(arm.n, arm.y, arm.yy) for arm in (control, treatment))


def _past_known(sums: UnitSums) -> bool:
    return _known(sums.n, sums.d, sums.dd)


def _known(n: int, total: float, squares: float) -> bool:
    """Whether the mean denominator is known well enough: its square against its own variance."""
    return total > 0 and total**2 / n >= SURE_DENOMINATOR * max(0.0, squares - total**2 / n) / n


def _after(s: UnitSums, theta: float) -> float:
    """Variance per unit of the ratio after the covariate is taken off."""
    r, mean = s.x / s.y, s.y / s.n
    raw = (_central(s, s.xx, s.x, s.x) - 2 * r * _central(s, s.xy, s.x, s.y) + r * r * _central(s, s.yy, s.y, s.y)) / mean**2
    found = raw if theta == 0 else raw - 2 * theta * _covariance(s) + theta**2 * _past_variance(s)
    return found if found > ROUNDING * (s.xx + r * r * s.yy) / mean**2 / (s.n - 1) else 0.0


def _past_variance(s: UnitSums) -> float:
    q, mean = s.c / s.d, s.d / s.n
    found = (_central(s, s.cc, s.c, s.c) - 2 * q * _central(s, s.cd, s.c, s.d) + q * q * _central(s, s.dd, s.d, s.d)) / mean**2
    return found if found > ROUNDING * (s.cc + q * q * s.dd) / mean**2 / (s.n - 1) else 0.0


def _covariance(s: UnitSums) -> float:
    """Per unit, of the ratio and the one before."""
    r, q = s.x / s.y, s.c / s.d
    products = _central(s, s.xc, s.x, s.c) - q * _central(s, s.xd, s.x, s.d) - r * _central(s, s.yc, s.y, s.c) + r * q * _central(s, s.yd, s.y, s.d)
    return products / (s.y / s.n) / (s.d / s.n)


def _central(s: UnitSums, product: float, one: float, other: float) -> float:
    return (product - one * other / s.n) / (s.n - 1)
