"""Learning a policy as a job: what is better is proposed and serves once approved, luck is not, and what cannot be done ends skipped or failed.

Belongs here: the asset behavior_policy over synthetic demonstrations. Not here: learning (behavior/), approval (acceptance/), the route (api/).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg
import pytest

from learning_pipelines.acceptance.approval import OPERATOR, Refused, approve, rollback, set_learning
from learning_pipelines.behavior import policy_gate
from learning_pipelines.behavior.loaded import Policies
from learning_pipelines.behavior.policy import classifier, neighbours
from learning_pipelines.behavior.task import Action, State
from learning_pipelines.defs import behavior as defs
from learning_pipelines.errors import LearningError
from learning_pipelines.retrieval.artifacts import stored
from learning_pipelines.retrieval.index import Artifact
from learning_pipelines.settings import Settings
from learning_pipelines.storage import behavior_versions
from learning_pipelines.storage.behavior_versions import BehaviorVersion
from learning_pipelines.storage.database import Connection, Database
from learning_pipelines.storage.store import Store
from learning_pipelines_tests.behavior.tickets import COUNT, task, tickets
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.defs.conftest import Materialize, checks_of, metadata_of
from learning_pipelines_tests.feedback.rows import AGENT, agent_ref, table
from learning_pipelines_tests.retrieval.fake_encoders import WordEncoder

DESK, JOB, CHECK = "default/desk", "behavior_learning", {"policy_beats_frequency_baseline": True}
ENCODER = WordEncoder(dimensions=96)


@pytest.fixture
def store(database: Database, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Store:
    @contextmanager
    def encoding(settings: Settings) -> Iterator[Any]:
        yield lambda: ENCODER

    monkeypatch.setattr(defs, "encoder_at_need", encoding)
    monkeypatch.setattr(neighbours, "GRID", neighbours.GRID[:1])  # what is chosen among is tested where it is learnt
    monkeypatch.setattr(classifier, "PENALTIES", (1.0,))
    return Store(Settings(home=tmp_path / "home", timezone="UTC", duplicate_cosine=None, planned_effect=0.45), database)


@pytest.fixture
def run_job(instance: dg.DagsterInstance, store: Store) -> Materialize:
    """The job's part that learns the policy; the others are tested where they are made."""

    def run(job: str, partition: str, raise_on_error: bool = True) -> dg.ExecuteInProcessResult:
        assert job == JOB
        instance.add_dynamic_partitions("agents", [partition])
        return dg.materialize(
            [defs.behavior_policy], partition_key=partition, instance=instance, resources={"store": store}, raise_on_error=raise_on_error
        )  # fmt: skip

    return run


@pytest.fixture
def desk(load: Load) -> None:
    load("agents", [AGENT])
    assert load("demonstrations", tickets()).rejected == 0


def reason_of(result: dg.ExecuteInProcessResult, instance: dg.DagsterInstance) -> tuple[str, str]:
    """Status of the run, and what it says of the policy; the other parts of the job have nothing to learn from here."""
    run = instance.get_run_by_id(result.run_id)
    assert run is not None
    ours = [part for part in run.tags.get("learning/reason", "").split("; ") if part.startswith("policy: ")]
    return run.tags["learning/status"], "; ".join(ours)


def serving(connection: Connection) -> list[BehaviorVersion]:
    agent = agent_ref(connection)
    return behavior_versions.labelled(connection, agent.organization_id, agent.agent_id, "policy")


def approved(connection: Connection, store: Store) -> None:
    (proposal,) = table(connection, "proposals", "state = 'open'")
    approve(connection, agent_ref(connection).organization_id, proposal["id"], "immediate", OPERATOR, settings=store.settings)


