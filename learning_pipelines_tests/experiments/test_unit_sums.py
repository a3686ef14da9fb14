"""Sums over units: replaced, added, stored, refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

from learning_pipelines.errors import BadInput
from learning_pipelines.experiments.asymptotic import unit_variance
from learning_pipelines.experiments.unit_sums import UnitSums


def test_replacing_totals_gives_the_sums_of_the_units_as_they_are_now() -> None:
    draw = np.random.default_rng(1)
    before, after = draw.lognormal(5, 1, (40, 4)), draw.lognormal(6, 1, (50, 4))

    replaced = UnitSums.of(before).replace(before, after)

    assert replaced.n == 50
    assert np.allclose(list(replaced.as_json().values()), list(UnitSums.of(after).as_json().values()), rtol=1e-12)


def test_a_hundred_thousand_replacements_leave_the_variance_right_to_nine_digits() -> None:
    draw = np.random.default_rng(2)
    rows, sums = np.zeros((200, 2)), UnitSums()
    for _ in range(500):
        old, rows = rows, rows + np.column_stack([draw.lognormal(7, 1, 200), np.ones(200)])
        sums = sums.replace(old, rows)

    assert unit_variance(sums) == pytest.approx(unit_variance(UnitSums.of(rows)), rel=1e-9)


def test_a_unit_without_a_denominator_is_not_counted_until_it_has_one() -> None:
    waiting = UnitSums.of([(0.0, 0.0, 3.0, 1.0), (2.0, 1.0, 0.0, 0.0)])

    assert (waiting.n, waiting.c) == (1, 0.0)
    assert waiting.replace([(0.0, 0.0, 3.0, 1.0)], [(5.0, 1.0, 3.0, 1.0)]).n == 2


def test_states_survive_json_and_an_unknown_one_is_empty() -> None:
    sums = UnitSums.of([(1.5, 2.0, 0.25, 3.0)])

    assert UnitSums.from_json(json.loads(json.dumps(sums.as_json()))) == sums
    assert UnitSums.from_json({}) == UnitSums()


@pytest.mark.parametrize("rows", [[(float("nan"), 1.0)], [(1.0, float("inf"))], [(1.0, -1.0)]])
def test_unusable_totals_are_refused(rows: list[tuple[float, float]]) -> None:
    with pytest.raises(BadInput):
        UnitSums.of(rows)


def test_totals_of_a_plain_mean_are_the_sums_of_its_values() -> None:
    """Also where they are rounded: ten times 0.1 has the sum 1 and the sum of squares 0.1."""
    assert UnitSums.of_totals(4, 7.0, 21.0) == UnitSums.of_values([0.0, 1.0, 2.0, 4.0])
    assert UnitSums.of_totals(0, 0.0, 0.0) == UnitSums()
    assert UnitSums.of_totals(10, 1.0, 0.1).xx == 0.1


@pytest.mark.parametrize(("n", "total", "squares"), [(10, 5.0, 2.0), (0, 0.0, 1.0), (-1, 0.0, 0.0)])
def test_totals_that_no_values_have_are_refused(n: int, total: float, squares: float) -> None:
    with pytest.raises(BadInput):
        UnitSums.of_totals(n, total, squares)
