"""Who is reliable: against crowd-kit where both do the same, and in simulations whose error rates are stated.

Belongs here: the estimation. Not here: where verdicts come from, what follows from reliability (test_quality.py).
"""

from __future__ import annotations

import numpy as np
import pytest

from learning_pipelines.examples.adjudication import disagree
from learning_pipelines.examples.reliability import Reliability, estimate

Verdicts = tuple[np.ndarray, np.ndarray, np.ndarray]


def simulate(random: np.random.Generator, right: list[float], items: int, per_item: int, classes: int = 2) -> tuple[np.ndarray, Verdicts]:
    """The truth, and verdicts of `per_item` experts on each item; expert e names the true class with probability right[e], else another one."""
    truth = random.integers(0, classes, size=items)
    chosen = np.argsort(random.random((items, len(right))), axis=1)[:, :per_item]
    item, expert = np.repeat(np.arange(items), per_item), chosen.reshape(-1)
    correct = random.random(len(item)) < np.array(right)[expert]
    other = (truth[item] + random.integers(1, classes, size=len(item))) % classes
    return truth, (item, expert, np.where(correct, truth[item], other))


def majority(verdicts: Verdicts, items: int, random: np.random.Generator) -> np.ndarray:
    """The majority's class, ties by lot."""
    votes = np.zeros((items, 2))
    np.add.at(votes, (verdicts[0], verdicts[2]), 1)
    return (votes + random.random(votes.shape) * 1e-3).argmax(axis=1)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("classes", [2, 3])
def test_without_shrinkage_every_step_is_the_one_of_crowd_kit(classes: int) -> None:
    crowdkit = pytest.importorskip("crowdkit.aggregation", reason="crowd-kit is not installed: make install brings it")
    import pandas as pd

    _, (items, experts, verdicts) = simulate(np.random.default_rng(2), [0.9, 0.8, 0.7, 0.6, 0.75], items=150, per_item=3, classes=classes)
    theirs = crowdkit.DawidSkene(n_iter=40, tol=-1.0).fit(pd.DataFrame({"task": items, "worker": experts, "label": verdicts}))
    ours, after = (estimate(items, experts, verdicts, classes=classes, strength=0.0, iterations=count, tolerance=0.0) for count in (40, 41))
    assert ours.posterior == pytest.approx(theirs.probas_.sort_index()[list(range(classes))].to_numpy(), abs=1e-7)
    for expert in range(5):
        table = theirs.errors_.loc[expert].reindex(range(classes)).fillna(0)[list(range(classes))].to_numpy().T
        assert after.confusion[expert] == pytest.approx(table, abs=1e-7)


def test_it_finds_the_truth_more_often_than_the_majority() -> None:
    """Experts right 95, 90, 60, 58 and 55 % of the time, three verdicts an item, 20 simulations of 300 items."""
    random = np.random.default_rng(5)
    ours, theirs = [], []
    for _ in range(20):
        truth, verdicts = simulate(random, [0.95, 0.9, 0.6, 0.58, 0.55], items=300, per_item=3)
        ours.append((estimate(*verdicts, classes=2).posterior.argmax(axis=1) == truth).mean())
        theirs.append((majority(verdicts, 300, random) == truth).mean())
    assert np.mean(ours) > np.mean(theirs) + 0.05
    assert np.mean(np.array(ours) > np.array(theirs)) >= 0.9


def test_stated_error_rates_are_found_again() -> None:
    """600 items, all five experts on each: every error rate within .06, which is three standard errors."""
    right = [0.95, 0.85, 0.75, 0.7, 0.6]
    _, verdicts = simulate(np.random.default_rng(8), right, items=600, per_item=5)
    found = estimate(*verdicts, classes=2)
    assert found.confusion.diagonal(axis1=1, axis2=2).mean(axis=1) == pytest.approx(right, abs=0.06)
    assert found.reliability == pytest.approx([2 * rate - 1 for rate in right], abs=0.12)
    assert list(found.reviews) == list(found.shared) == [600] * 5


