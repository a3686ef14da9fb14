"""Patterns and playbooks as assets: found, proposed, checked, told in numbers without anybody's words.

Belongs here: the assets behavior_patterns and playbooks. Not here: what they compute (behavior/).
"""

from __future__ import annotations

import dagster as dg
import pytest

from learning_pipelines.acceptance.approval import OPERATOR, approve, set_learning
from learning_pipelines.defs.behavior_patterns import behavior_patterns, playbooks
from learning_pipelines.storage import proposals
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.store import Store
from learning_pipelines_tests.behavior.playbooks.test_making import rows
from learning_pipelines_tests.behavior.shown import demonstration
from learning_pipelines_tests.conftest import Load, ShareEncoder
from learning_pipelines_tests.defs.conftest import Materialize, checks_of, metadata_of
from learning_pipelines_tests.feedback.rows import agent_ref, table

DESK, CHECK = "default/desk", "playbook_has_evidence"


@pytest.fixture
def learn(instance: dg.DagsterInstance, store: Store) -> Materialize:
    def run() -> dg.ExecuteInProcessResult:
        instance.add_dynamic_partitions("agents", [DESK])
        upstream = [dg.AssetSpec(name) for name in ("demonstrations", "learning_examples")]
        return dg.materialize([behavior_patterns, playbooks, *upstream], instance=instance, partition_key=DESK, resources={"store": store})

    return run


def tags(result: dg.ExecuteInProcessResult, instance: dg.DagsterInstance) -> tuple[str, str]:
    run = instance.get_run_by_id(result.run_id)
    assert run is not None
    return run.tags["learning/status"], run.tags.get("learning/reason", "")


def test_patterns_are_found_and_a_better_playbook_proposed_with_counts_and_flows(
    desk: None, load: Load, learn: Materialize, pipeline: Connection, store: Store, instance: dg.DagsterInstance
) -> None:
    private = [demonstration(f"p{number}", "Ask Ms Miller: why?", "tell", task_type="Complaints of Ms Miller!") for number in range(30)]
    load("demonstrations", [*rows(), *private])
    result = learn()
    assert tags(result, instance) == ("success", "") and checks_of(result) == {CHECK: True}
    patterns, books = metadata_of(result, "behavior_patterns"), metadata_of(result, "playbooks")
    assert patterns["task_types"] == 2 and patterns["patterns"] >= 2 and patterns["transitions"] >= 6
    assert patterns["dagster/row_count"] == len(table(pipeline, "behavior_patterns"))
    assert '["look"]' in patterns["flow: refund"] and '["action 1"]' in patterns["flow: task type 1"]
    assert not any("Miller" in repr(value) for found in (patterns, books) for value in found.items())
    assert books["dagster/row_count"] == 1 and "| refund | 5 |" in books["per_task_type"] and "too few" in books["per_task_type"]
    (proposal,) = proposals.listed(pipeline, agent_ref(pipeline).organization_id)
    assert proposal.dagster_run_id == result.run_id and str(proposal.id) in books["review version 1"]


def test_the_check_fails_when_a_demonstration_behind_a_proposed_playbook_is_withdrawn_and_passes_once_it_is_stated_anew(
    desk: None, load: Load, learn: Materialize, pipeline: Connection, store: Store, instance: dg.DagsterInstance
) -> None:
    load("demonstrations", rows())
    learn()
    agent = agent_ref(pipeline)
    (proposal,) = proposals.listed(pipeline, agent.organization_id)
    (version,) = table(pipeline, "behavior_versions")
    pipeline.execute("UPDATE demonstrations SET is_active = false WHERE id = %s", [version["config"]["steps"][0]["evidence"][0]])
    assert checks_of(learn()) == {CHECK: False}
    approve(pipeline, agent.organization_id, proposal.id, "immediate", OPERATOR, settings=store.settings)
    again = learn()
    assert metadata_of(again, "playbooks")["restated"] == 1 and checks_of(again) == {CHECK: True}
    assert tags(again, instance) == ("success", "playbooks: version 2, which serves, advises the same")


def test_an_agent_that_nothing_was_shown_ends_skipped_with_the_reason(desk: None, learn: Materialize, instance: dg.DagsterInstance) -> None:
    result = learn()
    state, reason = tags(result, instance)
    assert state == "skipped" and "import some" in reason and checks_of(result) == {CHECK: True}


def test_an_agent_that_may_not_learn_is_left_out(
    desk: None, load: Load, learn: Materialize, pipeline: Connection, instance: dg.DagsterInstance
) -> None:
    load("demonstrations", rows(20))
    agent = agent_ref(pipeline)
    set_learning(pipeline, agent.organization_id, agent, OPERATOR, enabled=False)
    state, reason = tags(learn(), instance)
    assert state == "skipped" and "disabled" in reason and not table(pipeline, "behavior_patterns")


def test_the_job_learns_patterns_and_playbooks_beside_its_other_parts(
    desk: None, load: Load, run_job: Materialize, instance: dg.DagsterInstance, pipeline: Connection, store: Store, share_encoder: ShareEncoder
) -> None:
    share_encoder(store.settings.home)
    load("demonstrations", rows(20))
    result = run_job("behavior_learning", DESK)
    made = {event.asset_key.to_user_string() for event in result.get_asset_materialization_events() if event.asset_key}
    assert {"behavior_patterns", "playbooks"} <= made
    state, reason = tags(result, instance)
    assert state == "success" and "playbooks: 6 held-out demonstrations" in reason and "policy: " in reason
