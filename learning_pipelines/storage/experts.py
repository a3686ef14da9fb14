"""Experts: who demonstrates, and whose right to do so was withdrawn.

Belongs here: SQL of that right. Not here: who becomes an expert by demonstrating (ingest_sql.py), which demonstrations count
(behavior_demonstrations.py), reviewing (reviews.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.rows import dict_row

from learning_pipelines.storage import audit
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.examples import EXAMPLE_OF


@dataclass(frozen=True, slots=True)
class Changed:
    """What a decision about a person did: whether anything changed, how many active demonstrations are theirs."""

    changed: bool
    demonstrations: int


def listed(connection: Connection, organization_id: UUID) -> list[dict[str, Any]]:
    """Whoever has the role expert, demonstrated, or had the right withdrawn, by name: user, role, demonstrations (active), withdrawn_at."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            """SELECT u.external_id AS user, u.role, coalesce(d.active, 0) AS demonstrations, u.expertise_withdrawn_at AS withdrawn_at
            FROM users u LEFT JOIN (
                SELECT user_id, count(*) FILTER (WHERE is_active) AS active FROM demonstrations WHERE organization_id = %(organization)s GROUP BY 1
            ) d ON d.user_id = u.id
            WHERE u.organization_id = %(organization)s AND (u.role = 'expert' OR d.user_id IS NOT NULL OR u.expertise_withdrawn_at IS NOT NULL)
            ORDER BY u.external_id""",
            {"organization": organization_id},
        ).fetchall()


def set_right(connection: Connection, organization_id: UUID, user: str, actor: str, *, withdrawn: bool) -> Changed | None:
    """Withdraws a person's right to demonstrate, or gives it back, with an entry of the audit log where that changes anything; None if nobody
    is called so. One transaction.

    Without the right an expert is a plain user, and with it one again if they demonstrated; other roles stay, for they are given elsewhere. The
    examples of their demonstrations leave with the right, whatever their review, and come back with it: the next datasets are without them, and
    nothing made of these shows them.
    """
    with connection.transaction():
        row = connection.execute(
            "SELECT id, expertise_withdrawn_at IS NOT NULL FROM users WHERE organization_id = %s AND external_id = %s FOR UPDATE", [organization_id, user]
        ).fetchone()
        if row is None:
            return None
        person, before = row
        counted = connection.execute(
            "SELECT count(*), count(*) FILTER (WHERE is_active) FROM demonstrations WHERE organization_id = %s AND user_id = %s", [organization_id, person]
        ).fetchone()
        assert counted is not None
        if before != withdrawn:
            connection.execute(
                """UPDATE users SET expertise_withdrawn_at = CASE WHEN %(withdrawn)s THEN now() END, role = CASE
                    WHEN role = 'expert' AND %(withdrawn)s THEN 'user' WHEN role = 'user' AND NOT %(withdrawn)s AND %(showed)s THEN 'expert' ELSE role END
                WHERE organization_id = %(organization)s AND id = %(person)s""",
                {"withdrawn": withdrawn, "showed": counted[0] > 0, "organization": organization_id, "person": person},
            )
            connection.execute(
                f"""UPDATE learning_examples e SET is_active = %(active)s, updated_at = now() FROM demonstrations d
                WHERE d.organization_id = %(organization)s AND d.user_id = %(person)s AND d.is_active
                    AND e.organization_id = d.organization_id AND e.id = {EXAMPLE_OF.format("d")} AND e.is_active <> %(active)s""",
                {"active": not withdrawn, "organization": organization_id, "person": person},
            )
            action = "withdrawn" if withdrawn else "restored"
            audit.record(connection, organization_id, actor=actor, action=action, kind="expert", subject=str(person), fields=["expertise_withdrawn_at", "role"])
    return Changed(before != withdrawn, int(counted[1]))
