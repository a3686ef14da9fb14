"""Reading what hints are made of: approved examples like the one judged, what a judge said, what contradicts it.

Belongs here: SQL of hints. Not here: who may see them and when (examples/hints.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.rows import class_row, dict_row

from learning_pipelines.storage.database import Connection


@dataclass(frozen=True, slots=True)
class Subject:
    """The item the hints are about. `judged`: by this expert, and not taken back."""

    example_id: str
    agent_id: UUID
    input_text: str
    judged: bool


@dataclass(frozen=True, slots=True)
class Close:
    """An approved example and how close it is."""

    example_id: str
    input_text: str
    expected_output: str | None
    similarity: float


def subject(connection: Connection, organization_id: UUID, expert_id: UUID, example_id: str) -> Subject | None:
    """The item, if it is there for the caller."""
    with connection.cursor(row_factory=class_row(Subject)) as cursor:
        return cursor.execute(
            """SELECT e.id AS example_id, e.agent_id, e.input_text, EXISTS (SELECT FROM expert_annotations n WHERE n.organization_id = e.organization_id
                AND n.example_id = e.id AND n.expert_id = %s AND n.is_verdict AND n.withdrawn_at IS NULL) AS judged
            FROM learning_examples e WHERE e.organization_id = %s AND e.id = %s""",
            [expert_id, organization_id, example_id],
        ).fetchone()


def nearest_by_vector(connection: Connection, organization_id: UUID, about: Subject) -> Close | None:
    """The approved example of the agent whose stored vector is nearest; None without vectors. Compares every approved one: exact."""
    with connection.cursor(row_factory=class_row(Close)) as cursor:
        return cursor.execute(
            """SELECT e.id AS example_id, e.input_text, e.expected_output, 1 - (o.embedding <=> m.embedding) AS similarity
            FROM example_embeddings m
            JOIN example_embeddings o ON o.organization_id = m.organization_id AND o.encoder = m.encoder AND o.agent_id = m.agent_id
                AND o.example_id <> m.example_id
            JOIN learning_examples e ON e.organization_id = o.organization_id AND e.id = o.example_id AND e.is_active AND e.review_status = 'approved'
            WHERE m.organization_id = %s AND m.example_id = %s AND vector_dims(o.embedding) = vector_dims(m.embedding)
            ORDER BY o.embedding <=> m.embedding, e.id LIMIT 1""",
            [organization_id, about.example_id],
        ).fetchone()


def newest_approved(connection: Connection, organization_id: UUID, about: Subject, limit: int) -> list[tuple[str, str, str | None]]:
    """(id, input, expected output) of the agent's approved examples, the newest first, without the item itself."""
    return connection.execute(
        """SELECT id, left(input_text, 20000), expected_output FROM learning_examples WHERE organization_id = %s AND agent_id = %s
            AND review_status = 'approved' AND is_active AND id <> %s ORDER BY created_at DESC, id LIMIT %s""",
        [organization_id, about.agent_id, about.example_id, limit],
    ).fetchall()


def judge(connection: Connection, organization_id: UUID, example_id: str) -> dict[str, Any] | None:
    """What a judging model said about the example last; None where none did, or where none is installed."""
    if connection.execute("SELECT to_regclass('learning.judge_verdicts')").fetchone() == (None,):
        return None
    row = connection.execute(
        """SELECT judge, approved, created_at FROM judge_verdicts WHERE organization_id = %s AND example_id = %s AND approved IS NOT NULL
        ORDER BY created_at DESC, judge LIMIT 1""",
        [organization_id, example_id],
    ).fetchone()
    return None if row is None else {"judge": row[0], "approved": row[1], "created_at": row[2]}


def contradictions(connection: Connection, organization_id: UUID, example_id: str, limit: int) -> list[dict[str, Any]]:
    """The examples in an open conflict with this one that still count: their texts, and how they differ; those found first."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            """SELECT e.id AS example_id, e.input_text, e.original_output, e.expected_output, k.reason
            FROM (
                SELECT second_id AS id, reason, found_at FROM example_conflicts
                WHERE organization_id = %(organization)s AND status = 'open' AND first_id = %(id)s
                UNION ALL SELECT first_id, reason, found_at FROM example_conflicts
                WHERE organization_id = %(organization)s AND status = 'open' AND second_id = %(id)s) AS k
            JOIN learning_examples e ON e.organization_id = %(organization)s AND e.id = k.id AND e.is_active AND e.review_status <> 'rejected'
            ORDER BY k.found_at, e.id LIMIT %(limit)s""",
            {"organization": organization_id, "id": example_id, "limit": limit},
        ).fetchall()
