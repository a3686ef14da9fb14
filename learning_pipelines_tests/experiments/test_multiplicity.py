"""Several treatments share one error rate."""

from __future__ import annotations

import pytest

from learning_pipelines.errors import BadInput
from learning_pipelines.experiments.asymptotic import TUNED_UNITS, squared_bound
from learning_pipelines.experiments.multiplicity import each


def test_the_levels_of_all_treatments_are_the_experiments() -> None:
    assert each(0.05, 1) == 0.05
    assert 4 * each(0.05, 4) == pytest.approx(0.05)


def test_three_treatments_need_about_a_quarter_more_units_than_one() -> None:
    size = TUNED_UNITS / 2

    assert squared_bound(size, each(0.05, 3)) / squared_bound(size, 0.05) == pytest.approx(1.26, abs=0.03)


@pytest.mark.parametrize(("alpha", "treatments"), [(0.0, 1), (1.0, 1), (0.05, 0)])
def test_levels_that_are_none_are_refused(alpha: float, treatments: int) -> None:
    with pytest.raises(BadInput):
        each(alpha, treatments)
