"""The schema's way from empty to head, from every version between, back one step, and with two migrators at once.

Belongs here: versions. Not here: what the schema promises about tenants (test_tenancy.py).
"""

from __future__ import annotations

import datetime as dt
import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import psycopg
import pytest
from alembic.script import ScriptDirectory
from psycopg.conninfo import conninfo_to_dict

from learning_pipelines.errors import LearningError
from learning_pipelines.storage import roles
from learning_pipelines.storage.database import Database, of_server
from learning_pipelines.storage.embedded import EmbeddedServer
from learning_pipelines.storage.migrate import _config, current_version, head, make_partitions, migrate, require_head
from learning_pipelines_tests.conftest import MakeDatabase

VERSIONS = [step.revision for step in ScriptDirectory.from_config(_config()).walk_revisions()][::-1]
STARTS = {*VERSIONS[:-1:9], VERSIONS[-2]}
"""Where `make test` starts from; `make test-slow` from every version."""
Empty = Callable[[], Database]
_numbers = itertools.count(1)


@pytest.fixture
def empty(server: EmbeddedServer) -> Iterator[Empty]:
    """Names a database that does not exist yet; gone afterwards."""
    made: list[str] = []

    def name_one() -> Database:
        made.append(f"migrated_{next(_numbers)}")
        return of_server(server, made[-1])

    yield name_one
    with psycopg.connect(server.url(), autocommit=True) as session:
        for name in made:
            session.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")  # type: ignore[arg-type]


@pytest.fixture
def migrated(make_database: MakeDatabase) -> Iterator[Database]:
    """A database of its own at the head."""
    with make_database() as database:
        yield database


def version(database: Database) -> str | None:
    with database.connect("owner") as connection:
        return current_version(connection)


def schema(database: Database) -> list[tuple[str, ...]]:
    """Every column, index, constraint, policy and grant there is."""
    with psycopg.connect(database.admin_url) as session:
        return session.execute("""
            SELECT 'column', attrelid::regclass::text, attname, format_type(atttypid, atttypmod) || attnotnull FROM pg_attribute
                JOIN pg_class c ON c.oid = attrelid WHERE relnamespace = 'learning'::regnamespace AND attnum > 0 AND NOT attisdropped
            UNION ALL SELECT 'index', tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'learning'
            UNION ALL SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
                WHERE connamespace = 'learning'::regnamespace
            UNION ALL SELECT 'policy', tablename, policyname, concat_ws('|', roles::text, cmd, qual, with_check) FROM pg_policies
            UNION ALL SELECT 'grants', oid::regclass::text, '', relacl::text FROM pg_class WHERE relnamespace = 'learning'::regnamespace
            UNION ALL SELECT 'function', oid::regprocedure::text, '', md5(prosrc) FROM pg_proc WHERE pronamespace = 'learning'::regnamespace
            ORDER BY 1, 2, 3, 4""").fetchall()


def test_it_goes_from_nothing_to_head(empty: Empty) -> None:
    database = empty()
    assert migrate(database) == (None, head())
    assert version(database) == head()


def test_the_second_time_changes_nothing(empty: Empty) -> None:
    database = empty()
    migrate(database)
    before = schema(database)
    assert migrate(database) == (head(), head())
    assert schema(database) == before


@pytest.fixture(scope="module")
def straight(make_database: MakeDatabase) -> list[tuple[str, ...]]:
    """The schema of a database that was brought from nothing to head at once."""
    with make_database() as database:
        return schema(database)


@pytest.fixture(scope="module")
def climbing(server: EmbeddedServer) -> Iterator[Database]:
    """One database that goes up step by step; each test looks at a copy."""
    yield of_server(server, "climbing")
    with psycopg.connect(server.url(), autocommit=True) as session:
        session.execute("DROP DATABASE IF EXISTS climbing WITH (FORCE)")


def test_a_way_that_stops_at_every_version_leads_to_the_same_head(empty: Empty, straight: list[tuple[str, ...]]) -> None:
    database = empty()
    for before, after in pairwise([None, *VERSIONS]):
        assert migrate(database, str(after)) == (before, after)
    assert schema(database) == straight


