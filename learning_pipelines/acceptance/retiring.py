"""What serves of learnt behaviour is taken out of service for good, without anything in its place.

Belongs here: that, with the experiments that it ends. Not here: rolling back to what served before (behavior_change.py, approval.py).
"""

from __future__ import annotations

from learning_pipelines.acceptance.behavior_change import NOTHING, record_move
from learning_pipelines.acceptance.reviewing import Reviewer
from learning_pipelines.experiments import canary
from learning_pipelines.storage import behavior_versions
from learning_pipelines.storage.behavior_versions import Kind
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.prompts import lock_agent
from learning_pipelines.storage.tenants import AgentRef


def retire(connection: Connection, agent: AgentRef, kind: Kind, topic: str, why: str) -> int:
    """Takes what serves out of service, for good: nothing learnt serves then, and no rollback brings it back; experiments that serve it end. Returns the
    version that served. In one transaction, with its audit row."""
    with connection.transaction():
        lock_agent(connection, agent)
        before = behavior_versions.label_target(connection, agent, kind, "serving", topic) or NOTHING
        for label in ("serving", "previous"):
            behavior_versions.point(connection, agent, kind, label, NOTHING, None, topic)
        record_move(connection, agent, Reviewer("pipeline"), kind, topic, before, NOTHING, why)
        if kind == "policy" and before != NOTHING:
            canary.end_those_of(connection, agent, "policy", before, Reviewer("pipeline"), f"Version {before} was taken out of service ({why}).")
    return before
