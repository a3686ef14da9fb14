"""From evidence to findings: which tests are asked at which level, empty arms, zero variance, shares, and how often a harmless rollout is taken back.

Belongs here: evidence.py and analysis.py on states that are given. Not here: the tests' own error rates (test_exact.py, test_asymptotic_error.py).
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from learning_pipelines.experiments.analysis import findings_of, units_needed
from learning_pipelines.experiments.decision import again, decide
from learning_pipelines.experiments.evidence import hours_of_step, hours_run, is_new
from learning_pipelines.experiments.exact import ExactState
from learning_pipelines.experiments.options import Options
from learning_pipelines.experiments.unit_sums import UnitSums

HALVES = {"control": [[0.0, 0.5]], "treatment": [[0.5, 1.0]]}


def epoch(number: int, started: str, ended: str | None = None, ranges: dict[str, Any] | None = None) -> dict[str, Any]:
    over = None if ended is None else f"2026-11-{ended}:00+00:00"
    return {"number": number, "ranges": ranges or HALVES, "started_at": f"2026-11-{started}:00+00:00", "ended_at": over}


def evidence(
    metrics: dict[str, Any] | None = None, exposures: dict[str, Any] | None = None, epochs: list[dict[str, Any]] | None = None, **more: Any
) -> dict[str, Any]:  # fmt: skip
    experiment = {
        "id": "7", "name": "x", "kind": "experiment", "subject": "prompt", "primary_metric": "thumbs", "guardrails": ["latency_ms", "cost_usd"],
        "arms": [{"variant": "control", "version": 1, "weight": 0.5}, {"variant": "treatment", "version": 2, "weight": 0.5}],
        "min_duration_hours": 24, "min_sample_size": 100, "config": {}, "steps": [], "step": 0, "started_at": "2026-11-02T00:00:00+00:00",
    }  # fmt: skip
    return {
        "format": 1, "at": "2026-11-09T00:00:00+00:00", "experiment": experiment | more, "epochs": epochs or [epoch(1, "02T00:00")],
        "metrics": metrics or {}, "exposures": {"1": {"control": 500, "treatment": 500}} if exposures is None else exposures, "refused": {},
    }  # fmt: skip


def thumbs(control: float, treatment: float, n: int = 1000, seed: int = 1) -> dict[str, Any]:
    """First thumbs of n units per arm, as the state of the treatment."""
    draw = np.random.default_rng(seed)
    treated = draw.random(2 * n) < 0.5
    state = ExactState()
    state.add(treated, (draw.random(2 * n) < np.where(treated, treatment, control)).astype(float))
    return {"thumbs": {"1": {"treatment": state.as_json()}}}


def latency(control: float, treatment: float, spread: float = 100.0, n: int = 1000) -> dict[str, Any]:
    draw = np.random.default_rng(2)
    means = {"control": control, "treatment": treatment}
    return {"latency_ms": {"1": {arm: UnitSums.of_values(draw.normal(mean, spread, n)).as_json() for arm, mean in means.items()}}}


def test_a_better_treatment_is_adopted_from_its_evidence_and_swapped_it_is_not() -> None:
    assert decide(evidence(thumbs(0.6, 0.75) | latency(800, 800))).decision == "adopt_treatment"
    assert decide(evidence(thumbs(0.75, 0.6) | latency(800, 800))).decision == "keep_control"


def test_a_slower_treatment_is_rolled_back_however_well_it_is_liked() -> None:
    outcome = decide(evidence(thumbs(0.6, 0.75) | latency(800, 900)))
    assert outcome.decision == "rollback" and "latency_ms differs by +" in outcome.reason
    assert decide(evidence(thumbs(0.6, 0.75) | latency(800, 900), config={"tolerances": {"latency_ms": 200}})).decision == "adopt_treatment"


def test_latency_and_cost_may_grow_by_the_share_that_is_tolerated_and_nothing_else_may() -> None:
    slower = thumbs(0.6, 0.75) | latency(800, 900)
    assert decide(evidence(slower, config={"growth": 0.25})).decision == "adopt_treatment"
    outcome = decide(evidence(slower, config={"growth": 0.05}))
    assert outcome.decision == "rollback" and " tolerated)" in outcome.reason
    disliked = {"thumbs_down_rate": thumbs(0.3, 0.5)["thumbs"]}
    assert decide(evidence(disliked, guardrails=["thumbs_down_rate"], config={"growth": 100})).decision == "rollback"


def test_levels_are_spent_as_stated() -> None:
    three = [{"variant": name, "version": at, "weight": 1 / 3} for at, name in enumerate(("control", "a", "b"), 1)]
    found = findings_of(evidence(arms=three, config={"alpha": 0.04, "guardrail_alpha": 0.06}))
    assert [one.primary.comparison.alpha for one in found.treatments] == [0.02, 0.02]
    assert [watched.comparison.alpha for one in found.treatments for watched in one.guardrails] == pytest.approx([0.03] * 4)  # 0.015 on the side of harm


@pytest.mark.parametrize("metrics", [{}, thumbs(0.5, 0.5, n=1), {"latency_ms": {"1": {"control": UnitSums.of_values([5.0] * 900).as_json()}}}])
def test_nothing_yet_or_one_empty_arm_is_inconclusive(metrics: dict[str, Any]) -> None:
    outcome = decide(evidence(metrics, exposures={}))
    assert (outcome.decision, outcome.winner) == ("inconclusive", None)


def test_zero_variance_says_nothing_of_a_ratio() -> None:
    same = {"latency_ms": {"1": {arm: UnitSums.of_values([value] * 5000).as_json() for arm, value in (("control", 5.0), ("treatment", 9.0))}}}
    outcome = decide(evidence(same, primary_metric="latency_ms", guardrails=[]))
    assert outcome.decision == "inconclusive" and "too few for a statement" in outcome.reason


def test_everybody_content_in_both_arms_is_inconclusive() -> None:
    assert decide(evidence(thumbs(1.0, 1.0))).decision == "inconclusive"


def test_an_open_experiment_says_what_is_missing_and_how_much_longer() -> None:
    outcome = decide(evidence(thumbs(0.6, 0.62), exposures={"1": {"control": 60, "treatment": 70}}, min_duration_hours=200))
    assert outcome.decision == "inconclusive" and outcome.longer is not None
    assert (outcome.longer.hours, outcome.longer.units) == (32.0, 40)
    assert "Its minimum duration is 200 hours, 32.0 of them are to come." in outcome.reason and "control has 60" in outcome.reason
    assert "more" in outcome.longer.forecasts["treatment"].sentence() and outcome.longer.forecasts["treatment"].sentence() in outcome.reason


def test_shares_are_judged_epoch_by_epoch() -> None:
    """90 : 10 and then 10 : 90 are what was meant; pooled they would look like halves, and halves like neither."""
    most, least = ({"control": [[0.0, share]], "treatment": [[share, 1.0]]} for share in (0.9, 0.1))
    epochs = [epoch(1, "02T00:00", "03T00:00", most), epoch(2, "03T00:00", None, least)]
    meant = findings_of(evidence(epochs=epochs, exposures={"1": {"control": 900, "treatment": 100}, "2": {"control": 100, "treatment": 900}}))
    other = findings_of(evidence(epochs=epochs, exposures={"1": {"control": 500, "treatment": 500}, "2": {"control": 500, "treatment": 500}}))
    assert meant.broken_ratio is None and other.broken_ratio is not None


def test_a_pause_counts_for_no_duration_and_does_not_begin_a_step_anew() -> None:
    steps = [{"control": [[0.5, 0.5 + share]], "treatment": [[0.0, share]]} for share in (0.01, 0.05)]
    paused = evidence(epochs=[
        epoch(1, "02T00:00", "03T00:00", steps[0]), epoch(2, "03T00:00", "03T06:00", steps[1]), epoch(3, "08T00:00", None, steps[1]),
    ])  # fmt: skip
    assert (hours_run(paused), hours_of_step(paused)) == (54.0, 30.0)


def test_an_epoch_that_begins_in_the_future_has_lasted_no_time() -> None:
    assert hours_run(evidence(epochs=[epoch(1, "10T00:00")])) == 0


def test_only_the_clock_is_nothing_new() -> None:
    before = evidence(thumbs(0.6, 0.6))
    assert not is_new(before, {**before, "at": "2026-11-10T00:00:00+00:00"})
    assert is_new(before, evidence(thumbs(0.6, 0.6), exposures={"1": {"control": 501, "treatment": 500}}))


def test_evidence_that_went_through_json_gives_the_very_same_outcome() -> None:
    given = evidence(thumbs(0.6, 0.7, seed=5) | latency(813.7, 819.3))
    outcome = decide(given)
    assert again(json.loads(json.dumps({**given, "outcome": outcome.as_json()}))) == outcome


def test_earlier_steps_of_a_rollout_need_their_share_of_the_units() -> None:
    assert [units_needed(Options(), (1, 5, 25, 50, 100), step) for step in range(4)] == [12, 60, 300, 600]


def test_a_harmless_rollout_is_taken_back_as_seldom_as_stated() -> None:
    """By thumbs and by thumbs down together, with a look after every one of three days: at most .05 / 2 + .05 / 6 of the rollouts, plus 2.6 standard errors
    of 150 simulations."""
    rolled = 0
    for seed in range(150):
        draw, states = np.random.default_rng(seed), {"thumbs": ExactState(), "thumbs_down_rate": ExactState()}
        for day in range(3):
            treated, up = draw.random(150) < 0.5, (draw.random(150) < 0.6 + 0.1 * day).astype(float)
            states["thumbs"].add(treated, up)
            states["thumbs_down_rate"].add(treated, 1 - up)
            seen = evidence(
                {name: {"1": {"treatment": state.as_json()}} for name, state in states.items()}, kind="rollout", steps=[1, 5, 25, 50, 100], step=2,
                guardrails=["thumbs_down_rate", "latency_ms", "cost_usd", "refusal_rate", "issue_rate:incorrect", "issue_rate:hallucination"],
            )  # fmt: skip
            if decide(seen).decision == "rollback":
                rolled += 1
                break
    limit = 0.05 / 2 + 0.05 / 6
    assert rolled <= 150 * limit + 2.6 * (150 * limit * (1 - limit)) ** 0.5
