"""The hourly job on real rows: what it decides, shows and checks, and that one experiment that fails keeps no other from its verdict.

Belongs here: the asset experiment_decisions and its job. Not here: single looks (experiments/test_canary.py), values of units (test_experiments.py).
"""

from __future__ import annotations

import base64
from typing import Any
from uuid import UUID

import dagster as dg
import numpy as np
import pytest

from learning_pipelines.acceptance import approval
from learning_pipelines.acceptance.reviewing import Reviewer
from learning_pipelines.experiments import canary
from learning_pipelines.experiments.assignment import placed, ranges_of_weights
from learning_pipelines.storage import experiment_decisions, experiments, proposals
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.experiment_rows import Arm
from learning_pipelines.storage.tenants import AgentRef
from learning_pipelines_tests.acceptance.proposing import an_agent, labels, learnt, proposed
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.defs.conftest import Materialize, checks_of, metadata_of
from learning_pipelines_tests.experiments.seen import exposed, thumbs

JOB = "ab_test_analysis"


@pytest.fixture
def desk(pipeline: Connection, load: Load) -> AgentRef:
    return an_agent(pipeline, load)


@pytest.fixture
def rollout(pipeline: Connection, desk: AgentRef) -> UUID:
    proposal = proposed(pipeline, desk, learnt(pipeline, desk))
    begun = approval.approve(pipeline, desk.organization_id, proposal, "canary", Reviewer("user:ada")).experiment
    assert begun is not None
    return begun


def running(connection: Connection, agent: AgentRef) -> UUID:
    arms = (Arm("control", 1, 0.5), Arm("treatment", learnt(connection, agent, "You sort otherwise."), 0.5))
    made = experiments.add(connection, agent, name="Frau Weber's idea", arms=arms, guardrails=("latency_ms",))
    experiments.begin_epoch(connection, agent.organization_id, made, ranges_of_weights(arms))
    experiments.set_status(connection, agent.organization_id, made, "running")
    return made


def test_without_an_experiment_the_job_ends_skipped(desk: AgentRef, run_job: Materialize, instance: dg.DagsterInstance) -> None:
    result = run_job(JOB)
    run = instance.get_run_by_id(result.run_id)
    assert run is not None and (run.tags["learning/status"], run.tags["learning/reason"]) == ("skipped", "no experiment is running")
    assert checks_of(result) == {"no_sample_ratio_mismatch": True, "guardrails_hold": True}


def test_harm_is_taken_back_and_the_run_shows_numbers_and_a_plot_and_nobodys_text(
    pipeline: Connection, desk: AgentRef, rollout: UUID, load: Load, run_job: Materialize
) -> None:
    calm = running(pipeline, an_agent(pipeline, load, "helper"))
    exposed(pipeline, desk, rollout, control=400, treatment=400)
    thumbs(pipeline, desk, rollout, control=(400, 320), treatment=(400, 200))
    result = run_job(JOB)
    said = metadata_of(result, "experiment_decisions")
    assert (said["experiments"], said["decision: rollback"], said["decision: inconclusive"], said["ended"], said["failed"]) == (2, 1, 1, 1, 0)
    page = f"http://127.0.0.1:8000/training?experiment={rollout}"
    assert f"| [{rollout}]({page}) | rollback | treatment | 400 + 400 | -0.3 |" in said["by_experiment"] and str(calm) in said["by_experiment"]
    plot = str(said[f"{rollout}: treatment"])
    assert len(plot) < 50_000 and base64.b64decode(plot.partition("base64,")[2].rstrip(")")).startswith(b"<svg")
    assert "Weber" not in str(said) and "sort" not in str(said)
    assert checks_of(result) == {"no_sample_ratio_mismatch": True, "guardrails_hold": False}
    assert labels(pipeline, desk)["production"] == 1


def test_arms_without_their_shares_fail_the_check_and_nothing_is_adopted(pipeline: Connection, desk: AgentRef, run_job: Materialize) -> None:
    experiment = running(pipeline, desk)
    pipeline.execute("UPDATE learning_experiments SET min_duration_hours = 0, config = config || '{\"auto_adopt\": true}'")
    exposed(pipeline, desk, experiment, control=3000, treatment=2000)
    thumbs(pipeline, desk, experiment, control=(1000, 500), treatment=(1000, 800))
    assert checks_of(run_job(JOB)) == {"no_sample_ratio_mismatch": False, "guardrails_hold": True}
    (stored,) = experiment_decisions.listed(pipeline, desk.organization_id, experiment)
    assert stored.decision == "inconclusive" and "do not have their shares" in stored.reason and labels(pipeline, desk)["production"] == 1


