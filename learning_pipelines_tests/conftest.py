"""What tests of all nouns share: one embedded server per session, an empty database per test, rows loaded by the real import.

Belongs here: fixtures used by several folders. Not here: rows of one noun, helpers of one test module.
"""

from __future__ import annotations

import datetime as dt
import itertools
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import orjson
import psycopg
import pytest

from learning_pipelines.feedback.importing import ImportResult, import_file, window_now
from learning_pipelines.storage import embedded
from learning_pipelines.storage.database import Connection, Database, of_server
from learning_pipelines.storage.embedded import EmbeddedServer
from learning_pipelines.storage.migrate import migrate

START = dt.date(2015, 1, 5)
TEMPLATE = "template_migrated"
EMPTY = """
DO $$ DECLARE name regclass; BEGIN
    FOR name IN SELECT oid FROM pg_class WHERE relnamespace = 'learning'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
            AND relname <> 'alembic_version' LOOP
        EXECUTE format('DELETE FROM %s', name);
    END LOOP;
    PERFORM setval('learning.arrivals', 1, false);
END $$"""
Load = Callable[..., ImportResult]
MakeDatabase = Callable[[], AbstractContextManager[Database]]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """One embedded server in a home of its own; gone with its data when the session ends."""
    home = tmp_path_factory.mktemp("home")
    started = embedded.ensure_running(home)
    try:
        with psycopg.connect(started.url(), autocommit=True) as session:
            session.execute("ALTER SYSTEM SET fsync = off")  # nothing here outlives the session
            session.execute("SELECT pg_reload_conf()")
        yield started
    finally:
        embedded.stop(home)
        shutil.rmtree(started.data_dir.parent, ignore_errors=True)  # as root it does not lie below the home


@pytest.fixture(scope="session")
def make_database(server: EmbeddedServer) -> MakeDatabase:
    """Makes migrated databases: `with make_database() as database:`. Each is a copy of one that was migrated once, and is dropped afterwards."""
    migrate(of_server(server, TEMPLATE))
    numbers = itertools.count(1)

    @contextmanager
    def make() -> Iterator[Database]:
        name = f"test_{next(numbers)}"
        with psycopg.connect(server.url(), autocommit=True) as session:
            session.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")  # type: ignore[arg-type]
        yield of_server(server, name)
        with psycopg.connect(server.url(), autocommit=True) as session:
            session.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[arg-type]

    return make


@pytest.fixture(scope="session")
def _reused(make_database: MakeDatabase) -> Iterator[Database]:
    with make_database() as one:
        yield one


@pytest.fixture
def database(_reused: Database) -> Database:
    """A migrated database with nothing in it. It is emptied for every test (a copy takes ten times as long): change the schema of `make_database()` only."""
    with psycopg.connect(_reused.admin_url, autocommit=True) as session:
        session.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
        session.execute("SET session_replication_role = replica")  # no foreign keys: the tables go in any order
        session.execute(EMPTY)
    return _reused


@pytest.fixture
def pipeline(database: Database) -> Iterator[Connection]:
    """A connection to `database` as role pipeline, in autocommit."""
    with database.connect("pipeline") as connection:
        yield connection


@pytest.fixture
def load(pipeline: Connection, tmp_path: Path) -> Load:
    """`load(kind, rows, organization="default")` writes the rows to a .jsonl file and imports it; a row given as bytes is a line as it stands."""
    numbers = itertools.count(1)

    def run(kind: str, rows: Iterable[dict[str, Any] | bytes], organization: str = "default", **options: Any) -> ImportResult:
        path = tmp_path / f"{kind}_{next(numbers)}.jsonl"
        path.write_bytes(b"".join((row if isinstance(row, bytes) else orjson.dumps(row)) + b"\n" for row in rows))
        return import_file(options.pop("connection", pipeline), organization, kind, path, window=window_now(START, dt.UTC), **options)

    return run
