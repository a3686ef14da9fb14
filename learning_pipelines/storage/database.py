"""Where the data lives and how each role connects to it.

Belongs here: connection strings, roles of a connection, database errors in words. Not here: starting the embedded server
(embedded.py), creating roles (roles.py), any query on a table.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit, urlunsplit

import orjson
import psycopg
from psycopg import conninfo
from psycopg.types.json import set_json_loads

from learning_pipelines.errors import BadInput, LearningError, Unavailable
from learning_pipelines.settings import Settings
from learning_pipelines.storage import embedded
from learning_pipelines.storage.traced import trace

Role = Literal["owner", "api", "pipeline"]
Connection = psycopg.Connection[Any]
DATA_DATABASE, DAGSTER_DATABASE = "learning", "dagster"
_LOOKS_LIKE = "It looks like postgresql://user:password@host:5432/name."
SESSION = "-c search_path=learning,public -c timezone=UTC -c client_min_messages=warning"


@dataclass(frozen=True)
class Database:
    """The connection strings of one installation. `role_urls` holds a login of its own for a role, where there is one."""

    admin_url: str
    dagster_url: str
    role_urls: dict[str, str]
    embedded: bool

    def connect(self, role: Role, *, autocommit: bool = True) -> Connection:
        """An open connection acting as `role`, with search_path `learning` and UTC. Raises Unavailable when nothing answers."""
        own = self.role_urls.get(role)
        connection = connect(own or self.admin_url, application_name=f"learning_{role}")
        if own is None:
            try:
                connection.execute(f"SET ROLE learning_{role}")
            except (psycopg.errors.InvalidParameterValue, psycopg.errors.InsufficientPrivilege) as error:
                connection.close()
                raise LearningError(
                    f"The schema of {self.name} is empty or not for this login: {first_line(error)}.",
                    "Run `learning-pipelines migrate` with the login that is to be used.",
                ) from error
            connection.commit()
        connection.autocommit = autocommit
        return connection

    @property
    def name(self) -> str:
        """Host, port and database without the secret, for messages."""
        return describe(self.admin_url)


# The database gives 1e20 back as a whole number, which orjson does not write: one such row would stop every run over its agent. It reads it as 1e20.
set_json_loads(orjson.loads)


@contextmanager
def snapshot(connection: Connection) -> Iterator[None]:
    """A transaction that sees one state of the database from its first statement to its end. Within a transaction of the caller it changes nothing."""
    if connection.info.transaction_status is not psycopg.pq.TransactionStatus.IDLE:
        yield
        return
    usual = connection.isolation_level
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    try:
        with connection.transaction():
            yield
    finally:
        if not connection.closed:
            connection.isolation_level = usual


def clock(connection: Connection) -> dt.datetime:
    """What time it is for the server, also within a transaction."""
    row = connection.execute("SELECT clock_timestamp()").fetchone()
    assert row is not None
    moment: dt.datetime = row[0]
    return moment


def describe(url: str) -> str:
    """`host:port/database` of a connection string, without user and password."""
    parts = conninfo.conninfo_to_dict(url)
    return f"{parts.get('host', 'localhost')}:{parts.get('port', 5432)}/{parts.get('dbname', '')}"


def connect(url: str, *, application_name: str = "learning_pipelines") -> Connection:
    """Opens a connection; raises Unavailable naming host, port and the server's own words."""
    try:
        connection = psycopg.connect(url, options=SESSION, application_name=application_name, connect_timeout=10)
    except psycopg.OperationalError as error:
        raise Unavailable(
            f"The database at {describe(url)} cannot be used: {first_line(error)}.",
            "Check that it runs and that LEARNING_DATABASE_URL is right (unset it to use the embedded server), then try again.",
        ) from error
    trace(connection)
    return connection


