"""What a ratio metric remembers of one variant in one epoch: sums over units, whatever their number.

Belongs here: the state, how it changes when a unit's totals change, its JSON. Not here: what follows from it (asymptotic.py), where totals come from
(storage/experiment_units.py).

A unit has a numerator x and a denominator y since its exposure (milliseconds and executions), and the same two before it (c and d; 0 where it has no
past). A plain mean of one value per unit is the ratio with y = 1, its covariate the ratio with d = 1. Units without a denominator are in no sum: they
say nothing about a ratio yet, and enter with their first one.

Accuracy. Sums are 64-bit floats around zero: whole numbers are exact up to 2^53, and k replacements of anything else are off by at most k·1e-16 of the
sum (tests: 1e-9 after 100,000). What the variance loses by cancellation is at most 1e-16 · mean²/variance; below 1e-10 of the second moment
(a spread of less than 1e-5 of the mean) it counts as zero, and from zero variance nothing is concluded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from learning_pipelines.errors import BadInput

Array = NDArray[np.float64]
_ROWS, _COLUMNS = np.triu_indices(4)
"""The ten products of (x, y, c, d), in the order of the fields."""


@dataclass(frozen=True, slots=True)
class UnitSums:
    """`n` units; sums over them of x, y, c, d and of their products."""

    n: int = 0
    x: float = 0.0
    y: float = 0.0
    c: float = 0.0
    d: float = 0.0
    xx: float = 0.0
    xy: float = 0.0
    xc: float = 0.0
    xd: float = 0.0
    yy: float = 0.0
    yc: float = 0.0
    yd: float = 0.0
    cc: float = 0.0
    cd: float = 0.0
    dd: float = 0.0

    @classmethod
    def of(cls, units: ArrayLike) -> UnitSums:
        """Sums of rows (x, y) or (x, y, c, d), one a unit."""
        return cls().replace((), units)

    @classmethod
    def of_values(cls, values: ArrayLike) -> UnitSums:
        """Sums for the plain mean of one value per unit."""
        x = np.asarray(values, dtype=np.float64).ravel()
        return cls.of(np.column_stack([x, np.ones_like(x)]))

    @classmethod
    def of_totals(cls, n: int, total: float, squares: float) -> UnitSums:
        """For the plain mean where only the number of units, the sum of their values and that of their squares are known (0 and 1: `squares` = `total`).
        Raises BadInput for sums that no n values have."""
        if n < 0 or total**2 > n * squares * (1 + 1e-12) or (n == 0 and squares):
            raise BadInput(f"No {n} values have the sum {total} and the sum of squares {squares}.", "Check the three totals of this variant.")
        return cls(n, total, float(n), xx=squares, xy=total, yy=float(n))

    def replace(self, old: ArrayLike, new: ArrayLike) -> UnitSums:
        """With the rows `new` in place of the rows `old`, which are what the same units had when they were added before; units that are new have no
        row in `old` (or one without a denominator). Rows: (x, y) or (x, y, c, d). Raises BadInput for values that are not finite."""
        (fewer, gone), (more, come) = _sums(old), _sums(new)
        mine = np.array(self._values())
        return UnitSums(self.n + more - fewer, *(mine - gone + come).tolist())

    def __add__(self, other: UnitSums) -> UnitSums:
        return UnitSums(self.n + other.n, *(a + b for a, b in zip(self._values(), other._values(), strict=True)))

    def as_json(self) -> dict[str, float]:
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> UnitSums:
        """The state that `as_json` gave; an empty mapping is that of no unit."""
        return cls(int(stored.get("n", 0)), *(float(stored.get(name, 0.0)) for name in _NAMES))

    def _values(self) -> Sequence[float]:
        return [getattr(self, name) for name in _NAMES]


_NAMES = tuple(field.name for field in fields(UnitSums))[1:]


def _sums(units: ArrayLike) -> tuple[int, Array]:
    """Number of units with a denominator, and the 14 sums over them."""
    rows = np.asarray(units, dtype=np.float64)
    if not rows.size:
        return 0, np.zeros(14)
    rows = np.atleast_2d(rows)
    if not np.isfinite(rows).all():
        raise BadInput("A unit's totals are not finite numbers.", "Leave out values that are unknown; do not write NaN or infinity.")
    if (rows[:, 1] < 0).any():
        raise BadInput("A unit's denominator is negative.", "Denominators count: executions, measurements.")
    counted = np.zeros((int((rows[:, 1] > 0).sum()), 4))
    counted[:, : rows.shape[1]] = rows[rows[:, 1] > 0]
    return len(counted), np.concatenate([counted.sum(axis=0), (counted.T @ counted)[_ROWS, _COLUMNS]])
