"""Approving and rolling back behaviour: what moves, per kind and topic, what is refused, and that it happens once.

Belongs here: acceptance/behavior_change.py through approval.py on a real database. Not here: prompts (test_approval.py), indexes, learning.
"""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from learning_pipelines.acceptance import approval
from learning_pipelines.acceptance.approval import Refused, Reviewed, Reviewer
from learning_pipelines.acceptance.behavior_proposing import propose
from learning_pipelines.acceptance.retiring import retire
from learning_pipelines.retrieval.artifacts import put_folder
from learning_pipelines.settings import Settings
from learning_pipelines.storage import behavior_versions, experiments, index_retention, proposals
from learning_pipelines.storage.database import Connection, Database
from learning_pipelines.storage.tenants import AgentRef
from learning_pipelines_tests.acceptance.proposing import a_run, an_agent
from learning_pipelines_tests.conftest import Load

ADA = Reviewer("user:ada")
PROPOSED_AS = [
    ("policy", "policy", ""), ("playbook", "playbook", "refund"), ("playbook", "rules", "3"), ("fine_tune", "fine_tune", ""),
]  # fmt: skip
"""Guidance asks more before it may serve: test_guidance_approval.py."""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


@pytest.fixture
def desk(pipeline: Connection, load: Load) -> AgentRef:
    return an_agent(pipeline, load)


@pytest.fixture
def proposed(pipeline: Connection, desk: AgentRef, settings: Settings) -> Any:
    """Learns and proposes a version: (number, proposal)."""

    def run(kind: str = "policy", subject_kind: Any = None, topic: str = "", **more: Any) -> tuple[int, UUID]:
        given: dict[str, Any] = {"config": {}, "metrics": {"accuracy": 0.8}, "evidence": {"difference": 0.1}, "settings": settings, **more}
        return propose(pipeline, desk, kind=kind, subject_kind=subject_kind or kind, topic=topic, **given)

    return run


@pytest.fixture
def approve(pipeline: Connection, desk: AgentRef, settings: Settings) -> Any:
    return lambda identity: approval.approve(pipeline, desk.organization_id, identity, "immediate", ADA, settings=settings)


@pytest.fixture
def rollback(pipeline: Connection, desk: AgentRef, settings: Settings) -> Any:
    return lambda kind, topic=None: approval.rollback(pipeline, desk, ADA, kind, topic=topic, settings=settings)


def labels(connection: Connection, agent: AgentRef, kind: Any = "policy", topic: str = "") -> tuple[int | None, ...]:
    return tuple(behavior_versions.label_target(connection, agent, kind, label, topic) for label in ("serving", "candidate", "previous"))  # type: ignore[arg-type]


def audited(connection: Connection) -> list[tuple[str, str, str]]:
    rows = connection.execute("SELECT actor, action, subject_id FROM audit_log WHERE subject_kind LIKE 'behavior%' ORDER BY id").fetchall()
    return [(str(actor), str(action), str(subject)) for actor, action, subject in rows]


@pytest.mark.parametrize(("kind", "of", "topic"), PROPOSED_AS)
def test_every_kind_of_behavior_serves_once_approved_and_goes_back_to_nothing_learnt(
    pipeline: Connection, desk: AgentRef, proposed: Any, approve: Any, rollback: Any, kind: str, of: Any, topic: str
) -> None:
    number, identity = proposed(kind, of, topic)
    assert labels(pipeline, desk, of, topic) == (None, number, None)
    assert behavior_versions.labelled(pipeline, desk.organization_id, desk.agent_id, of) == []
    done = approve(identity)
    assert (done.kind, done.version, done.before, done.changed) == (kind, 1, 0, True)
    assert [one.number for one in behavior_versions.labelled(pipeline, desk.organization_id, desk.agent_id, of)] == [1]
    assert approve(identity).changed is False
    first, second = rollback(of, topic or None), rollback(of, topic or None)
    assert [(one.version, one.before, one.changed) for one in (first, second)] == [(0, 1, True), (0, None, False)]
    assert labels(pipeline, desk, of, topic) == (0, 1, 0)
    about = f"desk/{of}/{topic}/serving" if topic else f"desk/{of}/serving"
    assert audited(pipeline) == [("pipeline", "learnt", f"desk/{of}/1"), ("user:ada", "moved", about), ("user:ada", "rolled back", about)]


