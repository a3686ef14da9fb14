"""An agent with a served prompt and learnt versions that may be proposed.

Belongs here: what tests of approval share. Not here: assertions.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from learning_pipelines.acceptance.approval import open_proposal
from learning_pipelines.prompts.registry import add_learnt
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.prompts import label_target
from learning_pipelines.storage.tenants import AgentRef, agents


def an_agent(connection: Connection, load: Any, name: str = "desk", organization: str = "default") -> AgentRef:
    """An agent whose version 1 serves."""
    assert load("agents", [{"agent": name, "system_prompt": "You sort."}], organization).rejected == 0
    return agents(connection, organization, name)[0]


def learnt(connection: Connection, agent: AgentRef, text: str = "You sort well.", **more: Any) -> int:
    """A learnt version."""
    given: dict[str, Any] = {
        "serving": {}, "parent": 1, "strategy": "few_shot", "dataset_id": None, "model": "m", "scores": {"score": 0.9}, "training_run_id": None,
    }  # fmt: skip
    return add_learnt(connection, agent, messages=[{"role": "system", "content": text}], **{**given, **more})


def proposed(connection: Connection, agent: AgentRef, version: int, **more: Any) -> UUID:
    """A proposal to serve a version instead of version 1."""
    given: dict[str, Any] = {"kind": "prompt", "verdict": "better", "subject": {"version": version}, "incumbent": {"version": 1}, "evidence": {}}
    return open_proposal(connection, agent, **{**given, **more})


def a_run(connection: Connection, agent: AgentRef) -> UUID:
    """A completed training run."""
    identity = uuid4()
    connection.execute(
        "INSERT INTO training_runs (organization_id, id, agent_id, training_type, status) VALUES (%s, %s, %s, 'prompt_optimization', 'completed')",
        [agent.organization_id, identity, agent.agent_id],
    )
    return identity


def labels(connection: Connection, agent: AgentRef) -> dict[str, int | None]:
    return {label: label_target(connection, agent, label) for label in ("production", "candidate", "previous")}
