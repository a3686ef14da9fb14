"""Organizations, agents and users: making them at first sight and finding them.

Belongs here: SQL of organizations, agents and users. Not here: what their rows mean elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from learning_pipelines.errors import BadInput
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.store import Store

DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class AgentRef:
    """An agent by its ids and its names; `partition` is its Dagster partition key."""

    organization_id: UUID
    organization: str
    agent_id: UUID
    agent: str

    @property
    def partition(self) -> str:
        return f"{self.organization}/{self.agent}"


def ensure_organization(connection: Connection, organization_id: UUID, slug: str) -> UUID:
    """Makes the organization if it is not there."""
    connection.execute("INSERT INTO organizations (organization_id, slug) VALUES (%s, %s) ON CONFLICT DO NOTHING", [organization_id, slug])
    return organization_id


def keep_settings(connection: Connection, organization: str, values: dict[str, int]) -> None:
    """Settings of one organization that replace those of the installation."""
    connection.execute("UPDATE organizations SET settings = settings || %s WHERE slug = %s", [Jsonb(values), organization])


def agent_ids(connection: Connection, organization_id: UUID) -> dict[str, UUID]:
    """Slug to id of every agent of the organization."""
    rows = connection.execute("SELECT slug, id FROM agents WHERE organization_id = %s", [organization_id]).fetchall()
    return {str(slug): agent for slug, agent in rows}


def agents(connection: Connection, organization: str | None = None, agent: str | None = None) -> list[AgentRef]:
    """Agents of one organization or of all, in the order of their names."""
    rows = connection.execute(
        """SELECT o.organization_id, o.slug, a.id, a.slug FROM agents a JOIN organizations o USING (organization_id)
        WHERE (%(organization)s::text IS NULL OR o.slug = %(organization)s) AND (%(agent)s::text IS NULL OR a.slug = %(agent)s)
        ORDER BY o.slug, a.slug""",
        {"organization": organization, "agent": agent},
    ).fetchall()
    return [AgentRef(*row) for row in rows]


def agent_of_partition(connection: Connection, partition: str) -> AgentRef | None:
    """The agent behind `<organization>/<agent>`; None if there is none."""
    organization, _, agent = partition.partition("/")
    found = agents(connection, organization, agent)
    return found[0] if found else None


def known_organization(store: Store, slug: str | None) -> str:
    """The organization a verb works on: the named one, else `default`, else the only one there is. Raises BadInput naming the known ones."""
    with store.pipeline() as connection:
        known = [str(row[0]) for row in connection.execute("SELECT slug FROM organizations ORDER BY slug").fetchall()]
    wanted = slug if slug is not None else known[0] if len(known) == 1 else DEFAULT
    if wanted in known:
        return wanted
    there = f"Known: {', '.join(known[:20])}." if known else "There is none yet: `learning-pipelines import` makes one."
    raise BadInput(f"There is no organization {wanted!r}.", there)


def known_agent(connection: Connection, organization: str, name: str) -> AgentRef:
    """The agent that a verb names. Raises BadInput naming those that there are."""
    if found := agents(connection, organization, name):
        return found[0]
    known = [other.agent for other in agents(connection, organization)]
    there = f"Known: {', '.join(known[:20])}." if known else "There is none yet: `learning-pipelines import agents FILE` makes them."
    raise BadInput(f"There is no agent {name!r} in {organization}.", there)


def agent_by_name(connection: Connection, organization_id: UUID, organization: str, name: str) -> AgentRef | None:
    """The agent of an organization by its slug or its uuid; None if there is none."""
    row = connection.execute("SELECT id, slug FROM agents WHERE organization_id = %s AND slug = %s", [organization_id, name]).fetchone()
    if row is None and (identity := _as_uuid(name)) is not None:
        row = connection.execute("SELECT id, slug FROM agents WHERE organization_id = %s AND id = %s", [organization_id, identity]).fetchone()
    return None if row is None else AgentRef(organization_id, organization, row[0], str(row[1]))


def answers_of(connection: Connection, agent: AgentRef) -> tuple[dict[str, Any] | None, tuple[str, ...]]:
    """What the agent's answers are held to: its metric as imported (None: none was named) and its closed answer set (() for free text)."""
    row = connection.execute("SELECT metric, labels FROM agents WHERE organization_id = %s AND id = %s", [agent.organization_id, agent.agent_id]).fetchone()
    return (None, ()) if row is None else (row[0], tuple(row[1] or ()))


def model_of(connection: Connection, agent: AgentRef) -> str | None:
    """The model that the agent was imported with; None if it names none."""
    row = connection.execute("SELECT model FROM agents WHERE organization_id = %s AND id = %s", [agent.organization_id, agent.agent_id]).fetchone()
    return None if row is None else row[0]


def switched_off(connection: Connection, organization_id: UUID, agent_id: UUID | None) -> bool:
    """Whether nothing learnt serves the agent and it learns nothing (`disable`); False for an agent that is not there, and without one."""
    row = connection.execute("SELECT NOT learning_enabled FROM agents WHERE organization_id = %s AND id = %s", [organization_id, agent_id]).fetchone()
    return row is not None and bool(row[0])


def _as_uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
