"""The registry of an agent's index versions: which version is meant by a name, whose index is meant without one.

Belongs here: names to versions, in words that say what there is. Not here: SQL (storage/indexes.py), adding versions (gate.py), approval (acceptance/).
"""

from __future__ import annotations

from uuid import UUID

from learning_pipelines.errors import BadInput
from learning_pipelines.retrieval.index import BASE, KINDS
from learning_pipelines.storage import indexes, proposals, tenants
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.indexes import IndexVersion
from learning_pipelines.storage.tenants import AgentRef


def whose(connection: Connection, organization: str, agent: str | None) -> AgentRef | None:
    """The named agent, else the organization's only one; None where it has several or none. Raises BadInput for an unknown agent."""
    if agent is not None:
        return tenants.known_agent(connection, organization, agent)
    there = tenants.agents(connection, organization)
    return there[0] if len(there) == 1 else None


def named_version(connection: Connection, organization_id: UUID, agent: AgentRef | None, name: str = "serving") -> IndexVersion:
    """The version that is meant by a number (0: the base), by serving, or by candidate (the label, else the newest open proposal's). Without an agent
    there is the base alone. Raises BadInput naming what there is."""
    if agent is None:
        found = indexes.base(connection, organization_id) if name in ("serving", str(BASE)) else None
        if found is None:
            wanted = "There is no base index." if name in ("serving", str(BASE)) else f"Whose {name} is meant is not clear: the index of an agent is learnt."
            raise BadInput(wanted, "Import documents first." if name in ("serving", str(BASE)) else "Name the agent with --agent.")
        return found
    if name == "serving":
        found = indexes.serving(connection, organization_id, agent.agent_id)
    else:
        number = int(name) if name.isdecimal() and len(name) < 10 else _candidate(connection, agent) if name == "candidate" else None
        found = None if number is None else indexes.version(connection, agent, number)
    if found is None:
        raise BadInput(f"{agent.partition} has no index {name!r}.", _there(connection, agent))
    return found


def _candidate(connection: Connection, agent: AgentRef) -> int | None:
    labelled = indexes.label_target(connection, agent, "candidate")
    if labelled is not None:
        return labelled
    open_ones = [one for one in proposals.listed(connection, agent.organization_id, agent_id=agent.agent_id, state="open") if one.kind in KINDS]
    return int(open_ones[0].subject["version"]) if open_ones else None


def _there(connection: Connection, agent: AgentRef) -> str:
    numbers = [str(one.number) for one in indexes.listed(connection, agent)][:20]
    learnt = f" and the learnt versions {', '.join(numbers)}" if numbers else "; nothing learnt yet"
    return f"There is serving, 0 (the base){learnt}."
