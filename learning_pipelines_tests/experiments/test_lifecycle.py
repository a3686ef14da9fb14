"""Experiments from draft to end with the real database: what each change does, what refuses it, that it is audited and done once.

Belongs here: experiments/lifecycle.py and versions.py. Not here: plans without a database (test_plans.py), conclusions, routes (api/test_experiments.py).
"""

from __future__ import annotations

import datetime as dt
import threading
from typing import Any

import pytest

from learning_pipelines.acceptance.reviewing import OPERATOR, Reason, Refused, Reviewer
from learning_pipelines.experiments import lifecycle
from learning_pipelines.experiments.options import Options
from learning_pipelines.experiments.plans import Asked
from learning_pipelines.storage import experiments, index_retention, prompts, proposals
from learning_pipelines.storage.database import Connection, Database
from learning_pipelines.storage.experiment_rows import Arm, Experiment
from learning_pipelines.storage.tenants import AgentRef
from learning_pipelines_tests.acceptance import index_proposing
from learning_pipelines_tests.acceptance.proposing import an_agent
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.experiments.living import SETTINGS, desk, draft, running

TO_THREE = {"arms": (Asked(None, None), Asked(None, 3))}


@pytest.fixture
def agent(pipeline: Connection, load: Load) -> AgentRef:
    return desk(pipeline, load)


def act(name: str, connection: Connection, experiment: Experiment, **more: Any) -> lifecycle.Changed:
    """Does what a verb does."""
    needs = {"settings": SETTINGS} if name in ("start", "resume") else {}
    organization = connection.execute("SELECT organization_id FROM learning_experiments WHERE id = %s", [experiment.id]).fetchone()
    assert organization is not None
    done: lifecycle.Changed = getattr(lifecycle, name)(connection, organization[0], experiment.id, who=OPERATOR, **needs, **more)
    return done


def refusal(name: str, connection: Connection, experiment: Experiment, **more: Any) -> Refused:
    with pytest.raises(Refused) as refused:
        act(name, connection, experiment, **more)
    return refused.value


def audited(connection: Connection) -> list[tuple[str, str]]:
    rows = connection.execute("SELECT action, actor FROM audit_log WHERE subject_kind = 'experiment' ORDER BY id").fetchall()
    return [(str(action), str(actor)) for action, actor in rows]


def test_an_experiment_goes_from_draft_to_its_end_and_every_change_is_audited(pipeline: Connection, agent: AgentRef) -> None:
    made = draft(pipeline, agent)
    assert (made.status, made.arms, made.epochs) == ("draft", (Arm("control", 1, 0.5), Arm("treatment", 2, 0.5)), ())
    started = act("start", pipeline, made).experiment
    assert (started.status, [dict(epoch.ranges) for epoch in started.epochs]) == ("running", [{"control": ((0.0, 0.5),), "treatment": ((0.5, 1.0),)}])
    paused = act("pause", pipeline, made).experiment
    assert paused.status == "paused" and paused.epoch is not None and paused.epoch.ended_at is not None
    resumed = act("resume", pipeline, made).experiment
    assert [(epoch.number, epoch.ended_at is None, epoch.ranges == started.epochs[0].ranges) for epoch in resumed.epochs] == [(1, False, True), (2, True, True)]
    ended = act("abort", pipeline, made, notes="not now").experiment
    assert (ended.status, ended.decision, ended.started_at) == ("cancelled", None, started.started_at) and ended.ended_at is not None
    assert ended.epoch is not None and ended.epoch.ended_at is not None
    assert audited(pipeline) == [(action, "operator") for action in ("created", "started", "paused", "resumed", "aborted")]


@pytest.mark.parametrize(("name", "before"), [("start", ()), ("pause", ("start",)), ("resume", ("start", "pause")), ("abort", ())])
def test_what_is_done_twice_is_done_once(name: str, before: tuple[str, ...], pipeline: Connection, agent: AgentRef) -> None:
    made = draft(pipeline, agent)
    for earlier in before:
        act(earlier, pipeline, made)
    first, again = act(name, pipeline, made), act(name, pipeline, made)
    assert (first.changed, again.changed) == (True, False) and first.experiment == again.experiment
    assert len(audited(pipeline)) == 2 + len(before)


