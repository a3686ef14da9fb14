"""Looks and conclusions that somebody asks for: what serves afterwards, who may, that it is done once; the numbers that are shown.

Belongs here: lifecycle.conclude and lifecycle.look, experiments/showing.py and numbers.py. Not here: the rules (test_decision.py), the hourly job.
"""

from __future__ import annotations

from typing import Any

import pytest

from learning_pipelines.acceptance.reviewing import OPERATOR, Reason, Refused
from learning_pipelines.experiments import lifecycle, showing, versions
from learning_pipelines.experiments.plans import Asked
from learning_pipelines.storage import behavior_versions, experiments, prompts
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.experiment_rows import Experiment
from learning_pipelines.storage.tenants import AgentRef
from learning_pipelines_tests.acceptance import index_proposing
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.experiments.living import SETTINGS, desk, draft, running
from learning_pipelines_tests.experiments.seen import exposed, thumbs

SMALL = {"min_duration_hours": 0, "min_sample_size": 10}


@pytest.fixture
def agent(pipeline: Connection, load: Load) -> AgentRef:
    return desk(pipeline, load)


@pytest.fixture
def won(pipeline: Connection, agent: AgentRef) -> Experiment:
    """A running experiment whose treatment is far better."""
    made = running(pipeline, agent, **SMALL)
    exposed(pipeline, agent, made.id, control=200, treatment=200)
    thumbs(pipeline, agent, made.id, control=(200, 60), treatment=(200, 160))
    return made


def conclude(connection: Connection, agent: AgentRef, experiment: Experiment, decision: Any = None, **more: Any) -> lifecycle.Changed:
    return lifecycle.conclude(connection, agent.organization_id, experiment.id, decision, OPERATOR, SETTINGS, **more)


def serves(connection: Connection, agent: AgentRef) -> int | None:
    return prompts.label_target(connection, agent, prompts.PRODUCTION)


def test_a_winner_serves_everybody_once_it_is_concluded(pipeline: Connection, agent: AgentRef, won: Experiment) -> None:
    looked = lifecycle.look(pipeline, agent.organization_id, won.id, OPERATOR, SETTINGS)
    assert looked.changed and looked.experiment.status == "running" and serves(pipeline, agent) == 1, "nobody said that it may serve by itself"
    done = conclude(pipeline, agent, won)
    assert done.changed and (done.experiment.status, done.experiment.decision, serves(pipeline, agent)) == ("completed", "adopt_treatment", 2)
    again = conclude(pipeline, agent, won)
    assert not again.changed and again.experiment == done.experiment
    with pytest.raises(Refused, match="is completed and cannot be concluded"):
        conclude(pipeline, agent, won, "keep_control")


@pytest.mark.parametrize("subject", ["index", "policy"])
def test_an_index_or_a_policy_that_wins_serves_everybody(subject: Any, pipeline: Connection, load: Load, agent: AgentRef) -> None:
    if subject == "index":
        index_proposing.corpus(pipeline, load, agent)
        number = index_proposing.learnt(pipeline, agent)
    else:
        number = behavior_versions.add(pipeline, agent, "policy", config={}, metrics={})
    made = running(pipeline, agent, subject=subject, arms=(Asked(None, None), Asked(None, number)), **SMALL)
    assert [arm.version for arm in made.arms] == [0, number], "nothing learnt is what serves"
    exposed(pipeline, agent, made.id, control=200, treatment=200)
    thumbs(pipeline, agent, made.id, control=(200, 60), treatment=(200, 160))
    assert conclude(pipeline, agent, made).experiment.decision == "adopt_treatment"
    assert versions.serving(pipeline, agent, subject) == number and serves(pipeline, agent) == 1


