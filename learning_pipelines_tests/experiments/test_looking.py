"""Ordinary experiments on a real database: what a look does by itself, what only a person does, and what follows for what serves.

Belongs here: looking.py and finishing.py for experiments between versions. Not here: rollouts (test_canary.py), the rules (test_decision.py).
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from learning_pipelines.acceptance import approval
from learning_pipelines.acceptance.reviewing import Refused, Reviewer
from learning_pipelines.experiments import lifecycle, looking
from learning_pipelines.experiments.assignment import ranges_of_weights
from learning_pipelines.settings import Settings
from learning_pipelines.storage import experiment_decisions, experiments, prompts
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.experiment_rows import Arm, Experiment
from learning_pipelines.storage.tenants import AgentRef
from learning_pipelines_tests.acceptance.proposing import a_run, an_agent, labels, learnt, proposed
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.experiments.seen import aged, exposed, thumbs

ADA = Reviewer("user:ada")
WON = {"control": (500, 250), "treatment": (500, 350)}
LOST = {"control": (500, 350), "treatment": (500, 250)}


@pytest.fixture
def desk(pipeline: Connection, load: Load) -> AgentRef:
    return an_agent(pipeline, load)


@pytest.fixture
def run(pipeline: Connection, desk: AgentRef) -> UUID:
    return a_run(pipeline, desk)


def running(connection: Connection, agent: AgentRef, *treatments: str, versions: tuple[int, ...], **more: Any) -> UUID:
    names = ("control", *treatments)
    arms = tuple(Arm(name, version, 1 / len(names)) for name, version in zip(names, versions, strict=True))
    made = experiments.add(connection, agent, name="shorter", arms=arms, min_duration_hours=24, min_sample_size=400, **more)
    experiments.begin_epoch(connection, agent.organization_id, made, ranges_of_weights(arms))
    experiments.set_status(connection, agent.organization_id, made, "running")
    return made


def seen(connection: Connection, agent: AgentRef, experiment: UUID, values: dict[str, tuple[int, int]], hours: float = 0) -> None:
    exposed(connection, agent, experiment, **{variant: n for variant, (n, _) in values.items()})
    thumbs(connection, agent, experiment, **values)  # type: ignore[arg-type]
    aged(connection, agent, experiment, hours)


def looked(connection: Connection, agent: AgentRef, experiment: UUID) -> Any:
    return looking.look(connection, agent, experiment, Settings())


def conclude(connection: Connection, agent: AgentRef, experiment: UUID, decision: Any = "adopt_treatment") -> looking.Look:
    return looking.conclude(connection, agent, experiment, decision, ADA, Settings())


def found(connection: Connection, agent: AgentRef, experiment: UUID) -> Experiment:
    one = experiments.find(connection, agent.organization_id, experiment)
    assert one is not None
    return one


def test_minimum_duration_holds_adopting_and_not_harm(pipeline: Connection, desk: AgentRef) -> None:
    good, bad = (running(pipeline, desk, "treatment", versions=(1, learnt(pipeline, desk, text))) for text in ("You sort well.", "You sort badly."))
    seen(pipeline, desk, good, WON)
    seen(pipeline, desk, bad, LOST)
    assert (looked(pipeline, desk, good).outcome.decision, found(pipeline, desk, good).status) == ("inconclusive", "running")
    assert (looked(pipeline, desk, bad).outcome.decision, found(pipeline, desk, bad).status) == ("rollback", "completed")
    aged(pipeline, desk, good, 25)
    assert looked(pipeline, desk, good).outcome.decision == "adopt_treatment"


def test_a_winner_waits_for_a_person_who_concludes(pipeline: Connection, desk: AgentRef, run: UUID) -> None:
    experiment = running(pipeline, desk, "treatment", versions=(1, learnt(pipeline, desk, training_run_id=run)))
    seen(pipeline, desk, experiment, WON, hours=25)
    assert looked(pipeline, desk, experiment).outcome.winner == "treatment"
    assert (labels(pipeline, desk)["production"], found(pipeline, desk, experiment).status) == (1, "running")
    assert conclude(pipeline, desk, experiment).served == (2, 1)
    over = found(pipeline, desk, experiment)
    assert (over.status, over.decision, over.winner, labels(pipeline, desk)["production"]) == ("completed", "adopt_treatment", "treatment", 2)
    row = pipeline.execute("SELECT metrics -> 'experiment' ->> 'decision' FROM training_runs WHERE id = %s", [run]).fetchone()
    assert row == ("adopt_treatment",)
    with pytest.raises(Refused, match="The experiment is completed"):
        conclude(pipeline, desk, experiment)


def test_a_winner_is_adopted_by_itself_where_the_experiment_says_so(pipeline: Connection, desk: AgentRef) -> None:
    experiment = running(pipeline, desk, "treatment", versions=(1, learnt(pipeline, desk)), config={"auto_adopt": True})
    seen(pipeline, desk, experiment, WON, hours=25)
    assert looked(pipeline, desk, experiment).served == (2, 1) and labels(pipeline, desk)["production"] == 2


def test_adopting_needs_the_verdict_and_keeping_does_not(pipeline: Connection, desk: AgentRef) -> None:
    experiment = running(pipeline, desk, "treatment", versions=(1, learnt(pipeline, desk)))
    seen(pipeline, desk, experiment, {"control": (500, 250), "treatment": (500, 255)}, hours=25)
    with pytest.raises(Refused, match="The verdict is inconclusive: Treatment is open: thumbs differs"):
        conclude(pipeline, desk, experiment)
    assert conclude(pipeline, desk, experiment, "keep_control").status == "completed"
    assert (found(pipeline, desk, experiment).decision, labels(pipeline, desk)["production"]) == ("keep_control", 1)


def test_a_winner_over_what_no_longer_serves_is_refused_naming_both(pipeline: Connection, desk: AgentRef) -> None:
    experiment = running(pipeline, desk, "treatment", versions=(1, learnt(pipeline, desk)))
    seen(pipeline, desk, experiment, WON, hours=25)
    prompts.move_label(pipeline, desk, "production", learnt(pipeline, desk, "written meanwhile"), None)
    with pytest.raises(Refused, match="Version 2 was measured against version 1, but version 3 serves now"):
        conclude(pipeline, desk, experiment)
    assert (labels(pipeline, desk)["production"], found(pipeline, desk, experiment).status) == (3, "running")


def test_a_rollback_ends_what_runs_so_that_it_reaches_those_who_take_part(pipeline: Connection, desk: AgentRef) -> None:
    experiment = running(pipeline, desk, "treatment", versions=(1, learnt(pipeline, desk)))
    alone = approval.rollback(pipeline, desk, ADA)  # nothing served before version 1: the experiment is all that there is to take back
    assert (alone.changed, alone.version, alone.before, alone.experiment) == (True, 1, None, experiment)
    assert found(pipeline, desk, experiment).status == "cancelled"
    prompts.move_label(pipeline, desk, "production", 2, None)
    other = running(pipeline, desk, "treatment", versions=(2, 1))
    done = approval.rollback(pipeline, desk, ADA)
    assert (done.version, done.before, done.experiment, found(pipeline, desk, other).status) == (1, 2, other, "cancelled")


def test_nothing_is_approved_past_those_who_take_part(pipeline: Connection, desk: AgentRef) -> None:
    experiment = running(pipeline, desk, "treatment", versions=(1, learnt(pipeline, desk)))
    proposal = proposed(pipeline, desk, learnt(pipeline, desk, "You sort better."))
    for rollout in ("immediate", "canary"):
        with pytest.raises(Refused, match=f"The experiment {experiment} compares versions of the prompt now"):
            approval.approve(pipeline, desk.organization_id, proposal, rollout, ADA)
    lifecycle.pause(pipeline, desk.organization_id, experiment, ADA)
    assert approval.approve(pipeline, desk.organization_id, proposal, "immediate", ADA).version == 3


def test_an_experiment_of_which_no_arm_serves_any_more_ends_without_a_verdict(pipeline: Connection, desk: AgentRef) -> None:
    experiment = running(pipeline, desk, "treatment", versions=(1, learnt(pipeline, desk)))
    prompts.move_label(pipeline, desk, "production", learnt(pipeline, desk, "imported meanwhile"), None)
    seen(pipeline, desk, experiment, WON, hours=25)
    assert looked(pipeline, desk, experiment).status == "cancelled"
    assert (found(pipeline, desk, experiment).decision, labels(pipeline, desk)["production"]) == ("inconclusive", 3)


def test_one_harmful_treatment_of_two_is_withdrawn_and_the_other_goes_on(pipeline: Connection, desk: AgentRef) -> None:
    experiment = running(pipeline, desk, "a", "b", versions=(1, learnt(pipeline, desk, "a"), learnt(pipeline, desk, "b")))
    seen(pipeline, desk, experiment, {"control": (500, 350), "a": (500, 240), "b": (500, 355)})
    outcome = looked(pipeline, desk, experiment).outcome
    assert [one.verdict for one in outcome.verdicts] == ["worse", "open"] and outcome.decision == "inconclusive"
    left = found(pipeline, desk, experiment)
    assert left.status == "running" and left.config["withdrawn"] == ["a"]
    assert [arm.weight for arm in left.arms] == [0.5, 0.0, 0.5]
    assert left.epoch is not None and left.epoch.number == 2 and not left.epoch.ranges["a"]
    assert looked(pipeline, desk, experiment).outcome.verdicts[0].why == "A was withdrawn for the harm that was seen."
    assert found(pipeline, desk, experiment).epoch == left.epoch
    assert len(experiment_decisions.listed(pipeline, desk.organization_id, experiment)) == 2


def test_what_ran_as_long_as_it_was_allowed_to_ends_inconclusive(pipeline: Connection, desk: AgentRef) -> None:
    experiment = running(pipeline, desk, "treatment", versions=(1, learnt(pipeline, desk)), config={"max_hours": 48})
    seen(pipeline, desk, experiment, {"control": (500, 250), "treatment": (500, 255)}, hours=49)
    assert looked(pipeline, desk, experiment).status == "completed"
    assert (found(pipeline, desk, experiment).decision, labels(pipeline, desk)["production"]) == ("inconclusive", 1)
