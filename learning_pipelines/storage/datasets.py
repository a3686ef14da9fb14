"""The permanent splits of examples: reading what is approved, storing splits.

Belongs here: SQL of example_splits. Not here: who goes to which split (examples/splits.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg.rows import dict_row

from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef


def lock_datasets(connection: Connection, agent: AgentRef) -> None:
    """One dataset refresh of an agent at a time; released with the transaction."""
    connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"training_datasets/{agent.organization_id}/{agent.agent_id}"])


def approved_examples(connection: Connection, agent: AgentRef) -> list[dict[str, Any]]:
    """Every approved, active example with the people behind it and the split it has, oldest first.

    people: whoever wrote the input or gave the feedback; decided: whether a split (or leaving out) was decided before; searched: whether its
    near-duplicates are known. One that came in since the search is for the next refresh.
    """
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            """SELECT e.id, e.content_hash, e.example_type, e.quality_score, e.confidence_score, e.domain, e.task_type,
                ARRAY(SELECT DISTINCT person::text FROM (
                    SELECT e.user_id UNION SELECT s.user_id FROM example_sources s WHERE s.organization_id = e.organization_id AND s.example_id = e.id
                    UNION SELECT s.input_user_id FROM example_sources s WHERE s.organization_id = e.organization_id AND s.example_id = e.id
                ) AS people (person) WHERE person IS NOT NULL ORDER BY 1) AS people,
                p.split, p.example_id IS NOT NULL AS decided,
                EXISTS (SELECT FROM expert_annotations n WHERE n.organization_id = e.organization_id AND n.example_id = e.id
                    AND n.withdrawn_at IS NULL) AS annotated,
                EXISTS (SELECT FROM example_sketches k WHERE k.organization_id = e.organization_id AND k.example_id = e.id) AS searched
            FROM learning_examples e
            LEFT JOIN example_splits p ON p.organization_id = e.organization_id AND p.example_id = e.id
            WHERE e.organization_id = %s AND e.agent_id = %s AND e.review_status = 'approved' AND e.is_active
            ORDER BY e.created_at, e.id""",
            [agent.organization_id, agent.agent_id],
        ).fetchall()


def store_splits(connection: Connection, agent: AgentRef, decisions: Sequence[tuple[str, str | None, str]]) -> None:
    """Writes (example_id, split or None, reason). A stored split never changes to another one: it can only be given up."""
    with connection.cursor() as cursor:
        cursor.executemany(
            """INSERT INTO example_splits AS p (organization_id, agent_id, example_id, split, reason) VALUES (%s, %s, %s, %s, %s)
            ON CONFLICT (organization_id, example_id) DO UPDATE SET split = NULL, reason = excluded.reason WHERE excluded.split IS NULL""",
            [(agent.organization_id, agent.agent_id, example, split, reason) for example, split, reason in decisions],
        )


def left_out(connection: Connection, agent: AgentRef) -> dict[str, int]:
    """Approved examples without a split, by reason."""
    rows = connection.execute(
        """SELECT p.reason, count(*) FROM example_splits p
        JOIN learning_examples e ON e.organization_id = p.organization_id AND e.id = p.example_id
        WHERE p.organization_id = %s AND p.agent_id = %s AND p.split IS NULL AND e.review_status = 'approved' AND e.is_active
        GROUP BY 1 ORDER BY 1""",
        [agent.organization_id, agent.agent_id],
    ).fetchall()
    return {str(reason): int(count) for reason, count in rows}