def newcomers(strength: float) -> np.ndarray:
    """Reliabilities of 40 experts with 4 reviews each, all right 80 % of the time, beside three experts with many; 5 simulations."""
    random = np.random.default_rng(13)
    found = []
    for _ in range(5):
        truth, (items, experts, verdicts) = simulate(random, [0.85, 0.85, 0.85], items=160, per_item=3)
        expert = np.repeat(np.arange(3, 43), 4)
        item = np.arange(160)
        said = np.where(random.random(160) < 0.8, truth, 1 - truth)
        every = estimate(np.concatenate([items, item]), np.concatenate([experts, expert]), np.concatenate([verdicts, said]), classes=2, strength=strength)
        found.append(every.reliability[3:])
    return np.concatenate(found)


def test_few_reviews_make_nobody_a_genius_or_a_fool() -> None:
    shrunk, raw = newcomers(4.0), newcomers(0.0)
    assert np.mean((shrunk - 0.6) ** 2) < 0.5 * np.mean((raw - 0.6) ** 2)
    assert raw.max() > 0.99
    assert raw.min() < 0.1
    assert 0.2 < shrunk.min() < shrunk.max() < 0.9


def test_an_expert_who_says_the_same_to_everything_has_no_reliability() -> None:
    random = np.random.default_rng(4)
    _, (items, experts, verdicts) = simulate(random, [0.9, 0.9, 0.9, 0.5], items=300, per_item=4)
    found = estimate(items, experts, np.where(experts == 3, 1, verdicts), classes=2)
    assert found.reliability[3] < 0.1 < 0.6 < found.reliability[:3].min()


def test_confusing_neighbours_costs_less_than_confusing_the_ends() -> None:
    random = np.random.default_rng(6)
    truth = random.integers(0, 3, size=600)
    wrong = random.random((2, 600)) < 0.3
    near = np.where(wrong[0], np.where(truth == 1, random.choice([0, 2], size=600), 1), truth)
    far = np.where(wrong[1], np.where(truth == 1, random.choice([0, 2], size=600), 2 - truth), truth)
    sure = [np.where(random.random(600) < 0.97, truth, random.integers(0, 3, size=600)) for _ in range(3)]
    said = np.stack([near, far, *sure])
    items, experts = np.tile(np.arange(600), 5), np.repeat(np.arange(5), 600)
    found = estimate(items, experts, said.reshape(-1))
    assert found.reliability[0] > found.reliability[1] + 0.1


def test_a_verdict_that_nobody_shares_says_nothing_about_its_expert() -> None:
    items, experts = np.arange(50), np.repeat([0, 1], 25)
    found = estimate(items, experts, np.arange(50) % 2 * 2)
    assert list(found.shared) == [0, 0]
    assert found.reliability == pytest.approx([found.typical] * 2)
    assert 0.6 < found.typical < 0.9


def test_verdicts_are_all_that_is_needed() -> None:
    nothing = np.zeros(0, dtype=np.int64)
    found: Reliability = estimate(nothing, nothing, nothing)
    assert (found.reliability.shape, found.posterior.shape) == ((0,), (0, 3))
    assert 0.6 < found.typical < 0.9


def test_renaming_items_and_experts_changes_nothing() -> None:
    random = np.random.default_rng(9)
    _, (items, experts, verdicts) = simulate(random, [0.9, 0.7, 0.6], items=80, per_item=2, classes=3)
    first = estimate(items, experts, verdicts)
    order, renamed = random.permutation(len(items)), np.array([2, 0, 1])
    second = estimate((79 - items)[order], renamed[experts][order], verdicts[order])
    assert second.reliability[renamed] == pytest.approx(first.reliability, abs=1e-6)
    assert second.posterior[::-1] == pytest.approx(first.posterior, abs=1e-6)


@pytest.mark.parametrize(
    ("approving", "others", "open_"),
    [(1, 0, False), (0, 1, False), (2, 0, False), (1, 1, True), (2, 1, False), (1, 2, False), (2, 2, True), (3, 2, False), (0, 2, False), (0, 0, False)],
)
def test_experts_disagree_while_no_more_than_half_decide_alike(approving: int, others: int, open_: bool) -> None:
    assert disagree(approving, others) is open_
