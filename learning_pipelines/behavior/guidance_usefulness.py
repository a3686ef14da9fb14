"""How useful guidance is, measured: by source, and by piece where there is enough evidence, as the mean gain in score of inputs that it was shown for.

Belongs here: means of paired differences, shrunk. Pure. Not here: scoring, choosing (guidance.py).

A mean of few differences is mostly luck. Each is shrunk towards what is known without it, as the mean of a normal posterior: m · t² / (t² + s² / n), with
the spread of true gains t (EFFECT_SPREAD) and the variance of one difference s², itself mixed with a cautious prior (a difference of 0/1 scores has at most
variance 1). Sources are shrunk to 0; a piece to its source. See C. N. Morris, "Parametric empirical Bayes inference", JASA 78 (1983) 47–55.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

EFFECT_SPREAD = 0.1
"""Gains that sources and pieces truly have are mostly within ± 0.2."""
PRIOR_VARIANCE, PRIOR_COUNT = 0.25, 4
ENOUGH = 5
"""Inputs that a piece must have been shown for before it is judged by itself."""


def shrunk(differences: Sequence[float], towards: float = 0.0) -> float:
    """The expected true mean gain, -1 … 1; `towards` where there are no differences."""
    n = len(differences)
    if n == 0:
        return towards
    mean = sum(differences) / n
    variance = (sum((one - mean) ** 2 for one in differences) + PRIOR_COUNT * PRIOR_VARIANCE) / (n - 1 + PRIOR_COUNT)
    weight = EFFECT_SPREAD**2 / (EFFECT_SPREAD**2 + variance / n)
    return towards + weight * (mean - towards)


def of_source(without: Mapping[str, float], with_it: Mapping[str, float], shown: Mapping[str, Sequence[str]]) -> float:
    """Usefulness of a source. Scores by item, without and with it; `shown`: pieces that each item got. Items that got none say nothing."""
    return shrunk([with_it[item] - without[item] for item, pieces in sorted(shown.items()) if pieces])


def of_pieces(without: Mapping[str, float], with_it: Mapping[str, float], shown: Mapping[str, Sequence[str]], source: float) -> dict[str, float]:
    """Usefulness of each piece that ENOUGH items got, shrunk to that of its source.

    Pieces are shown together: the gain of an item counts for all that it got, so these say which pieces stand where things go well or ill.
    """
    gains: defaultdict[str, list[float]] = defaultdict(list)
    for item, pieces in sorted(shown.items()):
        for piece in pieces:
            gains[piece].append(with_it[item] - without[item])
    return {piece: shrunk(found, source) for piece, found in sorted(gains.items()) if len(found) >= ENOUGH}
