"""Browser sessions that people ended before their time.

Belongs here: SQL of ended_sessions. Not here: the token of a session and its cookie (api/).
"""

from __future__ import annotations

import datetime as dt
from uuid import UUID

from learning_pipelines.storage.database import Connection


def end(connection: Connection, organization_id: UUID, session_hash: bytes, ends_at: dt.datetime) -> None:
    """From now on the session is refused. `ends_at`: when it would have ended by itself; the row is of no use after that."""
    connection.execute(
        "INSERT INTO ended_sessions (organization_id, session_hash, ends_at) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
        [organization_id, session_hash, ends_at],
    )


def is_ended(connection: Connection, organization_id: UUID, session_hash: bytes) -> bool:
    """Whether somebody ended this session."""
    row = connection.execute(
        "SELECT EXISTS (SELECT FROM ended_sessions WHERE organization_id = %s AND session_hash = %s)", [organization_id, session_hash]
    ).fetchone()
    return row is not None and bool(row[0])


def prune(connection: Connection) -> int:
    """Takes away what has ended by itself by now (an hour later, for clocks that differ); returns how many."""
    return connection.execute("DELETE FROM ended_sessions WHERE ends_at < now() - interval '1 hour'").rowcount
