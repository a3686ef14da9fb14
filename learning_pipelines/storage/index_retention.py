"""What nobody needs any more of learnt indexes: old versions, encoders and edits that no version names, with their vectors and chunks.

Belongs here: SQL that deletes them, and what is still named. Not here: versions and labels themselves (indexes.py), artifacts (retrieval/retention.py).

Never deleted: what a label points at (serving, previous, candidate), what an open proposal names, what an experiment compares that runs or is paused, the
base index, and what is younger than `grace` (a training that runs has an encoder before it has a version).
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.prompts import lock_agent
from learning_pipelines.storage.tenants import AgentRef

LEARNT = ("index", "reranker", "expansion", "chunk_edit")


@dataclass(frozen=True, slots=True)
class Pruned:
    """How many were deleted."""

    versions: int = 0
    encoders: int = 0
    edits: int = 0


def organizations(connection: Connection) -> list[UUID]:
    """Those that have an encoder, hence an index, or behaviour that was learnt."""
    rows = connection.execute("SELECT organization_id FROM encoder_versions UNION SELECT organization_id FROM behavior_versions ORDER BY 1").fetchall()
    return [row[0] for row in rows]


def prune_versions(connection: Connection, agent: AgentRef, kept: int, grace: dt.timedelta) -> int:
    """Deletes an agent's versions beyond the newest `kept`, but for those that are needed (above). Returns how many."""
    with connection.transaction():
        lock_agent(connection, agent)
        return connection.execute(
            """DELETE FROM index_versions v WHERE v.organization_id = %(organization)s AND v.agent_id = %(agent)s AND v.created_at < now() - %(grace)s
            AND v.number <= (SELECT max(number) FROM index_versions WHERE organization_id = %(organization)s AND agent_id = %(agent)s) - %(kept)s
            AND NOT EXISTS (SELECT FROM index_labels l WHERE l.organization_id = v.organization_id AND l.agent_id = v.agent_id AND l.number = v.number)
            AND NOT EXISTS (SELECT FROM proposals p WHERE p.organization_id = v.organization_id AND p.agent_id = v.agent_id AND p.state = 'open'
                AND p.kind = ANY(%(kinds)s) AND v.number::text IN (p.subject->>'version', p.incumbent->>'version'))
            AND NOT EXISTS (SELECT FROM learning_experiments e WHERE e.organization_id = v.organization_id AND e.agent_id = v.agent_id
                AND e.subject = 'index' AND e.status IN ('running', 'paused')
                AND e.arms @> jsonb_build_array(jsonb_build_object('version', v.number)))""",
            {"organization": agent.organization_id, "agent": agent.agent_id, "kept": kept, "grace": grace, "kinds": list(LEARNT)},
        ).rowcount


def prune_unnamed(connection: Connection, organization_id: UUID, grace: dt.timedelta) -> Pruned:
    """Deletes encoders (with their vectors) and edits (with their chunks) that no version of the organization names; each in its own transaction."""
    encoders = connection.execute(
        """SELECT e.id FROM encoder_versions e WHERE e.organization_id = %s AND e.created_at < now() - %s
        AND NOT EXISTS (SELECT FROM index_versions v WHERE v.organization_id = e.organization_id AND v.encoder_id = e.id)""",
        [organization_id, grace],
    ).fetchall()
    deleted = 0
    for (identity,) in encoders:
        deleted += connection.execute(
            """DELETE FROM encoder_versions e WHERE e.organization_id = %s AND e.id = %s
            AND NOT EXISTS (SELECT FROM index_versions v WHERE v.organization_id = e.organization_id AND v.encoder_id = e.id)""",
            [organization_id, identity],
        ).rowcount
    edits = connection.execute(
        """DELETE FROM chunk_edits e WHERE e.organization_id = %s AND e.created_at < now() - %s
        AND NOT EXISTS (SELECT FROM index_versions v WHERE v.organization_id = e.organization_id AND v.config->>'chunk_edit' = e.id::text)""",
        [organization_id, grace],
    ).rowcount
    return Pruned(encoders=deleted, edits=edits)


def named_artifacts(connection: Connection, organization_id: UUID) -> set[str]:
    """Paths of the artifacts that stored versions (of indexes and of behaviour) and encoders name."""
    rows: list[tuple[Any, ...]] = connection.execute(
        """SELECT artifact_path FROM encoder_versions WHERE organization_id = %(organization)s AND artifact_path IS NOT NULL
        UNION SELECT part.value->>'path' FROM index_versions v, jsonb_each(v.config) AS part
        WHERE v.organization_id = %(organization)s AND jsonb_typeof(part.value) = 'object' AND part.value ? 'path'
        UNION SELECT artifact_path FROM behavior_versions WHERE organization_id = %(organization)s AND artifact_path IS NOT NULL""",
        {"organization": organization_id},
    ).fetchall()
    return {str(path) for (path,) in rows}
