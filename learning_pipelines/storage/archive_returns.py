"""Rows that come back from the archive: executions about which something was said after they were archived, with everything that was said about them before.

Belongs here: SQL that finds them, stores them again and takes them out of what is kept of archived rows. Not here: reading files (feedback/archive/).

With the rows back in their tables everything that reads them is right without knowing of the archive: what supersedes what, examples, metrics, trust.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from learning_pipelines.storage import metrics, outbox
from learning_pipelines.storage.archive import EXECUTIONS, FEEDBACK
from learning_pipelines.storage.archive_export import COLUMNS
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.ingest_sql import NIL
from learning_pipelines.storage.outbox import Position
from learning_pipelines.storage.tenants import AgentRef
from learning_pipelines.storage.trust_weights import NEWCOMER

EVERYBODY = AgentRef(UUID(NIL), "", UUID(NIL), "")
TYPES = {"text": "text", "json": "jsonb", "texts": "text[]", "uuid": "uuid", "integer": "bigint", "float": "double precision", "boolean": "boolean",
         "time": "timestamptz"}  # fmt: skip
"""Types of the database by kinds of archive_export.Column."""
_STAGED = {EXECUTIONS: "returned_executions", FEEDBACK: "returned_feedback"}
_DERIVED = ("facets", "facets_in_force", "rater_weight", "received_at")


@dataclass(frozen=True, slots=True)
class Wanted:
    """An archived execution that something new was said about, and when it first arrived: it lies in that month or a later one."""

    organization_id: UUID
    organization: str
    execution_id: str
    received_at: dt.datetime


def wanted(connection: Connection, horizon: dt.datetime) -> tuple[list[Wanted], Position]:
    """What new entries are about that is not there any more, and where the reader stands after them. Call under the lock of the archive."""
    start = outbox.position(connection, outbox.ARCHIVE_READER, EVERYBODY)
    values = {"xid": str(start.xid), "id": start.id, "horizon": horizon}
    last = connection.execute(_LAST, values).fetchone()
    if last is None:
        return [], start
    rows = connection.execute(_WANTED, values | {"last_xid": last[0], "last_id": last[1]}).fetchall()
    return [Wanted(*row) for row in rows], Position(start.cluster, int(last[0]), int(last[1]))


def wanted_of(connection: Connection, organization_id: UUID, organization: str, executions: Sequence[str]) -> list[Wanted]:
    """These executions, as far as they are not there; whether they are archived is not known yet."""
    rows = connection.execute(
        """SELECT w.id, k.received_at FROM unnest(%s::text[]) AS w (id) CROSS JOIN LATERAL (SELECT received_at FROM ingest_keys k
            WHERE k.organization_id = %s AND k.kind = 'executions' AND k.external_id = w.id LIMIT 1) k
        WHERE NOT EXISTS (SELECT FROM agent_executions x WHERE x.organization_id = %s AND x.id = w.id) ORDER BY 1""",
        [list(executions), organization_id, organization_id],
    ).fetchall()
    return [Wanted(organization_id, organization, str(name), received) for name, received in rows]


_LAST = """SELECT xid::text, id FROM outbox WHERE (xid, id) > (%(xid)s::xid8, %(id)s) AND xid < pg_snapshot_xmin(pg_current_snapshot())
    ORDER BY outbox.xid DESC, outbox.id DESC LIMIT 1"""
# By when it happened first, which the entry itself says: what happened lately is not looked up. Clocks may be off by a day. The feedback itself is there
# and its execution is not: entries about what was archived together are none of these.
_WANTED = """
WITH late AS MATERIALIZED (
    SELECT DISTINCT o.organization_id, o.execution_id FROM outbox o
    WHERE (o.xid, o.id) > (%(xid)s::xid8, %(id)s) AND (o.xid, o.id) <= (%(last_xid)s::xid8, %(last_id)s) AND o.kind = 'feedback'
        AND o.execution_at < %(horizon)s::timestamptz + interval '2 days'
        AND EXISTS (SELECT FROM agent_feedback f WHERE f.organization_id = o.organization_id AND f.id = o.row_id)
)
SELECT l.organization_id, s.slug, l.execution_id, k.received_at FROM late l JOIN organizations s USING (organization_id)
CROSS JOIN LATERAL (SELECT received_at FROM ingest_keys k WHERE k.organization_id = l.organization_id AND k.kind = 'executions'
    AND k.external_id = l.execution_id LIMIT 1) k
WHERE k.received_at < %(horizon)s
    AND NOT EXISTS (SELECT FROM agent_executions x WHERE x.organization_id = l.organization_id AND x.id = l.execution_id)
