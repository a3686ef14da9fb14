"""Approving, rejecting, rolling back: what moves, what is refused and why, and that it happens once.

Belongs here: acceptance/approval.py on a real database. Not here: routes (api/test_proposals.py), verbs (cli/test_prompts.py).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from learning_pipelines.acceptance import approval
from learning_pipelines.acceptance.approval import SUPERSEDED, Refused, Reviewed, Reviewer
from learning_pipelines.storage import prompts, proposals
from learning_pipelines.storage.database import Connection, Database
from learning_pipelines.storage.tenants import AgentRef
from learning_pipelines_tests.acceptance.proposing import a_run, an_agent, labels, learnt, proposed
from learning_pipelines_tests.conftest import Load

ADA = Reviewer("user:ada")


@pytest.fixture
def desk(pipeline: Connection, load: Load) -> AgentRef:
    return an_agent(pipeline, load)


def approve(connection: Connection, agent: AgentRef, identity: Any, rollout: str = "immediate") -> Reviewed:
    return approval.approve(connection, agent.organization_id, identity, rollout, ADA, "looks right")


def audited(connection: Connection) -> list[tuple[str, str, str]]:
    rows = connection.execute("SELECT actor, action, subject_kind FROM audit_log WHERE subject_kind IN ('proposal', 'prompt_label') ORDER BY id").fetchall()
    return [(str(actor), str(action), str(kind)) for actor, action, kind in rows]


def test_approving_moves_production_keeps_previous_and_writes_down_who(pipeline: Connection, desk: AgentRef) -> None:
    run = a_run(pipeline, desk)
    identity = proposed(pipeline, desk, learnt(pipeline, desk), training_run_id=run, dagster_run_id="d-1")
    assert labels(pipeline, desk) == {"production": 1, "candidate": 2, "previous": None}
    reviewed = approve(pipeline, desk, identity)
    assert (reviewed.state, reviewed.version, reviewed.before, reviewed.changed) == ("approved", 2, 1, True)
    assert labels(pipeline, desk) == {"production": 2, "candidate": 2, "previous": 1}
    found = proposals.find(pipeline, desk.organization_id, identity)
    assert found is not None and (found.state, found.rollout, found.notes) == ("approved", "immediate", "looks right")
    row = pipeline.execute("SELECT review_status, review_notes FROM training_runs WHERE id = %s", [run]).fetchone()
    assert row == ("approved", "looks right")
    assert audited(pipeline) == [("pipeline", "proposed", "proposal"), ("user:ada", "approved", "proposal"), ("user:ada", "moved", "prompt_label")]


def test_a_run_with_an_open_proposal_waits_for_review(pipeline: Connection, desk: AgentRef) -> None:
    run = a_run(pipeline, desk)
    proposed(pipeline, desk, learnt(pipeline, desk), training_run_id=run)
    assert pipeline.execute("SELECT review_status FROM training_runs WHERE id = %s", [run]).fetchone() == ("pending",)


def test_a_newer_proposal_takes_the_place_of_an_open_one(pipeline: Connection, desk: AgentRef) -> None:
    older = proposed(pipeline, desk, learnt(pipeline, desk, "older"))
    newer = proposed(pipeline, desk, learnt(pipeline, desk, "newer"))
    found = {one.id: (one.state, one.notes) for one in proposals.listed(pipeline, desk.organization_id)}
    assert found == {older: ("rejected", SUPERSEDED), newer: ("open", None)}
    with pytest.raises(Refused, match=r"was rejected \(Superseded"):
        approve(pipeline, desk, older)
    assert labels(pipeline, desk)["production"] == 1


@pytest.mark.parametrize("verdict", ["no evidence", "worse"])
def test_only_what_tested_better_can_be_approved_and_a_refusal_says_why(pipeline: Connection, desk: AgentRef, verdict: str) -> None:
    identity = proposed(pipeline, desk, learnt(pipeline, desk), verdict=verdict, evidence={"reason": "the interval holds 0."})
    with pytest.raises(Refused, match=f"'{verdict}': the interval holds 0. Only what tested better"):
        approve(pipeline, desk, identity)
    assert labels(pipeline, desk) == {"production": 1, "candidate": None, "previous": None}


def test_the_stored_verdict_counts_and_not_the_one_that_was_shown(pipeline: Connection, desk: AgentRef) -> None:
    identity = proposed(pipeline, desk, learnt(pipeline, desk))
    pipeline.execute("UPDATE proposals SET verdict = 'worse' WHERE id = %s", [identity])
    with pytest.raises(Refused, match="'worse'"):
        approve(pipeline, desk, identity)


def test_a_proposal_measured_against_what_no_longer_serves_is_refused_naming_both(pipeline: Connection, desk: AgentRef) -> None:
    identity = proposed(pipeline, desk, learnt(pipeline, desk))
    other = learnt(pipeline, desk, "written meanwhile")
    prompts.move_label(pipeline, desk, "production", other, None)
    with pytest.raises(Refused, match=r"Version 2 was measured against version 1, but version 3 serves now\. Run `learning-pipelines run"):
        approve(pipeline, desk, identity)
    assert labels(pipeline, desk)["production"] == 3


def test_the_incumbent_under_another_number_is_still_the_incumbent(pipeline: Connection, desk: AgentRef, load: Load) -> None:
    identity = proposed(pipeline, desk, learnt(pipeline, desk))
    load("agents", [{"agent": "desk", "system_prompt": "You sort otherwise."}])
    load("agents", [{"agent": "desk", "system_prompt": "You sort."}])
    assert labels(pipeline, desk)["production"] == 4
    assert approve(pipeline, desk, identity).version == 2


def test_an_unknown_proposal_is_refused(pipeline: Connection, desk: AgentRef) -> None:
    for work in (approval.reject, lambda *given: approval.approve(given[0], given[1], given[2], "immediate", given[3])):
        with pytest.raises(Refused, match="no such proposal"):
            work(pipeline, desk.organization_id, uuid4(), ADA)


def test_a_disabled_agent_gets_nothing_learnt_and_no_label_moves(pipeline: Connection, desk: AgentRef, load: Load) -> None:
    other = an_agent(pipeline, load, "other")
    identity = proposed(pipeline, desk, learnt(pipeline, desk))
    assert approval.set_learning(pipeline, desk.organization_id, desk, ADA, enabled=False) == ["desk"]
    assert approval.set_learning(pipeline, desk.organization_id, desk, ADA, enabled=False) == []
    with pytest.raises(Refused, match="Learning is disabled for desk"):
        approve(pipeline, desk, identity)
    assert labels(pipeline, desk)["production"] == 1
    assert approval.set_learning(pipeline, desk.organization_id, None, ADA, enabled=False) == ["other"]
    assert other.partition in proposals.disabled_agents(pipeline)
    assert approval.set_learning(pipeline, desk.organization_id, None, ADA, enabled=True) == ["desk", "other"]
    assert approve(pipeline, desk, identity).version == 2


def test_disabling_one_organization_leaves_the_others_alone(pipeline: Connection, desk: AgentRef, load: Load) -> None:
    an_agent(pipeline, load, organization="theirs")
    approval.set_learning(pipeline, desk.organization_id, None, ADA, enabled=False)
    assert proposals.disabled_agents(pipeline) == {desk.partition}


def test_the_setting_approves_what_it_names_when_it_is_proposed(pipeline: Connection, desk: AgentRef) -> None:
    proposed(pipeline, desk, learnt(pipeline, desk), auto_approve=("index", "prompt"))
    (found,) = proposals.listed(pipeline, desk.organization_id)
    assert (found.state, labels(pipeline, desk)["production"]) == ("approved", 2)
    assert ("LEARNING_AUTO_APPROVE", "moved", "prompt_label") in audited(pipeline)
    proposed(pipeline, desk, learnt(pipeline, desk, "no better"), verdict="no evidence", incumbent={"version": 2}, auto_approve=("prompt",))
    proposed(pipeline, desk, learnt(pipeline, desk, "not named"), incumbent={"version": 2}, auto_approve=("index",))
    assert [one.state for one in proposals.listed(pipeline, desk.organization_id)] == ["open", "rejected", "approved"]
    assert labels(pipeline, desk)["production"] == 2


def test_an_automatic_approval_that_is_refused_leaves_the_reason(pipeline: Connection, desk: AgentRef) -> None:
    proposed(pipeline, desk, learnt(pipeline, desk), incumbent={"version": 9}, auto_approve=("prompt",))
    (found,) = proposals.listed(pipeline, desk.organization_id)
    assert found.state == "open" and "Not approved automatically: Version 2 was measured against version 9" in str(found.notes)


def test_what_was_measured_while_learning_was_switched_off_is_not_proposed(pipeline: Connection, desk: AgentRef) -> None:
    version = learnt(pipeline, desk)
    approval.set_learning(pipeline, desk.organization_id, desk, ADA, enabled=False)
    with pytest.raises(Refused, match="switched off for desk while this was measured"):
        proposed(pipeline, desk, version, auto_approve=("prompt",))
    assert proposals.listed(pipeline, desk.organization_id) == [] and labels(pipeline, desk)["candidate"] is None
    approval.set_learning(pipeline, desk.organization_id, desk, ADA, enabled=True)
    proposed(pipeline, desk, version, auto_approve=("prompt",))
    assert labels(pipeline, desk)["production"] == 2


def test_rejecting_moves_nothing_and_can_be_repeated(pipeline: Connection, desk: AgentRef) -> None:
    identity = proposed(pipeline, desk, learnt(pipeline, desk))
    outcomes = [approval.reject(pipeline, desk.organization_id, identity, ADA, "too long") for _ in range(2)]
    assert [(one.state, one.changed) for one in outcomes] == [("rejected", True), ("rejected", False)]
    assert labels(pipeline, desk)["production"] == 1


def test_what_is_approved_cannot_be_rejected_only_rolled_back(pipeline: Connection, desk: AgentRef) -> None:
    identity = proposed(pipeline, desk, learnt(pipeline, desk))
    approve(pipeline, desk, identity)
    with pytest.raises(Refused, match=r"approved already\. `learning-pipelines rollback desk --kind prompt`"):
        approval.reject(pipeline, desk.organization_id, identity, ADA)


def test_rolling_back_twice_is_rolling_back_once(pipeline: Connection, desk: AgentRef) -> None:
    approve(pipeline, desk, proposed(pipeline, desk, learnt(pipeline, desk)))
    first, second = (approval.rollback(pipeline, desk, ADA) for _ in range(2))
    assert (first.state, first.version, first.before, first.changed) == ("rolled_back", 1, 2, True)
    assert (second.state, second.version, second.before, second.changed) == ("rolled_back", 1, None, False)
    assert labels(pipeline, desk)["production"] == 1
    assert audited(pipeline)[-1] == ("user:ada", "rolled back", "prompt_label")
    assert len(audited(pipeline)) == 4


def test_approving_again_what_was_rolled_back_does_not_bring_it_back(pipeline: Connection, desk: AgentRef) -> None:
    identity = proposed(pipeline, desk, learnt(pipeline, desk))
    approve(pipeline, desk, identity)
    approval.rollback(pipeline, desk, ADA)
    assert not approve(pipeline, desk, identity).changed
    assert labels(pipeline, desk)["production"] == 1
    assert approve(pipeline, desk, proposed(pipeline, desk, 2)).version == 2  # measured and proposed anew, it may


def test_there_is_nothing_to_roll_back_at_first(pipeline: Connection, desk: AgentRef) -> None:
    with pytest.raises(Refused, match="nothing to roll back: version 1 is the first"):
        approval.rollback(pipeline, desk, ADA)
    with pytest.raises(Refused, match="nothing to roll back: no learnt policy ever served"):
        approval.rollback(pipeline, desk, ADA, "policy")


def _at_once(database: Database, work: Callable[[Connection], Reviewed], times: int = 6) -> list[Reviewed | Exception]:
    ready, found = threading.Barrier(times), list[Reviewed | Exception]()

    def one() -> None:
        with database.connect("pipeline") as connection:
            ready.wait(30)
            try:
                found.append(work(connection))
            except Exception as error:  # noqa: BLE001 - the test looks at whatever it was
                found.append(error)

    threads = [threading.Thread(target=one) for _ in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_approvers_at_once_approve_once(database: Database, pipeline: Connection, desk: AgentRef) -> None:
    identity = proposed(pipeline, desk, learnt(pipeline, desk))
    found = _at_once(database, lambda connection: approve(connection, desk, identity))
    assert sorted(one.changed for one in found if isinstance(one, Reviewed)) == [False] * 5 + [True]
    assert labels(pipeline, desk) == {"production": 2, "candidate": 2, "previous": 1}
    assert [entry for entry in audited(pipeline) if entry[1] == "moved"] == [("user:ada", "moved", "prompt_label")]


def test_of_approving_and_rejecting_at_once_one_holds(database: Database, pipeline: Connection, desk: AgentRef) -> None:
    identity = proposed(pipeline, desk, learnt(pipeline, desk))
    turns = iter(range(6))

    def either(connection: Connection) -> Reviewed:
        if next(turns) % 2:
            return approve(connection, desk, identity)
        return approval.reject(connection, desk.organization_id, identity, ADA)

    found = _at_once(database, either)
    held = {one.state for one in found if isinstance(one, Reviewed)}
    assert len(held) == 1 and all(isinstance(one, Reviewed | Refused) for one in found)
    assert (labels(pipeline, desk)["production"] == 2) == (held == {"approved"})


def test_people_who_roll_back_at_once_go_back_one_step(database: Database, pipeline: Connection, desk: AgentRef) -> None:
    approve(pipeline, desk, proposed(pipeline, desk, learnt(pipeline, desk)))
    approve(pipeline, desk, proposed(pipeline, desk, learnt(pipeline, desk, "third"), incumbent={"version": 2}))
    found = _at_once(database, lambda connection: approval.rollback(connection, desk, ADA))
    assert sorted(one.changed for one in found if isinstance(one, Reviewed)) == [False] * 5 + [True]
    assert labels(pipeline, desk)["production"] == 2
