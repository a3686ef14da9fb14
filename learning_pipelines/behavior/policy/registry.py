"""Which policy is meant: what serves, the candidate, or a number.

Belongs here: names into versions. Not here: moving labels (acceptance/), loading what a version holds (files.py), SQL.
"""

from __future__ import annotations

from learning_pipelines.errors import BadInput
from learning_pipelines.storage import behavior_versions, proposals
from learning_pipelines.storage.behavior_versions import BehaviorVersion
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef


def named_policy(connection: Connection, agent: AgentRef, name: str) -> BehaviorVersion | None:
    """`name`: serving, candidate or a number; None for 0, and where nothing learnt serves. Raises BadInput where there is no such version."""
    if name == "serving":
        return next(iter(behavior_versions.serving(connection, agent.organization_id, agent.agent_id, "policy")), None)
    number = _candidate(connection, agent) if name == "candidate" else int(name) if name.isdecimal() and len(name) < 10 else -1
    if number == 0:
        return None
    found = None if number < 0 else behavior_versions.version(connection, agent, "policy", number)
    if found is None or found.artifact_path is None:
        numbers = [str(one.number) for one in behavior_versions.listed(connection, agent, "policy")][:20]
        learnt = f" and the learnt versions {', '.join(numbers)}" if numbers else "; nothing learnt yet"
        raise BadInput(f"{agent.partition} has no policy {name!r}.", f"There is serving, 0 (the transition model){learnt}.")
    return found


def _candidate(connection: Connection, agent: AgentRef) -> int:
    labelled = behavior_versions.label_target(connection, agent, "policy", "candidate")
    if labelled:
        return labelled
    open_ones = [one for one in proposals.listed(connection, agent.organization_id, agent_id=agent.agent_id, state="open") if one.kind == "policy"]
    return int(open_ones[0].subject["version"]) if open_ones else -1
