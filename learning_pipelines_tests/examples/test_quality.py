"""From opinions to a score: what it never does (fall when more speaks for an example), and how good it is as a probability.

Belongs here: pooling, calibration, both together, on made-up and on real judgements. Not here: stored scores (defs/test_quality.py).
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learning_pipelines.examples import plots
from learning_pipelines.examples.agreement import Level, alpha
from learning_pipelines.examples.calibration import MIN_VERDICTS, Calibration, fit, judge, out_of_fold
from learning_pipelines.examples.quality import Opinions, held_out, score
from learning_pipelines_tests.examples.judgements import DATA, approvals, levels, second_given_first

nan = math.nan
BENT = Calibration("isotonic", ((0.0, 0.0), (0.2, 0.1), (0.4, 0.1), (0.6, 0.7), (1.0, 1.0)), 100)
calibrations = st.sampled_from([Calibration(), BENT])
shares = st.floats(0, 1).map(lambda value: round(value, 6))
weights = st.floats(0, 20).map(lambda value: round(value, 6))
SLACK = 1e-8  # evidence is rounded to nine digits


def one(imported: float | None = None, up: float = 0.0, down: float = 0.0, experts: list[tuple[float, float]] | None = None) -> Opinions:
    """One example: the sums of weights for and against it, its experts as (score, reliability)."""
    given = experts or []
    return Opinions(
        np.array([nan if imported is None else imported]), np.array([up]), np.array([down]), np.array([int(up > 0) + int(down > 0)]),
        np.zeros(len(given), dtype=np.int64), np.array([value for value, _ in given]), np.array([weight for _, weight in given]),
        np.array([value > 0.5 for value, _ in given], dtype=np.bool_),
    )  # fmt: skip


def value(opinions: Opinions, calibration: Calibration | None = None) -> float:
    return float(score(opinions, calibration or Calibration()).score[0])


@st.composite
def examples(draw: st.DrawFn) -> dict[str, Any]:
    """Arguments of `one` with at least one expert."""
    experts = draw(st.lists(st.tuples(shares, st.floats(0.05, 2).map(lambda weight: round(weight, 6))), min_size=1, max_size=5))
    return {"imported": draw(st.one_of(st.none(), shares)), "up": draw(weights), "down": draw(weights), "experts": experts}


@settings(max_examples=300, deadline=None)
@given(example=examples(), calibration=calibrations, place=st.integers(0, 4), better=shares)
def test_it_does_not_fall_when_an_expert_scores_higher(example: dict[str, Any], calibration: Calibration, place: int, better: float) -> None:
    """Although a higher score of one expert may mean less agreement."""
    experts = list(example["experts"])
    place %= len(experts)
    experts[place] = (max(experts[place][0], better), experts[place][1])
    assert value(one(**{**example, "experts": experts}), calibration) >= value(one(**example), calibration) - SLACK


@settings(max_examples=300, deadline=None)
@given(example=examples(), calibration=calibrations, more=weights)
def test_it_does_not_fall_when_a_supporting_rater_weighs_more(example: dict[str, Any], calibration: Calibration, more: float) -> None:
    assert value(one(**{**example, "up": example["up"] + more}), calibration) >= value(one(**example), calibration) - SLACK


@settings(max_examples=300, deadline=None)
@given(example=examples(), calibration=calibrations, more=weights)
def test_it_does_not_rise_when_a_contradicting_rater_weighs_more(example: dict[str, Any], calibration: Calibration, more: float) -> None:
    assert value(one(**{**example, "down": example["down"] + more}), calibration) <= value(one(**example), calibration) + SLACK


@settings(max_examples=300, deadline=None)
@given(example=examples(), calibration=calibrations, first=shares, second=shares, weight=st.floats(0.05, 2), closer=st.floats(0, 1))
def test_it_does_not_fall_when_experts_agree_more(
    example: dict[str, Any], calibration: Calibration, first: float, second: float, weight: float, closer: float
) -> None:
    """Two equally reliable experts move towards each other; their mean stays."""
    middle = (first + second) / 2
    apart = [*example["experts"], (first, weight), (second, weight)]
    nearer = [*example["experts"], (first + (middle - first) * closer, weight), (second + (middle - second) * closer, weight)]
    before, after = (score(one(**{**example, "experts": experts}), calibration) for experts in (apart, nearer))
    assert after.agreement[0] >= before.agreement[0] - SLACK
    assert after.score[0] >= before.score[0] - SLACK


@settings(max_examples=200, deadline=None)
@given(example=examples(), calibration=calibrations)
def test_it_lies_between_nought_and_one(example: dict[str, Any], calibration: Calibration) -> None:
    found = score(one(**example), calibration)
    assert 0 <= found.score[0] <= 1
    assert 0 <= found.agreement[0] <= 1 or np.isnan(found.agreement[0])


@settings(max_examples=100, deadline=None)
@given(many=st.lists(examples(), min_size=1, max_size=6), calibration=calibrations)
def test_an_example_scores_the_same_alone_and_among_others(many: list[dict[str, Any]], calibration: Calibration) -> None:
    parts = [one(**example) for example in many]
    sizes = [len(part.example) for part in parts]
    joined = Opinions(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in ("imported", "supporting", "contradicting", "raters")),
        np.repeat(np.arange(len(parts)), sizes), *(np.concatenate([getattr(part, name) for part in parts]) for name in ("score", "reliability", "approved")),
    )  # fmt: skip
    together = score(joined, calibration).score
    assert together == pytest.approx([value(part, calibration) for part in parts], abs=SLACK)


def test_each_kind_of_opinion_moves_it_strictly() -> None:
    assert value(one(up=0.3, experts=[(0.4, 0.7)])) < value(one(up=0.3, experts=[(0.5, 0.7)]))
    assert value(one(up=0.3)) < value(one(up=0.6))
    assert value(one(up=1, down=0.6)) < value(one(up=1, down=0.3))
    assert value(one(experts=[(0.2, 0.7), (0.8, 0.7)])) < value(one(experts=[(0.5, 0.7), (0.5, 0.7)]))
    assert value(one(imported=0.2)) < value(one(imported=0.8))


def test_nobody_saying_anything_is_no_score() -> None:
    found = score(one(), Calibration())
    assert np.isnan([found.evidence[0], found.score[0], found.agreement[0], found.expert_score[0]]).all()


def test_a_rater_without_weight_says_nothing() -> None:
    assert np.isnan(value(one(up=0.0, experts=[(1.0, 0.0)])))


def test_a_reliable_expert_outweighs_a_crowd() -> None:
    assert value(one(up=1_000.0, experts=[(0.0, 0.9), (0.0, 0.9)])) < 0.5


def test_an_unreliable_expert_counts_less() -> None:
    assert 0.5 > value(one(experts=[(0.0, 0.1)])) > value(one(experts=[(0.0, 0.9)]))


def test_what_an_importer_says_is_evidence_among_other() -> None:
    assert 0.5 < value(one(imported=0.9)) < 0.9
    assert value(one(imported=0.9, experts=[(0.0, 0.9)])) < 0.4


def test_the_held_out_verdict_is_not_in_its_own_evidence() -> None:
    opinions = one(up=0.5, experts=[(1.0, 0.9), (0.0, 0.6)])
    first, second = held_out(opinions)
    assert first == pytest.approx(float(score(one(up=0.5, experts=[(0.0, 0.6)]), Calibration()).evidence[0]))
    assert second == pytest.approx(float(score(one(up=0.5, experts=[(1.0, 0.9)]), Calibration()).evidence[0]))
    assert np.isnan(held_out(one(experts=[(1.0, 0.9)]))).all()


def simulated(random: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Evidence, and verdicts that approve with probability evidence² (experts stricter than users)."""
    evidence = random.random(count).round(3)
    return evidence, random.random(count) < evidence**2


