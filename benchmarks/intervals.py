"""How often intervals of a paired difference miss the truth, and how wide they are: the gate's beside Tango's score interval.

Belongs here: drawing pairs, Tango's interval to compare with. Not here: the gate's own (acceptance/bounded_mean.py).
"""

from __future__ import annotations

from functools import lru_cache
from math import sqrt
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm

from learning_pipelines.acceptance.alpha import spent
from learning_pipelines.acceptance.bounded_mean import lower_bound

LEVEL = spent(1)


def coverage(rng: np.random.Generator, draws: int = 10_000) -> list[dict[str, Any]]:
    """Share of draws in which either bound misses, the larger side, and mean width."""
    found = []
    for n in (20, 55, 200, 600):
        for better, worse in ((0.02, 0.02), (0.12, 0.02), (0.25, 0.23), (0.4, 0.1), (0.9, 0.02)):
            wins, losses, _ = rng.multinomial(n, [better, worse, 1 - better - worse], draws).T
            pairs, counts = np.unique(np.stack([wins, losses]), axis=1, return_counts=True)
            row: dict[str, Any] = {"items": n, "won": better, "lost": worse}
            for name, low in (("gate", exact_low), ("Tango", tango_low)):
                bounds = np.array([(low(won, lost, n), -low(lost, won, n)) for won, lost in pairs.T.tolist()])
                below, above = bounds[:, 0] > better - worse + 1e-9, bounds[:, 1] < better - worse - 1e-9
                row[f"{name} missed, worse side"] = float(max(counts[below].sum(), counts[above].sum()) / draws)
                row[f"{name} width"] = float((bounds[:, 1] - bounds[:, 0]) @ counts / draws)
            found.append(row)
    return found


@lru_cache(maxsize=200_000)
def exact_low(wins: int, losses: int, n: int) -> float:
    return lower_bound(np.repeat([1.0, -1.0, 0.0], [wins, losses, n - wins - losses]), -1, LEVEL)


@lru_cache(maxsize=200_000)
def tango_low(wins: int, losses: int, n: int) -> float:
    """T. Tango, Statistics in Medicine 17 (1998) 891-908: the difference at which the score test just does not reject."""
    critical = float(norm.isf(LEVEL))

    def score(difference: float) -> float:
        b = -wins - losses + (2 * n - wins + losses) * difference
        c = -losses * difference * (1 - difference)
        lost = (sqrt(max(0.0, b * b - 8 * n * c)) - b) / (4 * n)
        variance = n * (2 * lost + difference * (1 - difference))
        return float((wins - losses - n * difference) / sqrt(max(variance, 1e-12)) - critical)

    top = (wins - losses) / n
    return -1.0 if score(-1 + 1e-9) < 0 else float(brentq(score, -1 + 1e-9, top + 1e-9 if top < 1 else 1.0))
