"""Units that did not fall as intended: found, at a stated error, at any time."""

from __future__ import annotations

import numpy as np
import pytest

from learning_pipelines.errors import BadInput
from learning_pipelines.experiments.sample_ratio import ALPHA, Counts, chi_square_p, sequential_p, shares

HALVES = {"control": 0.5, "treatment": 0.5}


def two(control: int, treatment: int) -> Counts:
    return Counts({"control": control, "treatment": treatment}, HALVES)


def test_looking_thirty_times_at_units_that_fall_as_intended_errs_less_than_stated() -> None:
    """1,500 experiments of three arms whose weights change once; without the sequential test, chi-square at each look errs several times as often."""
    draw = np.random.default_rng(1)
    first, second = (0.9, 0.09, 0.01), (0.4, 0.3, 0.3)
    growth = np.diff(np.round(np.geomspace(20, 20_000, 15)).astype(int), prepend=0)
    wrong, peeked = 0, 0
    for _ in range(600):
        epochs: list[Counts] = []
        smallest = naive = 1.0
        for intended in (first, second):
            named = dict(zip("cab", intended, strict=True))
            for counts in draw.multinomial(growth, intended).cumsum(axis=0):
                now = [*epochs, Counts(dict(zip("cab", counts.tolist(), strict=True)), named)]
                smallest = min(smallest, sequential_p(now))
                naive = min(naive, _pearson(counts, intended))
            epochs = now
        wrong += smallest < 0.05
        peeked += naive < 0.05

    assert wrong / 600 <= 0.05
    assert peeked / 600 > 0.2


def _pearson(counts: np.ndarray, intended: tuple[float, ...]) -> float:
    """p of chi-square with two degrees of freedom, without its rule for few units."""
    expected = counts.sum() * np.array(intended)
    return float(np.exp(-((counts - expected) ** 2 / expected).sum() / 2)) if expected.min() >= 5 else 1.0


@pytest.mark.parametrize(("control", "treatment"), [(80, 20), (5_300, 4_700), (502_500, 497_500)])
def test_what_is_lost_is_called_at_every_size(control: int, treatment: int) -> None:
    assert sequential_p([two(control, treatment)]) < ALPHA
    assert sequential_p([two(treatment, control)]) == pytest.approx(sequential_p([two(control, treatment)]), rel=1e-6)


def test_chance_is_not_called() -> None:
    for control, treatment in ((0, 0), (1, 0), (50, 50), (60, 40), (500_500, 499_500)):
        assert sequential_p([two(control, treatment)]) > ALPHA
        assert chi_square_p([two(control, treatment)]) > ALPHA


def test_each_epoch_is_held_against_its_own_shares() -> None:
    """1 % weeks and 50 % weeks: pooled counts fit neither."""
    epochs = [Counts({"control": 9_900, "treatment": 100}, {"control": 0.99, "treatment": 0.01}), two(5_000, 5_000)]

    assert sequential_p(epochs) > 0.1 and chi_square_p(epochs) > 0.9
    assert sequential_p([two(14_900, 5_100)]) < 1e-9


def test_a_broken_epoch_is_found_behind_sound_ones() -> None:
    assert sequential_p([two(50_000, 50_000), two(5_300, 4_700), two(50_000, 50_000)]) < ALPHA


def test_units_of_a_variant_without_a_share_are_a_mismatch() -> None:
    stranger = Counts({"control": 10, "treatment": 10, "removed": 1}, HALVES)

    assert sequential_p([stranger]) == 0.0 and chi_square_p([stranger]) == 0.0


def test_ranges_give_the_shares_whatever_part_of_the_space_they_cover() -> None:
    found = shares({"treatment": [(0.0, 0.01)], "control": [(0.5, 0.505), (0.7, 0.705)]})

    assert found == pytest.approx({"treatment": 0.01, "control": 0.01})
    assert sequential_p([Counts({"treatment": 500, "control": 510}, found)]) > 0.1


def test_the_evidence_is_the_mean_over_concentrations_of_what_drawn_shares_say_against_the_intended_ones() -> None:
    from scipy.stats import dirichlet_multinomial, multinomial

    epochs, wanted = [], 0.0
    for counts, intended in (([60, 25, 35], [0.5, 0.2, 0.3]), ([300, 0, 180], [0.6, 0.1, 0.3])):
        names = dict(zip("abc", intended, strict=True))
        epochs.append(Counts(dict(zip("abc", counts, strict=True)), {name: 4 * share for name, share in names.items()} | {"none": 0.0}))
        alphas = [np.array(intended) * concentration for concentration in (100, 1_000, 10_000, 100_000)]
        said = [dirichlet_multinomial.logpmf(counts, alpha, sum(counts)) - multinomial.logpmf(counts, sum(counts), intended) for alpha in alphas]
        wanted += float(np.log(np.mean(np.exp(said))))
        assert sequential_p(epochs[-1:]) == pytest.approx(min(1.0, np.exp(-float(np.log(np.mean(np.exp(said)))))), rel=1e-6)
    assert wanted > 1
    assert sequential_p(epochs) == pytest.approx(np.exp(-wanted), rel=1e-6)


def test_chi_square_sums_epochs_and_asks_for_five_expected_units() -> None:
    from scipy.stats import chi2, chisquare

    epochs = [two(560, 440), Counts({"a": 30, "b": 50, "c": 40}, {"a": 0.2, "b": 0.4, "c": 0.4, "none": 0.0})]
    statistic = chisquare([560, 440]).statistic + chisquare([30, 50, 40], [24, 48, 48]).statistic
    assert chi_square_p(epochs) == pytest.approx(chi2.sf(statistic, 3), rel=1e-9)
    assert chi_square_p([two(10, 0)]) == pytest.approx(chisquare([10, 0]).pvalue, rel=1e-9)
    assert chi_square_p([two(9, 0), two(560, 440)]) == pytest.approx(chisquare([560, 440]).pvalue, rel=1e-9)
    assert chi_square_p([Counts({"a": 3}, {"a": 0.5, "b": 0.5}), Counts({"a": 1, "removed": 1}, {"a": 1.0})]) == 0.0


def test_chi_square_is_scipys_and_silent_on_few_units() -> None:
    from scipy.stats import chisquare

    assert chi_square_p([two(560, 440)]) == pytest.approx(chisquare([560, 440]).pvalue, rel=1e-9)
    assert chi_square_p([two(9, 0)]) == 1.0


@pytest.mark.parametrize("counts", [Counts({"control": -1}, HALVES), Counts({"control": 1}, {}), Counts({}, {"control": -0.5, "treatment": 1.0})])
def test_counts_and_shares_that_are_none_are_refused(counts: Counts) -> None:
    with pytest.raises(BadInput):
        sequential_p([counts])
