"""One scheduler for one database, wherever it is started from.

Belongs here: the lock in Dagster's database. Not here: the lock of one home (defs/processes.py), which is enough for an embedded server.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from learning_pipelines.errors import Unavailable
from learning_pipelines.storage.database import Database, connect, describe


@contextmanager
def only_scheduler(database: Database) -> Iterator[None]:
    """Holds the lock as long as its connection lasts. Raises Unavailable if a scheduler of another home or machine holds it.

    A server that is restarted meanwhile forgets the lock: then only the next start of this scheduler takes it again. Not through a pooler that shares
    sessions (pgbouncer in transaction mode): point LEARNING_DAGSTER_DATABASE_URL at the server itself.
    """
    with connect(database.dagster_url, application_name="learning_scheduler") as connection:
        connection.autocommit = True
        row = connection.execute("SELECT pg_try_advisory_lock(hashtext('learning_pipelines scheduler'))").fetchone()
        if row is None or not row[0]:
            raise Unavailable(
                f"A scheduler runs already for {describe(database.dagster_url)}, on this machine or another, and there may be one only.",
                "Stop that one first; a worker may be started here (`learning-pipelines up --only worker`).",
            )
        yield
