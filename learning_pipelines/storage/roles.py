"""The three roles, the databases they use, and the schema they share: what must exist before the first migration.

Belongs here: CREATE ROLE, CREATE DATABASE, CREATE SCHEMA, extension. Not here: tables and policies (migrations/).
"""

from __future__ import annotations

import random
import time

import psycopg
from psycopg import sql

from learning_pipelines.errors import LearningError
from learning_pipelines.storage.database import Connection, Database, connect, describe, first_line

ROLES = ("owner", "api", "pipeline")
ATTEMPTS = 20
_RACES = (psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation, psycopg.errors.InternalError_)
"""What one of two installations gets that prepare the same server at the same moment ("tuple concurrently updated")."""


def prepare(database: Database) -> None:
    """Creates databases, roles, schema and extension where they are missing. Raises LearningError if the login may not."""
    _create_database(database.admin_url, near=_maintenance_url(database.admin_url))
    _create_database(database.dagster_url, near=_maintenance_url(database.dagster_url))
    for attempt in range(ATTEMPTS):
        try:
            _prepare_once(database)
            return
        except _RACES:
            if attempt == ATTEMPTS - 1:
                raise
            time.sleep(random.uniform(0, 0.1))


def _prepare_once(database: Database) -> None:
    """Roles and schema in one transaction."""
    with connect(database.admin_url, application_name="learning_migrate") as connection:
        try:
            # One at a time in this database. Roles belong to the whole server, and no lock reaches across its databases: see _RACES.
            connection.execute("SELECT pg_advisory_xact_lock(hashtext('learning_pipelines roles'))")
            # And not beside a migration: its first step grants on the schema whose rights are set here.
            connection.execute("SELECT pg_advisory_xact_lock(hashtext('learning_pipelines migrate'))")
            _create_roles(connection)
            if database.embedded:
                _let_roles_log_in(connection, database)
            _create_schema(connection)
        except psycopg.errors.InsufficientPrivilege as error:
            raise LearningError(
                f"The login of LEARNING_DATABASE_URL at {database.name} may not prepare the database: {first_line(error)}.",
                "Give it CREATEROLE, CREATE on the database and pgvector ≥ 0.8 (CREATE EXTENSION vector), then run `learning-pipelines migrate` again.",
            ) from error
        except psycopg.errors.FeatureNotSupported as error:
            raise LearningError(f"The server at {database.name} has no pgvector: {first_line(error)}.", "Install pgvector ≥ 0.8 for it.") from error


def _create_roles(connection: Connection) -> None:
    superuser = _scalar(connection, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
    for role in ROLES:
        name = sql.Identifier(f"learning_{role}")
        known = connection.execute("SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = %s", [f"learning_{role}"]).fetchone()
        if known is None:
            connection.execute(sql.SQL("CREATE ROLE {} NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS NOINHERIT NOLOGIN").format(name))
        elif known[0] and superuser:
            connection.execute(sql.SQL("ALTER ROLE {} NOSUPERUSER NOBYPASSRLS").format(name))
        # From 16 on whoever creates a role is its member, but may not act as it before granting it to themselves.
        right = "SET" if connection.info.server_version >= 160000 else "MEMBER"
        if not superuser and not _scalar(connection, "SELECT pg_has_role(current_user, %s, %s)", f"learning_{role}", right):
            connection.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(name))


def _let_roles_log_in(connection: Connection, database: Database) -> None:
    """On the embedded server every role has a login of its own, so that no path needs the superuser after `migrate`."""
    for role in ROLES:
        password = psycopg.conninfo.conninfo_to_dict(database.role_urls[role])["password"]
        connection.execute(sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(f"learning_{role}"), sql.Literal(password)))


def _create_schema(connection: Connection) -> None:
    connection.execute("CREATE EXTENSION IF NOT EXISTS vector SCHEMA public")
    connection.execute("CREATE SCHEMA IF NOT EXISTS learning AUTHORIZATION learning_owner")
    connection.execute("REVOKE ALL ON SCHEMA learning FROM PUBLIC")


def _create_database(url: str, near: str) -> None:
    name = psycopg.conninfo.conninfo_to_dict(url)["dbname"]
    try:
        psycopg.connect(url, connect_timeout=10).close()
        return
    except psycopg.OperationalError as error:
        if "does not exist" not in str(error):
            connect(url).close()  # says in words why it cannot be reached
    with connect(near, application_name="learning_migrate") as connection:
        connection.autocommit = True
        try:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(str(name))))
        except (psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
            return  # another process was faster: the wanted state is there
        except psycopg.errors.InsufficientPrivilege as error:
            raise LearningError(
                f"The database {describe(url)} does not exist and the login may not create it.", f"Create it (CREATE DATABASE {name}) and try again."
            ) from error


def _maintenance_url(url: str) -> str:
    return psycopg.conninfo.make_conninfo(url, dbname="postgres")


def _scalar(connection: Connection, query: str, *values: object) -> object:
    row = connection.execute(query, values).fetchone()
    return None if row is None else row[0]
