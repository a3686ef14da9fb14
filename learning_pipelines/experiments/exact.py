"""One value per unit, binary or bounded: a treatment against the control, exactly, with a look after every event.

Belongs here: events of an epoch → differences in blocks (the state that is kept up), epochs → comparison. Not here: betting itself (betting.py), who is
compared and what follows (decision.py), other metrics (asymptotic.py).

Values of both arms are taken in the order in which they come, in blocks of `block` in a row. A block that holds both arms gives one difference of means;
a block of one arm alone waits as one element of the next level, where so many elements in a row are a block again. Why blocks: given how many of a
block's values are the treatment's, every order of them is equally likely if the chance that the next value is the treatment's is the same throughout
the block, whatever it is. So the difference has the mean of the effect, even if values rise, fall or break down from one event to the next, and even if
one arm's units answer more often. (Pairing the k-th value of one arm with the k-th of the other does not: when an arm has run ahead, an outage meets
values from before it. Two arms alike are then told apart in 16 of 100 experiments instead of 5.) With arms of equal size, blocks of two with levels
are J. von Neumann's fair coin out of a biased one, iterated (Y. Peres, Annals of Statistics 20 (1992) 590-597), and lose few of the values.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from learning_pipelines.experiments.betting import NO_PEAKS, Array, Differences, Peaks, gains, interval, log_capitals, p_value
from learning_pipelines.experiments.comparison import Comparison
from learning_pipelines.experiments.metrics import Metric

Integers = NDArray[np.int64]
Waiting = list[list[tuple[bool, int]]]
"""Per level the elements that wait for their block: whether they are the treatment's, and their sum in steps."""
STEPS = 4
"""Steps of the scale [0, 1] where nothing else is said: binary values and one to five stars are multiples of a quarter."""
_SPAN = 64  # values of one arm in a row, in blocks of two, that still wait; the differences of longer ones could not be staked at their weight
_LIKE = 0.06  # shares this near to one half: blocks of two


def block_size(control: float, treatment: float) -> int:
    """Values in a block for arms with these shares of new units (> 0, of any sum). Larger blocks lose fewer values (one of `block`) but their differences
    cannot be staked at their full weight: one to two values of the rarer arm."""
    share = min(control, treatment) / (control + treatment)  # of the rarer arm, whichever it is: 44 : 56 and 56 : 44 would be rounded differently
    return 2 if 0.5 - share <= _LIKE else 1 + round(1.75 / (share * (1 - share)))


@dataclass(frozen=True, slots=True)
class Blocks:
    """Differences in the order of their events: the level (0: of values, 1: of blocks, …), elements of the treatment in the block, the difference of sums
    with common denominator, and the position of the block's last value among those that were added."""

    level: Integers
    treated: Integers
    numerator: Integers
    last: Integers

    def scaled(self, block: int, steps: int) -> tuple[Array, Array]:
        """The differences in [-1, 1], and their weights."""
        return _scaled(self.level, self.treated, self.numerator, block, steps)


def _scaled(level: Integers, treated: Integers, numerator: Integers, block: int, steps: int) -> tuple[Array, Array]:
    size = block**level
    both = treated * (block - treated)
    return numerator / (both * size * steps), 2.0 * both * size / block


@dataclass(slots=True)
class Sums:
    """An arm's values: how many, their sum in steps and the sum of their squares in steps²."""

    n: int = 0
    total: int = 0
    squares: int = 0

    def add(self, values: Integers) -> None:
        self.n += len(values)
        self.total += int(values.sum())
        self.squares += int((values * values).sum())


