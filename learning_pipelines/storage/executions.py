"""Reading executions page by page, and one with what was said about it.

Belongs here: SQL that reads agent_executions and agent_feedback for people. Not here: storing them (ingest_sql.py), metrics.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from psycopg.rows import dict_row

from learning_pipelines.storage.database import Connection

_SHOWN = """x.id AS execution_id, a.slug AS agent, u.external_id AS user, x.session_id, x.parent_id, x.input, x.output, x.tags, x.environment,
    x.prompt_version, x.latency_ms, x.input_tokens, x.output_tokens, x.cost_usd, x.created_at"""
_WHO = "LEFT JOIN users u ON u.organization_id = x.organization_id AND u.id = x.user_id"


@dataclass(frozen=True)
class Wanted:
    """Filters of a page; None means any. `position` is (created_at, id) of the last row of the page before."""

    agent_id: UUID | None = None
    user_id: UUID | None = None
    session_id: str | None = None
    environment: str | None = None
    tag: str | None = None
    after: dt.datetime | None = None
    before: dt.datetime | None = None
    position: tuple[dt.datetime, str] | None = None


# Each agent gives its newest rows by its index; no sort over everything the organization has.
_PAGE = f"""
SELECT {_SHOWN} FROM agents a CROSS JOIN LATERAL (
    SELECT * FROM agent_executions e
    WHERE e.organization_id = a.organization_id AND e.agent_id = a.id
        AND (%(user_id)s::uuid IS NULL OR e.user_id = %(user_id)s) AND (%(session_id)s::text IS NULL OR e.session_id = %(session_id)s)
        AND (%(environment)s::text IS NULL OR e.environment = %(environment)s) AND (%(tag)s::text IS NULL OR %(tag)s = ANY(e.tags))
        AND (%(after)s::timestamptz IS NULL OR e.created_at >= %(after)s) AND (%(before)s::timestamptz IS NULL OR e.created_at < %(before)s)
        AND (%(at)s::timestamptz IS NULL OR (e.created_at, e.id) < (%(at)s, %(id)s))
    ORDER BY e.created_at DESC, e.id DESC LIMIT %(limit)s
) x {_WHO}
WHERE a.organization_id = %(organization)s AND (%(agent_id)s::uuid IS NULL OR a.id = %(agent_id)s)
ORDER BY x.created_at DESC, x.id DESC LIMIT %(limit)s"""


def page(connection: Connection, organization_id: UUID, wanted: Wanted, limit: int) -> list[dict[str, Any]]:
    """Executions, newest first."""
    at, identity = wanted.position or (None, None)
    values = {**asdict(wanted), "at": at, "id": identity, "organization": organization_id, "limit": limit}
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_PAGE, values).fetchall()


def one(connection: Connection, organization_id: UUID, execution_id: str) -> dict[str, Any] | None:
    """One execution with everything that was sent about it."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            f"""SELECT {_SHOWN}, x.messages, x.retrieved, x.context FROM agent_executions x
            JOIN agents a ON a.organization_id = x.organization_id AND a.id = x.agent_id {_WHO}
            WHERE x.organization_id = %s AND x.id = %s""",
            [organization_id, execution_id],
        ).fetchone()


def feedback_of(connection: Connection, organization_id: UUID, execution_id: str) -> list[dict[str, Any]]:
    """What was said about an execution, oldest first."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            """SELECT f.id AS feedback_id, u.external_id AS user, f.feedback_type, f.rating, f.issue_categories, f.feedback_text, f.correction_text,
                f.withdrawn, jsonb_build_object('accuracy', f.accuracy_rating, 'helpfulness', f.helpfulness_rating, 'clarity', f.clarity_rating,
                    'completeness', f.completeness_rating) AS dimensions, f.created_at
            FROM agent_feedback f LEFT JOIN users u ON u.organization_id = f.organization_id AND u.id = f.user_id
            WHERE f.organization_id = %s AND f.execution_id = %s ORDER BY f.created_at, f.arrival""",
            [organization_id, execution_id],
        ).fetchall()