@pytest.mark.parametrize(
    ("before", "name", "said"),
    [
        ((), "pause", "has not been started and cannot be paused"), ((), "resume", "`experiments start` begins it"),
        (("start", "pause"), "start", "`experiments resume` goes on with it"), (("abort",), "start", "is cancelled and cannot be started"),
        (("abort",), "resume", "create a new experiment"), (("abort",), "pause", "is cancelled and cannot be paused"),
    ],
)  # fmt: skip
def test_what_does_not_follow_is_refused_with_the_next_step(before: tuple[str, ...], name: str, said: str, pipeline: Connection, agent: AgentRef) -> None:
    made = draft(pipeline, agent)
    for earlier in before:
        act(earlier, pipeline, made)
    refused = refusal(name, pipeline, made)
    assert said in str(refused) and refused.reason is Reason.STATE
    assert len(audited(pipeline)) == 1 + len(before)


def test_what_was_concluded_stays_so(pipeline: Connection, agent: AgentRef) -> None:
    made = running(pipeline, agent)
    experiments.set_status(pipeline, agent.organization_id, made.id, "completed")
    for name in ("start", "pause", "resume", "abort"):
        assert "is completed" in str(refusal(name, pipeline, made))
    assert "is completed" in str(refusal("change_weights", pipeline, made, weights={"control": 0.5, "treatment": 0.5}))


def test_weights_change_in_a_new_epoch_that_takes_nobody_from_another_arm(pipeline: Connection, agent: AgentRef) -> None:
    made = running(pipeline, agent)
    changed = act("change_weights", pipeline, made, weights={"treatment": 20, "control": 80})
    assert changed.changed and [arm.weight for arm in changed.experiment.arms] == [0.8, 0.2]
    first, second = (epoch.ranges for epoch in changed.experiment.epochs)
    assert first["control"] == ((0.0, 0.5),) and second["treatment"] == ((0.5, 0.7),)
    assert second["control"][0][0] == 0.0 and sum(high - low for low, high in second["control"]) == pytest.approx(0.8)
    assert not act("change_weights", pipeline, made, weights={"treatment": 0.2, "control": 0.8}).changed
    assert audited(pipeline)[-1] == ("weighted", "operator") and len(audited(pipeline)) == 3


def test_weights_of_a_draft_and_of_a_pause_count_from_the_next_start(pipeline: Connection, agent: AgentRef) -> None:
    made = draft(pipeline, agent)
    act("change_weights", pipeline, made, weights={"treatment": 0.2, "control": 0.8})
    assert act("start", pipeline, made).experiment.epochs[0].ranges["control"] == ((0.0, 0.8),)
    act("pause", pipeline, made)
    assert len(act("change_weights", pipeline, made, weights={"treatment": 0.5, "control": 0.5}).experiment.epochs) == 1
    resumed = act("resume", pipeline, made).experiment
    assert len(resumed.epochs) == 2 and resumed.epochs[1].ranges["control"] == ((0.0, 0.5),)


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ({"control": 0.5}, "No weight is given for treatment"), ({"control": 0.5, "other": 0.5}, "'other' is no arm"),
        ({"control": 0.5, "treatment": 0.6}, "The weights sum to 1.1"), ({"control": 0.0, "treatment": 1.0}, "The weight of control is 0"),
    ],
)  # fmt: skip
def test_weights_that_cannot_be_meant_change_nothing(weights: dict[str, float], said: str, pipeline: Connection, agent: AgentRef) -> None:
    made = running(pipeline, agent)
    refused = refusal("change_weights", pipeline, made, weights=weights)
    assert said in str(refused) and refused.field == "weights"
    assert experiments.find(pipeline, agent.organization_id, made.id) == made


