"""Playbooks from the database through the gate: better ones are proposed once, thin ones say what is missing, evidence is recounted."""

from __future__ import annotations

import random
from typing import Any

import pytest

from learning_pipelines.acceptance import approval, meeting
from learning_pipelines.behavior.demonstration_splits import refresh_splits
from learning_pipelines.behavior.playbooks import evidence, gate
from learning_pipelines.behavior.playbooks.making import make_all
from learning_pipelines.behavior.playbooks.playbook import Playbook
from learning_pipelines.settings import Settings, load_settings
from learning_pipelines.storage import acceptance, behavior_versions, proposals
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef
from learning_pipelines_tests.behavior.shown import demonstration, shown_by
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.feedback.rows import Row, agent_ref

COUNT = 220
"""So many that the split test holds the 54 that the gate asks for."""


@pytest.fixture
def settings() -> Settings:
    return load_settings()


def rows(count: int = COUNT, task_type: str = "refund", start: int = 0, seed: int = 1, **more: Any) -> list[Row]:
    """Tasks that share no words; the ways are fixed, so that a playbook can know them."""
    rng = random.Random(seed)
    ways = [("look", "check", "pay", "tell")] * 4 + [("look", "check", "refuse", "tell")]
    return [
        demonstration(f"{task_type}{number:04}", *rng.choice(ways), task=_words(rng), task_type=task_type, expert=f"expert {number % 3}", **more)
        for number in range(start, start + count)
    ]


def desk(load: Load, pipeline: Connection, settings: Settings, some: list[Row]) -> AgentRef:
    shown_by(load, pipeline, some)
    agent = agent_ref(pipeline)
    refresh_splits(pipeline, agent, settings)
    return agent


def test_a_playbook_that_is_better_is_proposed_approved_and_not_proposed_again(load: Load, pipeline: Connection, settings: Settings) -> None:
    agent = desk(load, pipeline, settings, rows())
    made = make_all(pipeline, agent, settings, "dagster 1")
    (tested,) = made.tested
    assert tested.state == "proposed" and tested.evidence is not None and tested.evidence.n >= 54 and tested.evidence.difference > 0.5
    (proposal,) = proposals.listed(pipeline, agent.organization_id)
    assert (proposal.kind, proposal.verdict, proposal.subject) == ("playbook", "better", {"kind": "playbook", "topic": "refund", "version": 1})
    assert gate.serving_of(pipeline, agent, "refund") is None  # nothing serves before it is approved
    (test,) = acceptance.tests(pipeline, agent, "playbook")
    assert meeting.audit(pipeline, agent, test) == []
    run = pipeline.execute("SELECT training_type, status, progress, requires_review FROM training_runs").fetchall()
    assert run == [("behavior_learning", "completed", 1.0, True)]

    assert make_all(pipeline, agent, settings, "dagster 2").tested[0].state == "unchanged"
    approval.approve(pipeline, agent.organization_id, proposal.id, "immediate", approval.OPERATOR, settings=settings)
    serving = gate.serving_of(pipeline, agent, "refund")
    assert serving is not None and serving.number == 1
    assert serving.config["text"].startswith("Playbook: refund") and serving.config["mermaid"].startswith("flowchart TD")
    assert Playbook.from_json(serving.config).steps[1].type == "look"
    again = make_all(pipeline, agent, settings, "dagster 3").tested[0]
    assert again.state == "unchanged" and "which serves" in again.reason
    assert len(acceptance.tests(pipeline, agent, "playbook")) == 1


def test_another_way_of_doing_it_is_measured_against_the_playbook_that_serves(load: Load, pipeline: Connection, settings: Settings) -> None:
    agent = desk(load, pipeline, settings, rows())
    first = make_all(pipeline, agent, settings, None).tested[0]
    assert first.proposal is not None
    approval.approve(pipeline, agent.organization_id, first.proposal, "immediate", approval.OPERATOR, settings=settings)
    more = [demonstration(f"new{number:04}", "greet", "look", "check", "pay", "tell", task=_words(random.Random(number)), task_type="refund")
            for number in range(900)]  # fmt: skip
    agent = desk(load, pipeline, settings, more)
    second = make_all(pipeline, agent, settings, None).tested[0]
    assert second.state == "proposed" and second.against == 1 and second.version == 2
    test = acceptance.tests(pipeline, agent, "playbook")[-1]
    assert test.k == 2  # it meets held-out demonstrations that the first met


def test_too_few_held_out_demonstrations_say_how_many_more_are_needed(load: Load, pipeline: Connection, settings: Settings) -> None:
    agent = desk(load, pipeline, settings, rows(40))
    (tested,) = make_all(pipeline, agent, settings, None).tested
    assert tested.state == "too few" and "54 are needed" in tested.reason and "more demonstrations of this task type" in tested.reason
    assert not acceptance.tests(pipeline, agent, "playbook") and not behavior_versions.listed(pipeline, agent, "playbook")


