"""Rollouts in steps on a real database: begun by an approval, taken through their steps, rolled back for harm, ended by people.

Belongs here: canary.py, looking.py and finishing.py through approval.py. Not here: the rules (test_decision.py), who gets what (test_assignment.py), the job.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest

from learning_pipelines.acceptance import approval
from learning_pipelines.acceptance.reviewing import Refused, Reviewed, Reviewer
from learning_pipelines.experiments import lifecycle, looking
from learning_pipelines.experiments.decision import again
from learning_pipelines.settings import Settings
from learning_pipelines.storage import experiment_decisions, experiments, prompts, proposals
from learning_pipelines.storage.database import Connection, Database
from learning_pipelines.storage.experiment_rows import Experiment
from learning_pipelines.storage.tenants import AgentRef
from learning_pipelines_tests.acceptance import index_proposing
from learning_pipelines_tests.acceptance.proposing import a_run, an_agent, labels, learnt, proposed
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.experiments.seen import aged, exposed, thumbs

ADA = Reviewer("user:ada")


@pytest.fixture
def desk(pipeline: Connection, load: Load) -> AgentRef:
    return an_agent(pipeline, load)


@pytest.fixture
def run(pipeline: Connection, desk: AgentRef) -> UUID:
    return a_run(pipeline, desk)


@pytest.fixture
def proposal(pipeline: Connection, desk: AgentRef, run: UUID) -> UUID:
    return proposed(pipeline, desk, learnt(pipeline, desk, training_run_id=run), training_run_id=run)


@pytest.fixture
def rollout(pipeline: Connection, desk: AgentRef, proposal: UUID) -> UUID:
    begun = approve(pipeline, desk, proposal).experiment
    assert begun is not None
    return begun


def approve(connection: Connection, agent: AgentRef, proposal: UUID, rollout: str = "canary") -> Reviewed:
    return approval.approve(connection, agent.organization_id, proposal, rollout, ADA, "carefully")


def found(connection: Connection, agent: AgentRef, experiment: UUID) -> Experiment:
    one = experiments.find(connection, agent.organization_id, experiment)
    assert one is not None
    return one


def looked(connection: Connection, agent: AgentRef, experiment: UUID) -> Any:
    return looking.look(connection, agent, experiment, Settings())


def test_approving_as_a_canary_serves_one_percent_and_moves_no_label(pipeline: Connection, desk: AgentRef, proposal: UUID, run: UUID) -> None:
    reviewed = approve(pipeline, desk, proposal)
    assert (reviewed.state, reviewed.changed, reviewed.version) == ("approved", True, None) and reviewed.experiment is not None
    begun = found(pipeline, desk, reviewed.experiment)
    assert (begun.kind, begun.subject, begun.status, begun.steps, begun.step) == ("rollout", "prompt", "running", (1, 5, 25, 50, 100), 0)
    assert [(arm.variant, arm.version, arm.weight) for arm in begun.arms] == [("control", 1, 0.01), ("treatment", 2, 0.01)]
    assert begun.epoch is not None and begun.epoch.ranges["treatment"] == ((0.0, 0.01),)
    assert labels(pipeline, desk) == {"production": 1, "candidate": 2, "previous": None}
    stored = proposals.find(pipeline, desk.organization_id, proposal)
    assert stored is not None and (stored.state, stored.rollout, begun.proposal_id) == ("approved", "canary", proposal)
    assert approve(pipeline, desk, proposal).changed is False


def test_a_good_one_goes_through_all_steps_to_production(pipeline: Connection, desk: AgentRef, rollout: UUID, run: UUID) -> None:
    shares = []
    for step in range(5):
        exposed(pipeline, desk, rollout, control=200, treatment=200)
        thumbs(pipeline, desk, rollout, control=(200, 140), treatment=(200, 150))
        assert looked(pipeline, desk, rollout).outcome.held  # the hours of the step are to come
        assert found(pipeline, desk, rollout).step == step
        aged(pipeline, desk, rollout, hours=25)
        seen = looked(pipeline, desk, rollout)
        if seen.status == "completed":
            break
        shares.append(found(pipeline, desk, rollout).treatments[0].weight)
    assert shares == [0.05, 0.25, 0.5] and seen.served == (2, 1)
    assert labels(pipeline, desk) == {"production": 2, "candidate": 2, "previous": 1}
    over = found(pipeline, desk, rollout)
    assert (over.status, over.decision, over.winner) == ("completed", "adopt_treatment", "treatment")
    assert over.epoch is not None and over.epoch.ended_at is not None
    row = pipeline.execute("SELECT metrics -> 'experiment' ->> 'decision', review_status FROM training_runs WHERE id = %s", [run]).fetchone()
    assert row == ("adopt_treatment", "approved")
    assert looked(pipeline, desk, rollout) is None


def test_harm_is_rolled_back_by_itself_at_five_percent_and_everything_says_so(
    pipeline: Connection, desk: AgentRef, rollout: UUID, run: UUID, proposal: UUID
) -> None:
    exposed(pipeline, desk, rollout, control=60, treatment=60)
    thumbs(pipeline, desk, rollout, control=(60, 42), treatment=(60, 42))
    aged(pipeline, desk, rollout, hours=25)
    looked(pipeline, desk, rollout)
    assert found(pipeline, desk, rollout).step == 1
    exposed(pipeline, desk, rollout, control=400, treatment=400)
    thumbs(pipeline, desk, rollout, control=(400, 320), treatment=(400, 220))
    seen = looked(pipeline, desk, rollout)  # in the very hour: no duration and no number of units holds it back
    assert (seen.outcome.decision, seen.status, seen.served) == ("rollback", "completed", None)
    assert labels(pipeline, desk)["production"] == 1
    over, stored = found(pipeline, desk, rollout), proposals.find(pipeline, desk.organization_id, proposal)
    assert (over.status, over.decision, over.winner) == ("completed", "rollback", "control")
    assert stored is not None and stored.state == "rejected" and stored.notes is not None and stored.notes.startswith("Rolled back. Treatment is worse: thumbs")
    assert pipeline.execute("SELECT review_status FROM training_runs WHERE id = %s", [run]).fetchone() == ("rejected",)
    audited = pipeline.execute("SELECT action FROM audit_log WHERE subject_kind = 'experiment' ORDER BY id").fetchall()
    assert [action for (action,) in audited] == ["started", "stepped", "concluded"]
    with pytest.raises(Refused, match="The proposal was rejected"):
        approve(pipeline, desk, proposal)


def test_every_stored_decision_comes_out_again_from_its_evidence(pipeline: Connection, desk: AgentRef, rollout: UUID) -> None:
    exposed(pipeline, desk, rollout, control=400, treatment=400)
    thumbs(pipeline, desk, rollout, control=(400, 320), treatment=(400, 300))
    aged(pipeline, desk, rollout, hours=25)
    looked(pipeline, desk, rollout)
    thumbs(pipeline, desk, rollout, control=(400, 340), treatment=(400, 200))
    looked(pipeline, desk, rollout)
    stored = experiment_decisions.listed(pipeline, desk.organization_id, rollout)
    assert [(one.decision, one.final) for one in stored] == [("rollback", True), ("inconclusive", False)]
    for one in stored:
        made = again(one.evidence)
        assert (made.decision, made.reason) == (one.decision, one.reason) and made.as_json() == one.evidence["outcome"]
    with pytest.raises(ValueError, match="rollback was stored, inconclusive follows"):
        again({**stored[0].evidence, "metrics": {}})


def test_a_look_that_sees_nothing_new_writes_no_row(pipeline: Connection, desk: AgentRef, rollout: UUID) -> None:
    assert looked(pipeline, desk, rollout).new is True
    assert looked(pipeline, desk, rollout).new is False
    assert len(experiment_decisions.listed(pipeline, desk.organization_id, rollout)) == 1


def test_a_failure_in_the_middle_of_the_last_step_leaves_everything_as_it_was(
    pipeline: Connection, desk: AgentRef, rollout: UUID, proposal: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.execute("UPDATE learning_experiments SET step = 3")
    exposed(pipeline, desk, rollout, control=600, treatment=600)
    thumbs(pipeline, desk, rollout, control=(600, 420), treatment=(600, 440))
    aged(pipeline, desk, rollout, hours=25)
    tables = ("learning_experiments", "experiment_decisions", "experiment_epochs", "prompt_labels", "proposals", "training_runs", "audit_log")
    before = {table: pipeline.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall() for table in tables}
    with monkeypatch.context() as patch:
        patch.setattr("learning_pipelines.experiments.finishing.audit.record", lambda *_, kind, **__: 1 / 0 if kind == "experiment" else None)
        with pytest.raises(ZeroDivisionError):
            looked(pipeline, desk, rollout)
    assert {table: pipeline.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall() for table in tables} == before
    assert looked(pipeline, desk, rollout).served == (2, 1)


def test_a_disabled_agent_moves_nothing(pipeline: Connection, desk: AgentRef, rollout: UUID) -> None:
    proposals.set_learning(pipeline, desk.organization_id, desk.agent_id, False)
    exposed(pipeline, desk, rollout, control=400, treatment=400)
    thumbs(pipeline, desk, rollout, control=(400, 320), treatment=(400, 100))
    assert looked(pipeline, desk, rollout) is None and found(pipeline, desk, rollout).status == "running"


def test_a_rollback_ends_the_rollout_at_once_and_a_second_click_takes_back_no_more(pipeline: Connection, desk: AgentRef, proposal: UUID) -> None:
    older = learnt(pipeline, desk, "You sorted.")
    prompts.move_label(pipeline, desk, "production", older, None)
    prompts.move_label(pipeline, desk, "production", 1, None)
    rollout = approve(pipeline, desk, proposal).experiment
    assert rollout is not None
    done = approval.rollback(pipeline, desk, ADA)
    assert (done.changed, done.version, done.before, done.experiment) == (True, 1, 2, rollout)
    over = found(pipeline, desk, rollout)
    assert (over.status, over.decision, labels(pipeline, desk)["production"]) == ("completed", "rollback", 1)
    again_asked = approval.rollback(pipeline, desk, ADA)
    assert (again_asked.changed, again_asked.version, labels(pipeline, desk)["production"]) == (False, 1, 1)
    pipeline.execute("UPDATE learning_experiments SET ended_at = ended_at - interval '2 minutes'")
    assert approval.rollback(pipeline, desk, ADA).version == older
    (stored,) = experiment_decisions.listed(pipeline, desk.organization_id, rollout)
    assert again(stored.evidence).decision == "rollback" and stored.decided_by == "user:ada"


def test_a_rollback_of_a_disabled_agent_ends_its_rollout_too(pipeline: Connection, desk: AgentRef, rollout: UUID) -> None:
    proposals.set_learning(pipeline, desk.organization_id, desk.agent_id, False)
    assert approval.rollback(pipeline, desk, ADA).experiment == rollout


def test_nothing_else_of_the_same_subject_is_approved_meanwhile(pipeline: Connection, desk: AgentRef, rollout: UUID, proposal: UUID) -> None:
    other = proposed(pipeline, desk, learnt(pipeline, desk, "You sort better."))
    for how in ("immediate", "canary"):
        with pytest.raises(Refused, match=f"The experiment {rollout} rolls out version 2 of the prompt; it is at 1 % of the traffic"):
            approve(pipeline, desk, other, how)
    with pytest.raises(Refused, match=f"The experiment {rollout} rolls out"):
        approve(pipeline, desk, proposal, "immediate")
    assert labels(pipeline, desk)["production"] == 1


def test_a_rollout_whose_control_no_longer_serves_ends_without_a_verdict_and_its_proposal_is_open_again(
    pipeline: Connection, desk: AgentRef, rollout: UUID, proposal: UUID
) -> None:
    other = learnt(pipeline, desk, "written meanwhile")
    prompts.move_label(pipeline, desk, "production", other, None)
    seen = looked(pipeline, desk, rollout)
    assert (seen.outcome.decision, seen.status) == ("inconclusive", "cancelled")
    stored = proposals.find(pipeline, desk.organization_id, proposal)
    assert stored is not None and stored.state == "open" and stored.notes is not None and "but version 3 serves now" in stored.notes
    assert labels(pipeline, desk)["production"] == 3


def test_two_people_who_begin_it_at_once_begin_it_once(pipeline: Connection, database: Database, desk: AgentRef, proposal: UUID) -> None:
    def begin() -> Reviewed:
        with database.connect("pipeline") as connection:
            return approve(connection, desk, proposal)

    with ThreadPoolExecutor(2) as people:
        both = [one.result() for one in (people.submit(begin), people.submit(begin))]
    assert sorted(one.changed for one in both) == [False, True]
    assert len(experiments.listed(pipeline, desk.organization_id)) == 1


def test_a_rollback_and_the_last_step_at_once_leave_one_of_them(pipeline: Connection, database: Database, desk: AgentRef, rollout: UUID) -> None:
    pipeline.execute("UPDATE learning_experiments SET step = 3")
    exposed(pipeline, desk, rollout, control=600, treatment=600)
    thumbs(pipeline, desk, rollout, control=(600, 420), treatment=(600, 440))
    aged(pipeline, desk, rollout, hours=25)

    def step() -> Any:
        with database.connect("pipeline") as connection:
            return looked(connection, desk, rollout)

    def back() -> Reviewed:
        with database.connect("pipeline") as connection:
            return approval.rollback(connection, desk, ADA)

    with ThreadPoolExecutor(2) as people:
        stepped, taken = people.submit(step).result(), people.submit(back).result()
    over = found(pipeline, desk, rollout)
    # Whoever comes second finds it done: adopted and then rolled back to version 1, or rolled back and nothing left to adopt.
    assert (over.decision, taken.version, labels(pipeline, desk)["production"]) in (("adopt_treatment", 1, 1), ("rollback", 1, 1))
    assert (stepped is None) == (over.decision == "rollback")
    assert len([one for one in experiment_decisions.listed(pipeline, desk.organization_id, rollout) if one.final]) == 1


def test_what_was_approved_after_a_rollback_can_be_taken_back_at_once(pipeline: Connection, desk: AgentRef, rollout: UUID) -> None:
    approval.rollback(pipeline, desk, ADA)
    other = proposed(pipeline, desk, learnt(pipeline, desk, "You sort better."))
    assert approve(pipeline, desk, other, "immediate").version == 3
    assert approval.rollback(pipeline, desk, ADA).version == 1


def test_an_aborted_rollout_leaves_its_proposal_open(pipeline: Connection, desk: AgentRef, rollout: UUID, proposal: UUID, run: UUID) -> None:
    lifecycle.abort(pipeline, desk.organization_id, rollout, ADA, "Not on a Friday.")
    stored = proposals.find(pipeline, desk.organization_id, proposal)
    assert stored is not None and (stored.state, found(pipeline, desk, rollout).status) == ("open", "cancelled")
    assert stored.notes is not None and "Not on a Friday." in stored.notes
    assert pipeline.execute("SELECT review_status FROM training_runs WHERE id = %s", [run]).fetchone() == ("pending",)
    assert approve(pipeline, desk, proposal).experiment is not None


def test_a_paused_rollout_goes_on_at_its_step(pipeline: Connection, desk: AgentRef, rollout: UUID) -> None:
    lifecycle.pause(pipeline, desk.organization_id, rollout, ADA)
    assert looked(pipeline, desk, rollout) is None
    lifecycle.resume(pipeline, desk.organization_id, rollout, ADA, Settings())
    again_running = found(pipeline, desk, rollout)
    assert again_running.epoch is not None and (again_running.step, again_running.epoch.ranges["treatment"]) == (0, ((0.0, 0.01),))
    assert "It waits at 1 %" in looked(pipeline, desk, rollout).outcome.reason


@pytest.mark.parametrize("kind", ["index", "reranker", "expansion", "chunk_edit"])
def test_everything_that_an_index_serves_is_rolled_out_as_its_version(pipeline: Connection, desk: AgentRef, load: Load, kind: str) -> None:
    index_proposing.corpus(pipeline, load, desk)
    version = index_proposing.learnt(pipeline, desk, kind=kind)
    begun = approve(pipeline, desk, index_proposing.proposed(pipeline, desk, version, kind=kind)).experiment
    assert begun is not None and index_proposing.labels(pipeline, desk) == (None, version, None)
    assert [(arm.variant, arm.version) for arm in found(pipeline, desk, begun).arms] == [("control", 0), ("treatment", version)]
    pipeline.execute("UPDATE learning_experiments SET step = 3")
    exposed(pipeline, desk, begun, control=600, treatment=600)
    thumbs(pipeline, desk, begun, control=(600, 420), treatment=(600, 440))
    aged(pipeline, desk, begun, hours=25)
    assert looked(pipeline, desk, begun).served == (version, 0)
    assert index_proposing.labels(pipeline, desk) == (version, version, 0)


@pytest.mark.parametrize("kind", ["playbook", "fine_tune"])
def test_what_serves_for_everybody_or_nobody_has_no_canary(pipeline: Connection, desk: AgentRef, kind: str) -> None:
    pipeline.execute("UPDATE proposals SET kind = %s", [kind])
    proposal = proposed(pipeline, desk, learnt(pipeline, desk))
    pipeline.execute("UPDATE proposals SET kind = %s", [kind])
    with pytest.raises(Refused, match=f"A {kind.replace('_', ' ')} has no canary rollout"):
        approve(pipeline, desk, proposal)
    stored = proposals.find(pipeline, desk.organization_id, proposal)
    assert stored is not None and stored.state == "open"
