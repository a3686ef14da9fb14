"""What tests of all nouns share: one embedded server per session, an empty database per test, rows loaded by the real import.

Belongs here: fixtures used by several folders. Not here: rows of one noun, helpers of one test module.
"""

from __future__ import annotations

import datetime as dt
import itertools
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import orjson
import psycopg
import pytest

from learning_pipelines.encoder_server import stop_encoder
from learning_pipelines.feedback.importing import ImportResult, import_file, window_now
from learning_pipelines.settings import Settings
from learning_pipelines.storage import embedded
from learning_pipelines.storage.database import Connection, Database, of_server
from learning_pipelines.storage.embedded import EmbeddedServer
from learning_pipelines.storage.migrate import migrate
from learning_pipelines_tests.children import with_this_code

START = dt.date(2015, 1, 5)
TEMPLATE = "template_migrated"
EMPTY = """
DO $$ DECLARE name regclass; BEGIN
    FOR name IN SELECT oid FROM pg_class WHERE relnamespace = 'learning'::regnamespace AND relkind = 'r' AND relname <> 'alembic_version'
            AND pg_relation_size(oid) > 0 LOOP
        EXECUTE format('DELETE FROM %s', name);
    END LOOP;
    PERFORM setval('learning.arrivals', 1, false);
END $$"""
LONGEST = (
    "test_end_to_end.py", "defs/test_prompts.py", "demo/test_run.py", "behavior/fine_tuning/test_local.py", "cli/test_run.py", "defs/test_retrieval.py",
    "test_external_server.py", "api/test_fuzz.py", "defs/test_datasets.py", "defs/test_fine_tuning.py", "client/test_against_the_service.py",
    "retrieval/learning/test_encoders.py", "api/test_isolation.py", "defs/test_guidance.py", "test_encoder_server.py", "defs/test_behavior.py",
    "storage/test_every_policy.py", "defs/test_backup.py", "demo/test_rows_made.py", "defs/test_dataset_exports.py", "api/test_crash.py", "cli/test_verbs.py",
    "demo/test_desk.py", "test_llm_server.py", "defs/test_retrieval_leaks.py", "defs/test_quality.py", "defs/test_jobs.py", "defs/test_examples.py",
    "cli/test_verify.py", "storage/test_migrations.py", "defs/test_correction_rules.py", "defs/test_fine_tuning_jobs.py", "defs/test_curation.py",
    "cli/test_datasets.py", "defs/test_behavior_patterns.py", "retrieval/test_training_killed.py", "storage/test_embedded.py", "behavior/test_policy.py",
    "examples/test_export_consumers.py", "examples/test_leakage.py", "cli/test_keys.py", "client/test_processes.py", "retrieval/learning/test_child.py",
)  # fmt: skip
"""Files that take longest, the longest first; a name that is wrong or missing costs time and nothing else."""
Load = Callable[..., ImportResult]
ShareEncoder = Callable[[Path], Path]
MakeDatabase = Callable[[], AbstractContextManager[Database]]


os.environ.update(with_this_code(os.environ))  # children that inherit it, of whatever test


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first: at the end no process is left with one of them while the other has nothing more to do."""
    places = {Path(__file__).parent / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


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
def share_encoder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShareEncoder]:
    """`share_encoder(home)` gives a home the encoder process of the whole session, and returns it: a process of its own takes seconds of a core to start."""
    owner = tmp_path_factory.mktemp("encoder_of_all")
    (owner / "encoder").mkdir()

    def share(home: Path) -> Path:
        home.mkdir(parents=True, exist_ok=True)
        (home / "encoder").symlink_to(owner / "encoder")
        return home

    yield share
    stop_encoder(Settings(home=owner))


@pytest.fixture(scope="session")
def make_database(server: EmbeddedServer) -> MakeDatabase:
    """Makes migrated databases: `with make_database() as database:`. Each is a copy of one that was migrated once, and is dropped afterwards."""
    migrate(of_server(server, TEMPLATE))
    numbers = itertools.count(1)

    @contextmanager
    def make() -> Iterator[Database]:
        name = f"test_{next(numbers)}"
        with psycopg.connect(server.url(), autocommit=True) as session:
            session.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} STRATEGY FILE_COPY")  # type: ignore[arg-type]
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
