"""The transition model: counts, confidence and lift, the beginning and the end among them."""

from __future__ import annotations

import random

import pytest

from learning_pipelines.behavior.patterns.shares import clustered, share
from learning_pipelines.behavior.patterns.transitions import START, transitions
from learning_pipelines.behavior.task import END
from learning_pipelines_tests.behavior.patterns.made import many, shown


def test_every_transition_is_counted_with_the_beginning_and_the_end() -> None:
    found = {(one.before, one.after): one for one in transitions([*many(3, "ab"), shown("c", "aab")])}
    assert {edge: (one.confidence.count, one.confidence.of, one.demonstrations) for edge, one in found.items()} == {
        (START, "a"): (4, 4, 4), ("a", "b"): (4, 5, 4), ("a", "a"): (1, 5, 1), ("b", END): (4, 4, 4)
    }  # fmt: skip
    assert found["a", "a"].named == ("c",)
    assert found["a", "b"].lift == pytest.approx((4 / 5) / (4 / 13))


def test_the_order_is_the_beginning_first_then_the_most_frequent() -> None:
    assert [(one.before, one.after) for one in transitions([*many(2, "ab"), *many(1, "ac")])][:3] == [(START, "a"), ("a", "b"), ("a", "c")]


def test_an_empty_demonstration_ends_where_it_begins() -> None:
    assert [(one.before, one.after, one.confidence.count) for one in transitions([shown("none", "")])] == [(START, END, 1)]


def test_steps_that_are_alike_within_demonstrations_make_the_interval_wider() -> None:
    independent, alike = share(50, 100), clustered([10] * 5, [10] * 5, [10] * 5)
    assert (alike.count, alike.of) == (50, 100)
    assert alike.high - alike.low > 2 * (independent.high - independent.low)


def test_intervals_hold_the_truth_as_often_as_they_say_where_demonstrations_differ() -> None:
    rng, held, trials = random.Random(11), 0, 400
    for _ in range(trials):
        rates = [rng.betavariate(2, 2) for _ in range(40)]
        sizes = [rng.randint(1, 12) for _ in rates]
        counts = [sum(rng.random() < rate for _ in range(size)) for rate, size in zip(rates, sizes, strict=True)]
        found = clustered(counts, sizes)
        held += found.low <= 0.5 <= found.high
    assert held / trials >= 0.92