def test_a_treatment_that_was_withdrawn_for_harm_gets_no_new_weight(pipeline: Connection, agent: AgentRef) -> None:
    made = running(pipeline, agent, arms=(Asked(None, None), Asked("a", 2), Asked("b", 3)))
    experiments.set_config(pipeline, agent.organization_id, made.id, {"withdrawn": ["b"]})
    assert "b was withdrawn" in str(refusal("change_weights", pipeline, made, weights={"control": 0.5, "a": 0.3, "b": 0.2}))
    changed = act("change_weights", pipeline, made, weights={"control": 0.6, "a": 0.4})
    assert [arm.weight for arm in changed.experiment.arms] == [0.6, 0.4, 0.0]


def test_a_pause_gives_no_new_units_to_what_was_withdrawn(pipeline: Connection, agent: AgentRef) -> None:
    made = running(pipeline, agent, arms=(Asked(None, None, 0.4), Asked("a", 2, 0.3), Asked("b", 3, 0.3)))
    assert made.epoch is not None
    left = {variant: spans for variant, spans in made.epoch.ranges.items() if variant != "b"}
    experiments.set_config(pipeline, agent.organization_id, made.id, {"withdrawn": ["b"]})
    experiments.begin_epoch(pipeline, agent.organization_id, made.id, left)
    act("pause", pipeline, made)
    assert act("resume", pipeline, made).experiment.epochs[-1].ranges == left
    act("pause", pipeline, made)
    act("change_weights", pipeline, made, weights={"control": 0.5, "a": 0.5})
    again = act("resume", pipeline, made).experiment.epochs[-1].ranges
    assert again["control"][0] == (0.0, 0.4) and sum(high - low for low, high in again["control"]) == pytest.approx(0.5) and not again.get("b")


def test_a_rollout_goes_by_its_steps(pipeline: Connection, agent: AgentRef) -> None:
    made = experiments.add(pipeline, agent, name="canary", kind="rollout", arms=(Arm("control", 1, 0.5), Arm("treatment", 2, 0.01)), steps=(1, 5))
    found = experiments.find(pipeline, agent.organization_id, made)
    assert found is not None
    assert "goes by its steps" in str(refusal("change_weights", pipeline, found, weights={"control": 0.5, "treatment": 0.5}))


def test_versions_that_are_not_there_are_refused_by_name(pipeline: Connection, agent: AgentRef) -> None:
    with pytest.raises(Refused, match="treatment: There is no version 9 of desk's prompt") as refused:
        draft(pipeline, agent, arms=(Asked(None, None), Asked(None, 9)))
    assert (refused.value.field, refused.value.reason) == ("arms", Reason.VALUE)
    for subject, said in (("policy", "no version 9 of desk's policy"), ("index", "no version 9 of desk's index")):
        with pytest.raises(Refused, match=said):
            draft(pipeline, agent, subject=subject, arms=(Asked(None, 9), Asked(None, 8)))
    assert experiments.listed(pipeline, agent.organization_id) == []


def test_what_serves_is_among_what_is_compared(pipeline: Connection, agent: AgentRef) -> None:
    made = draft(pipeline, agent)
    prompts.move_label(pipeline, agent, prompts.PRODUCTION, 3, None)
    assert "Version 3 of desk's prompt serves, which is none of the arms (1, 2)" in str(refusal("start", pipeline, made))
    held_back = draft(pipeline, agent, arms=(Asked(None, 2), Asked(None, 3)))
    assert act("start", pipeline, held_back).changed, "what serves may be the treatment: then it is held back from some"


def test_a_learnt_index_is_compared_with_the_base(pipeline: Connection, load: Load, agent: AgentRef) -> None:
    index_proposing.corpus(pipeline, load, agent)
    number = index_proposing.learnt(pipeline, agent)
    made = running(pipeline, agent, subject="index", arms=(Asked(None, None), Asked(None, number)))
    assert [arm.version for arm in made.arms] == [0, number] and made.status == "running"
    assert running(pipeline, agent).status == "running", "an experiment on the prompt is another matter"


