"""Questions in folds that share no passage and no person, and whether one way of ranking beats a simpler one.

Belongs here: folds by cluster, the paired comparison that a choice rests on. Not here: what is compared (selection.py), the gate's test (acceptance/).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from learning_pipelines.retrieval.task import JudgedQuery

FOLDS = 5
Scores = npt.NDArray[np.float64]


def folds(queries: Sequence[JudgedQuery], seed: int, most: int = FOLDS) -> npt.NDArray[np.int64]:
    """(n,) fold of each query, 0 …; a cluster is never divided."""
    return dealt([query.cluster for query in queries], seed, most)


def dealt(clusters: Sequence[str], seed: int, most: int = FOLDS) -> npt.NDArray[np.int64]:
    """(n,) fold of each place, by the cluster it is of. Larger clusters first, each to the smallest fold, in an order that `seed` draws."""
    members: dict[str, list[int]] = defaultdict(list)
    for place, name in enumerate(clusters):
        members[name].append(place)
    drawn = np.random.default_rng(seed).permutation(sorted(members))
    sizes, fold = [0] * min(most, len(members)), np.zeros(len(clusters), dtype=np.int64)
    for cluster in sorted(drawn.tolist(), key=lambda name: -len(members[name])):
        smallest = sizes.index(min(sizes))
        fold[members[cluster]] = smallest
        sizes[smallest] += len(members[cluster])
    return fold


def gain(before: Scores, after: Scores, queries: Sequence[JudgedQuery]) -> tuple[float, float]:
    """Mean gain per query and its standard error, with questions of one cluster counted as one draw (they succeed and fail together).

    Cluster-robust variance of a mean: Liang & Zeger (1986).
    """
    differences = np.asarray(after) - np.asarray(before)
    if not len(differences):
        return 0.0, float("inf")
    mean = float(differences.mean())
    sums: dict[str, float] = defaultdict(float)
    for query, difference in zip(queries, differences.tolist(), strict=True):
        sums[query.cluster] += difference - mean
    if len(sums) < 2:
        return mean, float("inf")
    spread = sum(each * each for each in sums.values()) * len(sums) / (len(sums) - 1)
    return mean, float(np.sqrt(spread) / len(differences))


def beats(before: Scores, after: Scores, queries: Sequence[JudgedQuery]) -> bool:
    """The rule of parsimony: what is more complex is taken only if it gains more than one standard error (Breiman et al., CART, 1984)."""
    mean, error = gain(before, after, queries)
    return mean > 0 and mean > error
