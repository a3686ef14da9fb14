"""Whether something that was learnt is being corrected again.

Belongs here: the test, pure. Not here: counting corrections and executions (storage/corrections.py), what an alert leads to.

Corrections before and after are taken for Poisson counts over so many executions each. What was learnt should at least halve their rate: an alert is
raised if, given the sum of both counts, the later one is larger than a rate of TOLERATED × the earlier one explains (the exact conditional test of two
Poisson rates: Przyborowski and Wilenski, Biometrika 31 (1940) 313-323). It is looked at FIRST corrections and whenever their number has doubled since;
the k-th look spends LEVEL/(k(k+1)), so that a cluster whose rate has halved is ever called recurring with a chance of at most LEVEL. One person counts
once a week: nobody raises an alert alone by saying the same thing often. Something is learnt because it was frequent, so the earlier rate is rather too
high, which costs alerts and raises none.
"""

from __future__ import annotations

from dataclasses import dataclass

from learning_pipelines.acceptance.alpha import spent

LEVEL = 0.05
TOLERATED = 0.5
FIRST = 3
WEEKS_BEFORE = 12
"""So far back the earlier rate is taken from."""


@dataclass(frozen=True, slots=True)
class Counted:
    """Corrections of a cluster (people × weeks) and the agent's executions, before something was learnt and since."""

    before: int
    exposed_before: float
    after: int
    exposed_after: float


@dataclass(frozen=True, slots=True)
class Look:
    """`p_value`: of a rate of at most TOLERATED × the earlier one; `level`: what this look may spend; `ratio`: later rate per earlier one, None without an
    earlier one."""

    recurs: bool
    p_value: float
    level: float
    ratio: float | None


def due(after: int, looked_at: int) -> bool:
    """Whether to look again at `after` corrections, if the last look was at `looked_at` (0: none yet)."""
    return after >= max(FIRST, 2 * looked_at)


def look(counted: Counted, k: int) -> Look:
    """The k-th look at a cluster (k = 1, 2, …). Without any exposure on a side, nothing can be said: no alert."""
    from scipy.stats import binom  # slow to import

    level = spent(k, LEVEL)
    if counted.exposed_before <= 0 or counted.exposed_after <= 0 or counted.after == 0:
        return Look(False, 1.0, level, None)
    share = TOLERATED * counted.exposed_after / (counted.exposed_before + TOLERATED * counted.exposed_after)
    p_value = float(binom.sf(counted.after - 1, counted.before + counted.after, share))
    rates = counted.before / counted.exposed_before, counted.after / counted.exposed_after
    return Look(p_value <= level, p_value, level, rates[1] / rates[0] if rates[0] else None)
