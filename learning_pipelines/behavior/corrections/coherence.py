"""Whether the questions of a cluster tell its corrections from others: without that a rule about them could only be luck.

Belongs here: the test, pure. Not here: vectors (the encoder), the gate of rules (rules_gate.py).

Held-out corrections of a cluster are all answered wrongly before, so that whatever a rule says gains on them; right answers that were drawn by chance would
do. So the question has to show which correction is due: for each held-out one the nearest correction that teaches, of whichever cluster, is looked up. It
must be of the same cluster more often than if the corrections that teach had been dealt out to the clusters by chance (permutation test at LEVEL; one that
is nearest to many counts as often, so independence is not assumed). Where the cluster is all there is, nothing can be mistaken; where it is most of what
there is and the others are so few that not even every hit could pass, its right answer is right for most such questions, and the gate alone decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

LEVEL, MOST = 0.01, 0.5
PERMUTATIONS = 1_999
Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Coherence:
    """Of `n` held-out corrections `hits` are nearest to one of their own cluster, which has the `share` of those that teach. `least`: the p-value if all
    were hits: above LEVEL the test can tell nothing."""

    hits: int
    n: int
    share: float
    p_value: float
    least: float = 0.0

    @property
    def holds(self) -> bool:
        return self.share >= 1.0 or self.p_value <= LEVEL or (self.share > MOST and self.least > LEVEL)


def coherence(held_out: Vectors, train: Vectors, own: Sequence[bool]) -> Coherence:
    """Of inputs as rows of length 1; `own`: whether the row of `train` is of the cluster."""
    of_cluster = np.asarray(own, dtype=bool)
    share = float(of_cluster.mean()) if len(of_cluster) else 0.0
    if not len(held_out) or share in (0.0, 1.0):
        return Coherence(0, len(held_out), share, 1.0)
    nearest = (held_out @ train.T).argmax(axis=1)
    hits = int(of_cluster[nearest].sum())
    random = np.random.default_rng(len(train))
    dealt = [int(random.permutation(of_cluster)[nearest].sum()) for _ in range(PERMUTATIONS)]
    p_value, least = ((1 + sum(one >= many for one in dealt)) / (1 + PERMUTATIONS) for many in (hits, len(held_out)))
    return Coherence(hits, len(held_out), share, p_value, least)