def test_a_better_policy_is_proposed_with_its_numbers_serves_once_approved_and_is_not_learnt_twice(
    desk: None, run_job: Materialize, pipeline: Connection, store: Store, instance: dg.DagsterInstance
) -> None:
    result = run_job(JOB, DESK)
    assert checks_of(result) == checks_of(result) | CHECK and reason_of(result, instance) == ("success", "")
    (proposal,) = table(pipeline, "proposals")
    assert (proposal["kind"], proposal["verdict"], proposal["state"], proposal["dagster_run_id"]) == ("policy", "better", "open", result.run_id)
    assert (proposal["subject"], proposal["incumbent"]) == ({"kind": "policy", "topic": "", "version": 1}, {"version": 0})
    found = metadata_of(result, "behavior_policy")
    assert found["top1_candidate"] > found["top1_serving"] + 0.15 and found["p_value"] <= found["alpha"] and found["low"] > 0
    texts = [repr(value) for value in found.values()]
    assert not any(word in one for one in texts for word in ("refund", "phone", "ticket", "t0000"))  # numbers and ids, no text of anybody
    assert (found["experts"], found["contradictions"], found["shown"]["successes"], found["shown"]["contradictory_ids"]) == (1, 0, COUNT, [])
    assert serving(pipeline) == []  # nothing learnt serves before somebody approves it
    approved(pipeline, store)
    (version,) = serving(pipeline)
    assert all(version.metrics["candidate"]["baselines"][name] < 0.8 for name in ("most_frequent", "transition"))
    policy = Policies(store.settings, lambda: ENCODER).policy(Artifact(version.artifact_path or "", version.artifact_sha256 or ""))
    asked = policy.suggest(State(task("exchange", "letter"), history=(Action("look_up", {"ticket": 1}),)))
    assert (asked.abstained, asked.ranked[0].type, asked.ranked[0].arguments) == (False, "exchange_item", {"amount": 5, "ticket": 1})
    (run,) = table(pipeline, "training_runs")
    assert (run["training_type"], run["status"], run["progress"], run["review_status"]) == ("behavior_learning", "completed", 1.0, "approved")
    assert run["best_metrics"]["top1"] == version.metrics["candidate"]["top1"]
    assert not (store.settings.home / "training" / str(run["id"])).exists()


def test_unchanged_demonstrations_are_not_learnt_from_again_and_what_serves_has_to_be_beaten(
    desk: None, load: Load, run_job: Materialize, pipeline: Connection, store: Store, instance: dg.DagsterInstance
) -> None:
    run_job(JOB, DESK)
    (before,) = table(pipeline, "training_runs")
    status, reason = reason_of(run_job(JOB, DESK), instance)
    assert (status, f"nothing changed since training run {before['id']}" in reason) == ("skipped", True)
    assert len(table(pipeline, "training_runs")) == len(table(pipeline, "acceptance_tests")) == 1
    approved(pipeline, store)
    status, reason = reason_of(run_job(JOB, DESK), instance)
    assert (status, "version 1, which serves, was learnt from the same demonstrations" in reason) == ("skipped", True)
    load("demonstrations", tickets(3, start=COUNT))
    status, reason = reason_of(run_job(JOB, DESK), instance)
    assert status == "success" and reason.startswith("policy: no evidence")
    (_, test) = table(pipeline, "acceptance_tests", "true ORDER BY k")
    assert (test["k"], set(test["incumbent"]), [one["name"] for one in test["evidence"]["guards"]]) == (
        2, {"policy"}, ["the most frequent action", "the transition model"],
    )  # fmt: skip
    assert [version.number for version in serving(pipeline)] == [1] and table(pipeline, "proposals", "state = 'open'") == []


def test_what_was_learnt_from_shuffled_demonstrations_is_not_proposed_and_leaves_nothing(
    load: Load, run_job: Materialize, pipeline: Connection, store: Store, instance: dg.DagsterInstance
) -> None:
    load("agents", [AGENT])
    load("demonstrations", tickets(shuffled=True))
    result = run_job(JOB, DESK)
    status, reason = reason_of(result, instance)
    assert (status, table(pipeline, "proposals"), serving(pipeline)) == ("success", [], [])
    assert reason.startswith(("policy: no evidence", "policy: worse"))
    found = metadata_of(result, "behavior_policy")
    assert abs(found["top1_candidate"] - found["top1_serving"]) < 0.1
    assert table(pipeline, "training_runs")[0]["status"] == "completed"
    assert stored(store.settings, agent_ref(pipeline)) == []


def test_too_few_demonstrations_say_how_many_are_missing(load: Load, run_job: Materialize, pipeline: Connection, instance: dg.DagsterInstance) -> None:
    load("agents", [AGENT])
    status, reason = reason_of(run_job(JOB, DESK), instance)
    assert (status, reason) == ("skipped", "policy: there are no demonstrations to learn from: import them (kind demonstrations)")
    load("demonstrations", tickets(20))
    status, reason = reason_of(run_job(JOB, DESK), instance)
    assert status == "skipped" and "too few demonstrations: 6 of 20 are for the test, 21 are needed" in reason and "50 more demonstrations" in reason
    assert table(pipeline, "training_runs") == []


