"""When a judge may decide: error rates by simulation, and the reason it is given where it may not.

Belongs here: the decision from tables of verdicts. Not here: collecting them (test_judging.py), kappa itself (../examples/test_agreement.py).
"""

from __future__ import annotations

import numpy as np
import pytest

from learning_pipelines.prompts import judge_agreement as module
from learning_pipelines.prompts.judge_agreement import JudgeAgreement, JudgeNotTrusted, judge_agreement, require_trusted


def simulated(rng: np.random.Generator, n: int, approving: float, right: float) -> list[list[int]]:
    """Experts approve with one probability; the judge says the same with another, or throws the experts' dice."""
    experts = rng.random(n) < approving
    judge = np.where(rng.random(n) < right, experts, rng.random(n) < approving)
    return [[int(np.sum((experts == one) & (judge == other))) for other in (False, True)] for one in (False, True)]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No bootstrap intervals: nothing is decided by them."""
    monkeypatch.setattr(module, "RESAMPLES", 0)


@pytest.mark.parametrize("approving", [0.5, 0.9])
def test_a_judge_that_throws_dice_may_decide_at_most_once_in_forty_however_often_it_is_looked_at(quick: None, approving: float) -> None:
    """400 judges, each looked at after every ten verdicts up to 330; .05 leaves three standard errors above .025."""
    rng, ever = np.random.default_rng(3), 0
    for _ in range(400):
        table = np.array(simulated(rng, 20, approving, 0.0))
        for _ in range(31):
            table = table + np.array(simulated(rng, 10, approving, 0.0))
            if judge_agreement("dice", table.tolist()).trusted:
                ever += 1
                break
    assert ever / 400 <= 0.05


def test_a_judge_that_is_right_most_of_the_time_may_decide(quick: None) -> None:
    """It knows in 7 of 10 cases and throws dice else, 100 examples of which 70 % are good: kappa about .7."""
    rng = np.random.default_rng(4)
    assert np.mean([judge_agreement("good", simulated(rng, 100, 0.7, 0.7)).trusted for _ in range(300)]) >= 0.99


def test_a_judge_in_agreement_is_told_with_all_its_numbers() -> None:
    found = judge_agreement("good", [[18, 2], [4, 36]])
    assert found.trusted and found.kappa == pytest.approx(0.780, abs=0.001) and found.kappa_low is not None and found.kappa_low > 0.5
    assert (found.n, found.accuracy, found.majority) == (60, 0.9, pytest.approx(2 / 3)) and found.p is not None and found.p < 1e-6
    assert found.as_json()["trusted"] is True
    require_trusted(found)


@pytest.mark.parametrize(
    ("table", "cause"),
    [
        ([[0, 0], [0, 0]], "none of its verdicts can be compared"),
        ([[10, 0], [0, 10]], "only 20 of its verdicts"),
        ([[0, 0], [0, 50]], "all the same"),
        ([[0, 10], [0, 40]], "not above chance"),
        ([[10, 10], [20, 20]], "not above chance"),
        ([[2, 18], [18, 2]], "not above chance"),
        ([[300, 200], [240, 260]], "above chance but slight"),
        ([[20, 5], [27, 8]], "not above chance"),  # the embedded model on 60 answers of FeedbackQA (benchmarks/judge.py --most 60)
    ],
)
def test_any_other_is_told_why_it_may_not(table: list[list[int]], cause: str) -> None:
    found: JudgeAgreement = judge_agreement("bad", table)
    assert not found.trusted and cause in found.cause
    with pytest.raises(JudgeNotTrusted, match="There is no evidence that the judge bad can decide") as caught:
        require_trusted(found)
    assert cause in str(caught.value) and "LEARNING_JUDGE_MODEL" in caught.value.advice
