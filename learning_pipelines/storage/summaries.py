"""What the service shows of an organization at a glance: counts of examples, its agents, datasets of an agent, reports.

Belongs here: SQL that reads for people across tables. Not here: metrics of feedback (metrics.py), executions (executions.py), lineage (lineage.py).
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


def agents(connection: Connection, organization_id: UUID) -> list[dict[str, Any]]:
    """Every agent, in the order of their names, with the prompt version it is handed: that of the label production; with learning switched off the
    base prompt (prompts.served says which that is)."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            """SELECT a.id::text AS agent_id, a.slug AS agent, a.name, a.domain, a.learning_enabled, a.created_at,
                CASE WHEN a.learning_enabled THEN l.version ELSE (SELECT b.version FROM prompt_versions b
                    WHERE b.organization_id = l.organization_id AND b.agent_id = l.agent_id AND b.erased_at IS NULL
                    ORDER BY b.origin <> 'imported', CASE WHEN b.origin = 'imported' THEN -b.version ELSE b.version END LIMIT 1) END AS serving_prompt_version
            FROM agents a LEFT JOIN prompt_labels l ON l.organization_id = a.organization_id AND l.agent_id = a.id AND l.label = 'production'
            WHERE a.organization_id = %s ORDER BY a.slug""",
            [organization_id],
        ).fetchall()


def datasets(connection: Connection, agent: AgentRef) -> list[dict[str, Any]]:
    """Every dataset version that holds examples of an agent, newest first."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            """SELECT id::text, name, version, status, total_examples, avg_quality_score, created_at FROM training_datasets
            WHERE organization_id = %s AND (name = %s OR agent_ids @> ARRAY[%s::uuid]) ORDER BY created_at DESC, name, version DESC""",
            [agent.organization_id, agent.agent, agent.agent_id],
        ).fetchall()


def report_list(connection: Connection, organization_id: UUID, before: dt.date | None, limit: int) -> list[dict[str, Any]]:
    """Stored reports at a glance, newest first. Reads no more of each than it shows."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            """SELECT week AS starts, computed_at, (numbers ->> 'executions')::bigint AS executions, (numbers ->> 'feedback')::bigint AS feedback,
                (numbers ->> 'ratings')::bigint AS ratings, (numbers ->> 'feedback_rate')::float8 AS feedback_rate,
                (numbers ->> 'avg_rating')::float8 AS avg_rating, numbers -> 'rating_interval' AS rating_interval,
                jsonb_path_query_first(numbers, '$.headline[*] ? (@.key == "feedback_rate").interval') AS feedback_rate_interval,
                coalesce((numbers #>> '{examples,approved}')::bigint, 0) AS approved, coalesce((numbers #>> '{learning,adopted}')::bigint, 0) AS adopted,
                jsonb_array_length(jsonb_path_query_array(numbers, '$.serving[*] ? (@.alarm == true)')) AS drift_alarms,
                jsonb_path_query_array(numbers, '$.actions[*].text') AS actions
            FROM learning_reports WHERE organization_id = %s AND (%s::date IS NULL OR week < %s) ORDER BY week DESC LIMIT %s""",
            [organization_id, before, before, limit],
        ).fetchall()


def report(connection: Connection, organization_id: UUID, week: dt.date) -> dict[str, Any] | None:
    """The stored numbers of a week."""
    row = connection.execute("SELECT numbers FROM learning_reports WHERE organization_id = %s AND week = %s", [organization_id, week]).fetchone()
    return None if row is None else row[0]