def test_the_calibration_finds_how_strict_experts_are() -> None:
    """4,000 verdicts; the map is off by .05 at most on average, where the prior mapping is off by .17."""
    found = fit(*simulated(np.random.default_rng(1), 4_000), np.arange(4_000))
    grid = np.linspace(0.05, 0.95, 19)
    assert found.method == "isotonic"
    assert np.abs(found(grid) - grid**2).mean() < 0.05 < np.abs(grid - grid**2).mean()
    assert found.numbers["brier"] < found.numbers["brier_prior"]
    assert found.numbers["ece"] < 0.05


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(1, 300), levels=st.integers(1, 40))
def test_every_calibration_is_non_decreasing_from_nought_to_one(seed: int, count: int, levels: int) -> None:
    random = np.random.default_rng(seed)
    found = fit(random.integers(0, levels + 1, size=count) / levels, random.random(count) < 0.5, np.arange(count))
    mapped = found(np.linspace(0, 1, 501))
    assert (np.diff(mapped) >= 0).all()
    assert 0 <= mapped.min() <= mapped.max() <= 1
    assert (np.diff([x for x, _ in found.knots]) > 0).all()


def test_few_verdicts_leave_the_prior_mapping_and_say_why() -> None:
    evidence, approved = simulated(np.random.default_rng(2), MIN_VERDICTS - 1)
    found = fit(evidence, approved, np.arange(len(evidence)))
    assert (found.method, found.knots) == ("prior", Calibration().knots)
    assert f"needs {MIN_VERDICTS}" in found.numbers["reason"]
    assert found.numbers["brier"] == pytest.approx(np.mean((evidence - approved) ** 2))
    assert fit(np.zeros(0), np.zeros(0, dtype=bool), np.zeros(0, dtype=np.int64)).numbers == {"reason": "no verdicts yet"}