def test_only_a_proposal_of_the_same_kind_and_topic_is_superseded(pipeline: Connection, desk: AgentRef, proposed: Any) -> None:
    old, others = proposed("playbook", "playbook", "refund")[1], [proposed(*one)[1] for one in PROPOSED_AS if one[2] != "refund"]
    others.append(proposed("playbook", "playbook", "cancel")[1])
    new = proposed("playbook", "playbook", "refund")[1]
    states = {one.id: one.state for one in proposals.listed(pipeline, desk.organization_id)}
    assert states == {old: "rejected", new: "open"} | dict.fromkeys(others, "open")


def test_topics_are_served_and_taken_back_on_their_own(pipeline: Connection, desk: AgentRef, proposed: Any, approve: Any, rollback: Any) -> None:
    for topic in ("refund", "cancel"):
        approve(proposed("playbook", "playbook", topic)[1])
    with pytest.raises(Refused, match=r"desk has a playbook for each of several topics\. Name one \(--topic, topic\): cancel, refund"):
        rollback("playbook")
    assert rollback("playbook", "refund").version == 0
    assert (labels(pipeline, desk, "playbook", "refund")[0], labels(pipeline, desk, "playbook", "cancel")[0]) == (0, 2)
    with pytest.raises(Refused, match="no learnt playbook of 'exchange' ever served"):
        rollback("playbook", "exchange")


def test_the_only_topic_needs_no_name(proposed: Any, approve: Any, rollback: Any) -> None:
    approve(proposed("playbook", "playbook", "refund")[1])
    assert rollback("playbook").version == 0


def test_a_proposal_measured_against_what_no_longer_serves_is_refused(pipeline: Connection, desk: AgentRef, proposed: Any, approve: Any) -> None:
    approve(proposed()[1])
    number, late = proposed(incumbent=0)
    with pytest.raises(Refused, match=r"measured against nothing learnt, but version 1 serves now\. Run `learning-pipelines run behavior_learning"):
        approve(late)
    assert number == 2 and labels(pipeline, desk) == (1, 2, 0)
    assert approve(proposed()[1]).before == 1


def test_after_a_rollback_to_nothing_learnt_what_is_measured_against_it_may_serve(proposed: Any, approve: Any, rollback: Any) -> None:
    approve(proposed()[1])
    rollback("policy")
    done = approve(proposed()[1])
    assert (done.version, done.before) == (2, 0)


def test_a_version_whose_artifact_is_gone_or_damaged_neither_serves_nor_comes_back(
    pipeline: Connection, desk: AgentRef, settings: Settings, proposed: Any, approve: Any, rollback: Any, tmp_path: Path
) -> None:
    made = tmp_path / "policy"
    made.mkdir()
    (made / "policy.json").write_text("{}")
    artifact = put_folder(settings, desk, made)
    stored = settings.home / "artifacts" / artifact.path / "policy.json"
    approve(proposed("fine_tune", artifact=artifact)[1])
    approve(proposed("fine_tune")[1])
    _, late = proposed("fine_tune", artifact=artifact)
    stored.write_text("[]")
    for said in ("is not what was stored", "is gone from the store"):
        shutil.rmtree(settings.home / "cache", ignore_errors=True)
        with pytest.raises(Refused, match=f"Version 3 cannot be served: .*{said}"):
            approve(late)
        with pytest.raises(Refused, match=f"Version 1 cannot be served: .*{said}"):
            rollback("fine_tune")
        assert labels(pipeline, desk, "fine_tune") == (2, 3, 1)
        shutil.rmtree(stored.parent, ignore_errors=True)


def test_a_policy_that_cannot_be_read_does_not_serve(desk: AgentRef, settings: Settings, proposed: Any, approve: Any, tmp_path: Path) -> None:
    (tmp_path / "policy").mkdir()
    (tmp_path / "policy" / "policy.json").write_text("{}")
    with pytest.raises(Refused, match=r"Version 1 cannot be served: The policy's file .* is gone"):
        approve(proposed(artifact=put_folder(settings, desk, tmp_path / "policy"))[1])


def test_what_is_retired_is_not_brought_back(pipeline: Connection, desk: AgentRef, proposed: Any, approve: Any, rollback: Any) -> None:
    approve(proposed()[1])
    approve(proposed()[1])
    assert retire(pipeline, desk, "policy", "", "retired") == 2
    assert labels(pipeline, desk) == (0, 2, 0) and rollback("policy").changed is False
    assert audited(pipeline)[-1] == ("pipeline", "retired", "desk/policy/serving")
    assert approve(proposed()[1]).before == 0