ORDER BY 1, 3"""


def advance(connection: Connection, position: Position) -> None:
    """Remembers how far the reader has come."""
    outbox.advance(connection, outbox.ARCHIVE_READER, EVERYBODY, position)


def put_back(
    connection: Connection, organization_id: UUID, month: dt.date, zone: str, executions: Sequence[Sequence[Any]], feedback: Sequence[Sequence[Any]]
) -> int:
    """Stores rows of a month's files again (columns of archive_export.COLUMNS, times as moments) and takes them out of the month's sums; who reads the
    outbox is told of them. One transaction; returns how many rows came back. They arrive now: they will be archived with what was said about them last."""
    values = {"organization": organization_id, "month": month, "zone": zone, "newcomer": NEWCOMER}
    with connection.transaction(), connection.cursor() as cursor:
        for table, rows in ((EXECUTIONS, executions), (FEEDBACK, feedback)):
            columns = ", ".join(f"{column.name} {TYPES[column.kind]}" for column in COLUMNS[table])
            cursor.execute(f"DROP TABLE IF EXISTS pg_temp.{_STAGED[table]}")  # of another month, in the same transaction of the caller
            cursor.execute(f"CREATE TEMP TABLE {_STAGED[table]} ({columns}, organization_id uuid) ON COMMIT DROP")
            with cursor.copy(f"COPY {_STAGED[table]} FROM STDIN") as copy:
                for row in rows:
                    copy.write_row((*row, organization_id))
        cursor.execute(_SUBTRACT, values)
        cursor.execute(_RATERS, values)
        cursor.execute(_THUMBS, values)
        stored = 0
        for table in (EXECUTIONS, FEEDBACK):
            names = ", ".join(column.name for column in COLUMNS[table] if column.name not in _DERIVED)
            stored += cursor.execute(
                f"INSERT INTO {table} (organization_id, {names}) SELECT organization_id, {names} FROM {_STAGED[table]}"
            ).rowcount
        cursor.execute(_RETURNED, values)
        cursor.execute(_TOLD)
    return stored


_SUMS = metrics.sums_of_rows(
    "returned_executions", "returned_feedback", "(SELECT * FROM returned_feedback WHERE NOT pending_execution) AS back", weighed="rater_weight"
)
_LESS = ", ".join(f"{name} = m.{name} - d.{name}" for name in metrics.COLUMNS if name != "issues")
_SUBTRACT = f"""
UPDATE archived_metrics m SET {_LESS}, issues = coalesce((SELECT jsonb_object_agg(o.key, o.value::bigint - coalesce((d.issues ->> o.key)::bigint, 0))
        FROM jsonb_each_text(m.issues) AS o WHERE o.value::bigint > coalesce((d.issues ->> o.key)::bigint, 0)), '{{}}')
FROM ({_SUMS}) AS d
WHERE m.organization_id = d.organization_id AND m.agent_id = d.agent_id AND m.day = d.day AND m.month = %(month)s"""
_RATERS = """
UPDATE archived_raters r SET ratings = r.ratings - d.ratings FROM (SELECT user_id, count(*) AS ratings FROM returned_feedback
    WHERE user_id IS NOT NULL AND NOT pending_execution GROUP BY 1) d
WHERE r.organization_id = %(organization)s AND r.user_id = d.user_id AND r.month = %(month)s"""
_THUMBS = """
DELETE FROM archived_thumbs t USING returned_executions x WHERE t.organization_id = %(organization)s AND t.execution_id = x.id AND t.month = %(month)s"""
_RETURNED = """
INSERT INTO archived_returns (organization_id, execution_id, month) SELECT organization_id, id, %(month)s FROM returned_executions ON CONFLICT DO NOTHING"""
_TOLD = """
INSERT INTO outbox (organization_id, agent_id, kind, row_id, execution_id, happened_at, execution_at)
SELECT organization_id, agent_id, 'executions', id, id, created_at, created_at FROM returned_executions
UNION ALL SELECT f.organization_id, f.agent_id, 'feedback', f.id, f.execution_id, f.created_at, x.created_at
FROM returned_feedback f LEFT JOIN returned_executions x ON x.id = f.execution_id"""


def returned(connection: Connection, organization_id: UUID, executions: Sequence[str]) -> set[tuple[str, dt.date]]:
    """Of these executions those that came back, and out of which month."""
    rows = connection.execute(
        "SELECT execution_id, month FROM archived_returns WHERE organization_id = %s AND execution_id = ANY(%s)", [organization_id, list(executions)]
    ).fetchall()
    return {(str(execution), month) for execution, month in rows}