def test_one_sided_verdicts_leave_the_prior_mapping() -> None:
    found = fit(np.random.default_rng(3).random(500), np.ones(500, dtype=bool), np.arange(500))
    assert found.method == "prior"
    assert found.numbers["auc"] is None


def test_a_map_that_does_not_help_on_held_out_verdicts_is_not_used() -> None:
    """Verdicts that follow the prior mapping exactly: nothing can be learnt, and in 20 simulations nothing makes it worse."""
    for seed in range(20):
        random = np.random.default_rng(seed)
        evidence = random.random(120)
        approved = random.random(120) < evidence
        found = fit(evidence, approved, np.arange(120))
        assert found.numbers["brier"] <= found.numbers.get("brier_prior", found.numbers["brier"])


def test_verdicts_of_one_example_are_in_one_fold() -> None:
    """300 verdicts on 30 examples whose evidence identifies them: a fold that saw an example would know its verdict."""
    random = np.random.default_rng(5)
    examples_ = np.repeat(np.arange(30), 10)
    evidence = (random.permutation(30) / 30)[examples_]
    approved = (random.random(30) < 0.5)[examples_].astype(float)
    assert judge(out_of_fold(evidence, approved, examples_), approved)["auc"] < 0.7


def test_judging_scores_equals_scikit_learn() -> None:
    from sklearn.metrics import brier_score_loss, roc_auc_score

    random = np.random.default_rng(6)
    scores, outcomes = random.random(200).round(1), (random.random(200) < 0.4).astype(float)
    found = judge(scores, outcomes)
    assert found["auc"] == pytest.approx(roc_auc_score(outcomes, scores))
    assert found["brier"] == pytest.approx(brier_score_loss(outcomes, scores))
    assert sum(count for _, _, count in found["bins"]) == 200


def test_plots_are_small_well_formed_and_hold_no_words_but_their_own() -> None:
    from xml.etree import ElementTree

    drawn = [plots.histogram([3, 0, 9] * 7), plots.histogram([]), plots.reliability([[0.1, 0.2, 5], [0.9, 0.8, 50]]), plots.reliability([])]
    drawn += [plots.lines({"experts": [0.1, None, 0.9]}, ["2026-W01", "2026-W02", "2026-W03"], -1, 1), plots.lines({}, [])]
    for svg in drawn:
        assert ElementTree.fromstring(svg).tag.endswith("svg")
        assert len(plots.markdown(svg, "t")) < 50_000
    assert len(ElementTree.fromstring(drawn[0]).findall(".//{*}g/{*}rect")) == 21


needs_data = pytest.mark.skipif(
    not DATA.is_dir(), reason=f"FeedbackQA is not at {DATA}: set LEARNING_TEST_DATA to the folder that holds feedbackqa_dev to run these tests"
)


@needs_data
def test_agreement_of_the_real_raters_is_the_reference_librarys() -> None:
    """945 answers, two raters, four levels. It is moderate: alpha .56 ordinal, .31 nominal, .44 for approving or not."""
    import krippendorff

    ratings = np.concatenate([levels(domain) for domain in ("uk", "us_cdc")], axis=1)
    for level in Level:
        assert alpha(ratings, level).value == pytest.approx(krippendorff.alpha(ratings, level_of_measurement=str(level)), abs=1e-9)
    found = alpha(ratings, Level.ORDINAL, resamples=300)
    assert found.low is not None and found.high is not None
    assert 0.45 < found.low < found.high < 0.65


@needs_data
@pytest.mark.parametrize("first", [0, 1])
def test_the_first_raters_score_predicts_the_second_raters_verdict(first: int) -> None:
    """Out of fold, on people who never saw each other's rating: better than the base rate by .05 Brier, AUC above .7."""
    opinions, verdicts = second_given_first(first)
    evidence = score(opinions, Calibration()).evidence
    scores = out_of_fold(evidence, approvals(verdicts), np.arange(len(verdicts)))
    found = judge(scores, approvals(verdicts))
    assert found["verdicts"] == 945
    assert found["auc"] > 0.7
    assert found["brier"] < found["brier_base"] - 0.05
    assert found["ece"] < 0.08


@needs_data
def test_shuffled_verdicts_cannot_be_predicted() -> None:
    """The check of the check: with the second rater's verdicts in random order there is nothing to learn."""
    opinions, verdicts = second_given_first(0)
    shuffled = np.random.default_rng(7).permutation(approvals(verdicts))
    found = judge(out_of_fold(score(opinions, Calibration()).evidence, shuffled, np.arange(len(shuffled))), shuffled)
    assert 0.4 < found["auc"] < 0.6
    assert found["brier"] > found["brier_base"] - 0.01


def test_replacing_the_prior_mapping_moves_scores_but_not_evidence() -> None:
    opinions = one(up=0.4)
    before, after = score(opinions, Calibration()), score(opinions, replace(BENT))
    assert before.evidence == after.evidence
    assert before.score != after.score
