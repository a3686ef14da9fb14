"""Whether the database side of an installation is as it must be: each check says what to do if it is not.

Belongs here: checks of server, schema, roles, row-level security, partitions. Not here: checks of the data (checks.py), of Dagster (cli).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import psycopg

from learning_pipelines.errors import LearningError
from learning_pipelines.settings import Settings
from learning_pipelines.storage import migrate
from learning_pipelines.storage.database import Connection, Database, connect, first_line
from learning_pipelines.storage.store import Store

EXEMPT = ("alembic_version",)
"""Tables without row-level security: they hold no row of a tenant."""
OLDEST_SERVER, OLDEST_VECTOR = 150000, (0, 8)


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: what it asks, whether it holds, and what to do if not (or what to know)."""

    name: str
    ok: bool
    advice: str = ""


def ready_store(settings: Settings) -> Store:
    """A store whose schema is the one this code needs. Raises LearningError saying what to do if it is not."""
    store = Store(settings)
    migrate.require_head(store.database)
    return store


def findings(database: Database) -> Iterator[Finding]:
    """Checks in the order in which they should be mended; stops where nothing further can be asked."""
    try:
        connection = connect(database.admin_url, application_name="learning_verify")
    except LearningError as error:
        yield Finding("database reachable", False, str(error))
        return
    with connection:
        connection.autocommit = True
        yield Finding("database reachable", True)
        yield _server(connection)
        version = migrate.current_version(connection)
        at_head = version == migrate.head()
        advice = "" if at_head else f"It is {version or 'empty'}, needed is {migrate.head()}: run `learning-pipelines migrate`."
        yield Finding("schema at head", at_head, advice)
        if version is None:
            return
        checks: tuple[Callable[[Connection], Finding], ...] = (_security_forced, _roles_bound, _partitions_ahead, _vector)
        for check in checks:
            yield check(connection)
    yield from _logins(database)
    yield _dagster_storage(database)


def _server(connection: Connection) -> Finding:
    version = connection.info.server_version
    return Finding("PostgreSQL 15 or newer", version >= OLDEST_SERVER, "" if version >= OLDEST_SERVER else f"The server is {version // 10000}: upgrade it.")


def _vector(connection: Connection) -> Finding:
    row = connection.execute("SELECT extversion FROM pg_extension WHERE extname = 'vector'").fetchone()
    found = tuple(int(part) for part in str(row[0]).split(".")[:2]) if row else (0, 0)
    good = found >= OLDEST_VECTOR
    advice = "" if good else f"Found {row[0] if row else 'none'}: install pgvector ≥ 0.8 and run ALTER EXTENSION vector UPDATE."
    return Finding("pgvector 0.8 or newer", good, advice)


def _security_forced(connection: Connection) -> Finding:
    open_tables = [
        str(row[0])
        for row in connection.execute(
            """SELECT relname FROM pg_class WHERE relnamespace = 'learning'::regnamespace AND relkind IN ('r', 'p')
            AND NOT (relrowsecurity AND relforcerowsecurity) AND relname <> ALL(%s) ORDER BY 1""",
            [list(EXEMPT)],
        ).fetchall()
    ]
    mend = f"Not on {', '.join(open_tables)}: as learning_owner, ALTER TABLE … ENABLE and then FORCE ROW LEVEL SECURITY."
    return Finding("row-level security forced on every table", not open_tables, mend if open_tables else f"Exempt: {', '.join(EXEMPT)}.")


def _roles_bound(connection: Connection) -> Finding:
    rows = connection.execute(
        "SELECT rolname, rolsuper OR rolbypassrls FROM pg_roles WHERE rolname IN ('learning_owner', 'learning_api', 'learning_pipeline')"
    ).fetchall()
    free = [str(name) for name, unbound in rows if unbound]
    missing = 3 - len(rows)
    advice = f"Run ALTER ROLE … NOSUPERUSER NOBYPASSRLS for {', '.join(free)}." if free else "Run `learning-pipelines migrate`." if missing else ""
    return Finding("roles without BYPASSRLS", not free and not missing, advice)


def _partitions_ahead(connection: Connection) -> Finding:
    today = dt.datetime.now(dt.UTC).date()
    following = (today.replace(day=1) + dt.timedelta(days=32)).replace(day=1)
    wanted = [f"{table}_{month:%Y_%m}" for table in migrate.PARTITIONED for month in (today, following)]
    there = {str(row[0]) for row in connection.execute("SELECT relname FROM pg_class WHERE relname = ANY(%s) AND relispartition", [wanted]).fetchall()}
    missing = [name for name in wanted if name not in there]
    return Finding("month partitions ahead of time", not missing, f"Missing: {', '.join(missing)}. Run `learning-pipelines migrate`." if missing else "")


def _logins(database: Database) -> Iterator[Finding]:
    for role in ("api", "pipeline"):
        own = database.role_urls.get(role)
        name = f"login of the role learning_{role}"
        if own is None:
            yield Finding(name, True, f"Warning: LEARNING_{role.upper()}_DATABASE_URL is not set; the main login is used with SET ROLE, which it can undo.")
            continue
        try:
            with connect(own) as connection:
                row = connection.execute(
                    "SELECT current_user = %s OR pg_has_role(current_user, %s, 'USAGE'), rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user",
                    [f"learning_{role}", f"learning_{role}"],
                ).fetchone()
        except LearningError as error:
            yield Finding(name, False, str(error))
            continue
        good = row is not None and bool(row[0]) and not row[1]
        yield Finding(name, good, "" if good else f"It must be a member of learning_{role} only, without SUPERUSER and BYPASSRLS.")


def _dagster_storage(database: Database) -> Finding:
    try:
        psycopg.connect(database.dagster_url, connect_timeout=10).close()
    except psycopg.OperationalError as error:
        advice = f"{first_line(error)}: run `learning-pipelines migrate`, or correct LEARNING_DAGSTER_DATABASE_URL."
        return Finding("Dagster's database reachable", False, advice)
    return Finding("Dagster's database reachable", True)
