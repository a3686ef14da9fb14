"""What a backup says of its rows, and whether a database is empty enough to be restored into.

Belongs here: counts, dataset hashes, emptiness, taking a failed restore away. Not here: dumps (dump.py), transaction ids (outbox_moves.py).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from psycopg import sql

from learning_pipelines.errors import BadInput
from learning_pipelines.storage import outbox, roles
from learning_pipelines.storage.database import Connection, Database, connect, describe, snapshot
from learning_pipelines.storage.migrate import current_version

LEFTOVER = "a restore that did not end"
"""Stands on Dagster's table of runs while a restore is under way."""


@contextmanager
def exported_snapshot(database: Database) -> Iterator[tuple[Connection, str]]:
    """One state of the data for everything that reads it: a connection that sees it, and its name for pg_dump."""
    with database.connect("pipeline") as pipeline:
        outbox.cluster(pipeline)  # gives the rows a home, if they never had one, before the picture is taken
    with database.connect("owner") as connection, snapshot(connection):
        row = connection.execute("SELECT pg_export_snapshot()").fetchone()
        assert row is not None
        yield connection, str(row[0])


def facts(connection: Connection) -> dict[str, Any]:
    """Schema version, server, rows of every table, and the hash of every dataset version (`<organization>/<name>@<version>`)."""
    return {
        "schema": current_version(connection),
        "postgresql": connection.info.server_version // 10_000,
        "rows": row_counts(connection),
        "datasets": dataset_hashes(connection),
    }


def row_counts(connection: Connection) -> dict[str, int]:
    """Rows of every table; partitions count with their table."""
    names = connection.execute(
        """SELECT relname FROM pg_class WHERE relnamespace = 'learning'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
        AND relname <> 'alembic_version' ORDER BY 1"""
    ).fetchall()
    return {name: _count(connection, sql.SQL("SELECT count(*) FROM learning.{}").format(sql.Identifier(name))) for (name,) in names}


def dataset_hashes(connection: Connection) -> dict[str, str]:
    rows = connection.execute(
        """SELECT o.slug || '/' || d.name || '@' || d.version, encode(d.content_hash, 'hex')
        FROM learning.training_datasets d JOIN learning.organizations o USING (organization_id) WHERE d.content_hash IS NOT NULL ORDER BY 1"""
    ).fetchall()
    return {str(name): str(found) for name, found in rows}


def require_empty(database: Database) -> None:
    """Makes databases and roles where they are missing. Raises BadInput, naming the database, unless neither holds anything worth keeping.

    A schema without an organization holds no row of anybody; a Dagster without runs has no history.
    """
    roles.prepare(database)
    with connect(database.admin_url) as connection:
        _nobody_else(connection, database.admin_url)
        if _exists(connection, "learning.organizations"):
            connection.execute("SET ROLE learning_owner")
            if found := _count(connection, sql.SQL("SELECT count(*) FROM learning.organizations")):
                raise BadInput(f"The database {database.name} is not empty: it holds {found} organizations.", _ELSEWHERE)
    with connect(database.dagster_url) as connection:
        _nobody_else(connection, database.dagster_url)
        if not _exists(connection, "public.runs"):
            return
        said = connection.execute("SELECT obj_description('public.runs'::regclass)").fetchone()
        found = _count(connection, sql.SQL("SELECT count(*) FROM public.runs"))
        if found and (said is None or said[0] != LEFTOVER):
            raise BadInput(f"The database {describe(database.dagster_url)} is not empty: it holds {found} runs of Dagster.", _ELSEWHERE)


_ELSEWHERE = "Restore into a new installation: another LEARNING_HOME, or another LEARNING_DATABASE_URL. Nothing was changed."


def empty_schema(database: Database) -> None:
    """The schema without anything in it: of an installation that holds nothing, or of a restore that failed."""
    with database.connect("owner") as connection:
        connection.execute("DROP SCHEMA IF EXISTS learning CASCADE")
    roles.prepare(database)


def drop_tables(url: str, tables: Sequence[str]) -> None:
    """Tables of the schema public away, where they are there."""
    with connect(url) as connection:
        for name in tables:
            connection.execute(sql.SQL("DROP TABLE IF EXISTS public.{} CASCADE").format(sql.Identifier(name)))


def restored_wholly(url: str) -> None:
    """Dagster's table of runs says no more that a restore is under way."""
    with connect(url) as connection:
        connection.execute("COMMENT ON TABLE public.runs IS NULL")


def analyze(database: Database) -> None:
    """Statistics for the planner: a dump carries none."""
    with database.connect("owner") as connection:
        connection.execute("ANALYZE")


def server_major(url: str) -> int:
    with connect(url) as connection:
        return connection.info.server_version // 10_000


def _nobody_else(connection: Connection, url: str) -> None:
    others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    for _ in range(20):  # a connection that was closed a moment ago is still listed
        found = _count(connection, sql.SQL(others))
        connection.rollback()  # the list is a picture of the transaction's begin
        if not found:
            return
        time.sleep(0.1)
    raise BadInput(f"{found} programs are connected to {describe(url)}.", "Stop what works with it (`learning-pipelines down`), then restore.")


def _exists(connection: Connection, name: str) -> bool:
    row = connection.execute("SELECT to_regclass(%s) IS NOT NULL", [name]).fetchone()
    return row is not None and bool(row[0])


def _count(connection: Connection, query: sql.SQL | sql.Composed) -> int:
    row = connection.execute(query).fetchone()
    return int(row[0]) if row else 0
