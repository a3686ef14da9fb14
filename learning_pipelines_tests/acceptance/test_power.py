"""Sizes that the gate needs: against drawn items, at the stated figures, and at the level a later test really has."""

from __future__ import annotations

import numpy as np
import pytest

from learning_pipelines.acceptance.alpha import spent
from learning_pipelines.acceptance.power import plan, power, size
from learning_pipelines.errors import BadInput
from learning_pipelines_tests.acceptance.simulated import promotes


def test_the_default_plan_needs_54_items_at_the_first_test_and_more_at_later_ones() -> None:
    sizes = [size(0.30, spent(k), min_effect=0.02) for k in (1, 2, 5, 10)]
    assert sizes == [54, 67, 86, 102]


@pytest.mark.parametrize(("effect", "discordant", "k"), [(0.30, 0.5, 1), (0.10, 0.14, 1), (0.10, 0.46, 3), (0.05, 0.2, 1)])
def test_the_size_is_the_smallest_that_has_the_power(effect: float, discordant: float, k: int) -> None:
    n = size(effect, spent(k), discordant=discordant, min_effect=0.02)
    reached = [power(each, effect, spent(k), discordant=discordant, min_effect=0.02) for each in range(n - 1, n + 30)]
    assert reached[0] < 0.8
    assert min(reached[1:]) > 0.79  # counts are whole numbers: a hair below is possible, no more


@pytest.mark.parametrize(("n", "effect", "discordant"), [(20, 0.4, 0.5), (54, 0.3, 0.5), (200, 0.1, 0.14), (600, 0.1, 0.46), (1000, 0.03, 0.05)])
def test_power_is_the_share_of_drawn_tests_that_promote(n: int, effect: float, discordant: float) -> None:
    rng, draws = np.random.default_rng(n), 40_000
    wins, losses, _ = rng.multinomial(n, [(discordant + effect) / 2, (discordant - effect) / 2, 1 - discordant], draws).T
    share = promotes(wins, losses, n, spent(1)).mean()
    assert power(n, effect, spent(1), discordant=discordant, min_effect=0.02) == pytest.approx(share, abs=4 * 0.5 / np.sqrt(draws))


def test_a_plan_says_how_many_approved_examples_are_missing() -> None:
    short = plan(30, 1, effect=0.30, min_effect=0.02, test_share=0.3)
    assert (short.needed, short.missing_items, short.missing_examples, short.enough) == (54, 24, 80, False)
    assert 0.4 < short.power < 0.8
    there = plan(54, 1, effect=0.30, min_effect=0.02, test_share=0.3)
    assert (there.missing_items, there.missing_examples, there.enough) == (0, 0, True)
    assert there.power >= 0.8


def test_a_plan_says_what_it_was_made_for() -> None:
    found = plan(30, 2, effect=0.25, min_effect=0.01, test_share=0.5)
    assert (found.items, found.k, found.alpha, found.effect) == (30, 2, spent(2), 0.25)
    assert found.power == power(30, 0.25, spent(2), min_effect=0.01)
    assert found.needed == size(0.25, spent(2), min_effect=0.01) and isinstance(found.needed, int)
    assert found.missing_examples == 2 * found.missing_items


def test_one_item_is_enough_where_a_level_of_a_half_may_be_spent_and_everything_gains() -> None:
    assert power(1, 1.0, 0.5) == 1.0 and size(1.0, 0.5) == 1
    assert power(2, 1.0, 0.25) == 1.0 and size(1.0, 0.25) == 2


def test_a_minimum_effect_near_the_planned_one_takes_more_items() -> None:
    """Without it 67 items are enough, and 40 have a little more power."""
    found = plan(40, 2, effect=0.30, min_effect=0.25, test_share=0.3)
    assert (found.needed, size(0.30, spent(2))) == (96, 67)
    assert found.power == power(40, 0.30, spent(2), min_effect=0.25) < power(40, 0.30, spent(2)) == power(40, 0.30, spent(2), min_effect=0.0)


def test_a_target_that_is_just_reached_is_reached() -> None:
    assert size(1.0, 0.5, target=1.0) == 1


def test_without_items_there_is_no_power() -> None:
    assert plan(0, 1, effect=0.30, min_effect=0.02, test_share=0.3).power == 0


def test_a_gain_that_fewer_pairs_cannot_make_lets_more_of_them_differ() -> None:
    assert size(0.8, spent(1), discordant=0.5) == size(0.8, spent(1), discordant=0.8)


def test_a_planned_gain_that_is_not_above_the_minimum_is_refused_and_names_both_settings() -> None:
    with pytest.raises(BadInput, match="LEARNING_PLANNED_EFFECT above LEARNING_MIN_EFFECT"):
        plan(100, 1, effect=0.02, min_effect=0.02, test_share=0.3)
