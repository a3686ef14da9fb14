"""Archived months without a person's rows: what the ledger says of their files, what is kept of the rows that stay and of those that went.

Belongs here: SQL of one month of one organization whose files are written anew. Not here: reading and writing the files (feedback/archive/rewriting.py).

Kept sums are made anew from the rows that stay, because one person's feedback can be all there is about somebody else's execution. Rows that came back out
of the month count in their tables already, and are in no kept sum.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg import sql

from learning_pipelines.storage import archive, metrics
from learning_pipelines.storage.archive import EXECUTIONS, FEEDBACK, Entry
from learning_pipelines.storage.archive_export import COLUMNS
from learning_pipelines.storage.archive_returns import TYPES
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.trust_weights import NEWCOMER

COUNTED: dict[str, tuple[str, ...]] = {
    EXECUTIONS: ("id", "agent_id", "latency_ms", "input_tokens", "output_tokens", "cost_usd", "created_at"),
    FEEDBACK: (
        "id", "execution_id", "pending_execution", "agent_id", "user_id", "feedback_type", "rating", "accuracy_rating", "helpfulness_rating",
        "clarity_rating", "completeness_rating", "issue_categories", "context", "created_at", "facets", "facets_in_force", "rater_weight",
    ),
}  # fmt: skip
"""The columns of archived rows that the sums of metrics are made from."""
TAKEN = ("table_name", "row_id", "execution_id", "agent_id", "user_id", "session_id", "happened_at", "texts", "pending", "month")


@dataclass(frozen=True, slots=True)
class Ledger:
    """An organization's files of a month by table. `halfway`: half of its rows are in the files and half in the database, until it is archived."""

    month: dt.date
    entries: dict[str, Entry]
    halfway: bool


def months(connection: Connection, organization_id: UUID) -> list[Ledger]:
    """The months of which the organization has files, the oldest first. One whose rows all count in the database still is left out: its files are
    those of an attempt that did not get far, and archiving writes them anew."""
    there = {month.first: month for month in archive.months(connection)}
    found: dict[dt.date, dict[str, Entry]] = {}
    rows = connection.execute(f"{archive.ENTRIES} WHERE p.organization_id = %s ORDER BY p.month, p.table_name", [organization_id]).fetchall()
    for entry in (Entry(*row) for row in rows):
        found.setdefault(entry.month, {})[entry.table] = entry
    return [Ledger(month, entries, month in there) for month, entries in found.items() if month not in there or not there[month].whole]


def attempts(connection: Connection, organization_id: UUID) -> list[Entry]:
    """Files of months whose rows all count in the database still."""
    whole = [month.first for month in archive.months(connection) if month.whole]
    rows = connection.execute(f"{archive.ENTRIES} WHERE p.organization_id = %s AND p.month = ANY(%s)", [organization_id, whole]).fetchall()
    return [Entry(*row) for row in rows]


def forget(connection: Connection, entry: Entry) -> None:
    """Forgets a file of such a month; whoever archives the month writes and registers everything of it again."""
    for table in ("archived_metrics", "archived_raters", "archived_thumbs"):
        connection.execute(
            sql.SQL("DELETE FROM {} WHERE organization_id = %s AND month = %s").format(sql.Identifier(table)), [entry.organization_id, entry.month]
        )
    connection.execute(
        "DELETE FROM archived_partitions WHERE organization_id = %s AND month = %s AND table_name = %s", [entry.organization_id, entry.month, entry.table]
    )


def executions_of(connection: Connection, organization_id: UUID, user_id: UUID, erasure_id: UUID) -> list[str]:
    """The executions in the database that a person asked for, and those that an earlier run has taken out of files already."""
    rows = connection.execute(
        """SELECT id FROM agent_executions WHERE organization_id = %(organization)s AND user_id = %(person)s
        UNION SELECT row_id FROM erased_archive_rows WHERE organization_id = %(organization)s AND erasure_id = %(erasure)s
            AND table_name = 'agent_executions'""",
        {"organization": organization_id, "person": user_id, "erasure": erasure_id},
    ).fetchall()
    return [str(row[0]) for row in rows]


def children_of(connection: Connection, organization_id: UUID, executions: Sequence[str]) -> list[str]:
    """The executions in the database that agents ran for these without naming anybody."""
    rows = connection.execute(
        """SELECT c.id FROM unnest(%s::text[]) AS p (id)
        JOIN agent_executions c ON c.organization_id = %s AND c.parent_id = p.id AND c.user_id IS NULL""",
        [list(executions), organization_id],
    ).fetchall()
    return [str(row[0]) for row in rows]


def stage(connection: Connection) -> None:
    """Makes the temporary tables (ON COMMIT DROP) of a month: rows that stay (kept_…), as far as they are counted, and rows that go (taken_rows)."""
    kinds = {table: {column.name: TYPES[column.kind] for column in COLUMNS[table]} for table in COUNTED}
    for table, names in COUNTED.items():
        columns = ", ".join(f"{name} {kinds[table][name]}" for name in names)
        connection.execute(f"CREATE TEMP TABLE kept_{table} ({columns}, organization_id uuid) ON COMMIT DROP")
    connection.execute(
        """CREATE TEMP TABLE taken_rows (table_name text, row_id text, execution_id text, agent_id uuid, user_id uuid, session_id text,
        happened_at timestamptz, texts text[], pending boolean, month date) ON COMMIT DROP"""
    )