def test_a_version_that_a_running_experiment_compares_is_not_cleaned_up(pipeline: Connection, load: Load, agent: AgentRef) -> None:
    index_proposing.corpus(pipeline, load, agent)
    first, second = (index_proposing.learnt(pipeline, agent) for _ in range(2))
    for _ in range(2):
        index_proposing.learnt(pipeline, agent)
    made = running(pipeline, agent, subject="index", arms=(Asked(None, None), Asked(None, first)))

    def left() -> bool:
        index_retention.prune_versions(pipeline, agent, 1, dt.timedelta(0))
        assert pipeline.execute("SELECT FROM index_versions WHERE number = %s AND agent_id = %s", [second, agent.agent_id]).fetchone() is None
        return pipeline.execute("SELECT FROM index_versions WHERE number = %s AND agent_id = %s", [first, agent.agent_id]).fetchone() is not None

    assert left()
    act("pause", pipeline, made)
    assert left()
    act("abort", pipeline, made)
    assert not left()


def test_a_draft_whose_version_was_cleaned_up_is_not_started(pipeline: Connection, load: Load, agent: AgentRef) -> None:
    index_proposing.corpus(pipeline, load, agent)
    made = draft(pipeline, agent, subject="index", arms=(Asked(None, None), Asked(None, index_proposing.learnt(pipeline, agent))))
    pipeline.execute("DELETE FROM index_versions WHERE agent_id = %s", [agent.agent_id])
    refused = refusal("start", pipeline, made)
    assert "treatment: There is no version 1 of desk's index" in str(refused) and refused.reason is Reason.STATE


def test_learning_that_is_disabled_starts_and_resumes_nothing(pipeline: Connection, agent: AgentRef) -> None:
    waiting, ran = draft(pipeline, agent), running(pipeline, agent, **TO_THREE)
    act("pause", pipeline, ran)
    proposals.set_learning(pipeline, agent.organization_id, agent.agent_id, False)
    for name, experiment in (("start", waiting), ("resume", ran)):
        assert "Learning is disabled for desk" in str(refusal(name, pipeline, experiment))
    with pytest.raises(Refused, match="Learning is disabled for desk"):
        draft(pipeline, agent)
    assert act("abort", pipeline, ran).changed, "what runs can always be ended"


def test_a_second_experiment_on_the_same_units_is_refused(pipeline: Connection, load: Load, agent: AgentRef) -> None:
    one, other = running(pipeline, agent), draft(pipeline, agent, **TO_THREE)
    refused = refusal("start", pipeline, other)
    assert "'shorter'" in str(refused) and str(one.id) in str(refused) and "--group" in str(refused) and refused.field == "exclusion_group"
    assert running(pipeline, desk(pipeline, load, "helper")).status == "running", "another agent's units are others"
    act("pause", pipeline, one)
    assert act("start", pipeline, other).changed
    assert "runs already" in str(refusal("resume", pipeline, one))


def test_experiments_of_one_group_share_the_units_between_them(pipeline: Connection, agent: AgentRef) -> None:
    one = running(pipeline, agent, exclusion_group="answers", options=Options(traffic=0.6))
    other = running(pipeline, agent, exclusion_group="answers", **TO_THREE)
    assert one.config["slice"] == [[0.0, 0.6]] and other.config["slice"] == [[0.6, pytest.approx(0.8)]]
    third = draft(pipeline, agent, exclusion_group="answers", options=Options(traffic=0.3))
    refused = refusal("start", pipeline, third)
    assert "leave 0.2 of the units" in str(refused) and refused.field == "exclusion_group"
    act("abort", pipeline, one)
    assert act("start", pipeline, third).experiment.config["slice"] == [[0.0, pytest.approx(0.3)]]
    assert "runs already" in str(refusal("start", pipeline, draft(pipeline, agent, exclusion_group="others")))


def test_a_group_keeps_apart_what_compares_prompts_and_indexes(pipeline: Connection, load: Load, agent: AgentRef) -> None:
    index_proposing.corpus(pipeline, load, agent)
    number = index_proposing.learnt(pipeline, agent)
    running(pipeline, agent, exclusion_group="answers", options=Options(traffic=0.6))
    other = running(pipeline, agent, exclusion_group="answers", subject="index", arms=(Asked(None, None), Asked(None, number)))
    assert other.config["slice"][0][0] == 0.6


