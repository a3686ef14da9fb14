"""Simulated experiments on ratio metrics: what their states were at each look.

Belongs here: data whose truth is known. Not here: what is expected of an analysis (test_asymptotic_error.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learning_pipelines.experiments.asymptotic import compare
from learning_pipelines.experiments.comparison import Comparison
from learning_pipelines.experiments.unit_sums import UnitSums

Array = NDArray[np.float64]
LOOKS = 20
States = list[dict[int, UnitSums]]
"""Per look the state of each epoch."""


@dataclass(frozen=True)
class Simulated:
    control: States
    treatment: States

    def looks(self, cuped: bool = False) -> Iterator[Comparison]:
        for control, treatment in zip(self.control, self.treatment, strict=True):
            yield compare(control, treatment, metric="m", variant="t", cuped=cuped)

    def ever_wrong(self, truth: float = 0.0, cuped: bool = False) -> bool:
        """Whether the interval of any look leaves the truth out."""
        return any(not look.low <= truth <= look.high for look in self.looks(cuped))

    def pooled(self) -> Simulated:
        """With all epochs' units thrown together."""
        return Simulated(*([{1: sum(look.values(), UnitSums())} for look in arm] for arm in (self.control, self.treatment)))

    def then(self, later: Simulated) -> Simulated:
        """Followed by a second epoch."""
        return Simulated(*(
            first + [{1: first[-1][1], 2: look[1]} for look in second]
            for first, second in ((self.control, later.control), (self.treatment, later.treatment))
        ))  # fmt: skip


def share_wrong(experiments: list[Simulated], truth: float = 0.0, cuped: bool = False) -> float:
    return float(np.mean([experiment.ever_wrong(truth, cuped) for experiment in experiments]))


def one_value_per_unit(values: Array, treated: NDArray[np.bool_], first: int) -> list[Simulated]:
    """values, treated: experiments × units in their order; looks from the `first` units on to all."""
    looks = np.geomspace(first, values.shape[1], LOOKS).astype(int) - 1
    return [Simulated(*arms) for arms in zip(*(_so_far(values, mine, looks) for mine in (~treated, treated)), strict=True)]


def _so_far(values: Array, mine: NDArray[np.bool_], looks: NDArray[np.int64]) -> list[States]:
    sums = [(column * mine).cumsum(axis=1)[:, looks] for column in (np.ones_like(values), values, values**2)]
    return [[{1: UnitSums.of_totals(int(n), total, squares)} for n, total, squares in row] for row in np.stack(sums, axis=-1).tolist()]


def used_more_and_more(
    draw: np.random.Generator, experiments: int, units: int, *, share: float = 0.5, new: float = 0.0, clustered: bool = True, wave: float = 0.0
) -> list[Simulated]:
    """Units that come over time and execute again at every look, some much oftener than others (exponential rates); 5 hours of past. Executions have
    lognormal values, 30 % of the variance of whose logarithm is the unit's own; they rise and fall with `wave`. `share` of the units is treated, `new` of
    them have no past.

    Not `clustered`: the same executions, each taken as a unit of its own."""
    treated = draw.random((experiments, units)) < share
    own, rate = draw.normal(0, np.sqrt(0.3), treated.shape), draw.exponential(1.0, treated.shape)
    totals, squares = np.zeros((experiments, units, 4)), np.zeros(treated.shape)
    _execute(draw, totals[:, :, 2:], squares.copy(), own, 5 * rate * (draw.random(rate.shape) >= new))
    states: list[tuple[States, States]] = [([], []) for _ in range(experiments)]
    for k, there in enumerate(np.linspace(units * 0.3, units, LOOKS).astype(int)):
        _execute(draw, totals[:, :there, :2], squares[:, :there], own[:, :there] + wave * np.sin(k / 3), rate[:, :there])
        for e, (control, treatment) in enumerate(states):
            for arm, mine in ((control, ~treated[e]), (treatment, treated[e])):
                apart = UnitSums.of_totals(int(totals[e, mine, 1].sum()), float(totals[e, mine, 0].sum()), float(squares[e, mine].sum()))
                arm.append({1: UnitSums.of(totals[e, mine]) if clustered else apart})
    return [Simulated(*arms) for arms in states]


def _execute(draw: np.random.Generator, totals: Array, squares: Array, own: Array, rate: Array) -> None:
    """Adds to (sum of values, executions) and to the sum of squares what the units do in one hour."""
    times = draw.poisson(rate)
    of = np.repeat(np.arange(times.size), times.ravel())
    values = draw.lognormal(own.ravel()[of], np.sqrt(0.7))
    totals[:, :, 0] += np.bincount(of, values, minlength=times.size).reshape(times.shape)
    totals[:, :, 1] += times
    squares += np.bincount(of, values**2, minlength=times.size).reshape(times.shape)