def test_one_experiment_that_fails_keeps_no_other_from_its_verdict_and_the_run_says_so(
    pipeline: Connection, desk: AgentRef, rollout: UUID, load: Load, run_job: Materialize
) -> None:
    broken = running(pipeline, an_agent(pipeline, load, "helper"))
    exposed(pipeline, desk, broken, control=400, treatment=400)
    thumbs(pipeline, desk, broken, control=(400, 320), treatment=(400, 100))
    pipeline.execute("UPDATE experiment_metrics SET state = state - 'control'")
    pipeline.execute("UPDATE learning_experiments SET started_at = started_at - interval '1 hour' WHERE id = %s", [broken])  # it is looked at first
    result = run_job(JOB, raise_on_error=False)
    assert not result.success
    assert metadata_of(result, "experiment_decisions")["failed"] == 1
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert f"1 of 2 experiments have no verdict of this hour: {broken} (KeyError)" in str(failure.step_failure_data.error)
    assert not experiment_decisions.listed(pipeline, desk.organization_id, broken)
    assert len(experiment_decisions.listed(pipeline, desk.organization_id, rollout)) == 1


def test_an_hour_without_news_writes_nothing(pipeline: Connection, desk: AgentRef, rollout: UUID, run_job: Materialize) -> None:
    run_job(JOB)
    result = run_job(JOB)
    assert metadata_of(result, "experiment_decisions")["without_news"] == 1
    assert len(experiment_decisions.listed(pipeline, desk.organization_id, rollout)) == 1


def test_agents_that_may_not_learn_and_other_organizations_are_left_alone(
    pipeline: Connection, desk: AgentRef, rollout: UUID, load: Load, run_job: Materialize
) -> None:
    other = running(pipeline, an_agent(pipeline, load, "desk", "other"))
    proposals.set_learning(pipeline, desk.organization_id, desk.agent_id, False)
    said: dict[str, Any] = metadata_of(run_job(JOB), "experiment_decisions")
    assert said["experiments"] == 1 and str(other) in said["by_experiment"]
    assert metadata_of(run_job(JOB, tags={"learning/organization": "default"}), "experiment_decisions")["experiments"] == 0


def test_harm_at_five_percent_of_the_traffic_is_taken_back_by_the_job_alone(
    pipeline: Connection, desk: AgentRef, rollout: UUID, load: Load, run_job: Materialize
) -> None:
    """From executions and feedback as applications send them: 80 % thumbs up with what served before, 50 % with what is rolled out."""
    begun = experiments.find(pipeline, desk.organization_id, rollout)
    assert begun is not None
    canary.go_to(pipeline, desk, begun, 1, Reviewer("test"))
    now = experiments.find(pipeline, desk.organization_id, rollout)
    assert now is not None
    met = {unit: variant for number in range(3000) if (variant := placed(now, unit := f"u{number}").variant) is not None}
    assert set(met.values()) == {"control", "treatment"} and len(met) < 400
    load("executions", [
        {"execution_id": f"e-{unit}", "agent": "desk", "input": "Is it due?", "output": "Yes.", "user": unit,
         "context": {"experiment": str(rollout), "variant": variant, "unit": unit}}
        for unit, variant in met.items()
    ])  # fmt: skip
    draw = np.random.default_rng(3)
    liked = {unit: draw.random() < (0.8 if variant == "control" else 0.5) for unit, variant in met.items()}
    load("feedback", [
        {"feedback_id": f"f-{unit}", "execution_id": f"e-{unit}", "feedback_type": "thumbs_up" if liked[unit] else "thumbs_down", "user": unit} for unit in met
    ])  # fmt: skip
    said = metadata_of(run_job(JOB), "experiment_decisions")
    assert (said["experiments"], said["decision: rollback"], said["ended"]) == (1, 1, 1)
    over = experiments.find(pipeline, desk.organization_id, rollout)
    assert over is not None and (over.status, over.decision, labels(pipeline, desk)["production"]) == ("completed", "rollback", 1)
    (stored,) = experiment_decisions.listed(pipeline, desk.organization_id, rollout)
    assert sum(stored.evidence["exposures"]["2"].values()) == len(met) and stored.evidence["refused"] == {}
