"""Erasures: asked for, worked on by one process at a time, done.

Belongs here: SQL of `erasures`, its locks. Not here: what is erased (storage/erasure_*.py), certificates (feedback/erasure/).
"""

from __future__ import annotations

import datetime as dt
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb

from learning_pipelines.storage import archive
from learning_pipelines.storage.database import Connection

_COLUMNS = """e.id, e.organization_id, o.slug, e.state, e.user_id, e.external_id, e.tombstone, e.fingerprint, e.requested_by, e.requested_at,
    e.rows_gone_at, e.done_at, e.touched, e.files, e.certificate"""
_FROM = "erasures e JOIN organizations o ON o.organization_id = e.organization_id"
_WAIT_SECONDS = 0.5
_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Erasure:
    """One row. `user_id` and `name` until it is done; `touched` what its steps did so far, `files` what is still to be deleted of the artifact store."""

    id: UUID
    organization_id: UUID
    organization: str
    state: str
    user_id: UUID | None
    name: str | None
    tombstone: str
    fingerprint: bytes
    requested_by: str
    requested_at: dt.datetime
    rows_gone_at: dt.datetime | None
    done_at: dt.datetime | None
    touched: dict[str, Any]
    files: list[str]
    certificate: dict[str, Any] | None


def new_tombstone() -> str:
    """A name that stands for nobody."""
    return f"erased-{secrets.token_hex(8)}"


def find_user(connection: Connection, organization_id: UUID, name: str) -> tuple[UUID, str] | None:
    """The id and external id of a user named by external id, else by uuid; tombstones are nobody."""
    row = connection.execute(
        """SELECT u.id, u.external_id FROM users u WHERE u.organization_id = %(organization)s AND (u.external_id = %(name)s OR u.id::text = lower(%(name)s))
        AND NOT EXISTS (SELECT FROM erasures e WHERE e.organization_id = u.organization_id AND e.tombstone = u.external_id)
        ORDER BY u.external_id = %(name)s DESC LIMIT 1""",
        {"organization": organization_id, "name": name},
    ).fetchone()
    return None if row is None else (row[0], str(row[1]))


def request(
    connection: Connection, organization_id: UUID, user_id: UUID, name: str, fingerprint: bytes, requested_by: str, erasure_id: UUID | None = None
) -> tuple[UUID, bool]:
    """Asks for the erasure of a user within the running transaction, or joins the one that is under way; returns its id and whether it is new.

    The person is switched off with it: no key, token or session of theirs is in force from here on.
    """
    connection.execute("UPDATE users SET is_active = false WHERE organization_id = %s AND id = %s", [organization_id, user_id])
    refuse_tokens(connection, organization_id, fingerprint)
    row = connection.execute(
        """INSERT INTO erasures (organization_id, id, user_id, external_id, tombstone, fingerprint, requested_by)
        VALUES (%s, coalesce(%s::uuid, gen_random_uuid()), %s, %s, %s, %s, %s)
        ON CONFLICT (organization_id, user_id) WHERE user_id IS NOT NULL DO NOTHING RETURNING id""",
        [organization_id, erasure_id, user_id, name, new_tombstone(), fingerprint, requested_by],
    ).fetchone()
    if row is not None:
        return row[0], True
    found = connection.execute("SELECT id FROM erasures WHERE organization_id = %s AND user_id = %s", [organization_id, user_id]).fetchone()
    if found is None:  # it ended between the two statements: the row of the user is another's by now
        return request(connection, organization_id, user_id, name, fingerprint, requested_by, erasure_id)
    return found[0], False


def refuse_tokens(connection: Connection, organization_id: UUID, fingerprint: bytes, asked_at: dt.datetime | None = None) -> None:
    """Tokens and sessions of a person with this name that were issued until now (or until `asked_at`) are not in force any more."""
    connection.execute(
        """INSERT INTO erased_names (organization_id, fingerprint, asked_at) VALUES (%s, %s, coalesce(%s, now()))
        ON CONFLICT (organization_id, fingerprint) DO UPDATE SET asked_at = greatest(erased_names.asked_at, excluded.asked_at)""",
        [organization_id, fingerprint, asked_at],
    )


def read(connection: Connection, erasure_id: UUID, organization_id: UUID | None = None) -> Erasure | None:
    """An erasure of any organization, or of one."""
    row = connection.execute(
        f"SELECT {_COLUMNS} FROM {_FROM} WHERE e.id = %s AND (%s::uuid IS NULL OR e.organization_id = %s)",
        [erasure_id, organization_id, organization_id],
    ).fetchone()
    return None if row is None else _erasure(row)


