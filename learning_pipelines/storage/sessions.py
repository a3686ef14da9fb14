"""Connections of the feedback service: role learning_api, one organization, user and role per transaction, bounded in number and time.

Belongs here: the pool, who a transaction acts for, database errors that mean "try again". Not here: statements on tables, HTTP.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import psycopg
from psycopg_pool import ConnectionPool, PoolTimeout, TooManyRequests

from learning_pipelines.errors import Unavailable
from learning_pipelines.storage.database import SESSION, Connection, Database, snapshot
from learning_pipelines.storage.traced import trace

STATEMENT_SECONDS = 8
POOL_SIZE = 8
POOL_WAIT_SECONDS = 3.0
POOL_WAITING = 200
_SET = """SELECT set_config('app.current_organization_id', %s, true), set_config('app.current_user_id', %s, true),
    set_config('app.current_role', %s, true), set_config('app.current_principal', %s, true)"""


@dataclass(frozen=True, slots=True)
class Acting:
    """For whom a transaction reads and writes. `application`: stands for the organization's application and sees what its role may see there."""

    organization_id: UUID
    user_id: UUID | None = None
    role: str = "user"
    application: bool = False

    def for_aggregates(self) -> Acting:
        """The same organization with everything in view: only for statements that return counts, sums and means."""
        return replace(self, role="admin", application=True)

    def for_experiments(self) -> Acting:
        """The same organization with everything in view that a change of an experiment locks, checks and ends: only once the role was found to suffice."""
        return replace(self, role="admin")


class Busy(Unavailable):
    """The database is away or too slow right now; nothing of the request was stored, or it is not known: repeating it is safe with the same id."""


def act_as(connection: Connection, who: Acting) -> None:
    """Sets organization, user, role and principal for the running transaction."""
    connection.execute(
        _SET,
        [str(who.organization_id), "" if who.user_id is None else str(who.user_id), who.role, "application" if who.application else ""],
        prepare=True,
    )


def connection_options(statement_seconds: float = STATEMENT_SECONDS) -> str:
    """Session options of the service's connections: no statement outlives `statement_seconds`, no transaction stays open idle."""
    milliseconds = round(statement_seconds * 1000)
    return f"{SESSION} -c statement_timeout={milliseconds} -c idle_in_transaction_session_timeout={2 * milliseconds}"


def open_connection(database: Database, statement_seconds: float = STATEMENT_SECONDS) -> Connection:
    """One connection of the role learning_api outside the pool, in autocommit. Raises psycopg.OperationalError."""
    connection = psycopg.connect(_url(database), options=connection_options(statement_seconds), application_name="learning_api", connect_timeout=5)
    connection.autocommit = True
    _take_role(database, connection)
    return connection


class Sessions:
    """A pool of the service's connections. `database_of` is asked anew for every new connection: an embedded server may come back elsewhere."""

    def __init__(self, database_of: Callable[[], Database], size: int = POOL_SIZE) -> None:
        self._database_of = database_of
        kwargs: dict[str, Any] = {"options": connection_options(), "application_name": "learning_api", "connect_timeout": 5, "autocommit": True}
        self._pool: ConnectionPool[Connection] = ConnectionPool(
            lambda: _url(database_of()), kwargs=kwargs, min_size=1, max_size=size, timeout=POOL_WAIT_SECONDS, max_waiting=POOL_WAITING,
            configure=lambda connection: _take_role(database_of(), connection), check=ConnectionPool.check_connection, open=False,
            reconnect_timeout=10,
        )  # fmt: skip

    def open(self) -> None:
        """Starts filling the pool in the background; does not wait."""
        self._pool.open()

    def close(self) -> None:
        self._pool.close(timeout=5)

    @contextmanager
    def acting(self, who: Acting, *, still: bool = False) -> Iterator[Connection]:
        """A connection inside one transaction that acts for `who`; commits at the end. `still`: all its statements see one state of the database.

        Raises Busy when the database is away or too slow.
        """
        with busy_errors(), self._pool.connection() as connection, snapshot(connection) if still else connection.transaction():
            act_as(connection, who)
            yield connection

    def open_writer(self) -> Connection:
        """A connection of its own for the group writer."""
        return open_connection(self._database_of())


def repeats_itself(connection: Connection) -> None:
    """Tells the server that the same few statements come again and again: planning each anew would cost more than running it."""
    connection.execute("SET plan_cache_mode = force_generic_plan")


@contextmanager
def busy_errors() -> Iterator[None]:
    """Turns "away", "too slow" and "too many waiting" into Busy; every other database error passes."""
    try:
        yield
    except (PoolTimeout, TooManyRequests) as error:
        raise Busy("Too many requests wait for the database.", "Try again in a moment.") from error
    except psycopg.errors.QueryCanceled as error:
        raise Busy(f"The database took longer than {STATEMENT_SECONDS} s.", "Try again in a moment.") from error
    except (psycopg.OperationalError, psycopg.errors.InterfaceError) as error:
        raise Busy("The database cannot be reached right now.", "Try again in a moment.") from error


def _url(database: Database) -> str:
    return database.role_urls.get("api") or database.admin_url


def _take_role(database: Database, connection: Connection) -> None:
    trace(connection)
    if "api" not in database.role_urls:
        connection.execute("SET ROLE learning_api")
        if not connection.autocommit:
            connection.commit()