def test_demonstrations_without_a_way_in_common_promote_nothing(load: Load, pipeline: Connection, settings: Settings) -> None:
    rng = random.Random(3)
    chance = [demonstration(f"d{number:04}", *rng.choices("abcdefgh", k=4), task=_words(rng), task_type="t") for number in range(COUNT)]
    agent = desk(load, pipeline, settings, chance)
    (tested,) = make_all(pipeline, agent, settings, None).tested
    assert tested.state == "not better" and not proposals.listed(pipeline, agent.organization_id)
    again = make_all(pipeline, agent, settings, None).tested[0]
    assert again.state == "unchanged" and "was tested on" in again.reason  # the same advice on the same items is not asked twice
    assert len(acceptance.tests(pipeline, agent, "playbook")) == 1


def test_every_task_type_has_a_playbook_and_a_label_of_its_own(load: Load, pipeline: Connection, settings: Settings) -> None:
    agent = desk(load, pipeline, settings, [*rows(), *rows(task_type="complaint", seed=2), *rows(3, task_type="rare", seed=3)])
    made = make_all(pipeline, agent, settings, None)
    assert {one.task_type: one.state for one in made.tested} == {"refund": "proposed", "complaint": "proposed"} and made.thin == 1
    assert [one.k for one in acceptance.tests(pipeline, agent, "playbook")] == [1, 1]  # they share no item
    assert {one.state for one in proposals.listed(pipeline, agent.organization_id)} == {"open"}
    assert [one.topic for one in behavior_versions.labelled(pipeline, agent.organization_id, agent.agent_id, "playbook", "candidate")] == [
        "complaint", "refund"
    ]  # fmt: skip


def test_a_step_is_unbacked_as_soon_as_a_demonstration_it_names_is_withdrawn(load: Load, pipeline: Connection, settings: Settings) -> None:
    agent = desk(load, pipeline, settings, rows())
    make_all(pipeline, agent, settings, None)
    assert evidence.unbacked(pipeline, agent) == (6, [])
    version = behavior_versions.version(pipeline, agent, "playbook", 1)
    assert version is not None
    named = Playbook.from_json(version.config).steps[1].named[0]
    pipeline.execute("UPDATE demonstrations SET is_active = false WHERE id = %s", [named])
    _, found = evidence.unbacked(pipeline, agent)
    assert found and {one.version for one in found} == {1} and all(one.missing == (named,) for one in found)


def test_a_playbook_that_holds_without_a_withdrawn_expert_is_stated_anew_by_the_others(load: Load, pipeline: Connection, settings: Settings) -> None:
    agent = desk(load, pipeline, settings, rows(2 * COUNT))
    approve_all(pipeline, agent, settings)
    withdraw(pipeline, "expert 1")
    assert evidence.unbacked(pipeline, agent)[1]
    made = make_all(pipeline, agent, settings, None)
    assert made.kept.restated == {"refund": 2} and not made.kept.retired
    serving = gate.serving_of(pipeline, agent, "refund")
    assert serving is not None and serving.number == 2 and serving.config["experts"] == 2
    assert evidence.unbacked(pipeline, agent) == (6, [])
    assert len(acceptance.tests(pipeline, agent, "playbook")) == 1  # the very same advice: nothing to test, nothing to approve


def test_a_playbook_that_rests_on_withdrawn_rights_alone_leaves_at_the_next_run(load: Load, pipeline: Connection, settings: Settings) -> None:
    agent = desk(load, pipeline, settings, rows())
    approve_all(pipeline, agent, settings)
    withdraw(pipeline, "expert 0", "expert 1", "expert 2")
    made = make_all(pipeline, agent, settings, None)
    assert made.kept.retired == {"refund": 1} and gate.serving_of(pipeline, agent, "refund") is None
    assert evidence.unbacked(pipeline, agent) == (0, [])


def test_an_agent_without_demonstrations_has_no_run(load: Load, pipeline: Connection, settings: Settings) -> None:
    agent = desk(load, pipeline, settings, [demonstration("only")])
    made = make_all(pipeline, agent, settings, None)
    assert made.training_run is None and not made.tested and pipeline.execute("SELECT count(*) FROM training_runs").fetchone() == (0,)


def approve_all(connection: Connection, agent: AgentRef, settings: Settings) -> None:
    for one in make_all(connection, agent, settings, None).proposed:
        assert one.proposal is not None
        approval.approve(connection, agent.organization_id, one.proposal, "immediate", approval.OPERATOR, settings=settings)


def withdraw(connection: Connection, *experts: str) -> None:
    done = connection.execute("UPDATE users SET expertise_withdrawn_at = now() WHERE external_id = ANY(%s)", [list(experts)])
    assert done.rowcount == len(experts)


def _words(rng: random.Random) -> str:
    return " ".join("".join(rng.choices("bcdfghjklmnpqrstvwxz", k=6)) for _ in range(8))
