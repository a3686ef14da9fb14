"""Month partitions on their way into the archive: which are due, what keeps them, what moves on, what is registered, detached and dropped.

Belongs here: SQL of the ledger and of the partitions' life. Not here: reading rows out (archive_export.py), bringing rows back (archive_returns.py), files.

The catalog is the state: a month whose partitions are attached was not archived yet, whatever the ledger says; one that is detached and still there was
registered and waits for its last check; one that is gone is done. So every step can be repeated, and a process that is killed leaves nothing half done.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg import sql
from psycopg.types.json import Jsonb

from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.metrics import COLUMNS

EXECUTIONS, FEEDBACK = "agent_executions", "agent_feedback"
TABLES = (EXECUTIONS, FEEDBACK)
"""In the order of detaching: feedback whose execution is gone counts on its own, an execution whose feedback is gone would count as one without."""
BATCH = 5_000


@dataclass(frozen=True, slots=True)
class Month:
    """A month of which a partition is there. `state` by table: attached, detaching (a process died on the way) or detached; a missing one is gone."""

    first: dt.date
    state: dict[str, str]

    @property
    def after(self) -> dt.date:
        """The first day of the month after."""
        return (self.first + dt.timedelta(days=32)).replace(day=1)

    @property
    def attached(self) -> bool:
        """Whether its rows still count as rows."""
        return "attached" in self.state.values()

    @property
    def whole(self) -> bool:
        """Whether both partitions are attached: nothing of it was archived yet."""
        return set(self.state.values()) == {"attached"}

    def partition(self, table: str) -> str:
        """The name of its partition of a table."""
        return f"{table}_{self.first:%Y_%m}"


@dataclass(frozen=True, slots=True)
class Entry:
    """What the ledger knows of one file: rows of an organization's month. `content`: a hash of the rows that does not depend on their order."""

    organization_id: UUID
    organization: str
    table: str
    month: dt.date
    path: str
    rows: int
    bytes: int
    sha256: str
    content: str
    first_at: dt.datetime | None
    last_at: dt.datetime | None
    manifest: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Carried:
    """Rows that were moved to a later month, so that an execution and everything said about it stay together."""

    executions: int = 0
    feedback: int = 0


def begin(connection: Connection) -> bool:
    """Takes the lock of the archive for this session; False if somebody else has it. With the connection it is released."""
    row = connection.execute("SELECT pg_try_advisory_lock(hashtext('learning_pipelines archive'))").fetchone()
    return row is not None and bool(row[0])


def end(connection: Connection) -> None:
    """Releases the lock. A connection that broke has released it, and what broke it is what is told."""
    if not connection.closed:
        connection.execute("SELECT pg_advisory_unlock(hashtext('learning_pipelines archive'))")


def months(connection: Connection) -> list[Month]:
    """Every month of which a partition is there, the oldest first."""
    rows = connection.execute(
        """SELECT p.name, to_date(right(c.relname, 7), 'YYYY_MM'),
            CASE WHEN i.inhrelid IS NULL THEN 'detached' WHEN i.inhdetachpending THEN 'detaching' ELSE 'attached' END
        FROM unnest(%s::text[]) AS p (name)
        JOIN pg_class c ON c.relnamespace = 'learning'::regnamespace AND c.relkind = 'r' AND c.relname ~ ('^' || p.name || '_[0-9]{4}_[0-9]{2}$')
        LEFT JOIN pg_inherits i ON i.inhrelid = c.oid ORDER BY 2, 1""",
        [list(TABLES)],
    ).fetchall()
    found: dict[dt.date, dict[str, str]] = {}
    for table, first, state in rows:
        found.setdefault(first, {})[str(table)] = str(state)
    return [Month(first, state) for first, state in found.items()]


def schema_version(connection: Connection) -> str:
    """The schema that the rows have."""
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return "" if row is None else str(row[0])


def counts(connection: Connection, month: Month) -> dict[str, int]:
    """Rows of a month by table."""
    found = {}
    for table in month.state:
        row = connection.execute(sql.SQL("SELECT count(*) FROM ONLY {}").format(sql.Identifier(month.partition(table)))).fetchone()
        found[table] = int(row[0]) if row else 0
    return found


def carry(reading: Connection, writing: Connection, month: Month) -> Carried:
    """Moves the rows of a month on that belong to something later: executions about which something was said in a later month, feedback whose execution came
    later, and feedback that waits for its execution (to the next month there is, where it goes on waiting and being reported).

    They are looked up by one connection, which writes nothing, and moved by another a batch at a time: no long transaction holds up who reads the outbox.
    """
    executions = _moved(reading, writing, month, EXECUTIONS, _LATER_FEEDBACK)
    return Carried(executions, _moved(reading, writing, month, FEEDBACK, _LATER_EXECUTION))


