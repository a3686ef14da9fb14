"""Who executes a run, wherever it does: a lock in Dagster's database that lasts as long as the executing process.

Belongs here: the lock of one run. Not here: the one scheduler (scheduler_lock.py), what is done with a run whose lock is gone (celery_launcher.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from learning_pipelines.storage.database import Database, connect

_KEY = "hashtextextended('learning_pipelines run ' || %s, 0)"
# The server asks a silent client after 30 s whether it is there, and gives up 30 s later: a machine that lost its power frees its locks within a minute.
_ATTENTIVE = "SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3"


@contextmanager
def executing(database: Database, run_id: str) -> Iterator[bool]:
    """Yields whether this process has the run to itself; it has until the block or the process ends, killed or not.

    A server that is restarted meanwhile forgets the lock, and cuts off the run's own connections with it. Not through a pooler that shares sessions.
    """
    with connect(database.dagster_url, application_name="learning_run") as connection:
        connection.autocommit = True
        connection.execute(_ATTENTIVE)
        row = connection.execute(f"SELECT pg_try_advisory_lock({_KEY})", [run_id]).fetchone()
        yield bool(row and row[0])


def is_executed(database: Database, run_id: str) -> bool:
    """Whether a living process executes the run. Looks without taking the lock, so it stands in nobody's way."""
    with connect(database.dagster_url, application_name="learning_run") as connection:
        row = connection.execute(
            f"""SELECT EXISTS (SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.database, (SELECT {_KEY} AS key) k
            WHERE d.datname = current_database() AND l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
                AND (l.classid::bigint << 32) | l.objid::bigint = k.key)""",
            [run_id],
        ).fetchone()
    return bool(row and row[0])