def test_artifacts_of_behavior_are_named_so_that_no_clean_up_takes_them(
    pipeline: Connection, desk: AgentRef, settings: Settings, proposed: Any, tmp_path: Path
) -> None:
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "policy.json").write_text("{}")
    artifact = put_folder(settings, desk, tmp_path / "made")
    proposed(artifact=artifact)
    assert desk.organization_id in index_retention.organizations(pipeline)
    assert artifact.path in index_retention.named_artifacts(pipeline, desk.organization_id)


def test_what_is_no_better_is_not_approved_and_is_no_candidate(pipeline: Connection, desk: AgentRef, proposed: Any, approve: Any) -> None:
    _, identity = proposed(verdict="no evidence", evidence={"reason": "7 demonstrations are too few."})
    with pytest.raises(Refused, match="'no evidence': 7 demonstrations are too few"):
        approve(identity)
    assert labels(pipeline, desk) == (None, None, None)


def test_a_policy_is_rolled_out_in_steps_and_what_is_retired_ends_its_rollout(pipeline: Connection, desk: AgentRef, proposed: Any, approve: Any) -> None:
    approve(proposed()[1])
    number, identity = proposed()
    begun = approval.approve(pipeline, desk.organization_id, identity, "canary", ADA).experiment
    assert begun is not None and labels(pipeline, desk) == (1, number, 0)
    experiment = experiments.find(pipeline, desk.organization_id, begun)
    assert experiment is not None and (experiment.subject, [arm.version for arm in experiment.arms]) == ("policy", [1, number])
    retire(pipeline, desk, "policy", "", "retired")
    over, stored = experiments.find(pipeline, desk.organization_id, begun), proposals.find(pipeline, desk.organization_id, identity)
    assert over is not None and stored is not None and (over.status, stored.state) == ("cancelled", "open")


def test_rejecting_what_is_approved_names_the_way_back(pipeline: Connection, desk: AgentRef, proposed: Any, approve: Any) -> None:
    _, identity = proposed("playbook", "rules", "wrong account")
    approve(identity)
    with pytest.raises(Refused, match="`learning-pipelines rollback desk --kind rules --topic 'wrong account'`"):
        approval.reject(pipeline, desk.organization_id, identity, ADA)


def test_nothing_learnt_ever_served_is_said_and_unknown_kinds_are_refused(pipeline: Connection, desk: AgentRef, rollback: Any) -> None:
    with pytest.raises(Refused, match="nothing to roll back: no learnt fine-tune ever served"):
        rollback("fine_tune")
    with pytest.raises(Refused, match="'weights' is nothing that is learnt"):
        rollback("weights")
    with pytest.raises(Refused, match="An agent has one prompt, of no topic"):
        rollback("prompt", "refund")


def test_a_subject_of_another_kind_is_refused_when_it_is_opened(pipeline: Connection, desk: AgentRef) -> None:
    for subject in ({"version": 1}, {"kind": "policy", "version": 1}):
        with pytest.raises(Refused, match="A proposal of kind fine_tune cannot be about"):
            approval.open_proposal(pipeline, desk, kind="fine_tune", verdict="better", subject=subject, incumbent={"version": 0}, evidence={})
    assert proposals.listed(pipeline, desk.organization_id) == []


def test_the_setting_approves_the_kind_it_names(pipeline: Connection, desk: AgentRef, settings: Settings, proposed: Any) -> None:
    automatic = settings.model_copy(update={"auto_approve": ("policy",)})
    run = a_run(pipeline, desk)
    proposed(settings=automatic, run_id=run)
    proposed("playbook", "playbook", "refund", settings=automatic)
    assert (labels(pipeline, desk)[0], labels(pipeline, desk, "playbook", "refund")[0]) == (1, None)
    assert pipeline.execute("SELECT review_status FROM training_runs WHERE id = %s", [run]).fetchone() == ("approved",)


def test_approvers_at_once_approve_once(database: Database, pipeline: Connection, desk: AgentRef, proposed: Any, settings: Settings) -> None:
    _, identity = proposed()
    ready, found = threading.Barrier(6), list[Reviewed]()

    def one() -> None:
        with database.connect("pipeline") as connection:
            ready.wait(30)
            found.append(approval.approve(connection, desk.organization_id, identity, "immediate", ADA, settings=settings))

    threads = [threading.Thread(target=one) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(each.changed for each in found) == [False] * 5 + [True]
    assert [action for _, action, _ in audited(pipeline)] == ["learnt", "moved"]
