"""API keys: made, listed, revoked, recognised by their hash.

Belongs here: SQL of api_keys. Not here: what a key looks like and may do (api/).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from psycopg.rows import dict_row

from learning_pipelines.storage import audit
from learning_pipelines.storage.database import Connection


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key that is in force: `user` and `user_id` are set where it acts for one person."""

    id: UUID
    role: str
    user_id: UUID | None
    user: str | None


def service_user(key_id: UUID) -> str:
    """What the user is called that a key without a person acts for."""
    return f"key:{key_id}"


def create(
    connection: Connection, organization_id: UUID, key_hash: bytes, role: str, user: str | None, user_id_of: Callable[[UUID, str], UUID]
) -> UUID:
    """Stores a key's hash and makes whoever it acts for: the named person, or a service user of its own. One transaction."""
    key = uuid4()
    person = user if user is not None else service_user(key)
    with connection.transaction():
        connection.execute(
            "INSERT INTO users (organization_id, id, external_id, role) VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING",
            [organization_id, user_id_of(organization_id, person), person, role],
        )
        connection.execute(
            "INSERT INTO api_keys (organization_id, id, key_hash, role, user_id) VALUES (%s, %s, %s, %s, %s)",
            [organization_id, key, key_hash, role, user_id_of(organization_id, user) if user is not None else None],
        )
        audit.record(connection, organization_id, actor="operator", action="created", kind="api_key", subject=str(key), fields=["role", "user"], after=role)
    return key


def listed(connection: Connection, organization_id: UUID) -> list[dict[str, Any]]:
    """Every key of an organization, newest first, without its hash."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            """SELECT k.id::text AS key_id, k.role, u.external_id AS user, k.created_at, k.last_used_at, k.revoked_at
            FROM api_keys k LEFT JOIN users u ON u.organization_id = k.organization_id AND u.id = k.user_id
            WHERE k.organization_id = %s ORDER BY k.created_at DESC, k.id""",
            [organization_id],
        ).fetchall()


def revoke(connection: Connection, organization_id: UUID, key_id: UUID) -> bool | None:
    """Revokes a key, with its entry of the audit log. True if it was in force, False if it was revoked before, None if there is none."""
    with connection.transaction():
        row = connection.execute(
            """WITH found AS (SELECT id, revoked_at FROM api_keys WHERE organization_id = %s AND id = %s FOR UPDATE),
            done AS (UPDATE api_keys k SET revoked_at = now() FROM found f WHERE k.organization_id = %s AND k.id = f.id AND f.revoked_at IS NULL RETURNING k.id)
            SELECT (SELECT count(*) FROM done) FROM found""",
            [organization_id, key_id, organization_id],
        ).fetchone()
        if row is not None and row[0]:
            audit.record(connection, organization_id, actor="operator", action="revoked", kind="api_key", subject=str(key_id), fields=["revoked_at"])
    return None if row is None else bool(row[0])


def in_force(connection: Connection, organization_id: UUID, key_hash: bytes) -> KeyRow | None:
    """The key with this hash, unless it is revoked or its organization or person is switched off."""
    row = connection.execute(
        """SELECT k.id, k.role, k.user_id, u.external_id FROM api_keys k
        JOIN organizations o ON o.organization_id = k.organization_id AND o.is_active
        LEFT JOIN users u ON u.organization_id = k.organization_id AND u.id = k.user_id
        WHERE k.organization_id = %s AND k.key_hash = %s AND k.revoked_at IS NULL AND coalesce(u.is_active, true)""",
        [organization_id, key_hash],
    ).fetchone()
    return None if row is None else KeyRow(*row)


def is_in_force(connection: Connection, organization_id: UUID, key_id: UUID, role: str) -> bool:
    """Whether a session that was made by this key still holds: it is not revoked, and has the role it had."""
    row = connection.execute(
        """SELECT k.role = %s FROM api_keys k LEFT JOIN users u ON u.organization_id = k.organization_id AND u.id = k.user_id
        WHERE k.organization_id = %s AND k.id = %s AND k.revoked_at IS NULL AND coalesce(u.is_active, true)""",
        [role, organization_id, key_id],
    ).fetchone()
    return row is not None and bool(row[0])


def touch(connection: Connection, organization_id: UUID, key_id: UUID) -> None:
    """Notes that the key was used now."""
    connection.execute("UPDATE api_keys SET last_used_at = now() WHERE organization_id = %s AND id = %s", [organization_id, key_id])


def organization_active(connection: Connection, organization_id: UUID) -> bool:
    """Whether the organization exists and is switched on."""
    row = connection.execute("SELECT is_active FROM organizations WHERE organization_id = %s", [organization_id]).fetchone()
    return row is not None and bool(row[0])


def person_stands(connection: Connection, organization_id: UUID, user_id: UUID, fingerprint: bytes, issued: dt.datetime | None) -> bool:
    """Whether a token of a person is in force: they are not switched off, and nobody of that name was erased since it was issued.

    A token that does not say when it was issued is refused once somebody of that name was erased: it may be theirs.
    """
    row = connection.execute(
        """SELECT coalesce((SELECT u.is_active FROM users u WHERE u.organization_id = %(organization)s AND u.id = %(user)s), true) AND NOT EXISTS (
            SELECT FROM erased_names e WHERE e.organization_id = %(organization)s AND e.fingerprint = %(fingerprint)s
                AND (%(issued)s::timestamptz IS NULL OR %(issued)s::timestamptz <= e.asked_at))""",
        {"organization": organization_id, "user": user_id, "fingerprint": fingerprint, "issued": issued},
    ).fetchone()
    return row is not None and bool(row[0])
