"""Experiments as rows: what is stored comes back, epochs follow each other, what a disabled agent may not run is not running.

Belongs here: storage/experiments.py. Not here: who may change what (test_every_policy.py), lifecycle (experiments/).
"""

from __future__ import annotations

from learning_pipelines.storage import experiments, proposals, tenants
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.experiment_rows import Arm
from learning_pipelines.storage.tenants import AgentRef
from learning_pipelines_tests.conftest import Load

ARMS = (Arm("control", 1, 0.5), Arm("treatment", 2, 0.5))


def desk(pipeline: Connection, load: Load) -> AgentRef:
    load("agents", [{"agent": "desk", "system_prompt": "Answer."}])
    return tenants.agents(pipeline, "default", "desk")[0]


def test_an_experiment_comes_back_as_it_was_stored(pipeline: Connection, load: Load) -> None:
    agent = desk(pipeline, load)
    made = experiments.add(pipeline, agent, name="shorter", arms=ARMS, guardrails=("latency_ms",), steps=(1, 5), config={"alpha": 0.05}, unit="session")
    found = experiments.find(pipeline, agent.organization_id, made)
    assert found is not None and (found.arms, found.guardrails, found.steps, found.config, found.unit) == (
        ARMS, ("latency_ms",), (1, 5), {"alpha": 0.05}, "session",
    )  # fmt: skip
    assert (found.status, found.epochs, found.epoch, found.started_at) == ("draft", (), None, None)


def test_a_new_epoch_ends_the_one_before(pipeline: Connection, load: Load) -> None:
    agent = desk(pipeline, load)
    made = experiments.add(pipeline, agent, name="shorter", arms=ARMS)
    assert experiments.begin_epoch(pipeline, agent.organization_id, made, {"control": [(0.0, 0.5)], "treatment": [(0.5, 1.0)]}) == 1
    assert experiments.begin_epoch(pipeline, agent.organization_id, made, {"control": [(0.0, 0.1)], "treatment": [(0.1, 1.0)]}) == 2
    found = experiments.find(pipeline, agent.organization_id, made)
    assert found is not None and [epoch.ended_at is None for epoch in found.epochs] == [False, True]
    assert found.epoch is not None and found.epoch.ranges == {"control": ((0.0, 0.1),), "treatment": ((0.1, 1.0),)}


def test_only_running_experiments_of_agents_that_may_learn_are_running(pipeline: Connection, load: Load) -> None:
    agent = desk(pipeline, load)
    made, _ = (experiments.add(pipeline, agent, name=name, arms=ARMS) for name in ("one", "draft"))
    experiments.set_status(pipeline, agent.organization_id, made, "running")
    assert [one.id for one in experiments.running(pipeline, agent, "prompt")] == [made] and not experiments.running(pipeline, agent, "index")
    proposals.set_learning(pipeline, agent.organization_id, agent.agent_id, False)
    assert not experiments.running(pipeline, agent)
