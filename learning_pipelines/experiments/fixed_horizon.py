"""Totals that are looked at once: Welch's interval for means and ratios.

Belongs here: one look at a size that was fixed before. Not here: looks at any time (exact.py, asymptotic.py). Looking fifty times at this one gives 31 %
false winners.

B. Welch, "The generalization of 'Student's' problem when several different population variances are involved", Biometrika 34 (1947) 28-35, with the
delta method's variance for ratios. For shares it is the unpooled z interval with a t quantile.
"""

from __future__ import annotations

import math

from learning_pipelines.experiments.asymptotic import ratio, unit_variance
from learning_pipelines.experiments.comparison import Comparison
from learning_pipelines.experiments.unit_sums import UnitSums


def welch(control: UnitSums, treatment: UnitSums, *, metric: str, variant: str, alpha: float = 0.05) -> Comparison:
    """Treatment minus control, two-sided at `alpha`, valid for one look. Not ready with fewer than two units in an arm, without variance, or without
    denominators. Totals: `UnitSums.of_totals`."""
    from scipy.special import stdtr, stdtrit  # slow to import

    means = ratio(control.x, control.y), ratio(treatment.x, treatment.y)
    difference = None if means[0] is None or means[1] is None else means[1] - means[0]
    low, high, p, ready = -math.inf, math.inf, 1.0, False
    if difference is not None and min(control.n, treatment.n) > 1:
        parts = [unit_variance(arm) / arm.n for arm in (control, treatment)]
        variance = parts[0] + parts[1]
        if ready := variance > 0:
            freedom = variance**2 / (parts[0] ** 2 / (control.n - 1) + parts[1] ** 2 / (treatment.n - 1))
            radius = math.sqrt(variance) * -float(stdtrit(freedom, alpha / 2))
            low, high, p = difference - radius, difference + radius, 2 * float(stdtr(freedom, -abs(difference) / math.sqrt(variance)))
    return Comparison(metric, variant, control.n, treatment.n, *means, difference, low, high, p, alpha, exact=False, ready=ready)
