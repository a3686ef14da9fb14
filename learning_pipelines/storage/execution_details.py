"""One execution with everything that was sent about it, what was said about it, and the passages it was answered from.

Belongs here: SQL about a single execution for people. Not here: lists (executions.py), what became of feedback (lineage.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from psycopg.rows import dict_row

from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.executions import SHOWN, WHO

FACETS = {1: "thumb", 2: "rating", 4: "dimensions", 8: "issues", 16: "correction"}
"""What a feedback says something about, by its bit."""
PASSAGES = 100
"""Retrieved entries whose texts are looked up."""
DOCUMENT_CHARS = 4_000
"""So much of a whole document is shown, where an execution names no chunk."""


def one(connection: Connection, organization_id: UUID, execution_id: str) -> dict[str, Any] | None:
    """One execution with everything that was sent about it."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            f"""SELECT {SHOWN}, x.messages, x.retrieved, x.context FROM agent_executions x
            JOIN agents a ON a.organization_id = x.organization_id AND a.id = x.agent_id {WHO}
            WHERE x.organization_id = %s AND x.id = %s""",
            [organization_id, execution_id],
        ).fetchone()


def feedback_of(connection: Connection, organization_id: UUID, execution_id: str) -> list[dict[str, Any]]:
    """What was said about an execution, oldest first. `superseded`: the facets that the same person said something newer about."""
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(
            """SELECT f.id AS feedback_id, u.external_id AS user, f.feedback_type, f.rating, f.issue_categories, f.feedback_text, f.correction_text,
                f.withdrawn, jsonb_build_object('accuracy', f.accuracy_rating, 'helpfulness', f.helpfulness_rating, 'clarity', f.clarity_rating,
                    'completeness', f.completeness_rating) AS dimensions, f.created_at, f.facets, coalesce(i.facets_in_force, f.facets) AS in_force
            FROM agent_feedback f LEFT JOIN users u ON u.organization_id = f.organization_id AND u.id = f.user_id
            LEFT JOIN feedback_in_force i ON i.organization_id = f.organization_id AND i.execution_id = f.execution_id AND i.id = f.id
                AND i.received_at = f.received_at
            WHERE f.organization_id = %s AND f.execution_id = %s ORDER BY f.created_at, f.arrival""",
            [organization_id, execution_id],
        ).fetchall()
    return [_told(row) for row in rows]


def _told(row: dict[str, Any]) -> dict[str, Any]:
    facets, in_force = row.pop("facets"), row.pop("in_force")
    gone = 0 if row["withdrawn"] else facets & ~in_force
    return {**row, "superseded": [name for bit, name in FACETS.items() if gone & bit]}


def passages(connection: Connection, organization_id: UUID, retrieved: Sequence[Any]) -> list[dict[str, Any]]:
    """The texts behind what an execution says it retrieved, in its order; an entry that names nothing known is left out. Without a chunk the beginning
    of its document. `is_active` False: it is not searched any more."""
    named = [(place, one.get("chunk_id"), one.get("document_id")) for place, one in enumerate(retrieved[:PASSAGES]) if isinstance(one, dict)]
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            """SELECT n.place, c.id AS chunk_id, d.id AS document_id, d.title, c.heading, coalesce(c.text, left(d.text, %(most)s)) AS text,
                coalesce(c.is_active, d.is_active) AS is_active
            FROM unnest(%(places)s::int[], %(chunks)s::text[], %(documents)s::text[]) AS n (place, chunk_id, document_id)
            LEFT JOIN knowledge_chunks c ON c.organization_id = %(organization)s AND c.id = n.chunk_id
            JOIN documents d ON d.organization_id = %(organization)s AND d.id = coalesce(c.document_id, n.document_id)
            ORDER BY n.place""",
            {"organization": organization_id, "most": DOCUMENT_CHARS, **dict(zip(("places", "chunks", "documents"), _columns(named), strict=True))},
        ).fetchall()


def _columns(named: Sequence[tuple[int, Any, Any]]) -> tuple[list[int], list[str | None], list[str | None]]:
    def text(value: Any) -> str | None:
        return value if isinstance(value, str) else None

    return [place for place, _, _ in named], [text(chunk) for _, chunk, _ in named], [text(document) for _, _, document in named]
