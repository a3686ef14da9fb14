"""Paired comparison: which test, that test and interval agree, that the interval covers, and what is refused."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import binomtest, multinomial

from learning_pipelines.acceptance.paired import BOUNDED_MEAN, MCNEMAR, compare
from learning_pipelines.errors import BadInput


def test_scores_of_zero_and_one_are_compared_by_the_exact_mcnemar_test() -> None:
    incumbent = [0] * 24 + [1] * 4 + [1] * 100 + [0] * 72
    candidate = [1] * 24 + [0] * 4 + [1] * 100 + [0] * 72
    found = compare(incumbent, candidate, 0.0125)
    assert (found.method, found.n, found.wins, found.losses) == (MCNEMAR, 200, 24, 4)
    assert found.difference == pytest.approx(0.1)
    assert found.p_better == pytest.approx(binomtest(24, 28, alternative="greater").pvalue)
    assert found.p_worse == pytest.approx(binomtest(24, 28, alternative="less").pvalue)


def test_yes_and_no_are_scores_of_one_and_zero() -> None:
    assert compare([True, False, False], [True, True, False], 0.0125) == compare([1.0, 0.0, 0.0], [1.0, 1.0, 0.0], 0.0125)


def test_the_other_way_round_everything_is_mirrored() -> None:
    rng = np.random.default_rng(3)
    one, other = rng.integers(0, 5, 40) / 4, rng.random(40)
    there, back = compare(one, other, 0.01), compare(other, one, 0.01)
    assert there.method == BOUNDED_MEAN
    assert (there.p_better, there.low, there.wins) == pytest.approx((back.p_worse, -back.high, back.losses))


@pytest.mark.parametrize("graded", [False, True])
def test_the_interval_leaves_out_zero_exactly_where_the_test_rejects(graded: bool) -> None:
    rng = np.random.default_rng(5)
    sides = set()
    for n, gain in itertools.product((8, 20, 55), (0.0, 0.2, 0.35, 0.5)):
        incumbent = (rng.random(n) < 0.4).astype(float)
        candidate = (rng.random(n) < 0.4 + gain).astype(float) * (rng.choice([0.5, 1.0], n) if graded else 1.0)
        found = compare(incumbent, candidate, 0.0125)
        assert (found.low > 0) == (found.p_better < 0.0125)
        assert (found.high < 0) == (found.p_worse < 0.0125)
        sides.add(found.low > 0)
    assert sides == {False, True}


def test_the_interval_covers_at_its_level_whatever_is_true() -> None:
    """Exactly, not by simulation: every outcome of 12 pairs with its probability. Each side may miss 1.25 %."""
    n, alpha = 12, 0.0125
    outcomes = [(wins, losses) for wins in range(n + 1) for losses in range(n + 1 - wins)]
    bounds = []
    for wins, losses in outcomes:
        found = compare([0] * wins + [1] * (n - wins), [1] * wins + [0] * losses + [1] * (n - wins - losses), alpha)
        assert (found.wins, found.losses) == (wins, losses)
        bounds.append((found.low, found.high))
    low, high = np.array(bounds).T
    counts = [(wins, losses, n - wins - losses) for wins, losses in outcomes]
    for better, worse in [(0.0, 0.0), (0.02, 0.0), (0.1, 0.1), (0.3, 0.1), (0.5, 0.5), (0.6, 0.05), (0.12, 0.02), (0.9, 0.1), (1.0, 0.0)]:
        chances = multinomial.pmf(counts, n, [better, worse, max(0.0, 1 - better - worse)])
        assert chances[low > better - worse + 1e-9].sum() <= alpha
        assert chances[high < better - worse - 1e-9].sum() <= alpha


def test_without_items_nothing_is_known() -> None:
    found = compare([], [], 0.0125)
    assert (found.p_better, found.p_worse, found.low, found.high) == (1.0, 1.0, -1.0, 1.0)
    assert (found.n, found.incumbent_mean, found.candidate_mean, found.difference) == (0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize(("incumbent", "candidate"), [([0.0, 1.0, 0.0], [1.0, 0.5, 0.0]), ([1.0, 0.5, 0.0], [0.0, 1.0, 0.0])])
def test_scores_of_which_one_side_is_graded_are_compared_as_graded(incumbent: list[float], candidate: list[float]) -> None:
    assert compare(incumbent, candidate, 0.0125).method == BOUNDED_MEAN


def test_means_are_those_of_the_scores_and_a_level_of_a_half_is_the_highest() -> None:
    found = compare([0.0, 0.5], [1.0, 0.75], 0.5)
    assert (found.incumbent_mean, found.candidate_mean, found.difference) == (0.25, 0.875, 0.625)
    with pytest.raises(BadInput, match=r"level of 0\.6"):
        compare([0.0], [1.0], 0.6)


@pytest.mark.parametrize(
    ("incumbent", "candidate", "alpha", "said"),
    [
        ([0.5], [0.5, 1.0], 0.01, "2 scores and the incumbent 1"),
        ([0.5], [1.5], 0.01, "scores of the candidate"),
        ([float("nan")], [0.5], 0.01, "scores of the incumbent"),
        ([[0.5]], [[0.5]], 0.01, "scores of the incumbent"),
        ([0.5], [0.5], 0.0, "level of 0"),
    ],
)
def test_scores_that_cannot_be_compared_are_refused_by_name(incumbent: list[float], candidate: list[float], alpha: float, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        compare(incumbent, candidate, alpha)
