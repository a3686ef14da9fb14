"""How much there is: row counts, the newest entries, what waits.

Belongs here: SQL that only counts. Not here: judging the installation (installation.py).
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import Any, LiteralString

from psycopg import sql

from learning_pipelines.storage.database import Connection

EXACT_UP_TO = 1_000_000
_WRITTEN = ("agent_executions", "agent_feedback", "expert_annotations", "demonstrations", "documents")


@dataclass(frozen=True, slots=True)
class Written:
    """An external asset's table: stored rows, when the newest one arrived, and what else there is to count."""

    name: str
    rows: int
    last: dt.datetime | None
    counts: dict[str, int] = field(default_factory=dict)


def table_counts(connection: Connection, organization: str | None = None) -> dict[str, int]:
    """Stored rows of every table (partitions counted in their parent), of one organization or of all. Counted one by one: for people who ask, not for what
    looks by itself again and again."""
    names = [
        str(row[0])
        for row in connection.execute(
            """SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'learning'::regnamespace AND c.relkind IN ('r', 'p')
            AND NOT c.relispartition AND c.relname <> 'alembic_version' ORDER BY 1"""
        ).fetchall()
    ]
    where = sql.SQL("") if organization is None else sql.SQL(" WHERE organization_id = learning.organization_id({})").format(sql.Literal(organization))
    query = sql.SQL(" UNION ALL ").join(sql.SQL("SELECT {}, count(*) FROM {}").format(sql.Literal(name), sql.Identifier(name)) + where for name in names)
    return {str(name): int(count) for name, count in connection.execute(query).fetchall()}


def columns(connection: Connection, table: str) -> list[tuple[str, str, bool]]:
    """(name, type, may be NULL) of the columns of a table, in their order; none if there is no such table."""
    return connection.execute(
        """SELECT column_name, data_type, is_nullable = 'YES' FROM information_schema.columns
        WHERE table_schema = 'learning' AND table_name = %s ORDER BY ordinal_position""",
        [table],
    ).fetchall()


def written(connection: Connection) -> list[Written]:
    """Row count and newest arrival of each table that people write to. A sensor asks every minute: beyond EXACT_UP_TO rows their number is PostgreSQL's
    own estimate, and only the newest month that has rows is read for the newest one."""
    found = []
    for name in _WRITTEN:
        column = {"documents": "updated_at"}.get(name, "received_at")
        rows, partitions = _estimated(connection, name)
        if rows > EXACT_UP_TO:
            last = _newest(connection, name, column, partitions)
        else:
            rows, last = _one(connection, "SELECT count(*), max({1}) FROM {0}", name, column)
        found.append(Written(name, rows, last, _demonstrated(connection) if name == "demonstrations" else {}))
    return found


def _estimated(connection: Connection, name: str) -> tuple[int, int]:
    """Rows of a table as it was analyzed last, and how many partitions it has."""
    row = connection.execute(
        """SELECT coalesce(sum(greatest(reltuples, 0)), 0), count(*) FILTER (WHERE relispartition) FROM pg_class
        WHERE relkind = 'r' AND (oid = %(name)s::regclass OR oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = %(name)s::regclass))""",
        {"name": f"learning.{name}"},
    ).fetchone()
    assert row is not None
    return int(row[0]), int(row[1])