def test_who_may_not_decide_what_serves_does_not_adopt_but_may_end_it(pipeline: Connection, agent: AgentRef, won: Experiment) -> None:
    for decision in (None, "adopt_treatment"):
        with pytest.raises(Refused, match="Only an administrator") as refused:
            conclude(pipeline, agent, won, decision, may_adopt=False)
        assert (refused.value.reason, refused.value.field) == (Reason.ROLE, "decision")
    assert serves(pipeline, agent) == 1
    done = conclude(pipeline, agent, won, "keep_control", notes="too long", may_adopt=False).experiment
    assert (done.status, done.decision, serves(pipeline, agent)) == ("completed", "keep_control", 1)


def test_what_is_not_better_is_not_adopted(pipeline: Connection, agent: AgentRef) -> None:
    made = running(pipeline, agent, **SMALL)
    exposed(pipeline, agent, made.id, control=20, treatment=20)
    thumbs(pipeline, agent, made.id, control=(20, 10), treatment=(20, 11))
    with pytest.raises(Refused, match="The verdict is inconclusive"):
        conclude(pipeline, agent, made, "adopt_treatment")
    found = experiments.find(pipeline, agent.organization_id, made.id)
    assert found is not None and found.status == "running" and serves(pipeline, agent) == 1


def test_what_never_ran_or_was_aborted_is_not_concluded(pipeline: Connection, agent: AgentRef) -> None:
    made = draft(pipeline, agent)
    with pytest.raises(Refused, match="has not been started and cannot be concluded"):
        conclude(pipeline, agent, made)
    lifecycle.abort(pipeline, agent.organization_id, made.id, OPERATOR)
    with pytest.raises(Refused, match="is cancelled and cannot be concluded"):
        conclude(pipeline, agent, made, "keep_control")
    with pytest.raises(Refused, match="is cancelled and cannot be looked at"):
        lifecycle.look(pipeline, agent.organization_id, made.id, OPERATOR, SETTINGS)


def test_numbers_are_shown_with_intervals_verdict_and_looks(pipeline: Connection, agent: AgentRef, won: Experiment) -> None:
    lifecycle.look(pipeline, agent.organization_id, won.id, OPERATOR, SETTINGS)
    assert not lifecycle.look(pipeline, agent.organization_id, won.id, OPERATOR, SETTINGS).changed, "nothing new was to be seen"
    shown = showing.whole(pipeline, agent.organization_id, won)
    assert [(arm["variant"], arm["units"], arm["mean"]) for arm in shown["arms"]] == [("control", 200, 0.3), ("treatment", 200, 0.8)]
    primary = next(one for one in shown["comparisons"] if one["role"] == "primary")
    assert primary["difference"] == pytest.approx(0.5) and 0 < primary["low"] < 0.5 < primary["high"]
    assert shown["verdict"]["decision"] == shown["decision"] == "adopt_treatment" and shown["verdict"]["winner"] == "treatment"
    (look,) = shown["looks"]
    assert look["decision"] == "adopt_treatment" and look["treatments"]["treatment"]["low"] == primary["low"]
    assert {one["metric"] for one in shown["comparisons"] if one["role"] == "guardrail"} == set(won.guardrails)
    assert shown["sample_ratio"]["broken"] is False and shown["sample_ratio"]["epochs"][0]["observed"] == {"control": 200, "treatment": 200}


def test_a_draft_has_no_numbers_and_a_paused_one_keeps_its_own(pipeline: Connection, agent: AgentRef, won: Experiment) -> None:
    made = draft(pipeline, agent, arms=(Asked(None, None), Asked(None, 3)))
    shown = showing.whole(pipeline, agent.organization_id, made)
    assert shown["verdict"] is None and shown["comparisons"] == [] and [arm["mean"] for arm in shown["arms"]] == [None, None]
    lifecycle.pause(pipeline, agent.organization_id, won.id, OPERATOR)
    assert showing.whole(pipeline, agent.organization_id, won)["verdict"]["decision"] == "adopt_treatment"
    assert conclude(pipeline, agent, won).experiment.decision == "adopt_treatment", "a pause keeps nobody from concluding"