def first_line(error: BaseException) -> str:
    """The first line of an error's text, without its final stop."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


@contextmanager
def database_errors(doing: str) -> Iterator[None]:
    """Turns what a server says in the middle of work into an error that names the cause and the next step.

    The original error is not chained: its details quote rows, and people's texts must not reach the logs of Dagster.
    """
    try:
        yield
    except psycopg.Error as error:
        raise _in_words(error, doing) from None


def _in_words(error: psycopg.Error, doing: str) -> LearningError:
    said = first_line(error)
    if isinstance(error, psycopg.errors.DiskFull):
        return Unavailable(f"The disk of the database is full while {doing}.", "Free space and run it again: what was committed is kept.")
    if isinstance(error, psycopg.errors.ReadOnlySqlTransaction | psycopg.errors.InsufficientPrivilege):
        return LearningError(f"The database refuses to write while {doing}: {said}.", "Run `learning-pipelines verify`: it names what is missing.")
    if isinstance(error, psycopg.errors.UndefinedTable | psycopg.errors.UndefinedColumn | psycopg.errors.UndefinedFunction):
        return LearningError(f"The schema of the database does not fit this version ({said}) while {doing}.", "Run `learning-pipelines migrate`.")
    if isinstance(error, psycopg.errors.CheckViolation) and "no partition of relation" in said:
        return LearningError(f"No month partition is left for today while {doing}.", "Run `learning-pipelines migrate`: it makes them ahead of time.")
    if isinstance(error, psycopg.OperationalError):
        return Unavailable(f"The database went away while {doing}: {said}.", "What was committed is kept; run it again once the database answers.")
    return LearningError(f"The database refuses while {doing}: {said}.", "Nothing of this step was stored. If it happens again, report it with this text.")


def open_database(settings: Settings, *, start: bool = True) -> Database:
    """The database the settings point to; starts the embedded server if it is the one and `start` says so.

    Raises BadInput for a connection string that cannot be read, Unavailable if the embedded server cannot run.
    """
    if settings.database_url is None and settings.api_database_url is not None:
        return _of_service(settings.api_database_url, settings)
    if settings.database_url is None:
        server = embedded.ensure_running(settings.home) if start else embedded.running(settings.home)
        if server is None:
            raise Unavailable("The embedded database is not running.", "Start it with `learning-pipelines up`.")
        return of_server(server, dagster_url=settings.dagster_database_url)
    roles = {"api": settings.api_database_url, "pipeline": settings.pipeline_database_url}
    given = {"DATABASE_URL": settings.database_url, "DAGSTER_DATABASE_URL": settings.dagster_database_url}
    for name, url in (*given.items(), *((f"{role.upper()}_DATABASE_URL", url) for role, url in roles.items())):
        _readable(name, url)
    return Database(
        admin_url=settings.database_url,
        dagster_url=settings.dagster_database_url or _beside(settings.database_url, DAGSTER_DATABASE),
        role_urls={role: url for role, url in roles.items() if url},
        embedded=False,
    )


def _of_service(url: str, settings: Settings) -> Database:
    """What the feedback service alone needs: its own login. Whatever would act as another role is refused by the server, in words."""
    _readable("API_DATABASE_URL", url)
    return Database(url, settings.dagster_database_url or _beside(url, DAGSTER_DATABASE), {"api": url}, embedded=False)


def role_password(server_password: str, role: Role) -> str:
    """The embedded server's password of a role: follows from the server's own, so nothing more has to be stored."""
    return hmac.new(server_password.encode(), f"learning_{role}".encode(), hashlib.sha256).hexdigest()


def of_server(server: embedded.EmbeddedServer, name: str = DATA_DATABASE, dagster_url: str | None = None) -> Database:
    """The database called `name` of an embedded server, with a login for each role."""
    roles: tuple[Role, ...] = ("owner", "api", "pipeline")
    return Database(
        admin_url=server.url(name),
        dagster_url=dagster_url or server.url(DAGSTER_DATABASE),
        role_urls={role: server.url(name, f"learning_{role}", role_password(server.password, role)) for role in roles},
        embedded=True,
    )


def _readable(name: str, url: str | None) -> None:
    if url is None:
        return
    try:
        parts = conninfo.conninfo_to_dict(url)
    except psycopg.ProgrammingError as error:
        raise BadInput(f"LEARNING_{name} is not a connection string: {first_line(error)}.", _LOOKS_LIKE) from error
    if not url.startswith(("postgresql://", "postgres://")) or not parts.get("dbname"):
        raise BadInput(f"LEARNING_{name} does not name a database.", _LOOKS_LIKE)
    if not all(port.isdigit() for port in str(parts.get("port") or 5432).split(",")):
        raise BadInput(f"LEARNING_{name} has the port {parts['port']!r}, which is no number.", _LOOKS_LIKE)


def _beside(url: str, database: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{database}"))
