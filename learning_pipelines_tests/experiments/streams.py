"""Streams of one value per unit whose truth is known: days and nights, outages, unequal shares, arms that answer at different rates.

Belongs here: drawing events, what pairing in the order of arrival would make of them. Not here: what is expected (test_exact_error_rates.py,
benchmarks/experiments.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learning_pipelines.experiments import betting
from learning_pipelines.experiments.exact import ExactState

Floats = NDArray[np.float64]
Course = Callable[[NDArray[np.int64]], Floats]
"""Positions of events → mean of a value of the control there."""


def level(mean: float) -> Course:
    return lambda at: np.full(len(at), mean)


def rising(at: NDArray[np.int64]) -> Floats:
    return 0.2 + 0.6 * at / len(at)


def days(at: NDArray[np.int64]) -> Floats:
    """Nights are bad, days are good: 200 events each."""
    return np.where(at // 200 % 2 == 1, 0.2, 0.8)


def outage(at: NDArray[np.int64]) -> Floats:
    """Nearly everything is bad in a tenth of the events, after three quarters."""
    return np.where((at > 0.75 * len(at)) & (at < 0.85 * len(at)), 0.1, 0.8)


@dataclass(frozen=True)
class Stream:
    """`n` events in a row; `shares` of control and treatment in the units; `answers`: how much more often the treatment's units answer; `stars`: values
    are quarters from 0 to 1, else 0 or 1; `effect` on the mean."""

    course: Course
    n: int = 1200
    shares: tuple[float, float] = (0.5, 0.5)
    answers: float = 1.0
    stars: bool = False
    effect: float = 0.0

    def draw(self, rng: np.random.Generator) -> tuple[NDArray[np.bool_], Floats]:
        mine = self.shares[1] * self.answers
        arms = rng.random(self.n) < mine / (mine + self.shares[0])
        means = np.clip(self.course(np.arange(self.n)) + np.where(arms, self.effect, 0.0), 0, 1)
        return arms, rng.binomial(4, means) / 4 if self.stars else (rng.random(self.n) < means).astype(np.float64)

    def state(self) -> ExactState:
        return ExactState.for_shares(*self.shares, 4 if self.stars else 1)


@dataclass(frozen=True)
class Told:
    """The event with which a stream was told to have an effect, if it was, and which way (1, -1)."""

    event: int | None
    direction: int


def told(stream: Stream, rng: np.random.Generator, alpha: float = 0.05) -> Told:
    """One stream, with a look after every event."""
    made, capital = stream.state().add(*stream.draw(rng))
    over = np.argwhere(capital > math.log(2 / alpha))
    return Told(int(made.last[over[0, 0]]) + 1, 1 - 2 * int(over[0, 1])) if len(over) else Told(None, 0)


def ever_missed(stream: Stream, rng: np.random.Generator, alpha: float = 0.05) -> bool:
    """Whether the true effect was outside the interval at any event. (It is outside just if its capital is above 2/α.)"""
    state = stream.state()
    made, _ = state.add(*stream.draw(rng))
    values, weights = made.scaled(state.block, state.steps)
    for sign in (1, -1):
        truth = sign * stream.effect
        logs = np.log1p(betting.stakes(weights, truth) * (sign * values - truth)[:, None]).cumsum(axis=0)
        highest = logs.max(axis=1, keepdims=True)
        if np.any(highest[:, 0] + np.log(np.exp(logs - highest) @ betting.SHARES) > math.log(2 / alpha)):
            return True
    return False


def told_in_order_of_arrival(stream: Stream, rng: np.random.Generator, alpha: float = 0.05) -> bool:
    """Whether pairs of each arm's k-th value, staked in the same way, would tell an effect."""
    arms, values = stream.draw(rng)
    pairs = min(int(arms.sum()), int((~arms).sum()))
    differences = values[arms][:pairs] - values[~arms][:pairs]
    return any(
        betting.log_capitals(betting.gains(sign * differences, np.ones(pairs)).cumsum(axis=0)).max(initial=0.0) > math.log(2 / alpha) for sign in (1, -1)
    )
