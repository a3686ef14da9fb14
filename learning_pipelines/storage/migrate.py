"""Bringing the schema to the version this code needs, and saying which one is there.

Belongs here: running Alembic, the version check, month partitions ahead of time. Not here: the steps themselves (migrations/).
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import psycopg
import sqlalchemy
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from learning_pipelines.errors import LearningError, Unavailable
from learning_pipelines.storage import roles
from learning_pipelines.storage.database import Connection, Database, connect

PARTITIONED = ("agent_executions", "agent_feedback")
MONTHS_AHEAD = 4


def migrate(database: Database, target: str = "head") -> tuple[str | None, str | None]:
    """Prepares the server, runs every missing step in one transaction, makes partitions. Returns the versions before and after."""
    roles.prepare(database)
    with _engine(database).connect() as connection:
        # One migrator at a time: the lock goes with the transaction.
        connection.execute(sqlalchemy.text("SELECT pg_advisory_xact_lock(hashtext('learning_pipelines migrate'))"))
        before = _version(connection)
        if before is not None and before not in versions():
            raise LearningError(
                f"The schema is at version {before}, which this version of learning_pipelines does not know.",
                "Install the version that wrote it, or a newer one.",
            )
        config = _config()
        config.attributes["connection"] = connection
        try:
            command.downgrade(config, target) if _is_before(target, before) else command.upgrade(config, target)
        except CommandError as error:
            raise LearningError(f"The schema cannot go to {target}: {error}.", "Known versions: " + ", ".join(versions())) from error
        connection.commit()
        after = _version(connection)
    if after == head():
        make_partitions(database)
    return before, after


def head() -> str:
    """The schema version this code needs."""
    return ScriptDirectory.from_config(_config()).get_current_head() or ""


def versions() -> list[str]:
    """Every schema version, in the order of the steps that make them; the last is the head."""
    return [step.revision for step in ScriptDirectory.from_config(_config()).walk_revisions()][::-1]


def current_version(connection: Connection) -> str | None:
    """The schema version that is there; None before the first migration."""
    try:
        row = connection.execute("SELECT version_num FROM learning.alembic_version").fetchone()
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
        connection.rollback()
        return None
    return None if row is None else str(row[0])


def prepared(database: Database) -> bool:
    """Whether `migrate` ever ran there; asked with the main login, since before it there is neither a role nor, on an embedded server, a database."""
    try:
        with connect(database.admin_url) as connection:
            return current_version(connection) is not None
    except Unavailable:
        return False


def require_head(database: Database) -> None:
    """Raises LearningError unless the schema is the one this code needs; an empty embedded database is migrated on the spot.

    Asked with the service's own login where it has one: it needs no other.
    """
    try:
        with database.connect("api" if "api" in database.role_urls and not database.embedded else "owner") as connection:
            version = current_version(connection)
    except psycopg.errors.InsufficientPrivilege as error:  # before 0052 this login could not look
        raise LearningError(f"The schema of {database.name} is older than this version needs ({head()}).", "Run `learning-pipelines migrate`.") from error
    except (LearningError, psycopg.Error):
        version = None
        if not database.embedded:
            raise
    if version == head():
        return
    if version is None and database.embedded:
        migrate(database)
        return
    found = "empty" if version is None else f"at version {version}"
    raise LearningError(f"The schema of {database.name} is {found}, this version needs {head()}.", "Run `learning-pipelines migrate`.")


def make_partitions(database: Database, today: dt.date | None = None) -> int:
    """Makes the month partitions from last month to MONTHS_AHEAD months ahead; returns how many were missing."""
    first = ((today or dt.datetime.now(dt.UTC).date()).replace(day=1) - dt.timedelta(days=1)).replace(day=1)
    with database.connect("owner") as connection:
        made = [connection.execute("SELECT learning.make_partitions(%s, %s, %s)", [table, first, MONTHS_AHEAD + 2]).fetchone() for table in PARTITIONED]
    return sum(int(row[0]) for row in made if row is not None)


def _engine(database: Database) -> sqlalchemy.Engine:
    """SQLAlchemy is here for Alembic only; it borrows a connection that already acts as the owner."""
    return sqlalchemy.create_engine("postgresql+psycopg://", creator=lambda: database.connect("owner", autocommit=False), poolclass=sqlalchemy.NullPool)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def _version(connection: sqlalchemy.Connection) -> str | None:
    exists = connection.execute(sqlalchemy.text("SELECT to_regclass('learning.alembic_version')")).scalar()
    return connection.execute(sqlalchemy.text("SELECT version_num FROM learning.alembic_version")).scalar() if exists else None


def _is_before(target: str, current: str | None) -> bool:
    """By the order of the steps: their numbers say when each was begun, and not every one was finished in that order."""
    known = versions()
    return target == "base" or target.startswith("-") or (current in known and target in known and known.index(target) < known.index(current))
