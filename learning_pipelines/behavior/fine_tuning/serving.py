"""Which fine-tuned model serves an agent, and what it is called.

Belongs here: from labels to a name. Not here: approval (acceptance/behavior_change.py), the route that says it (api/served.py), running the model.

Methods are topics of the kind fine_tune, each with labels of its own; of those whose model answers, the one approved last serves.
"""

from __future__ import annotations

from uuid import UUID

from learning_pipelines.behavior.fine_tuning.lessons import ANSWERING
from learning_pipelines.storage import behavior_versions, tenants
from learning_pipelines.storage.behavior_versions import BehaviorVersion
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef


def serving_version(connection: Connection, organization_id: UUID, agent_id: UUID) -> BehaviorVersion | None:
    """The approved model that answers for the agent; None where nothing learnt does."""
    return behavior_versions.last_moved(connection, organization_id, agent_id, "fine_tune", ANSWERING)


def serving_model(connection: Connection, agent: AgentRef) -> tuple[str | None, bool]:
    """(model that the agent is to be asked with, whether it is a fine-tuned one); without one, the model the agent was imported with, None if unknown."""
    version = serving_version(connection, agent.organization_id, agent.agent_id)
    return (tenants.model_of(connection, agent), False) if version is None else (model_of(version), True)


def model_of(version: BehaviorVersion) -> str:
    """What whoever calls the model names: the endpoint's id of it; of a local adapter its base, method and number (its files: artifact_path)."""
    return str(version.config.get("model") or f"{version.config.get('base', 'model')}+{version.topic}-{version.number}")
