"""Prompt versions and the labels that point at them: reading what serves, adding versions written by hand, moving labels.

Belongs here: SQL of prompt_versions and prompt_labels. Not here: imported prompts (ingest_sql.py), learning new ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef


@dataclass(frozen=True)
class Served:
    """A version as it is handed out."""

    version: int
    messages: list[dict[str, Any]]
    content_hash: bytes


def labelled(connection: Connection, agent: AgentRef, label: str = "production") -> Served | None:
    """The version a label points at; None if nothing has the label."""
    row = connection.execute(
        """SELECT p.version, p.messages, p.content_hash FROM prompt_labels l
        JOIN prompt_versions p ON p.organization_id = l.organization_id AND p.agent_id = l.agent_id AND p.version = l.version
        WHERE l.organization_id = %s AND l.agent_id = %s AND l.label = %s""",
        [agent.organization_id, agent.agent_id, label],
    ).fetchone()
    return None if row is None else Served(int(row[0]), row[1], bytes(row[2]))


def add_written(
    connection: Connection, agent: AgentRef, messages: list[dict[str, Any]], model: str | None, content_hash: bytes, created_by: UUID | None
) -> tuple[int, bool]:
    """A version written by hand, next in number, its parent the one before. An agent's newest version with this content is not repeated.

    Returns the version and whether it is new. Part of the caller's transaction.
    """
    connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"prompts/{agent.organization_id}/{agent.agent_id}"])
    latest = connection.execute(
        "SELECT version, content_hash FROM prompt_versions WHERE organization_id = %s AND agent_id = %s ORDER BY version DESC LIMIT 1",
        [agent.organization_id, agent.agent_id],
    ).fetchone()
    if latest is not None and bytes(latest[1]) == content_hash:
        return int(latest[0]), False
    version = int(latest[0]) + 1 if latest is not None else 1
    connection.execute(
        """INSERT INTO prompt_versions (organization_id, agent_id, version, parent_version, origin, messages, model, content_hash, created_by)
        VALUES (%s, %s, %s, %s, 'written', %s, %s, %s, (SELECT id FROM users WHERE organization_id = %s AND id = %s))""",
        [
            agent.organization_id, agent.agent_id, version, latest[0] if latest is not None else None, Jsonb(messages), model, content_hash,
            agent.organization_id, created_by,
        ],
    )  # fmt: skip
    return version, True


def move_label(connection: Connection, agent: AgentRef, label: str, version: int, moved_by: UUID | None) -> int | None:
    """Points a label at a version; returns where it pointed before. Raises LookupError if the agent has no such version."""
    if connection.execute(
        "SELECT FROM prompt_versions WHERE organization_id = %s AND agent_id = %s AND version = %s", [agent.organization_id, agent.agent_id, version]
    ).fetchone() is None:  # fmt: skip
        raise LookupError(version)
    connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"prompts/{agent.organization_id}/{agent.agent_id}"])
    before = connection.execute(
        "SELECT version FROM prompt_labels WHERE organization_id = %s AND agent_id = %s AND label = %s", [agent.organization_id, agent.agent_id, label]
    ).fetchone()
    connection.execute(
        """INSERT INTO prompt_labels AS l (organization_id, agent_id, label, version, moved_by)
        VALUES (%s, %s, %s, %s, (SELECT id FROM users WHERE organization_id = %s AND id = %s))
        ON CONFLICT (organization_id, agent_id, label) DO UPDATE SET version = excluded.version, moved_by = excluded.moved_by, moved_at = now()""",
        [agent.organization_id, agent.agent_id, label, version, agent.organization_id, moved_by],
    )
    return None if before is None else int(before[0])
