"""What the service shows of an organization at a glance: counts of examples, datasets of an agent, where feedback led.

Belongs here: SQL that reads for people across tables. Not here: metrics of feedback (metrics.py), executions (executions.py).
"""

from __future__ import annotations

import datetime as dt
from typing import Any
from uuid import UUID

from psycopg.rows import dict_row

from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef

_OVERVIEW = """
SELECT
    (SELECT count(*) FROM learning_examples WHERE organization_id = %(organization)s AND is_active
        AND review_status IN ('pending', 'in_review', 'needs_revision')) AS pending_annotations,
    (SELECT count(*) FROM learning_examples WHERE organization_id = %(organization)s AND is_active AND review_status = 'approved') AS approved_examples,
    (SELECT count(*) FROM learning_examples WHERE organization_id = %(organization)s AND is_active AND review_status = 'rejected') AS rejected_examples,
    (SELECT count(*) FROM learning_examples WHERE organization_id = %(organization)s AND received_at >= %(today)s) AS collected_today,
    (SELECT count(*) FROM expert_annotations WHERE organization_id = %(organization)s AND received_at >= %(today)s
        AND withdrawn_at IS NULL) AS annotated_today,
    (SELECT count(*) FROM training_datasets WHERE organization_id = %(organization)s) AS dataset_versions,
    (SELECT count(*) FROM agents WHERE organization_id = %(organization)s AND is_active) AS agents"""


def organization(connection: Connection, organization_id: UUID, today: dt.datetime) -> dict[str, int]:
    """Counts of one organization; `today` is the moment the day began."""
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(_OVERVIEW, {"organization": organization_id, "today": today}).fetchone()
    assert row is not None
    return {name: int(value) for name, value in row.items()}


def datasets(connection: Connection, agent: AgentRef) -> list[dict[str, Any]]:
    """Every dataset version that holds examples of an agent, newest first."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            """SELECT id::text, name, version, status, total_examples, avg_quality_score, created_at FROM training_datasets
            WHERE organization_id = %s AND (name = %s OR agent_ids @> ARRAY[%s::uuid]) ORDER BY created_at DESC, name, version DESC""",
            [agent.organization_id, agent.agent, agent.agent_id],
        ).fetchall()


def feedback(connection: Connection, organization_id: UUID, feedback_id: str) -> dict[str, Any] | None:
    """One feedback as far as the caller may see it: ids only."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            """SELECT f.id AS feedback_id, f.execution_id, f.pending_execution, f.feedback_type, u.external_id AS user, a.slug AS agent, f.created_at
            FROM agent_feedback f JOIN agents a ON a.organization_id = f.organization_id AND a.id = f.agent_id
            LEFT JOIN users u ON u.organization_id = f.organization_id AND u.id = f.user_id
            WHERE f.organization_id = %s AND f.id = %s""",
            [organization_id, feedback_id],
        ).fetchone()


def learnt_from(connection: Connection, organization_id: UUID, feedback_id: str) -> list[dict[str, Any]]:
    """The examples one feedback supports, and the dataset versions they are in. Ids and states, no text."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            """SELECT e.id AS example_id, e.example_type, e.review_status, e.is_active, e.times_used_in_training,
                coalesce((SELECT jsonb_agg(jsonb_build_object('id', d.id, 'name', d.name, 'version', d.version, 'split', m.split) ORDER BY d.name, d.version)
                    FROM dataset_examples m JOIN training_datasets d ON d.organization_id = m.organization_id AND d.id = m.dataset_id
                    WHERE m.organization_id = e.organization_id AND m.example_id = e.id), '[]') AS datasets
            FROM example_sources s JOIN learning_examples e ON e.organization_id = s.organization_id AND e.id = s.example_id
            WHERE s.organization_id = %s AND s.feedback_id = %s ORDER BY e.id""",
            [organization_id, feedback_id],
        ).fetchall()


def person(connection: Connection, organization_id: UUID, user_id: UUID) -> dict[str, Any]:
    """What came from one user and where it led: counts, and the ids of feedback and examples (at most 1,000 of each)."""
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(
            """SELECT (SELECT count(*) FROM agent_executions WHERE organization_id = %(o)s AND user_id = %(u)s) AS executions,
                (SELECT count(*) FROM agent_feedback WHERE organization_id = %(o)s AND user_id = %(u)s) AS feedback,
                (SELECT count(*) FROM retrieval_events WHERE organization_id = %(o)s AND user_id = %(u)s) AS retrieval_feedback,
                (SELECT count(*) FROM expert_annotations WHERE organization_id = %(o)s AND expert_id = %(u)s AND withdrawn_at IS NULL) AS annotations,
                (SELECT count(*) FROM demonstrations WHERE organization_id = %(o)s AND user_id = %(u)s) AS demonstrations,
                ARRAY(SELECT id FROM agent_feedback WHERE organization_id = %(o)s AND user_id = %(u)s ORDER BY created_at DESC LIMIT 1000) AS feedback_ids,
                ARRAY(SELECT DISTINCT example_id FROM example_sources WHERE organization_id = %(o)s AND %(u)s IN (user_id, input_user_id)
                    ORDER BY 1 LIMIT 1000) AS example_ids""",
            {"o": organization_id, "u": user_id},
        ).fetchone()
    assert row is not None
    return row


def report(connection: Connection, organization_id: UUID, week: dt.date) -> dict[str, Any] | None:
    """The stored numbers of a week."""
    row = connection.execute("SELECT numbers FROM learning_reports WHERE organization_id = %s AND week = %s", [organization_id, week]).fetchone()
    return None if row is None else row[0]
