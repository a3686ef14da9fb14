"""How often exact comparisons are wrong, and how soon right, in simulated streams with a look after every event.

Belongs here: stated rates. Not here: streams (streams.py), the contest with a peer and longer runs (benchmarks/experiments.py).
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from learning_pipelines.experiments.exact import compare
from learning_pipelines.experiments.metrics import METRICS
from learning_pipelines_tests.experiments.streams import Stream, days, ever_missed, level, outage, rising, told, told_in_order_of_arrival

RUNS = 1000
COVERED = 400


def limit(runs: int) -> float:
    """5 %, and what so many simulations of exactly 5 % exceed in one of twenty."""
    return 0.05 + 1.645 * math.sqrt(0.05 * 0.95 / runs)


NULL = {
    "binary": Stream(level(0.5)),
    "stars, days and nights": Stream(days, stars=True),
    "rising, 5 % of the units": Stream(rising, shares=(0.95, 0.05)),
    "days and nights, the treatment's units answer twice as often": Stream(days, answers=2.0),
    "outage": Stream(outage),
}


@pytest.mark.parametrize("name", NULL)
def test_equal_arms_are_told_apart_in_at_most_five_of_a_hundred(name: str) -> None:
    rng = np.random.default_rng(len(name))
    wrong = [told(NULL[name], rng).direction for _ in range(RUNS)]
    assert sum(map(abs, wrong)) / RUNS <= limit(RUNS)


def test_pairs_in_the_order_of_arrival_would_be_wrong_more_often() -> None:
    """Why values are compared within blocks."""
    rng = np.random.default_rng(1)
    assert sum(told_in_order_of_arrival(NULL["outage"], rng) for _ in range(300)) / 300 > 0.09


@pytest.mark.parametrize(
    "stream",
    [Stream(level(0.6), effect=-0.15), Stream(days, stars=True, effect=0.1), Stream(level(0.02), effect=0.04, shares=(0.9, 0.1))],
    ids=["-15 points", "+0.4 stars by day and night", "2 to 6 % at 10 % of the units"],
)
def test_the_true_effect_is_in_the_interval_at_all_looks_in_95_of_100(stream: Stream) -> None:
    rng = np.random.default_rng(2)
    assert sum(ever_missed(stream, rng) for _ in range(COVERED)) / COVERED <= limit(COVERED)


def test_missing_the_truth_is_what_the_interval_says() -> None:
    """`ever_missed` looks at capital only; here the intervals themselves, at every hundredth event."""
    stream = Stream(days, stars=True, effect=0.1, n=600)
    for seed in range(20):
        arms, values = stream.draw(np.random.default_rng(seed))
        state, outside = stream.state(), False
        for at in range(0, stream.n, 100):
            state.add(arms[at : at + 100], values[at : at + 100])
            found = compare([state], METRICS["thumbs"], "b", 0.3)
            outside |= not found.low <= 0.1 <= found.high
        assert not outside or ever_missed(stream, np.random.default_rng(seed), alpha=0.3)


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (Stream(level(0.5), 3000, effect=0.1), 950),
        (Stream(days, 3000, stars=True, effect=0.1), 950),
        (Stream(level(0.02), 3000, effect=0.06), 900),
        (Stream(level(0.8), 12000, shares=(0.95, 0.05), effect=-0.1), 5500),
    ],
    ids=["+10 points", "+0.4 stars by day and night", "2 to 8 %", "-10 points at 5 % of the traffic"],
)
def test_effects_are_told_the_right_way_within_so_many_events(stream: Stream, events: int) -> None:
    rng = np.random.default_rng(3)
    found = [told(stream, rng) for _ in range(100)]
    assert sum(one.direction == math.copysign(1, stream.effect) for one in found) >= 97
    assert np.median([one.event or stream.n for one in found]) <= events