@dataclass(slots=True)
class ExactState:
    """A treatment against the control in one epoch. Adding values in several portions gives the very state that adding them at once does."""

    block: int = 2
    steps: int = STEPS
    control: Sums = field(default_factory=Sums)
    treatment: Sums = field(default_factory=Sums)
    waiting: Waiting = field(default_factory=list)
    differences: Counter[tuple[int, int, int]] = field(default_factory=Counter)
    """(level, elements of the treatment, numerator) → how often."""
    peaks: Peaks = NO_PEAKS
    """Logarithms of the highest capital so far against "the effect is at most 0" and "at least 0"."""

    @classmethod
    def for_shares(cls, control: float, treatment: float, steps: int = STEPS) -> ExactState:
        """The empty state of an epoch in which the arms get these shares of new units."""
        return cls(block_size(control, treatment), steps)

    def add(self, treated: ArrayLike, values: ArrayLike) -> tuple[Blocks, Array]:
        """Takes in values of [0, 1] of both arms in the order in which they came; `treated` says of each whether it is the treatment's. Returns the
        differences that this made, and after each of them the logarithms of the capital against "the effect is at most 0" and "at least 0".
        Raises ValueError for values outside the scale or between its steps."""
        arms = np.asarray(treated, dtype=np.bool_)
        whole = self._in_steps(values)
        if arms.shape != whole.shape:
            raise ValueError(f"{len(arms)} arms for {len(whole)} values")
        self.control.add(whole[~arms])
        self.treatment.add(whole[arms])
        made = _blocks(self.waiting, arms, whole, self.block)
        capital = self._capital(made)
        self.peaks = (max(self.peaks[0], *capital[:, 0].tolist(), 0.0), max(self.peaks[1], *capital[:, 1].tolist(), 0.0))
        for key in zip(made.level.tolist(), made.treated.tolist(), made.numerator.tolist(), strict=True):
            self.differences[key] += 1
        return made, capital

    def _capital(self, made: Blocks) -> Array:
        """Logarithms of the capital against "at most 0" and "at least 0" after each of the new differences."""
        if not len(made.last):
            return np.empty((0, 2))
        (old, old_weights, counts), (new, new_weights) = self.scaled(), made.scaled(self.block, self.steps)
        sides = [counts @ gains(sign * old, old_weights) + gains(sign * new, new_weights).cumsum(axis=0) for sign in (1, -1)]
        return np.stack([log_capitals(side) for side in sides], axis=1)

    def scaled(self) -> tuple[Array, Array, Integers]:
        """Values, weights and counts of the differences so far."""
        kinds = np.array([(*key, count) for key, count in self.differences.items()], dtype=np.int64).reshape(len(self.differences), 4)
        level, treated, numerator, counts = kinds.T
        return *_scaled(level, treated, numerator, self.block, self.steps), counts

    def _in_steps(self, values: ArrayLike) -> Integers:
        given = np.multiply(values, self.steps)
        whole = np.rint(given)
        if not np.all(np.isfinite(given)) or np.any(np.abs(given - whole) > 1e-6) or np.any(whole < 0) or np.any(whole > self.steps):
            raise ValueError(f"values must be multiples of 1/{self.steps} from 0 to 1")
        return whole.astype(np.int64)

    def as_json(self) -> dict[str, Any]:
        return {
            "block": self.block, "steps": self.steps,
            "control": [self.control.n, self.control.total, self.control.squares],
            "treatment": [self.treatment.n, self.treatment.total, self.treatment.squares],
            "waiting": [[[int(arm), total] for arm, total in level] for level in self.waiting],
            "differences": [[*key, count] for key, count in sorted(self.differences.items())],
            "peaks": list(self.peaks),
        }  # fmt: skip

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> ExactState:
        return cls(
            int(stored["block"]), int(stored["steps"]), Sums(*stored["control"]), Sums(*stored["treatment"]),
            [[(bool(arm), int(total)) for arm, total in level] for level in stored["waiting"]],
            Counter({(level, treated, numerator): count for level, treated, numerator, count in stored["differences"]}),
            (float(stored["peaks"][0]), float(stored["peaks"][1])),
        )  # fmt: skip


