"""How many test items the gate needs before it can see the gain that is planned for.

Belongs here: exact power of the paired test, sizes, what is missing. Not here: the test itself (paired.py), which examples are approved.

Exact: the pairs that differ are binomial among the items, the wins binomial among those, and the gate needs so many wins that the exact
McNemar p-value is within the level that the k-th test really has and the gain reaches the minimum effect. Graded scores are planned as if
they were 0 and 1, the most spread out that scores can be.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from learning_pipelines.acceptance.alpha import spent
from learning_pipelines.errors import BadInput

POWER = 0.8
DISCORDANT = 0.5
"""Share of pairs that are planned to differ where nothing else is known."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Whether a k-th test on `items` items is worth its calls. `needed`: items for 80 % power. `missing_items` of them are not there yet;
    about `missing_examples` more approved examples bring them. `power`: chance that a gain of `effect` is seen with what is there."""

    items: int
    k: int
    alpha: float
    effect: float
    power: float
    needed: int
    missing_items: int
    missing_examples: int

    @property
    def enough(self) -> bool:
        return self.missing_items == 0


def plan(items: int, k: int, *, effect: float, min_effect: float, test_share: float) -> Plan:
    """What a k-th test on `items` items can see. `effect`: gain planned for (LEARNING_PLANNED_EFFECT), `min_effect`: LEARNING_MIN_EFFECT,
    `test_share`: share of approved examples that the test split gets. Raises BadInput where the planned gain is not above the minimum."""
    alpha = spent(k)
    needed = size(effect, alpha, min_effect=min_effect)
    missing = max(0, needed - items)
    reached = power(items, effect, alpha, min_effect=min_effect)
    return Plan(items, k, alpha, effect, reached, needed, missing, math.ceil(missing / test_share - 1e-9))


def power(n: int, effect: float, alpha: float, *, discordant: float = DISCORDANT, min_effect: float = 0.0) -> float:
    """The chance that a true gain of `effect` among `n` items is called better, where a share `discordant` of the pairs differs (at least
    `effect`: fewer cannot make that gain)."""
    if n < 1:
        return 0.0
    from scipy.stats import binom  # slow to import

    discordant = max(discordant, effect)
    differ = _likely(n, discordant)
    wins = np.maximum(binom.isf(alpha, differ, 0.5) + 1, np.ceil((differ + min_effect * n) / 2 - 1e-9))
    chance = binom.sf(wins - 1, differ, (discordant + effect) / (2 * discordant))
    return float(np.sum(binom.pmf(differ, n, discordant) * chance))


def _likely(n: int, share: float) -> NDArray[np.int64]:
    """How many of `n` pairs may differ: all numbers but those that are eight standard deviations away."""
    spread = 8 * math.sqrt(n * share * (1 - share)) + 8
    return np.arange(max(0, math.floor(n * share - spread)), min(n, math.ceil(n * share + spread)) + 1)


def require_plannable(effect: float, min_effect: float) -> None:
    """Raises BadInput where no number of items has the power, because the gain is not above the minimum effect."""
    if effect <= min_effect:
        raise BadInput(
            f"A gain of {effect:g} cannot be planned for where at least {min_effect:g} is asked.",
            "Set LEARNING_PLANNED_EFFECT above LEARNING_MIN_EFFECT.",
        )


@lru_cache(maxsize=1024)
def size(effect: float, alpha: float, *, discordant: float = DISCORDANT, min_effect: float = 0.0, target: float = POWER) -> int:
    """The smallest n with that power. Raises BadInput where no n has it (require_plannable)."""
    require_plannable(effect, min_effect)

    def reaches(n: int) -> bool:
        return power(n, effect, alpha, discordant=discordant, min_effect=min_effect) >= target

    high = 1
    while not reaches(high):
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reaches(middle) else (middle, high)
    return high
