"""Whether the variants got the shares of units that they should: if not, units are lost or counted twice, and no comparison of them can be trusted.

Belongs here: the test of counts against shares, at any time and for one look. Not here: counting (storage/experiment_units.py), what follows from a
mismatch (decision.py, defs/).

At any time: M. Lindon and A. Malek, "Anytime-valid inference for multinomial count data", NeurIPS 2022. The evidence is the chance of the counts if the
true shares were drawn around the intended ones (Dirichlet), over their chance under the intended ones. It may be looked at after every unit, is exact
at every size, and p = 1 / evidence. How far apart the drawn shares are decides what is found fast: four concentrations are mixed, so that 80 : 20 in
place of halves is called after 100 units, and 50.25 : 49.75 after a million (at .001). Epochs have shares of their own; their evidence is multiplied,
because each holds whatever the others did.

For one look at totals: Pearson's chi-square, summed over epochs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from learning_pipelines.errors import BadInput
from learning_pipelines.storage.experiment_rows import Ranges

ALPHA = 0.001
"""Error of calling a mismatch at which checks and decisions stop trusting an experiment."""
CONCENTRATIONS = (100.0, 1_000.0, 10_000.0, 100_000.0)
LEAST_EXPECTED = 5.0
"""Expected units below which chi-square says nothing."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Of one epoch: units per variant, and the share of new units that each should get (of any sum; absent: none)."""

    observed: Mapping[str, int]
    shares: Mapping[str, float]

    def rows(self) -> list[tuple[int, float]]:
        """(units, share that sums to 1) per variant, in the order of their names. Raises BadInput for counts below 0 or shares that are none."""
        total = math.fsum(self.shares.values())
        if not total > 0 or min(self.shares.values()) < 0:
            raise BadInput(f"The shares {dict(self.shares)} are none.", "Give each variant its share of the units, at least 0, of a sum above 0.")
        if any(count < 0 for count in self.observed.values()):
            raise BadInput(f"{dict(self.observed)} holds a negative number of units.", "Count the units that were exposed to each variant.")
        return [(self.observed.get(name, 0), self.shares.get(name, 0.0) / total) for name in sorted(self.shares.keys() | self.observed.keys())]


def shares(ranges: Ranges) -> dict[str, float]:
    """Width of each variant's part of the hash space."""
    return {variant: math.fsum(high - low for low, high in spans) for variant, spans in ranges.items()}


def sequential_p(epochs: Sequence[Counts]) -> float:
    """p value of "every epoch's units fell as intended", valid at any time: it ever falls to α with probability α at most. 1 without units, 0 where
    units were given a variant that had no share."""
    evidence = math.fsum(_log_evidence(epoch) for epoch in epochs)
    return math.exp(-max(0.0, evidence))


def chi_square_p(epochs: Sequence[Counts]) -> float:
    """p value for one look. Epochs in which a variant should have got fewer than 5 units say nothing."""
    from scipy.special import gammaincc  # slow to import

    statistic, freedom = 0.0, 0
    for epoch in epochs:
        rows = epoch.rows()
        n = sum(count for count, _ in rows)
        if any(count and not share for count, share in rows):
            return 0.0
        expected = [(count, n * share) for count, share in rows if share]
        if min(mean for _, mean in expected) >= LEAST_EXPECTED:
            statistic += math.fsum((count - mean) ** 2 / mean for count, mean in expected)
            freedom += len(expected) - 1
    return float(gammaincc(freedom / 2, statistic / 2)) if freedom else 1.0


def _log_evidence(epoch: Counts) -> float:
    """Logarithm of the mixture over concentrations of the Dirichlet-multinomial chance over the multinomial one."""
    rows = epoch.rows()
    if any(count and not share for count, share in rows):
        return math.inf
    n = sum(count for count, _ in rows)
    null = math.fsum(count * math.log(share) for count, share in rows if count)
    each = [
        math.lgamma(k) - math.lgamma(k + n) + math.fsum(math.lgamma(k * share + count) - math.lgamma(k * share) for count, share in rows if share) - null
        for k in CONCENTRATIONS
    ]
    top = max(each)
    return top + math.log(math.fsum(math.exp(one - top) for one in each) / len(each))