def test_an_agent_that_may_not_learn_is_left_out(desk: None, run_job: Materialize, pipeline: Connection, instance: dg.DagsterInstance) -> None:
    agent = agent_ref(pipeline)
    set_learning(pipeline, agent.organization_id, agent, OPERATOR, enabled=False)
    status, reason = reason_of(run_job(JOB, DESK), instance)
    assert (status, "learning is disabled" in reason, table(pipeline, "training_runs")) == ("skipped", True, [])


def test_two_runs_at_once_are_one(desk: None, run_job: Materialize, database: Database, pipeline: Connection, instance: dg.DagsterInstance) -> None:
    from learning_pipelines.storage import training_runs

    with database.connect("pipeline") as other:
        assert training_runs.lock_agent(other, agent_ref(pipeline), "behavior_learning")
        status, reason = reason_of(run_job(JOB, DESK), instance)
    assert (status, "another run" in reason, table(pipeline, "training_runs")) == ("skipped", True, [])


def test_a_failure_is_kept_with_its_cause_and_the_next_run_resumes_with_the_test_it_had(
    desk: None, run_job: Materialize, pipeline: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*given: Any, **more: Any) -> Any:
        raise LearningError("The disk is full.", "Free space.")

    with monkeypatch.context() as broken:
        broken.setattr(policy_gate, "evaluate", breaks)  # the test is reserved by then
        result = run_job(JOB, DESK, raise_on_error=False)
    assert not result.success
    (run,) = table(pipeline, "training_runs")
    assert (run["status"], "The disk is full" in run["error"], serving(pipeline)) == ("failed", True, [])
    assert metadata_of(run_job(JOB, DESK), "behavior_policy")["resumed"] is True
    ((run,), (test,)) = (table(pipeline, "training_runs"), table(pipeline, "acceptance_tests"))
    assert (run["status"], test["verdict"], test["k"], test["training_run_id"]) == ("completed", "better", 1, run["id"])


def test_demonstrations_of_an_expert_whose_right_was_withdrawn_leave_at_the_next_run(
    load: Load, run_job: Materialize, pipeline: Connection, store: Store, instance: dg.DagsterInstance
) -> None:
    load("agents", [AGENT])
    load("demonstrations", [*tickets(), *tickets(40, start=COUNT, expert="mallory")])
    run_job(JOB, DESK)
    approved(pipeline, store)
    pipeline.execute("UPDATE users SET expertise_withdrawn_at = now() WHERE external_id = 'mallory'")
    result = run_job(JOB, DESK)
    status, reason = reason_of(result, instance)
    assert status == "success" and reason.startswith("policy: version 1 was taken out of service") and serving(pipeline) == []
    agent = agent_ref(pipeline)
    first, second = (behavior_versions.version(pipeline, agent, "policy", number) for number in (1, 2))
    assert first is not None and second is not None
    policies = Policies(store.settings, lambda: ENCODER)
    theirs = [
        {name for name in policies.policy(Artifact(one.artifact_path or "", one.artifact_sha256 or "")).learnt.demonstrations if int(name[1:]) >= COUNT}
        for one in (first, second)
    ]
    assert (len(theirs[0]) > 0, theirs[1]) == (True, set())
    approved(pipeline, store)
    assert [one.number for one in serving(pipeline)] == [2]
    behavior_versions.point(pipeline, agent, "policy", "previous", 1, None)
    with pytest.raises(Refused, match=r"Version 1 was learnt from .* demonstrations of experts whose right was withdrawn"):
        rollback(pipeline, agent, OPERATOR, "policy", settings=store.settings)


def test_a_policy_that_cannot_be_tested_anew_is_taken_out_of_service_all_the_same(
    load: Load, run_job: Materialize, pipeline: Connection, store: Store, instance: dg.DagsterInstance
) -> None:
    load("agents", [AGENT])
    load("demonstrations", tickets(expert="mallory"))
    run_job(JOB, DESK)
    approved(pipeline, store)
    pipeline.execute("UPDATE users SET expertise_withdrawn_at = now() WHERE external_id = 'mallory'")
    status, reason = reason_of(run_job(JOB, DESK), instance)
    assert (status, serving(pipeline)) == ("success", [])
    assert "taken out of service" in reason and "there are no demonstrations to learn from" in reason
