"""What one person said about one execution and is in force, whether the execution is known yet or not.

Belongs here: SQL that reads a person's own feedback. Not here: what became of it (lineage.py), everybody's feedback on an execution (executions.py).
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from psycopg.rows import dict_row

from learning_pipelines.storage.database import Connection


def newest(connection: Connection, organization_id: UUID, user_id: UUID, execution_id: str) -> list[dict[str, Any]]:
    """The newest feedback of each facet (`facet`: the bit of agent_feedback.facets), at most five rows; also one that takes back (`withdrawn`)."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            """SELECT DISTINCT ON (facet) facet, f.id AS feedback_id, f.agent_id, f.feedback_type, f.rating, f.issue_categories, f.correction_text,
                f.withdrawn, f.created_at, jsonb_build_object('accuracy', f.accuracy_rating, 'helpfulness', f.helpfulness_rating,
                    'clarity', f.clarity_rating, 'completeness', f.completeness_rating) AS dimensions
            FROM agent_feedback f CROSS JOIN unnest(ARRAY[1, 2, 4, 8, 16]) AS facet
            WHERE f.organization_id = %s AND f.execution_id = %s AND f.user_id = %s AND f.facets & facet > 0
            ORDER BY facet, f.created_at DESC, f.arrival DESC""",
            [organization_id, execution_id, user_id],
        ).fetchall()


def comments(connection: Connection, organization_id: UUID, user_id: UUID, execution_id: str) -> int:
    """How many comments the person wrote on the execution."""
    row = connection.execute(
        "SELECT count(feedback_text) FROM agent_feedback WHERE organization_id = %s AND execution_id = %s AND user_id = %s",
        [organization_id, execution_id, user_id],
    ).fetchone()
    assert row is not None
    return int(row[0])


def with_examples(connection: Connection, organization_id: UUID, feedback_ids: list[str]) -> set[str]:
    """Those of the feedback that an example rests on."""
    rows = connection.execute(
        "SELECT DISTINCT feedback_id FROM example_sources WHERE organization_id = %s AND feedback_id = ANY(%s)", [organization_id, feedback_ids]
    ).fetchall()
    return {row[0] for row in rows}
