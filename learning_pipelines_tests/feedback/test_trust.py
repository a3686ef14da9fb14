"""The rules of rater weights on small arrays: who is believed, who is not, and who must not be punished.

Belongs here: pure functions. Not here: rows (test_trust_refresh.py), drawn worlds (test_attacks.py).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from learning_pipelines.feedback.trust import Known, Trust, Votes, weigh
from learning_pipelines.storage.trust_weights import DISTRUSTED, NEWCOMER

HOUR = 3_600.0
Row = tuple[int, int, bool, float]


def votes(rows: list[Row], own: tuple[int, ...] = ()) -> Votes:
    rater, item, good, hours = zip(*rows, strict=True)
    return Votes(np.array(rater), np.array(item), np.array(good), HOUR * np.array(hours, dtype=float), np.isin(rater, own))


def judged(rows: list[Row], raters: int, items: int, **known: object) -> Trust:
    return weigh(votes(rows), replace(Known.nothing(raters, items), **known))  # type: ignore[arg-type]


def crowd(items: int, raters: int, seed: int = 1, per_item: int = 6, right: float = 0.95, share_good: float = 0.6) -> tuple[list[Row], np.ndarray]:
    """Honest votes of some raters on each item at times of their own, and the truth."""
    rng = np.random.default_rng(seed)
    truth = rng.random(items) < share_good
    rows = [
        (int(rater), item, bool(truth[item] == (rng.random() < right)), 24.0 * item + float(rng.exponential(24)))
        for item in range(items)
        for rater in rng.choice(raters, per_item, replace=False)
    ]
    return rows, truth


def test_one_thumb_of_a_newcomer_counts() -> None:
    assert judged([(0, 0, True, 1)], 1, 1).weight == pytest.approx([NEWCOMER], abs=1e-4)


def test_who_agrees_with_independent_others_gains_weight() -> None:
    rows, _ = crowd(100, 30)
    weight = judged(rows, 30, 100).weight
    assert weight.min() > NEWCOMER
    assert weight.mean() > 2 * NEWCOMER


def test_who_always_contradicts_the_crowd_loses_all_weight() -> None:
    rows, truth = crowd(100, 30)
    found = judged(rows + [(30, item, not truth[item], 24.0 * item) for item in range(0, 100, 4)], 31, 100)
    assert found.weight[30] == 0
    assert found.flags["against_crowd"].nonzero()[0].tolist() == [30]


def test_a_satisfied_user_who_only_rates_good_answers_is_not_punished() -> None:
    rows, truth = crowd(100, 30)
    found = judged(rows + [(30, int(item), True, 24.0 * item + 3) for item in np.flatnonzero(truth)[:30]], 31, 100)
    assert found.weight[30] > NEWCOMER
    assert not any(raised[30] for raised in found.flags.values())


def test_who_likes_whatever_comes_is_constant_and_says_nothing() -> None:
    rows, _ = crowd(100, 30)
    found = judged(rows + [(30, item, True, 24.0 * item + 3) for item in range(60)], 31, 100)
    assert found.weight[30] < DISTRUSTED
    assert found.flags["constant"].nonzero()[0].tolist() == [30]


def test_without_anybody_to_compare_with_everybody_stays_a_newcomer() -> None:
    rows = [(rater, rater, rater % 2 == 0, 10.0 * rater) for rater in range(50)]
    assert judged(rows, 50, 50).weight == pytest.approx([NEWCOMER] * 50, abs=1e-4)


def test_a_burst_lowers_a_newcomer_and_evidence_redeems() -> None:
    rows, truth = crowd(100, 30, right=0.98)
    unproven = [(30, 100 + item, True, 50 + 0.001 * item) for item in range(40)]
    catching_up = [(31, item, bool(truth[item]), 3000 + 0.001 * item) for item in range(60)]
    found = judged(rows + unproven + catching_up, 32, 140)
    assert set(found.flags["burst"].nonzero()[0]) == {30, 31}
    assert found.weight[30] < DISTRUSTED < NEWCOMER < found.weight[31]


def test_a_brigade_that_is_the_majority_where_it_strikes_is_found_out() -> None:
    rows, truth = crowd(100, 30)
    brigade = [(rater, item, not truth[item], 500 + 0.01 * rater) for rater in range(30, 42) for item in range(8)]
    found = judged(rows + brigade, 42, 100)
    assert found.weight[30:].max() < DISTRUSTED
    assert found.weight[:30].min() > NEWCOMER
    assert found.weight[:30].mean() > 2 * NEWCOMER
    assert found.flags["lockstep"].nonzero()[0].tolist() == list(range(30, 42))


def test_votes_elsewhere_do_not_excuse_a_brigade() -> None:
    rows, truth = crowd(100, 30)
    brigade = [(rater, item, (not truth[item]) if item < 6 else bool(truth[item]), 500 + 3 * item + 0.01 * rater) for rater in range(30, 40)
               for item in [*range(6), *range(6 + (rater - 30) * 9, 15 + (rater - 30) * 9)]]  # fmt: skip
    found = judged(rows + brigade, 40, 100)
    assert found.weight[30:].max() < DISTRUSTED < found.weight[:30].min()


def test_a_team_that_rates_everything_together_and_honestly_keeps_its_weight() -> None:
    rows, truth = crowd(60, 20)
    team = [(rater, item, bool(truth[item]), 24.0 * item + 0.1 * rater) for rater in range(20, 25) for item in range(40)]
    found = judged(rows + team, 25, 60)
    assert found.linked[20:].min() >= 4  # they do vote in lockstep
    assert found.weight[20:].min() > 2 * NEWCOMER
    assert not found.flags["lockstep"].any()


def test_an_experts_verdict_outweighs_several_newcomers() -> None:
    rows = [(rater, item, False, 24.0 * item + 9 * rater) for rater in range(3) for item in range(6)]
    gold = np.ones(6)
    found = judged(rows, 3, 6, gold=gold)
    assert found.weight.max() < NEWCOMER / 2
    assert judged(rows, 3, 6, gold=1 - gold).weight.min() > NEWCOMER


def test_an_expert_begins_with_more_weight_than_a_newcomer() -> None:
    found = judged([(0, 0, True, 1), (1, 1, True, 50)], 2, 2, expert=np.array([True, False]))
    assert found.weight[0] > 0.85 > found.weight[1]


def test_votes_on_the_own_words_are_no_evidence() -> None:
    rows = [(0, item, True, item) for item in range(10)] + [(1, item, True, item + 30) for item in range(10)]
    found = weigh(votes(rows, own=(0,)), Known.nothing(2, 10))
    assert found.flags["self_votes"].tolist() == [True, False]
    assert found.weight[1] == pytest.approx(NEWCOMER, abs=1e-4)  # nobody else vouches
    assert found.weight[0] < found.weight[1]


def test_copied_texts_lower_the_weight_in_proportion() -> None:
    found = judged([(rater, rater, True, rater) for rater in range(3)], 3, 3, copied=np.array([0.0, 0.5, 1.0]))
    assert found.weight[0] > found.weight[1] > found.weight[2]
    assert found.flags["copied_texts"].tolist() == [False, True, True]


def test_no_vote_at_all_is_no_error() -> None:
    assert weigh(votes([(0, 0, True, 1)]), Known.nothing(4, 3)).weight == pytest.approx([NEWCOMER] * 4, abs=1e-4)


def test_weights_are_the_same_whatever_the_order_of_the_votes() -> None:
    rows, _ = crowd(60, 20, right=0.8)
    shuffled = [rows[position] for position in np.random.default_rng(3).permutation(len(rows))]
    assert judged(shuffled, 20, 60).weight == pytest.approx(judged(rows, 20, 60).weight)