@pytest.mark.parametrize("status", ["running", "paused"])
def test_a_rollout_shares_its_units_with_no_experiment(status: Any, pipeline: Connection, agent: AgentRef) -> None:
    arms = (Arm("control", 1, 0.5), Arm("treatment", 2, 0.05))
    rollout = experiments.add(pipeline, agent, name="canary", kind="rollout", arms=arms, steps=(1, 5), exclusion_group="answers")
    experiments.set_status(pipeline, agent.organization_id, rollout, status)
    refused = refusal("start", pipeline, draft(pipeline, agent, exclusion_group="answers", **TO_THREE))
    assert f"A rollout of desk's prompt is {'under way' if status == 'running' else 'paused'} at 1 %" in str(refused)
    assert "rollback desk --kind prompt" in str(refused)


def test_a_rollout_is_paused_and_resumed_where_it_was(pipeline: Connection, agent: AgentRef) -> None:
    arms, ranges = (Arm("control", 1, 0.5), Arm("treatment", 2, 0.05)), {"control": ((0.5, 1.0),), "treatment": ((0.0, 0.05),)}
    made = experiments.add(pipeline, agent, name="canary", kind="rollout", arms=arms, steps=(1, 5))
    experiments.begin_epoch(pipeline, agent.organization_id, made, ranges)
    experiments.set_status(pipeline, agent.organization_id, made, "running")
    found = experiments.find(pipeline, agent.organization_id, made)
    assert found is not None
    act("pause", pipeline, found)
    resumed = act("resume", pipeline, found).experiment
    assert [dict(epoch.ranges) for epoch in resumed.epochs] == [ranges, ranges] and resumed.epochs[0].ended_at is not None


def test_another_tenants_experiment_is_not_there(pipeline: Connection, load: Load, agent: AgentRef) -> None:
    theirs = draft(pipeline, desk(pipeline, load, "desk", "theirs"))
    for name in ("start", "pause", "resume", "abort"):
        needs: dict[str, Any] = {"settings": SETTINGS} if name in ("start", "resume") else {}
        with pytest.raises(Refused, match="There is no such experiment") as refused:
            getattr(lifecycle, name)(pipeline, agent.organization_id, theirs.id, OPERATOR, **needs)
        assert (refused.value.reason, refused.value.field) == (Reason.UNKNOWN, "id")


def test_two_people_who_start_two_experiments_at_once_start_one(database: Database, pipeline: Connection, agent: AgentRef) -> None:
    drafts = [draft(pipeline, agent), draft(pipeline, agent, **TO_THREE)]
    barrier, outcomes = threading.Barrier(2), []

    def start(experiment: Experiment) -> None:
        with database.connect("pipeline") as connection:
            barrier.wait(30)
            try:
                lifecycle.start(connection, agent.organization_id, experiment.id, Reviewer(str(experiment.id)), SETTINGS)
                outcomes.append("started")
            except Refused:
                outcomes.append("refused")

    people = [threading.Thread(target=start, args=[one]) for one in drafts]
    for person in people:
        person.start()
    for person in people:
        person.join(60)
    assert sorted(outcomes) == ["refused", "started"]
    assert len(experiments.running(pipeline, agent)) == 1


def test_two_people_who_start_the_same_experiment_start_it_once(database: Database, pipeline: Connection, agent: AgentRef) -> None:
    made = draft(pipeline, agent)
    barrier, changed = threading.Barrier(2), []

    def start() -> None:
        with database.connect("pipeline") as connection:
            barrier.wait(30)
            changed.append(lifecycle.start(connection, agent.organization_id, made.id, OPERATOR, SETTINGS).changed)

    people = [threading.Thread(target=start) for _ in range(2)]
    for person in people:
        person.start()
    for person in people:
        person.join(60)
    assert sorted(changed) == [False, True]
    found = experiments.find(pipeline, agent.organization_id, made.id)
    assert found is not None and len(found.epochs) == 1


def test_an_agent_without_a_prompt_has_to_be_told_its_control(pipeline: Connection, load: Load) -> None:
    agent = an_agent(pipeline, load)
    pipeline.execute("DELETE FROM prompt_labels WHERE agent_id = %s", [agent.agent_id])
    with pytest.raises(Refused, match="No version is named for control, and none serves"):
        draft(pipeline, agent)
