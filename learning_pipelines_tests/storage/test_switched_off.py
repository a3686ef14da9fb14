"""What serves while learning is switched off, as rows: base prompt, base index, nothing learnt of behaviour; labels stay where they are.

Belongs here: the rule of each noun. Not here: answers of the service (api/test_switch.py).
"""

from __future__ import annotations

from typing import Any

import pytest

from learning_pipelines.behavior.fine_tuning.serving import serving_model
from learning_pipelines.behavior.policy.registry import named_policy
from learning_pipelines.prompts.registry import named_version
from learning_pipelines.storage import behavior_versions, guidance, indexes, prompts, proposals, tenants
from learning_pipelines.storage.behavior_versions import Kind
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef
from learning_pipelines_tests.acceptance.proposing import an_agent, learnt


@pytest.fixture
def desk(pipeline: Connection, load: Any) -> AgentRef:
    """Version 1 was imported, 2 is learnt and serves."""
    agent = an_agent(pipeline, load)
    prompts.move_label(pipeline, agent, prompts.PRODUCTION, learnt(pipeline, agent), None)
    return agent


def switch(connection: Connection, agent: AgentRef, enabled: bool = False) -> None:
    proposals.set_learning(connection, agent.organization_id, agent.agent_id, enabled)


def version_served(connection: Connection, agent: AgentRef, label: str = prompts.PRODUCTION) -> int | None:
    found = prompts.served(connection, agent, label)
    return None if found is None else found.version


def test_the_base_prompt_is_the_newest_system_prompt_that_was_imported(pipeline: Connection, desk: AgentRef, load: Any) -> None:
    load("agents", [{"agent": "desk", "system_prompt": "You sort anew."}])  # version 3: takes no label from a learnt one
    assert version_served(pipeline, desk) == 2
    switch(pipeline, desk)
    assert [version_served(pipeline, desk, label) for label in ("production", "previous", "nobody")] == [3, 3, None]
    assert named_version(pipeline, desk, "serving").version == 3 and named_version(pipeline, desk, "production").version == 2
    switch(pipeline, desk, enabled=True)
    assert [version_served(pipeline, desk, label) for label in ("production", "previous", "nobody")] == [2, 1, None]


def test_without_an_imported_prompt_it_is_the_first_version_with_nothing_done_for_inputs(pipeline: Connection, load: Any) -> None:
    load("agents", [{"agent": "bare"}])
    agent = tenants.agents(pipeline, "default", "bare")[0]
    switch(pipeline, agent)
    assert prompts.served(pipeline, agent) is None
    switch(pipeline, agent, enabled=True)
    prompts.add_written(pipeline, agent, [{"role": "system", "content": "By hand."}], None, b"1", None)
    number = learnt(pipeline, agent, serving={"retrieval": {"k": 3}})
    prompts.move_label(pipeline, agent, prompts.PRODUCTION, number, None)
    switch(pipeline, agent)
    found = prompts.served(pipeline, agent)
    assert found is not None and (found.version, found.serving, found.disabled) == (1, {}, True)


def test_of_behaviour_nothing_learnt_serves(pipeline: Connection, desk: AgentRef) -> None:
    topics: dict[Kind, str] = {"policy": "", "playbook": "refund", "rules": "r", "guidance": "", "fine_tune": "sft"}
    for kind, topic in topics.items():
        number = behavior_versions.add(pipeline, desk, kind, topic=topic, config={"model": "ft:one"}, metrics={}, artifact=("p", "0" * 64))
        behavior_versions.move_serving(pipeline, desk, kind, number, None, topic)

    def now() -> tuple[Any, ...]:
        numbers = [[one.number for one in behavior_versions.serving(pipeline, desk.organization_id, desk.agent_id, kind)] for kind in topics]
        found, policy = guidance.serving(pipeline, desk), named_policy(pipeline, desk, "serving")
        return numbers, (found.guidance, found.playbooks, found.rules), serving_model(pipeline, desk), None if policy is None else policy.number

    before = now()
    assert before == ([[1]] * 5, (1, (1,), (1,)), ("ft:one", True), 1)
    switch(pipeline, desk)
    assert now() == ([[]] * 5, (0, (), ()), (None, False), None)
    assert behavior_versions.label_target(pipeline, desk, "policy", "serving") == 1
    switch(pipeline, desk, enabled=True)
    assert now() == before


def test_the_base_index_answers(pipeline: Connection, desk: AgentRef) -> None:
    encoder = indexes.add_encoder(pipeline, desk.organization_id, name="e", model="m", dimensions=8)
    indexes.put_base(pipeline, desk.organization_id, encoder, {})
    indexes.move_serving(pipeline, desk, indexes.add(
        pipeline, desk, encoder_id=encoder, kind="index", parent=0, config={}, metrics={}, training_run_id=None
    ), None)  # fmt: skip

    def number() -> int | None:
        found = indexes.serving(pipeline, desk.organization_id, desk.agent_id)
        return None if found is None else found.number

    assert number() == 1
    switch(pipeline, desk)
    assert (number(), tenants.switched_off(pipeline, desk.organization_id, desk.agent_id)) == (0, True)
    switch(pipeline, desk, enabled=True)
    assert (number(), tenants.switched_off(pipeline, desk.organization_id, None)) == (1, False)