_LATER_FEEDBACK = """
SELECT x.organization_id, x.id, max(f.received_at) FROM agent_feedback f
JOIN ONLY {executions} x ON x.organization_id = f.organization_id AND x.id = f.execution_id
WHERE f.received_at >= %(after)s AND NOT f.pending_execution GROUP BY 1, 2"""
_LATER_EXECUTION = """
SELECT f.organization_id, f.id, coalesce(max(x.received_at), %(waits)s) FROM ONLY {feedback} f
LEFT JOIN LATERAL (SELECT received_at FROM agent_executions x WHERE x.organization_id = f.organization_id AND x.id = f.execution_id
    AND x.received_at >= %(after)s) x ON true
WHERE NOT EXISTS (SELECT FROM ONLY {executions} o WHERE o.organization_id = f.organization_id AND o.id = f.execution_id)
    AND (f.pending_execution OR x.received_at IS NOT NULL) GROUP BY 1, 2"""


def _moved(reading: Connection, writing: Connection, month: Month, table: str, which: str) -> int:
    waits = min((one.first for one in months(writing) if one.first >= month.after and one.state.get(FEEDBACK) == "attached"), default=month.after)
    names = {name: sql.Identifier(month.partition(table)) for name, table in (("executions", EXECUTIONS), ("feedback", FEEDBACK))}
    move = sql.SQL(
        """UPDATE {table} t SET received_at = w.at FROM unnest(%s::uuid[], %s::text[], %s::timestamptz[]) AS w (organization_id, id, at)
        WHERE t.organization_id = w.organization_id AND t.id = w.id AND t.received_at >= %s AND t.received_at < %s"""
    ).format(table=sql.Identifier(table))
    moved = 0
    with reading.transaction(), reading.cursor(name="carried") as cursor:
        cursor.itersize = BATCH
        cursor.execute(sql.SQL(which).format(**names), {"after": month.after, "waits": waits})
        while rows := cursor.fetchmany(BATCH):
            columns = [list(column) for column in zip(*rows, strict=True)]
            moved += writing.execute(move, [*columns, month.first, month.after]).rowcount
    return moved


def register(connection: Connection, month: Month, entries: Sequence[Entry], sums: Sequence[tuple[Any, ...]]) -> None:
    """Writes down what a month's files hold and the sums that are kept of its rows, in place of what an earlier attempt wrote. One transaction of the caller.

    Nothing of it counts before the partitions are detached.
    """
    with connection.cursor() as cursor:
        for table in ("archived_metrics", "archived_raters", "archived_thumbs", "archived_returns"):
            cursor.execute(sql.SQL("DELETE FROM {} WHERE month = %s").format(sql.Identifier(table)), [month.first])
        names = ("month", "organization_id", "agent_id", "day", *COLUMNS)
        cursor.executemany(
            f"INSERT INTO archived_metrics ({', '.join(names)}) VALUES ({', '.join(['%s'] * len(names))})",
            [(month.first, *row[:-1], Jsonb(row[-1])) for row in sums],
        )
    register_files(connection, month, entries)


def register_files(connection: Connection, month: Month, entries: Sequence[Entry]) -> None:
    """Writes down what a month's files hold, in place of what was known of them."""
    connection.execute("DELETE FROM archived_partitions WHERE month = %s", [month.first])
    add_files(connection, entries)


def add_files(connection: Connection, entries: Sequence[Entry]) -> None:
    """Writes down what files hold of which nothing is known."""
    with connection.cursor() as cursor:
        cursor.executemany(
            """INSERT INTO archived_partitions (organization_id, table_name, month, path, rows, bytes, sha256, content_hash, first_at, last_at, manifest)
            VALUES (%s, %s, %s, %s, %s, %s, decode(%s, 'hex'), decode(%s, 'hex'), %s, %s, %s)""",
            [
                (one.organization_id, one.table, one.month, one.path, one.rows, one.bytes, one.sha256, one.content, one.first_at, one.last_at,
                 Jsonb(one.manifest))
                for one in entries
            ],
        )  # fmt: skip


def detach(connection: Connection, month: Month, table: str) -> None:
    """Detaches a month's partition while everybody goes on reading and writing the table; ends what a process that died had begun. Call in autocommit."""
    state = month.state.get(table)
    if state in ("attached", "detaching"):
        how = "CONCURRENTLY" if state == "attached" else "FINALIZE"
        connection.execute(
            sql.SQL("ALTER TABLE {} DETACH PARTITION {} " + how).format(sql.Identifier(table), sql.Identifier(month.partition(table)))
        )


