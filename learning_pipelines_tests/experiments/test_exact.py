"""The state of an exact comparison: kept up in portions, stored, mirrored, pooled, and silent where it has nothing to say.

Belongs here: the state and the comparison made of it. Not here: error rates (test_exact_error_rates.py), capital and intervals (test_betting.py).
"""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from learning_pipelines.experiments.exact import ExactState, block_size, compare
from learning_pipelines.experiments.metrics import METRICS

RATING, THUMBS = METRICS["rating"], METRICS["thumbs"]
SHARES = ((0.5, 0.5), (0.5, 0.25), (0.25, 0.5), (0.5, 0.01), (0.95, 0.05))


def drawn(seed: int, n: int = 1500, share: float = 0.5, effect: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Arms and five-star values of n events."""
    rng = np.random.default_rng(seed)
    arms = rng.random(n) < share
    return arms, rng.binomial(4, np.where(arms, 0.5 + effect, 0.5)) / 4


@pytest.mark.parametrize("shares", SHARES)
def test_values_in_portions_give_the_state_of_all_at_once_and_it_survives_json(shares: tuple[float, float]) -> None:
    arms, values = drawn(1, share=shares[1] / sum(shares))
    whole = ExactState.for_shares(*shares)
    made, capital = whole.add(arms, values)
    parts, cuts = ExactState.for_shares(*shares), sorted(np.random.default_rng(2).choice(1500, 400).tolist())
    for start, end in zip([0, *cuts], [*cuts, 1500], strict=True):
        parts.add(arms[start:end], values[start:end])
    assert parts == whole == ExactState.from_json(json.loads(json.dumps(whole.as_json())))
    assert len(made.last) == sum(whole.differences.values()) > 10
    assert whole.peaks == tuple(capital.max(axis=0, initial=0.0))
    assert compare([parts], RATING, "b", 0.05) == compare([whole], RATING, "b", 0.05)


@pytest.mark.parametrize("shares", SHARES)
def test_swapping_the_arms_mirrors_everything_to_the_last_digit(shares: tuple[float, float]) -> None:
    arms, values = drawn(3, share=shares[1] / sum(shares), effect=0.1)
    one, other = ExactState.for_shares(*shares), ExactState.for_shares(*reversed(shares))
    one.add(arms, values)
    other.add(~arms, values)
    a, b = (compare([state], RATING, "b", 0.05) for state in (one, other))
    assert (a.low, a.high, a.p, a.difference) == (-b.high, -b.low, b.p, -b.difference if b.difference else None)
    assert (a.n_control, a.mean_treatment, a.conclusive) == (b.n_treatment, b.mean_control, b.conclusive)


def test_differences_are_those_of_blocks_and_of_blocks_of_what_was_alike() -> None:
    """Blocks of two: a b, then a a and b b wait for each other, then one b waits."""
    state = ExactState()
    made, _ = state.add([False, True, False, False, True, True, True], [0.25, 1.0, 0.5, 0.75, 0.0, 0.25, 1.0])
    assert (made.level.tolist(), made.treated.tolist(), made.numerator.tolist(), made.last.tolist()) == ([0, 1], [1, 1], [3, -4], [1, 5])
    values, weights, counts = state.scaled()
    assert (values.tolist(), weights.tolist(), counts.tolist()) == ([0.75, -0.5], [1.0, 2.0], [1, 1])
    assert state.waiting == [[(True, 4)], []] and json.dumps(state.as_json()["waiting"]) == "[[[1, 4]], []]"
    assert (state.control.n, state.control.total, state.control.squares) == (3, 6, 14)
    assert (state.treatment.n, state.treatment.total, state.treatment.squares) == (4, 9, 33)
    third = ExactState(3, 1)
    made, _ = third.add([True, False, False, True, True, False], [1, 0, 1, 1, 0, 0])
    assert (made.treated.tolist(), made.numerator.tolist(), made.last.tolist()) == ([1, 2], [1, 1], [2, 5])
    assert [column.tolist() for column in third.scaled()] == [[0.5, 0.5], [4 / 3, 4 / 3], [1, 1]]


def test_a_state_without_differences_is_empty_columns_of_their_kinds() -> None:
    state = ExactState.for_shares(0.1, 0.9, 8)
    assert (state, state.block) == (ExactState(20, 8), 20)
    _, capital = state.add([], [])
    assert capital.shape == (0, 2)
    assert [(column.shape, column.dtype) for column in state.scaled()] == [((0,), np.float64), ((0,), np.float64), ((0,), np.int64)]


def test_blocks_are_of_two_where_the_shares_are_nearly_alike() -> None:
    shares = ((0.56, 0.44), (0.44, 0.56), (0.57, 0.43), (0.43, 0.57), (0.9, 0.1))
    assert [block_size(*pair) for pair in shares] == [2, 2, 8, 8, 20]


def test_values_of_one_arm_wait_until_sixty_four_of_them_stand_in_a_row() -> None:
    state = ExactState()
    state.add([True] * 64 + [False] * 64, [1.0] * 64 + [0.0] * 64)
    assert state.differences == {} and [len(level) for level in state.waiting] == [0, 0, 0, 0, 0, 0]
    state = ExactState()
    state.add([True] * 32 + [False] * 32, [1.0] * 32 + [0.0] * 32)
    assert dict(state.differences) == {(5, 1, 128): 1}


def test_arms_and_values_of_different_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="1 arms for 2 values"):
        ExactState().add([True], [1.0, 0.0])


def test_a_peak_counts_in_the_epoch_that_had_it_and_not_beside_another() -> None:
    one, other = ExactState(), ExactState()
    one.add(*drawn(7, 400, effect=0.2))
    other.add(*drawn(8, 400))
    kept = one.peaks
    assert kept[0] > 0
    one.peaks = (50.0, kept[1])
    assert compare([one], RATING, "b", 0.05).p == pytest.approx(2 * math.exp(-50))
    assert compare([one, ExactState()], RATING, "b", 0.05).p == compare([one], RATING, "b", 0.05).p
    assert compare([one, other], RATING, "b", 0.05).p > 1e-9


def test_a_comparison_names_what_was_compared_and_weights_epochs_by_both_arms() -> None:
    states = []
    for seed, (n, share) in enumerate(((300, 0.5), (500, 0.2))):
        state = ExactState.for_shares(1 - share, share)
        state.add(*drawn(seed, n, share))
        states.append(state)
    given = [drawn(seed, n, share) for seed, (n, share) in enumerate(((300, 0.5), (500, 0.2)))]
    found = compare(states, RATING, "b", 0.02)
    treated, values = (np.concatenate(columns) for columns in zip(*given, strict=True))
    assert (found.metric, found.variant, found.alpha, found.exact, found.ready) == ("rating", "b", 0.02, True, True)
    assert (found.n_control, found.n_treatment) == (int((~treated).sum()), int(treated.sum()))
    assert (found.mean_control, found.mean_treatment) == pytest.approx((1 + 4 * values[~treated].mean(), 1 + 4 * values[treated].mean()))
    sizes = [arms.sum() * (~arms).sum() / len(arms) for arms, _ in given]
    apart = [4 * (worth[arms].mean() - worth[~arms].mean()) for arms, worth in given]
    assert found.difference == pytest.approx(np.average(apart, weights=sizes))


def test_without_a_value_in_both_arms_nothing_is_said() -> None:
    for arms in ([], [True] * 40, [False] * 40):
        state = ExactState()
        state.add(arms, [1.0] * len(arms))
        found = compare([state], THUMBS, "b", 0.05)
        assert (found.ready, found.conclusive, found.p, found.low, found.high, found.difference) == (False, False, 1.0, -math.inf, math.inf, None)
    assert not compare([], THUMBS, "b", 0.05).ready


def test_values_that_never_differ_are_no_evidence_of_a_difference_but_narrow_it_down() -> None:
    state = ExactState()
    state.add([True, False] * 2000, [1.0] * 4000)
    found = compare([state], THUMBS, "b", 0.05)
    assert (found.p, found.difference, found.conclusive) == (1.0, 0.0, False)
    assert -0.01 < found.low < 0 < found.high < 0.01


def test_epochs_are_stratified() -> None:
    """The treatment is worse in both epochs, and looks better when they are thrown together: it got most of the good one."""
    rng = np.random.default_rng(4)
    states = [ExactState.for_shares(0.9, 0.1), ExactState.for_shares(0.1, 0.9)]
    for state, share, rate in zip(states, (0.1, 0.9), (0.2, 0.8), strict=True):
        arms = rng.random(6000) < share
        state.add(arms, (rng.random(6000) < np.where(arms, rate - 0.1, rate)).astype(float))
    found = compare(states, THUMBS, "b", 0.05)
    assert found.mean_treatment is not None and found.mean_control is not None and found.difference is not None
    assert found.mean_treatment > found.mean_control + 0.3
    assert found.low < found.difference < found.high < 0
    assert found.difference == pytest.approx(-0.1, abs=0.03)
    assert compare(list(reversed(states)), THUMBS, "b", 0.05).low == found.low


def test_results_are_in_the_unit_of_the_metric() -> None:
    state = ExactState()
    state.add(*drawn(5, 4000, effect=0.2))
    stars, share = compare([state], RATING, "b", 0.05), compare([state], THUMBS, "b", 0.05)
    assert stars.low == 4 * share.low
    assert stars.mean_control == pytest.approx(3.0, abs=0.1)
    assert stars.difference is not None and stars.mean_treatment is not None and stars.mean_control is not None
    assert stars.difference == pytest.approx(stars.mean_treatment - stars.mean_control, abs=1e-12)


@pytest.mark.parametrize("value", [1.25, -0.25, 0.3, math.nan, math.inf])
def test_a_value_off_the_scale_is_refused_and_nothing_of_its_portion_kept(value: float) -> None:
    state = ExactState()
    with pytest.raises(ValueError, match="multiples of 1/4"):
        state.add([True, False], [1.0, value])
    assert state == ExactState()


def test_blocks_do_not_depend_on_which_arm_is_the_rarer_one() -> None:
    assert [block_size(*shares) for shares in SHARES] == [block_size(*reversed(shares)) for shares in SHARES] == [2, 9, 9, 92, 38]


def test_what_was_refuted_once_stays_refuted_though_the_effect_ends() -> None:
    """The verdict does not depend on whether somebody looked in between."""
    rng, state = np.random.default_rng(6), ExactState()
    for effect in (0.2, -0.02):
        arms = rng.random(700 if effect > 0 else 8000) < 0.5
        state.add(arms, (rng.random(len(arms)) < np.where(arms, 0.5 + effect, 0.5)).astype(float))
    found = compare([state], THUMBS, "b", 0.05)
    assert found.conclusive
    assert found.p < 0.05
    assert 0 < found.low < 1e-9
    arms = np.tile([True, False], 3000)
    state.add(arms, ~arms)
    assert compare([state], THUMBS, "b", 0.05).high < 0, "an effect that turns round is told as it is so far"
