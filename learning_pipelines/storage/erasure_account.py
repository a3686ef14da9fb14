"""The account of a person who is erased: keys away, and another name and id wherever they acted as an operator.

Belongs here: SQL of users, api_keys, audit_log and of columns that say who did something. Not here: what the person said (storage/erasure_rows.py).
"""

from __future__ import annotations

from collections import Counter
from uuid import UUID

from psycopg import sql

from learning_pipelines.storage.database import Connection

_NOT_REFERENCING = (("learning_experiments", "created_by"), ("learning_examples", "reviewed_by"))
"""Columns that say who did something without a foreign key to users."""
_OF_KIND = {
    "executions": ("erased_executions", "execution_id"), "feedback": ("erased_feedback", "feedback_id"), "retrieval_feedback": ("erased_events", "event_id"),
    "demonstrations": ("erased_demonstrations", "demonstration_id"), "example": ("erased_examples", "example_id"),
    "execution_token": ("erased_executions", "execution_id"),
}  # fmt: skip
"""Kinds of audit entries whose subject may be the person's, and where their ids are gathered."""


def delete_keys(connection: Connection, organization_id: UUID, user_id: UUID, name: str) -> list[UUID]:
    """Deletes the keys that act for the person; returns their ids."""
    rows = connection.execute(
        "DELETE FROM api_keys WHERE organization_id = %s AND (user_id = %s OR 'key:' || id = %s) RETURNING id", [organization_id, user_id, name]
    ).fetchall()
    return [row[0] for row in rows]


def rename(connection: Connection, organization_id: UUID, user_id: UUID, tombstone: str, new_id: UUID) -> Counter[str]:
    """Puts another user in the person's place wherever a row refers to them, and takes the person's own row away. Counts by table."""
    connection.execute(
        """INSERT INTO users (organization_id, id, external_id, role, is_active, created_at)
        SELECT organization_id, %(new)s, %(name)s, role, false, created_at FROM users WHERE organization_id = %(organization)s AND id = %(old)s
        ON CONFLICT DO NOTHING""",
        {"organization": organization_id, "old": user_id, "new": new_id, "name": tombstone},
    )
    changed: Counter[str] = Counter()
    for table, column in _referring(connection):
        changed[table] += connection.execute(
            sql.SQL("UPDATE {table} SET {column} = %s WHERE organization_id = %s AND {column} = %s").format(
                table=sql.Identifier(table), column=sql.Identifier(column)
            ),
            [new_id, organization_id, user_id],
        ).rowcount
    changed["users"] += connection.execute("DELETE FROM users WHERE organization_id = %s AND id = %s", [organization_id, user_id]).rowcount
    return changed


def _referring(connection: Connection) -> list[tuple[str, str]]:
    """Every column with a foreign key to users, and those that go without."""
    rows = connection.execute(
        """SELECT c.conrelid::regclass::text, a.attname FROM pg_constraint c
        JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[2]
        WHERE c.contype = 'f' AND c.confrelid = 'learning.users'::regclass AND c.conparentid = 0 ORDER BY 1, 2"""
    ).fetchall()
    return [*((str(table).removeprefix("learning."), str(column)) for table, column in rows), *_NOT_REFERENCING]


def rename_actor(connection: Connection, organization_id: UUID, name: str, tombstone: str, keys: list[UUID]) -> Counter[str]:
    """What audit log and experiments say of who did it: the person's name and keys become the tombstone."""
    values = {
        "organization": organization_id, "was": f"user:{name}", "now": f"user:{tombstone}", "for": f" for user:{name}", "for_now": f" for user:{tombstone}",
        "keys": [f"key:{key}" for key in keys],
    }  # fmt: skip
    # `key:<uuid> for user:<name>`: what stands behind the key's 40 characters must be it wholly, for names may hold anything.
    spoken = "CASE WHEN {0} = %(was)s OR {0} = ANY(%(keys)s) THEN %(now)s ELSE substr({0}, 1, 40) || %(for_now)s END"
    whose = "({0} = %(was)s OR {0} = ANY(%(keys)s) OR {0} LIKE 'key:%%' AND substr({0}, 41) = %(for)s)"
    changed: Counter[str] = Counter()
    changed["audit_log"] += connection.execute(
        f"UPDATE audit_log SET actor = {spoken.format('actor')} WHERE organization_id = %(organization)s AND {whose.format('actor')}", values
    ).rowcount
    changed["experiment_decisions"] += connection.execute(
        f"""UPDATE experiment_decisions SET reason = replace(reason, decided_by, {spoken.format("decided_by")}), decided_by = {spoken.format("decided_by")}
        WHERE organization_id = %(organization)s AND {whose.format("decided_by")}""",
        values,
    ).rowcount
    changed["learning_experiments"] += connection.execute(
        """UPDATE learning_experiments SET decision_notes = replace(decision_notes, %(was)s || ' ', %(now)s || ' ')
        WHERE organization_id = %(organization)s AND starts_with(decision_notes, %(was)s || ' ')""",
        values,
    ).rowcount
    return changed


def rename_subjects(connection: Connection, organization_id: UUID, user_id: UUID, name: str, tombstone: str, new_id: UUID) -> Counter[str]:
    """Entries of the audit log about the person, or about rows of theirs: that something was done stays, what it was done to and the hashes of it go.

    Within a transaction in which the ids were gathered (feedback/erasure/gathering.py).
    """
    changed: Counter[str] = Counter()
    blank = "subject_id = %(tombstone)s, before_hash = NULL, after_hash = NULL"
    values = {"organization": organization_id, "tombstone": tombstone, "name": name, "old": str(user_id), "new": str(new_id)}
    changed["audit_log"] += connection.execute(
        """UPDATE audit_log SET subject_id = CASE subject_id WHEN %(old)s THEN %(new)s ELSE %(tombstone)s END, before_hash = NULL, after_hash = NULL
        WHERE organization_id = %(organization)s AND subject_id IN (%(name)s, %(old)s) AND subject_kind IN ('expert', 'user', 'erasure')""",
        values,
    ).rowcount
    for kind, (table, column) in _OF_KIND.items():
        if _is_there(connection, table):
            changed["audit_log"] += connection.execute(
                f"""UPDATE audit_log SET {blank}
                WHERE organization_id = %(organization)s AND subject_kind = %(kind)s AND subject_id IN (SELECT {column} FROM {table})""",
                {**values, "kind": kind},
            ).rowcount
    return changed


def _is_there(connection: Connection, table: str) -> bool:
    row = connection.execute("SELECT to_regclass('pg_temp.' || %s::text) IS NOT NULL", [table]).fetchone()
    return row is not None and bool(row[0])
