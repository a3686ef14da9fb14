"""Attacks from fixed seeds: how wrong weighted labels are against raw ones, and what weights cost honest people.

Belongs here: the promises about whole worlds. Not here: drawing them, the long table (benchmarks/attacks.py).

The seeds are not the ones that the rules were written with (1 to 30). Means over 20 worlds: an error of the mean ratio of about 0.04.
"""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.attacks import KINDS, Outcome, error, outcome, world
from learning_pipelines.feedback.trust import weigh
from learning_pipelines.storage.trust_weights import NEWCOMER

SEEDS = range(20_000, 20_020)
ATTACKS = [kind for kind in KINDS if kind != "nobody"]


@pytest.fixture(scope="module")
def found() -> dict[str, list[Outcome]]:
    return {kind: [outcome(world(kind, seed)) for seed in SEEDS] for kind in KINDS}


def mean(outcomes: list[Outcome], name: str) -> float:
    return float(np.mean([getattr(one, name) for one in outcomes]))


@pytest.mark.slow
def test_over_all_attacks_weighted_labels_are_wrong_a_third_as_often_as_raw_ones(found: dict[str, list[Outcome]]) -> None:
    every = [one for kind in ATTACKS for one in found[kind]]
    assert mean(every, "raw") > 0.08
    assert mean(every, "weighted") <= mean(every, "raw") / 3


@pytest.mark.parametrize("kind", ATTACKS)
def test_no_attack_leaves_more_errors_than_honest_votes_alone_would(found: dict[str, list[Outcome]], kind: str) -> None:
    """Up to a fifth more, and 0.005: what honest people get wrong by themselves is the floor, and for some worlds more than a third of raw."""
    assert mean(found[kind], "weighted") <= 1.2 * mean(found[kind], "honest_only") + 0.005


def test_without_an_attack_weighted_labels_are_no_worse_than_raw_ones(found: dict[str, list[Outcome]]) -> None:
    assert mean(found["nobody"], "weighted") <= mean(found["nobody"], "raw")


def test_honest_raters_are_seldom_distrusted(found: dict[str, list[Outcome]]) -> None:
    for outcomes in found.values():
        assert sum(one.flagged - one.caught for one in outcomes) < 0.02 * sum(one.honest for one in outcomes)


def test_most_attackers_are_caught(found: dict[str, list[Outcome]]) -> None:
    every = [one for kind in ATTACKS for one in found[kind]]
    assert sum(one.caught for one in every) > 0.85 * sum(one.bad for one in every)
    assert sum(one.caught for one in every) > 0.9 * sum(one.flagged for one in every)


def test_a_world_is_the_same_every_time() -> None:
    once, again = (world("brigade_slow", 5) for _ in range(2))
    assert (once.votes.rater.tolist(), once.votes.seconds.tolist()) == (again.votes.rater.tolist(), again.votes.seconds.tolist())


def test_equal_weights_give_the_raw_majority() -> None:
    one = world("brigade", 5)
    assert error(one, np.full(len(one.bad), NEWCOMER)) == outcome(one, weigh(one.votes, one.known)).raw