def _newest(connection: Connection, name: str, column: str, partitions: int) -> dt.datetime | None:
    """When the newest row came: of a partitioned table month by month, from the present back, until there is one."""
    begins = dt.datetime.now(dt.UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    last: dt.datetime | None = None
    for _ in range(partitions):
        (last,) = _one(connection, "SELECT max({1}) FROM {0} WHERE {1} >= {2}", name, column, begins)
        if last is not None:
            return last
        begins = (begins - dt.timedelta(days=1)).replace(day=1)
    (last,) = _one(connection, "SELECT max({1}) FROM {0}", name, column)
    return last


def _one(connection: Connection, query: LiteralString, name: str, column: str, since: dt.datetime | None = None) -> Any:
    row = connection.execute(sql.SQL(query).format(sql.Identifier(name), sql.Identifier(column), sql.Literal(since))).fetchone()
    assert row is not None
    return row


def _demonstrated(connection: Connection) -> dict[str, int]:
    """Active demonstrations by outcome, those that newer ones replaced, and who showed them all."""
    row = connection.execute(
        """SELECT count(*) FILTER (WHERE is_active AND outcome = 'success'), count(*) FILTER (WHERE is_active AND outcome = 'failure'),
            count(*) FILTER (WHERE NOT is_active), count(DISTINCT (organization_id, user_id)) FILTER (WHERE user_id IS NOT NULL) FROM demonstrations"""
    ).fetchone()
    assert row is not None
    return dict(zip(("successes", "failures", "replaced", "experts"), map(int, row), strict=True))


def newest_entry(connection: Connection) -> str | None:
    """The newest outbox entry as text: changes exactly when something was stored. One index probe."""
    row = connection.execute("SELECT xid::text || '/' || id FROM outbox ORDER BY outbox.xid DESC, outbox.id DESC LIMIT 1").fetchone()
    return None if row is None else str(row[0])


def orphans(connection: Connection, days: int, organization: str | None = None) -> int:
    """Feedback that has waited longer than `days` for its execution."""
    row = connection.execute(
        """SELECT count(*) FROM agent_feedback WHERE pending_execution AND received_at < now() - make_interval(days => %(days)s)
        AND (%(organization)s::text IS NULL OR organization_id = learning.organization_id(%(organization)s))""",
        {"days": days, "organization": organization},
    ).fetchone()
    return int(row[0]) if row else 0


def documents_without_chunks(connection: Connection, organization: str | None = None) -> dict[str, int]:
    """Active documents that could not be chunked, by the kind of problem."""
    rows = connection.execute(
        """SELECT split_part(k.problem, ':', 1), count(*) FROM document_chunkings k
        JOIN documents d ON d.organization_id = k.organization_id AND d.id = k.document_id AND d.is_active
        WHERE k.problem IS NOT NULL AND (%(organization)s::text IS NULL OR k.organization_id = learning.organization_id(%(organization)s))
        GROUP BY 1 ORDER BY 1""",
        {"organization": organization},
    ).fetchall()
    return {str(kind): int(count) for kind, count in rows}


def days_with_rows(connection: Connection, organization: str, zone: str) -> list[dt.date]:
    """The days on which executions or feedback of an organization happened."""
    rows = connection.execute(
        """SELECT (created_at AT TIME ZONE %(zone)s)::date FROM agent_executions WHERE organization_id = learning.organization_id(%(organization)s)
        UNION SELECT (created_at AT TIME ZONE %(zone)s)::date FROM agent_feedback WHERE organization_id = learning.organization_id(%(organization)s)
        UNION SELECT day FROM archived_metrics WHERE organization_id = learning.organization_id(%(organization)s)
        ORDER BY 1""",
        {"zone": zone, "organization": organization},
    ).fetchall()
    return [row[0] for row in rows]


def examples_by_type(connection: Connection, organization: str) -> dict[str, int]:
    """Active examples of an organization by type."""
    rows = connection.execute(
        """SELECT example_type, count(*) FROM learning_examples WHERE organization_id = learning.organization_id(%s) AND is_active
        GROUP BY 1 ORDER BY 2 DESC, 1""",
        [organization],
    ).fetchall()
    return {str(kind): int(count) for kind, count in rows}


def newest_datasets(connection: Connection, organization: str) -> list[dict[str, object]]:
    """Name, version and split sizes of the newest version of each dataset."""
    rows = connection.execute(
        """SELECT DISTINCT ON (d.name) d.name, d.version, d.total_examples,
            (SELECT count(*) FROM dataset_examples e WHERE (e.organization_id, e.dataset_id) = (d.organization_id, d.id) AND e.split = 'train'),
            (SELECT count(*) FROM dataset_examples e WHERE (e.organization_id, e.dataset_id) = (d.organization_id, d.id) AND e.split = 'validation'),
            (SELECT count(*) FROM dataset_examples e WHERE (e.organization_id, e.dataset_id) = (d.organization_id, d.id) AND e.split = 'test')
        FROM training_datasets d WHERE d.organization_id = learning.organization_id(%s) ORDER BY d.name, d.version DESC""",
        [organization],
    ).fetchall()
    return [dict(zip(("name", "version", "examples", "train", "validation", "test"), row, strict=True)) for row in rows]
