"""Weekly reports and the counts of a week that no daily metric holds.

Belongs here: SQL of learning_reports and counts over examples, annotations and datasets. Not here: rates and wording (reports/).
"""

from __future__ import annotations

import datetime as dt
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.trust_weights import DISTRUSTED

_COUNTS = """
SELECT
    (SELECT count(*) FROM learning_examples e WHERE e.organization_id = o.organization_id
        AND e.created_at >= %(start)s AND e.created_at < %(end)s) AS collected,
    (SELECT count(*) FROM learning_examples e WHERE e.organization_id = o.organization_id
        AND e.reviewed_at >= %(start)s AND e.reviewed_at < %(end)s) AS reviewed,
    (SELECT count(*) FROM learning_examples e WHERE e.organization_id = o.organization_id
        AND e.reviewed_at >= %(start)s AND e.reviewed_at < %(end)s AND e.review_status = 'approved') AS approved,
    (SELECT count(*) FROM learning_examples e WHERE e.organization_id = o.organization_id
        AND e.review_status = 'pending' AND e.is_active) AS waiting_for_review,
    (SELECT count(*) FROM training_datasets d WHERE d.organization_id = o.organization_id
        AND d.created_at >= %(start)s AND d.created_at < %(end)s) AS dataset_versions,
    (SELECT count(*) FROM agent_feedback f WHERE f.organization_id = o.organization_id AND f.pending_execution) AS feedback_without_execution,
    CASE WHEN EXISTS (SELECT FROM archived_metrics k WHERE k.organization_id = o.organization_id AND k.day >= %(first)s AND k.day < %(last)s
            AND k.feedback > 0) THEN NULL
        ELSE (SELECT count(*) FROM rater_weights w WHERE w.organization_id = o.organization_id AND w.weight < %(distrusted)s AND EXISTS (
            SELECT FROM agent_feedback f WHERE f.organization_id = w.organization_id AND f.user_id = w.user_id
                AND f.created_at >= %(start)s AND f.created_at < %(end)s)) END AS distrusted_raters
FROM organizations o WHERE o.slug = %(organization)s"""


def counts(connection: Connection, organization: str, start: dt.datetime, end: dt.datetime) -> dict[str, int | None]:
    """Examples collected, reviewed and approved and dataset versions made in [start, end); what waits now; raters of next to no weight who said something.

    The last is None where any of that feedback lies in the archive: of its rows it keeps sums by day, and raters by month, but not who spoke on which day.
    """
    days = {"first": start.date(), "last": end.date()}  # in the zone that the moments are given in
    cursor = connection.execute(_COUNTS, {"organization": organization, "start": start, "end": end, "distrusted": DISTRUSTED, **days})
    row = cursor.fetchone()
    assert row is not None and cursor.description is not None
    return {column.name: None if value is None else int(value) for column, value in zip(cursor.description, row, strict=True)}


def store(connection: Connection, organization: str, week: dt.date, numbers: dict[str, Any]) -> None:
    """Keeps the numbers of a week, replacing an earlier computation."""
    connection.execute(
        """INSERT INTO learning_reports AS r (organization_id, week, numbers) SELECT organization_id, %s, %s FROM organizations WHERE slug = %s
        ON CONFLICT (organization_id, week) DO UPDATE SET numbers = excluded.numbers, computed_at = now()""",
        [week, Jsonb(numbers), organization],
    )


def stored(connection: Connection, week: dt.date) -> list[dict[str, Any]]:
    """The stored numbers of a week of every active organization."""
    rows = connection.execute(
        "SELECT r.numbers FROM learning_reports r JOIN organizations o USING (organization_id) WHERE r.week = %s AND o.is_active ORDER BY o.slug", [week]
    ).fetchall()
    return [row[0] for row in rows]


def of_organization(connection: Connection, organization_id: UUID) -> list[tuple[dt.date, dict[str, Any]]]:
    """(week, numbers) of every stored report of an organization."""
    rows = connection.execute("SELECT week, numbers FROM learning_reports WHERE organization_id = %s ORDER BY week", [organization_id]).fetchall()
    return [(week, numbers) for week, numbers in rows]


def organizations(connection: Connection) -> list[str]:
    """Slugs of the active organizations."""
    return [str(row[0]) for row in connection.execute("SELECT slug FROM organizations WHERE is_active ORDER BY slug").fetchall()]