@pytest.mark.parametrize("earlier", [pytest.param(one, marks=[] if one in STARTS else pytest.mark.slow) for one in VERSIONS[:-1]])
def test_every_earlier_version_reaches_the_same_head(
    empty: Empty, climbing: Database, server: EmbeddedServer, straight: list[tuple[str, ...]], earlier: str
) -> None:
    migrate(climbing, earlier)
    assert version(climbing) == earlier
    database = empty()
    with psycopg.connect(server.url(), autocommit=True) as session:
        session.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = 'climbing'")
        session.execute(f"CREATE DATABASE {conninfo_to_dict(database.admin_url)['dbname']} TEMPLATE climbing STRATEGY FILE_COPY")  # type: ignore[arg-type]
    assert migrate(database) == (earlier, head())
    assert schema(database) == straight


def test_the_last_step_goes_back_and_forth(migrated: Database) -> None:
    before = schema(migrated)
    assert migrate(migrated, "-1") == (head(), VERSIONS[-2])
    assert migrate(migrated) == (VERSIONS[-2], head())
    assert schema(migrated) == before


def test_every_step_goes_back(migrated: Database) -> None:
    migrate(migrated, "base")
    assert [row for row in schema(migrated) if "alembic_version" not in str(row)] == []
    assert migrate(migrated) == (None, head())


def test_rows_survive_the_step_back_of_other_tables(migrated: Database) -> None:
    with migrated.connect("pipeline") as connection:
        connection.execute("INSERT INTO organizations (organization_id, slug) VALUES (learning.organization_id('kept'), 'kept')")
    migrate(migrated, "-1")
    migrate(migrated)
    with migrated.connect("pipeline") as connection:
        assert connection.execute("SELECT slug FROM organizations").fetchall() == [("kept",)]


def test_a_version_from_the_future_is_refused_and_left_alone(empty: Empty) -> None:
    database = empty()
    migrate(database)
    with database.connect("owner") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(LearningError, match=r"9999.*does not know.*newer one"):
        migrate(database)
    assert version(database) == "9999"


def test_an_unknown_target_is_refused_with_the_known_ones(empty: Empty) -> None:
    with pytest.raises(LearningError, match="0001"):
        migrate(empty(), "no-such-version")


def test_a_step_that_fails_leaves_the_version_before(empty: Empty) -> None:
    database = empty()
    migrate(database, "0005")
    with database.connect("owner") as connection:
        connection.execute("CREATE TABLE learning.audit_log (x integer)")  # stands in the way of 0006
    with pytest.raises(Exception, match="audit_log"):
        migrate(database)
    assert version(database) == "0005"


def test_two_migrators_of_one_empty_server_both_succeed(empty: Empty) -> None:
    database = empty()
    start = threading.Barrier(3)

    def run(_: int) -> str | None:
        start.wait()
        return migrate(database)[1]

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(run, range(3))) == [head()] * 3


def test_migrators_of_several_databases_of_one_server_do_not_disturb_each_other(empty: Empty) -> None:
    databases = [empty() for _ in range(3)]
    start = threading.Barrier(3)

    def prepare(database: Database) -> None:
        start.wait()
        for _ in range(10):
            roles.prepare(database)

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(prepare, databases))


def test_head_is_required_by_name(empty: Empty) -> None:
    database = empty()
    migrate(database, VERSIONS[-2])
    with pytest.raises(LearningError, match=f"at version {VERSIONS[-2]}.*learning-pipelines migrate"):
        require_head(database)


def test_the_service_looks_at_the_schema_with_its_own_login_alone(empty: Empty) -> None:
    database = empty()
    migrate(database, "0048")
    own = Database(database.role_urls["api"], database.dagster_url, {"api": database.role_urls["api"]}, embedded=False)
    with pytest.raises(LearningError, match=r"older than this version needs.*learning-pipelines migrate"):
        require_head(own)
    migrate(database)
    require_head(own)


def test_an_embedded_database_that_is_not_there_yet_is_migrated_on_the_spot(empty: Empty) -> None:
    database = empty()
    require_head(database)
    assert version(database) == head()


def test_month_partitions_are_made_ahead_and_once(migrated: Database) -> None:
    later = dt.datetime.now(dt.UTC).date() + dt.timedelta(days=62)
    assert make_partitions(migrated, later) > 0
    assert make_partitions(migrated, later) == 0


def test_partitions_follow_each_other_without_a_gap_over_the_turn_of_a_year(migrated: Database) -> None:
    make_partitions(migrated, dt.date(2031, 12, 31))
    with migrated.connect("owner") as connection:
        names = connection.execute("SELECT relname FROM pg_class WHERE relname LIKE 'agent_feedback_203%' AND relkind = 'r' ORDER BY 1").fetchall()
    assert [name[-7:] for (name,) in names] == ["2031_11", "2031_12", "2032_01", "2032_02", "2032_03", "2032_04"]
