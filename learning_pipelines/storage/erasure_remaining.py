"""A look for what an erasure left: the person's id and name, and the ids of their rows, in every column that may hold such.

Belongs here: SQL over the catalog. Not here: erasing.
"""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

from psycopg import sql

from learning_pipelines.storage.database import Connection

_GATHERED = {
    "execution_id": ("erased_executions", "execution_id"), "feedback_id": ("erased_feedback", "feedback_id"),
    "example_id": ("erased_examples", "example_id"), "demonstration_id": ("erased_demonstrations", "demonstration_id"),
}  # fmt: skip
"""Columns that hold ids of rows, and the temporary table with those that are erased."""
_NAMED = (
    ("users", "external_id", "name"), ("peer_records", "person", "name"), ("experiment_units", "unit", "name"), ("experiment_assignments", "unit", "name"),
    ("audit_log", "actor", "actor"), ("experiment_decisions", "decided_by", "actor"), ("audit_log", "subject_id", "id"),
)  # fmt: skip
"""Columns of text that may hold a person and nothing else: as a name, as an actor, or by id."""


def remaining(connection: Connection, organization_id: UUID, user_id: UUID, name: str) -> list[str]:
    """`table.column: n rows` wherever something of the person is left; within the transaction that erases, before it ends."""
    values = {"organization": organization_id, "user": user_id, "name": name, "actor": f"user:{name}", "id": str(user_id)}
    found = []
    for table, column, condition in [*_by_id(connection), *_by_name(), *_by_row(connection)]:
        query = sql.SQL("SELECT count(*) FROM {} t WHERE t.organization_id = %(organization)s AND ").format(sql.Identifier(table)) + condition
        row = connection.execute(query, values).fetchone()
        if row is not None and row[0]:
            found.append(f"{table}.{column}: {row[0]} rows")
    return found


def _by_name() -> Iterator[tuple[str, str, sql.Composed]]:
    for table, column, value in _NAMED:
        yield table, column, sql.SQL("t.{} = {}").format(sql.Identifier(column), sql.Placeholder(value))


def _by_id(connection: Connection) -> Iterator[tuple[str, str, sql.Composed]]:
    for table, column in _columns(connection, "uuid"):
        if column in ("user_id", "expert_id") or column.endswith(("_user_id", "_by")) or (table, column) == ("users", "id"):
            yield table, column, sql.SQL("t.{} = %(user)s").format(sql.Identifier(column))


def _by_row(connection: Connection) -> Iterator[tuple[str, str, sql.Composed]]:
    there = {name for (name,) in connection.execute("SELECT relname FROM pg_class WHERE relnamespace = pg_my_temp_schema()").fetchall()}
    for table, column in _columns(connection, "text"):
        gathered, key = _GATHERED.get(column, ("", ""))
        if gathered in there:
            yield table, column, sql.SQL("t.{} IN (SELECT {} FROM {})").format(sql.Identifier(column), sql.Identifier(key), sql.Identifier(gathered))


def _columns(connection: Connection, type_: str) -> list[tuple[str, str]]:
    """Table and column of this type wherever rows belong to an organization. `erasures` itself says whom it is about until it is done."""
    rows = connection.execute(
        """SELECT c.relname, a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        WHERE c.relnamespace = 'learning'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND a.attnum > 0 AND NOT a.attisdropped
            AND a.atttypid = %s::regtype AND c.relname <> 'erasures' AND EXISTS (
                SELECT FROM pg_attribute o WHERE o.attrelid = c.oid AND o.attname = 'organization_id' AND NOT o.attisdropped)
        ORDER BY 1, 2""",
        [type_],
    ).fetchall()
    return [(str(table), str(column)) for table, column in rows]