def open_requests(connection: Connection, older_than_seconds: float = 0) -> list[Erasure]:
    """Erasures that are not done, the oldest first."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM {_FROM} WHERE e.state <> 'done' AND e.requested_at <= now() - make_interval(secs => %s) ORDER BY e.requested_at, e.id",
        [older_than_seconds],
    ).fetchall()
    return [_erasure(row) for row in rows]


def nobodys(connection: Connection, older_than_seconds: float) -> list[Erasure]:
    """Of those the ones that no process works on or waits to work on."""
    return [one for one in open_requests(connection, older_than_seconds) if not _worked_on(connection, one.id)]


def started(connection: Connection, erasure_id: UUID) -> None:
    connection.execute("UPDATE erasures SET state = 'erasing' WHERE id = %s AND state = 'requested'", [erasure_id])


def remember(connection: Connection, erasure_id: UUID, touched: dict[str, Any]) -> None:
    """Keeps what was done so far, in the transaction that did it."""
    connection.execute("UPDATE erasures SET touched = %s WHERE id = %s", [Jsonb(touched), erasure_id])


def rows_gone(connection: Connection, erasure_id: UUID, touched: dict[str, Any], files: list[str]) -> None:
    """Notes, in the transaction that erased the rows, that they are gone, and which files go next."""
    connection.execute(
        "UPDATE erasures SET touched = %s, files = %s, rows_gone_at = now() WHERE id = %s", [Jsonb(touched), Jsonb(files), erasure_id]
    )


def finished(connection: Connection, erasure_id: UUID, certificate: dict[str, Any], done_at: dt.datetime) -> None:
    """The end: the certificate stays, who it was about goes."""
    connection.execute(
        """UPDATE erasures SET state = 'done', user_id = NULL, external_id = NULL, files = '[]', touched = '{}', certificate = %s, done_at = %s
        WHERE id = %s AND state <> 'done'""",
        [Jsonb(certificate), done_at, erasure_id],
    )


def keep(
    connection: Connection, organization: str, erasure_id: UUID, fingerprint: bytes, certificate: dict[str, Any], requested_at: dt.datetime
) -> None:
    """Keeps the certificate of an erasure that was done elsewhere, of somebody who is not here. Nothing where there is no such organization."""
    row = connection.execute("SELECT organization_id FROM organizations WHERE slug = %s", [organization]).fetchone()
    if row is None:
        return
    connection.execute(
        """INSERT INTO erasures (organization_id, id, state, tombstone, fingerprint, requested_by, requested_at, done_at, certificate)
        VALUES (%s, %s, 'done', %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING""",
        [
            row[0], erasure_id, new_tombstone(), fingerprint, certificate["requested_by"], requested_at, certificate["completed_at"], Jsonb(certificate),
        ],
    )  # fmt: skip
    refuse_tokens(connection, row[0], fingerprint, requested_at)


def known(connection: Connection) -> set[UUID]:
    """The ids of all erasures there are a row of."""
    return {row[0] for row in connection.execute("SELECT id FROM erasures").fetchall()}


def matching_users(connection: Connection, organization: str) -> list[tuple[UUID, UUID, str]]:
    """Every user of an organization who is no tombstone: organization id, id, external id."""
    return connection.execute(
        """SELECT u.organization_id, u.id, u.external_id FROM users u JOIN organizations o ON o.organization_id = u.organization_id
        WHERE o.slug = %s AND NOT EXISTS (SELECT FROM erasures e WHERE e.organization_id = u.organization_id AND e.tombstone = u.external_id)""",
        [organization],
    ).fetchall()


def wholly(connection: Connection, work: Callable[[], None]) -> None:
    """Does the work in one transaction; again, a few times, where the server ended it because it and somebody who writes waited for each other."""
    for attempt in range(_ATTEMPTS):
        try:
            with connection.transaction():
                work()
            return
        except (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure):
            if attempt == _ATTEMPTS - 1:
                raise
            time.sleep(_WAIT_SECONDS * 2**attempt)


@contextmanager
def alone(connection: Connection, erasure_id: UUID, waiting: Callable[[str], None]) -> Iterator[None]:
    """Works on one erasure: no other process works on the same one, on any other, or archives meanwhile. Waits, and says once for what.

    Both locks last as long as the connection does, so that a killed process leaves none. Not through a pooler that shares sessions.
    """
    _wait(lambda: _scalar(connection, "SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", _name(erasure_id)), waiting, "Another process works on it …")
    try:
        _wait(lambda: archive.begin(connection), waiting, "Another erasure or the archive is at work; waiting for it …")
        try:
            yield
        finally:
            archive.end(connection)
    finally:
        if not connection.closed:
            connection.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", [_name(erasure_id)])


def _worked_on(connection: Connection, erasure_id: UUID) -> bool:
    with connection.transaction():
        return not _scalar(connection, "SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))", _name(erasure_id))


def _wait(taken: Callable[[], bool], waiting: Callable[[str], None], text: str) -> None:
    said = False
    while not taken():
        if not said:
            waiting(text)
            said = True
        time.sleep(_WAIT_SECONDS)


def _name(erasure_id: UUID) -> str:
    return f"erasure/{erasure_id}"


def _scalar(connection: Connection, query: str, value: str) -> bool:
    row = connection.execute(query, [value]).fetchone()
    return row is not None and bool(row[0])


def _erasure(row: tuple[Any, ...]) -> Erasure:
    return Erasure(*row)