def compare(states: Sequence[ExactState], metric: Metric, variant: str, alpha: float) -> Comparison:
    """The treatment `variant` against the control over the epochs of an experiment, one state each. Not ready without a block that holds both arms: then
    nothing is said. The difference weights epochs by n·m / (n + m), n and m being their units in both arms."""
    control, treatment = [_pooled([getattr(state, arm) for state in states], [state.steps for state in states]) for arm in ("control", "treatment")]
    found = pooled(states)
    peaks = _peaks(states)
    ready = len(found.values) > 0
    low, high = interval(found, alpha, peaks) if ready else (-np.inf, np.inf)
    spread, difference = metric.high - metric.low, _stratified(states)
    return Comparison(
        metric=metric.name, variant=variant, n_control=control[0], n_treatment=treatment[0],
        mean_control=None if control[1] is None else metric.low + spread * control[1],
        mean_treatment=None if treatment[1] is None else metric.low + spread * treatment[1],
        difference=None if difference is None else spread * difference,
        low=spread * low, high=spread * high, p=p_value(found, peaks), alpha=alpha, exact=True, ready=ready,
    )  # fmt: skip


def pooled(states: Sequence[ExactState]) -> Differences:
    """The differences of all epochs in one histogram."""
    found = Counter[tuple[float, float]]()
    for state in states:
        for value, weight, count in zip(*(column.tolist() for column in state.scaled()), strict=True):
            found[weight, value] += count
    weights, values = np.array(list(found), dtype=np.float64).reshape(-1, 2).T
    return Differences.of(values, weights, np.array(list(found.values()), dtype=np.float64))


def _peaks(states: Sequence[ExactState]) -> Peaks:
    """Of several epochs together no peak was kept; the capital of one of them is not that of all."""
    said = [state.peaks for state in states if state.differences]
    return said[0] if len(said) == 1 else NO_PEAKS


def _pooled(arms: Sequence[Sums], steps: Sequence[int]) -> tuple[int, float | None]:
    n = sum(arm.n for arm in arms)
    return n, sum(arm.total / step for arm, step in zip(arms, steps, strict=True)) / n if n else None


def _stratified(states: Sequence[ExactState]) -> float | None:
    both = [state for state in states if state.control.n and state.treatment.n]
    weights = [state.control.n * state.treatment.n / (state.control.n + state.treatment.n) for state in both]
    means = [(state.treatment.total / state.treatment.n - state.control.total / state.control.n) / state.steps for state in both]
    return sum(share * mean for share, mean in zip(weights, means, strict=True)) / sum(weights) if both else None


def _blocks(waiting: Waiting, arms: NDArray[np.bool_], values: Integers, block: int) -> Blocks:
    """Runs new values through the levels; `waiting` is brought up to date."""
    made: list[tuple[Integers, ...]] = []
    last: Integers = np.arange(len(values), dtype=np.int64)
    level = 0
    while len(values) and block ** (level + 1) <= max(_SPAN, block):
        if level == len(waiting):
            waiting.append([])
        before = len(waiting[level])
        arms = np.concatenate([np.array([arm for arm, _ in waiting[level]], dtype=np.bool_), arms])
        values = np.concatenate([np.array([total for _, total in waiting[level]], dtype=np.int64), values])
        last = np.concatenate([np.full(before, -1, dtype=np.int64), last])
        whole = len(values) // block * block
        waiting[level] = list(zip(arms[whole:].tolist(), values[whole:].tolist(), strict=True))
        a, v, ends = arms[:whole].reshape(-1, block), values[:whole].reshape(-1, block), last[:whole].reshape(-1, block)[:, -1]
        treated, sums, of_treatment = a.sum(1), v.sum(1), (v * a).sum(1)
        both = (treated > 0) & (treated < block)
        numerator = (block - treated) * of_treatment - treated * (sums - of_treatment)
        made.append((np.full(int(both.sum()), level, dtype=np.int64), treated[both], numerator[both], ends[both]))
        arms, values, last = a[~both, 0], sums[~both], ends[~both]
        level += 1
    if not made:
        return Blocks(*[np.empty(0, dtype=np.int64)] * 4)
    columns = [np.concatenate(column) for column in zip(*made, strict=True)]
    order = np.argsort(columns[3])  # no value ends two blocks: one that holds both arms goes to no further level
    return Blocks(*[column[order] for column in columns])
