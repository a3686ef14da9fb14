"""Agreement of raters as a number: against the reference implementation, published examples, and simulations with a known truth.

Belongs here: alpha and kappa. Not here: which ratings are compared (defs/test_quality.py), who is right (test_reliability.py).
"""

from __future__ import annotations

import warnings

import krippendorff
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from learning_pipelines.examples.agreement import NO_PAIRS, ONE_VALUE, TOO_FEW, Level, alpha, alpha_of_counts, kappa

nan = np.nan
LEVELS = list(Level)
# K. Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), section D: four observers, twelve units, missing data.
PUBLISHED = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, nan, nan, nan],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, nan, 3],
    [nan, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, nan],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, nan],
]
shapes = st.tuples(st.integers(1, 5), st.integers(1, 12))
few_values = st.one_of(st.just(nan), st.integers(-2, 4).map(float))
any_values = st.one_of(st.just(nan), st.floats(-1e3, 1e3, allow_subnormal=False).map(lambda value: round(value, 4)))


def reference(ratings: object, level: Level) -> float | None:
    """What the reference library says; None where it refuses or divides by zero."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = krippendorff.alpha(reliability_data=ratings, level_of_measurement=str(level))
        except ValueError:
            return None
    return float(found) if np.isfinite(found) else None


@pytest.mark.parametrize(("level", "published"), [(Level.NOMINAL, 0.743), (Level.ORDINAL, 0.815), (Level.INTERVAL, 0.849)])
def test_alpha_of_the_published_example_is_the_published_one(level: Level, published: float) -> None:
    found = alpha(PUBLISHED, level)
    assert found.value is not None
    assert (round(found.value, 3), found.units, found.ratings) == (published, 11, 40)


def test_alpha_of_the_published_binary_example_is_the_published_one() -> None:
    """Section A of the same paper: two observers, ten units."""
    meg, owen = [0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]
    assert alpha([meg, owen], Level.NOMINAL).value == pytest.approx(0.095, abs=5e-4)


@pytest.mark.parametrize("level", LEVELS)
@settings(max_examples=150, deadline=None)
@given(ratings=arrays(np.float64, shapes, elements=few_values))
def test_alpha_equals_the_reference_on_few_values(level: Level, ratings: np.ndarray) -> None:
    assert alpha(ratings, level).value == pytest.approx(reference(ratings, level), abs=1e-9)


@pytest.mark.parametrize("level", LEVELS)
@settings(max_examples=150, deadline=None)
@given(ratings=arrays(np.float64, shapes, elements=any_values))
def test_alpha_equals_the_reference_on_any_numbers(level: Level, ratings: np.ndarray) -> None:
    assert alpha(ratings, level).value == pytest.approx(reference(ratings, level), abs=1e-9)


@pytest.mark.parametrize("level", LEVELS)
def test_alpha_equals_the_reference_far_from_zero(level: Level) -> None:
    ratings = 1e6 + np.random.default_rng(1).integers(0, 5, size=(4, 200)) * 0.25
    assert alpha(ratings, level).value == pytest.approx(reference(ratings, level), abs=1e-9)


@pytest.mark.parametrize("level", LEVELS)
def test_a_table_of_distinct_rows_stands_for_all_its_units(level: Level) -> None:
    rows = np.array([[2, 0, 0], [1, 1, 0], [0, 2, 1], [0, 0, 3], [1, 0, 0]])
    repeats = np.array([30, 8, 11, 25, 40])
    long = np.repeat(rows, repeats, axis=0)
    found = alpha_of_counts(rows, level, repeats=repeats, resamples=200, seed=1)
    assert found.value == pytest.approx(krippendorff.alpha(value_counts=long, level_of_measurement=str(level)), abs=1e-9)
    assert (found.units, found.ratings) == (74, 60 + 16 + 33 + 75)
    assert found == alpha_of_counts(long, level, resamples=200, seed=1)


def test_interval_counts_use_the_numbers_behind_the_columns() -> None:
    rows = np.array([[2, 0, 0], [1, 1, 0], [0, 1, 1], [0, 0, 2]])
    found = alpha_of_counts(rows, Level.INTERVAL, values=[0, 0.5, 10])
    assert found.value == pytest.approx(krippendorff.alpha(value_counts=rows, value_domain=[0, 0.5, 10], level_of_measurement="interval"), abs=1e-9)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    ("ratings", "reason"),
    [([[1, 2, nan], [nan, nan, 3]], NO_PAIRS), ([[nan, nan]], NO_PAIRS), (np.empty((2, 0)), NO_PAIRS), ([[0.1, 0.1], [0.1, 0.1]], ONE_VALUE),
     ([[3, 3, 1], [3, 3, nan]], ONE_VALUE)],
)  # fmt: skip
def test_where_alpha_is_undefined_it_is_said_and_not_guessed(level: Level, ratings: object, reason: str) -> None:
    found = alpha(ratings, level, resamples=100)
    assert (found.value, found.low, found.high, found.reason) == (None, None, None, reason)


def test_an_infinite_rating_is_refused() -> None:
    with pytest.raises(ValueError, match="infinite"):
        alpha([[1, np.inf], [1, 2]], Level.INTERVAL)


def test_no_interval_is_made_up_from_units_that_hardly_differ() -> None:
    found = alpha([[1, 1, 1, 1, 1, 2], [1, 1, 1, 1, 1, 2]], Level.NOMINAL, resamples=500)
    assert (found.value, found.low, found.reason) == (1.0, None, TOO_FEW)


def test_the_interval_is_the_same_every_time_and_holds_the_estimate() -> None:
    ratings = np.random.default_rng(3).integers(0, 3, size=(3, 80)).astype(float)
    ratings[1] = np.where(np.random.default_rng(4).random(80) < 0.7, ratings[0], ratings[1])
    first, second = (alpha(ratings, Level.ORDINAL, resamples=400, seed=7) for _ in range(2))
    assert first == second
    assert first.low is not None and first.high is not None and first.value is not None
    assert first.low < first.value < first.high
    assert first != alpha(ratings, Level.ORDINAL, resamples=400, seed=8)


@pytest.mark.parametrize("level", LEVELS)
def test_the_interval_covers_the_true_alpha_about_as_often_as_it_says(level: Level) -> None:
    """200 samples of 80 units from raters who are right 80 % of the time. 95 % nominal; below 90 % would be a defect (p < .002)."""
    random = np.random.default_rng(11)

    def sample(units: int) -> np.ndarray:
        truth = random.integers(0, 3, size=units)
        return np.array([np.where(random.random(units) < 0.8, truth, random.integers(0, 3, size=units)) for _ in range(3)], dtype=float)

    true = alpha(sample(400_000), level).value
    assert true is not None
    covered = 0
    for _ in range(200):
        found = alpha(sample(80), level, resamples=300)
        assert found.low is not None and found.high is not None
        covered += found.low <= true <= found.high
    assert covered >= 180


@settings(max_examples=100, deadline=None)
@given(table=arrays(np.int64, (3, 3), elements=st.integers(0, 30)))
def test_kappa_equals_scikit_learn(table: np.ndarray) -> None:
    from sklearn.metrics import cohen_kappa_score

    first, second = np.indices(table.shape).reshape(2, -1)
    found = kappa(table)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = cohen_kappa_score(np.repeat(first, table.reshape(-1)), np.repeat(second, table.reshape(-1)), labels=[0, 1, 2]) if table.any() else nan
    assert found.value == (pytest.approx(expected, abs=1e-9) if np.isfinite(expected) else None)
    assert found.units == table.sum()


def test_kappa_without_variation_is_undefined() -> None:
    assert kappa([[9, 0], [0, 0]], resamples=50).reason == ONE_VALUE
    assert kappa([[0, 0], [0, 0]], resamples=50).reason == NO_PAIRS