def drop(connection: Connection, month: Month) -> None:
    """Drops a month's detached partitions; both or, if somebody holds one, none."""
    names = [sql.Identifier(month.partition(table)) for table in month.state]
    connection.execute(sql.SQL("DROP TABLE {}").format(sql.SQL(", ").join(names)))


ENTRIES = """SELECT p.organization_id, o.slug, p.table_name, p.month, p.path, p.rows, p.bytes, encode(p.sha256, 'hex'),
    coalesce(encode(p.content_hash, 'hex'), ''), p.first_at, p.last_at, p.manifest FROM archived_partitions p JOIN organizations o USING (organization_id)"""
"""A row of the ledger as Entry; conditions may follow, with p for archived_partitions."""


def entries_of_month(connection: Connection, month: dt.date) -> list[Entry]:
    """What the ledger has of a month, of all organizations."""
    return [Entry(*row) for row in connection.execute(f"{ENTRIES} WHERE p.month = %s ORDER BY o.slug, p.table_name", [month]).fetchall()]


def entries(connection: Connection, organization_id: UUID | None = None, table: str | None = None) -> Iterator[Entry]:
    """What the ledger has, the newest month first; of months that are archived, not of those that are on their way."""
    rows = connection.execute(
        f"""{ENTRIES} WHERE (%(organization)s::uuid IS NULL OR p.organization_id = %(organization)s) AND (%(table)s::text IS NULL OR p.table_name = %(table)s)
        AND NOT EXISTS (SELECT FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
            WHERE i.inhparent = to_regclass('learning.' || p.table_name) AND NOT i.inhdetachpending
                AND c.relname = p.table_name || '_' || to_char(p.month, 'YYYY_MM'))
        ORDER BY p.month DESC, o.slug, p.table_name""",
        {"organization": organization_id, "table": table},
    ).fetchall()
    return (Entry(*row) for row in rows)


def horizon(connection: Connection) -> dt.datetime | None:
    """The moment before which rows arrived that may have been archived; None while nothing was."""
    row = connection.execute("SELECT (max(month) + interval '1 month') AT TIME ZONE 'UTC' FROM archived_partitions").fetchone()
    return None if row is None else row[0]


@dataclass(frozen=True, slots=True)
class Shelf:
    """What an organization has in the archive, for one who reads: files by table, what came back out of which month, and whose rows the reader sees (`only`
    None: everybody's)."""

    entries: list[Entry]
    gone: frozenset[tuple[str, dt.date]]
    only: str | None
    nobody: bool = False

    def of(self, table: str) -> list[Entry]:
        """The files of a table, the newest month first."""
        return [one for one in self.entries if one.table == table]


def shelf(connection: Connection, organization_id: UUID, execution_id: str | None = None) -> Shelf:
    """The archive as whoever the transaction acts for may read it: the rule of the tables' own policies. `execution_id`: only months that can hold it."""
    row = connection.execute(
        """SELECT learning.sees_everyone(), learning.current_user_id()::text, date_trunc('month', (SELECT k.received_at FROM ingest_keys k
            WHERE k.organization_id = %(organization)s AND k.kind = 'executions' AND k.external_id = %(execution)s) AT TIME ZONE 'UTC')::date""",
        {"organization": organization_id, "execution": execution_id},
    ).fetchone()
    assert row is not None
    everyone, person, first = row
    if execution_id is not None and first is None:
        return Shelf([], frozenset(), None)
    found = [one for one in entries(connection, organization_id) if first is None or one.month >= first]
    gone = connection.execute(
        """SELECT execution_id, month FROM archived_returns
        WHERE organization_id = %(organization)s AND (%(execution)s::text IS NULL OR execution_id = %(execution)s)""",
        {"organization": organization_id, "execution": execution_id},
    ).fetchall()
    return Shelf(found, frozenset((str(name), month) for name, month in gone), None if everyone else person, not everyone and person is None)


def people(connection: Connection, organization_id: UUID, ids: Sequence[str]) -> dict[str, str]:
    """What the outside calls these users, by their ids as text."""
    rows = connection.execute(
        "SELECT id::text, external_id FROM users WHERE organization_id = %s AND id = ANY(%s::uuid[])", [organization_id, list(ids)]
    ).fetchall()
    return {str(identity): str(name) for identity, name in rows}