def copy_kept(connection: Connection, organization_id: UUID, table: str, rows: Iterable[Sequence[Any]]) -> None:
    """Stages rows that stay: columns COUNTED, times as moments, JSON as text."""
    with connection.cursor() as cursor, cursor.copy(f"COPY kept_{table} ({', '.join(COUNTED[table])}, organization_id) FROM STDIN") as copy:
        for row in rows:
            copy.write_row((*row, organization_id))


def copy_taken(connection: Connection, rows: Iterable[Sequence[Any]]) -> None:
    """Stages rows that go: columns TAKEN."""
    with connection.cursor() as cursor, cursor.copy(f"COPY taken_rows ({', '.join(TAKEN)}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


def settle(
    connection: Connection, organization_id: UUID, erasure_id: UUID, user_id: UUID, old: Sequence[Entry], new: Sequence[Entry], zone: str
) -> dict[UUID, list[dt.date]]:
    """Registers the new files in place of the old ones, and brings up to date what is kept of the month: one transaction of the caller, after the rows were
    staged. Returns the days of each agent on which something counts differently."""
    month = old[0].month
    values = {"organization": organization_id, "erasure": erasure_id, "person": user_id, "month": month, "zone": zone, "newcomer": NEWCOMER}
    connection.execute("ANALYZE kept_agent_executions; ANALYZE kept_agent_feedback; ANALYZE taken_rows")
    connection.execute(_REMEMBER, values)
    connection.execute(f"CREATE TEMP TABLE new_sums ON COMMIT DROP AS {_SUMS}", values)
    changed = connection.execute(_CHANGED, values).fetchall()
    for statement in (_WITHOUT, _WITH, _RATERS, _NO_RATERS, _THUMBS, _RETURNS):
        connection.execute(statement, values)
    connection.execute(
        "DELETE FROM archived_partitions WHERE organization_id = %s AND month = %s AND table_name = ANY(%s)",
        [organization_id, month, [one.table for one in old]],
    )
    archive.add_files(connection, new)
    days: dict[UUID, list[dt.date]] = {}
    for agent, day in changed:
        days.setdefault(agent, []).append(day)
    return days


_REMEMBER = """
INSERT INTO erased_archive_rows (organization_id, erasure_id, table_name, row_id, execution_id, agent_id, user_id, session_id, happened_at, texts)
SELECT %(organization)s, %(erasure)s, table_name, row_id, execution_id, agent_id, user_id, session_id, happened_at, texts FROM taken_rows
ON CONFLICT DO NOTHING"""
# Rows that came back count where they are now.
_BACK = "SELECT execution_id FROM archived_returns WHERE organization_id = %(organization)s AND month = %(month)s"
_SUMS = metrics.sums_of_rows(
    f"(SELECT * FROM kept_agent_executions WHERE id NOT IN ({_BACK}))",
    f"(SELECT * FROM kept_agent_feedback WHERE execution_id NOT IN ({_BACK}))",
    f"(SELECT * FROM kept_agent_feedback WHERE NOT pending_execution AND execution_id NOT IN ({_BACK})) AS said_in_force", weighed="rater_weight",
)  # fmt: skip
_AGENTS = "(SELECT agent_id FROM taken_rows)"  # rows that stay are staged of these only
_NAMES = ", ".join(metrics.COLUMNS)
_CHANGED = f"""
SELECT agent_id, day FROM (
    SELECT agent_id, day, {_NAMES} FROM archived_metrics WHERE organization_id = %(organization)s AND month = %(month)s AND agent_id IN {_AGENTS}
) o FULL JOIN (SELECT agent_id, day, {_NAMES} FROM new_sums) n USING (agent_id, day)
WHERE ({", ".join(f"o.{name}" for name in metrics.COLUMNS)}) IS DISTINCT FROM ({", ".join(f"n.{name}" for name in metrics.COLUMNS)}) ORDER BY 1, 2"""
_WITHOUT = f"DELETE FROM archived_metrics WHERE organization_id = %(organization)s AND month = %(month)s AND agent_id IN {_AGENTS}"
_WITH = f"""
INSERT INTO archived_metrics (organization_id, agent_id, day, {_NAMES}, month) SELECT organization_id, agent_id, day, {_NAMES}, %(month)s FROM new_sums"""
_RATERS = f"""
UPDATE archived_raters r SET ratings = r.ratings - d.ratings FROM (
    SELECT user_id, count(*) AS ratings FROM taken_rows WHERE table_name = 'agent_feedback' AND NOT pending AND user_id IS NOT NULL
        AND execution_id NOT IN ({_BACK}) GROUP BY 1) d
WHERE r.organization_id = %(organization)s AND r.month = %(month)s AND r.user_id = d.user_id"""
_NO_RATERS = """
DELETE FROM archived_raters WHERE organization_id = %(organization)s AND month = %(month)s AND (user_id = %(person)s OR ratings <= 0)"""
_THUMBS = """
DELETE FROM archived_thumbs WHERE organization_id = %(organization)s AND month = %(month)s AND (user_id = %(person)s
    OR execution_id IN (SELECT row_id FROM taken_rows WHERE table_name = 'agent_executions')
    OR feedback_id IN (SELECT row_id FROM taken_rows WHERE table_name = 'agent_feedback'))"""
_RETURNS = """
DELETE FROM archived_returns WHERE organization_id = %(organization)s AND month = %(month)s
    AND execution_id IN (SELECT row_id FROM taken_rows WHERE table_name = 'agent_executions')"""
