"""Counting requests in windows: when it is too much, when it begins anew, what is forgotten.

Belongs here: the counting, with a clock of its own. Not here: which request counts for whom over HTTP (test_hardening.py).
"""

from __future__ import annotations

import pytest

from learning_pipelines.api.limits import Limits
from learning_pipelines.api.problems import Problem


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def refused(limits: Limits, address: str) -> str | None:
    """The Retry-After of the refusal; None if the request is let through."""
    try:
        limits.address(address)
    except Problem as problem:
        assert problem.status == 429
        return problem.headers["Retry-After"]
    return None


def test_as_many_as_the_limit_are_let_through_in_a_window_and_then_again_in_the_next() -> None:
    clock = Clock()
    limits = Limits("address=3/minute", clock)
    assert [refused(limits, "a") for _ in range(4)] == [None, None, None, "60"]
    clock.now += 45.5
    assert refused(limits, "a") == "15"
    clock.now += 14.5
    assert [refused(limits, "a") for _ in range(4)] == [None, None, None, "60"]


def test_addresses_are_counted_apart() -> None:
    limits = Limits("address=1/minute", Clock())
    assert [refused(limits, address) for address in ("a", "b", "a")] == [None, None, "60"]


@pytest.mark.parametrize(("text", "seconds"), [("1/second", 1), ("1 per 2 minutes", 120), ("1/hour", 3600)])
def test_a_window_is_as_long_as_the_limit_says(text: str, seconds: int) -> None:
    clock = Clock()
    limits = Limits(f"address={text}", clock)
    assert refused(limits, "a") is None
    clock.now += seconds - 0.5
    assert refused(limits, "a") == "1"
    clock.now += 0.5
    assert refused(limits, "a") is None


def test_addresses_that_came_once_are_forgotten() -> None:
    clock = Clock()
    limits = Limits("address=1/second", clock)
    for number in range(10_000):
        clock.now += 0.001
        refused(limits, f"address-{number}")
    assert len(limits._windows["address"]._open) <= 2_001
