"""Rows that try to cross the border between tenants, users and roles: in every table, by reading, inserting and updating.

Belongs here: what the API's role can reach. Not here: the catalog that makes it so (test_tenancy.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import psycopg
import pytest

from learning_pipelines.feedback.identity import organization_id, user_id
from learning_pipelines.storage.database import Connection, Database
from learning_pipelines_tests.conftest import MakeDatabase
from learning_pipelines_tests.storage.one_row import one_row, tables

OURS, THEIRS = organization_id("ours"), organization_id("theirs")
ADA, BOB = user_id(OURS, "ada"), user_id(OURS, "bob")
Denied = psycopg.errors.InsufficientPrivilege
OWN = ("agent_executions", "agent_feedback", "retrieval_events")


@pytest.fixture(scope="module")
def database(make_database: MakeDatabase) -> Iterator[Database]:
    """Two organizations with a row in every table; ours has a second user in the tables that people see only their own rows of."""
    with make_database() as fresh:
        with psycopg.connect(fresh.admin_url, autocommit=True) as session:
            session.execute("SET session_replication_role = replica")  # foreign keys are not what is tried here
            for table in tables(session):
                for organization, slug in ((OURS, "ours"), (THEIRS, "theirs")):
                    one_row(session, table, organization_id=organization, slug=slug, user_id=user_id(organization, "ada"))
            for table in OWN:
                one_row(session, table, organization_id=OURS, id="of bob", user_id=BOB)
        yield fresh


@pytest.fixture(scope="module")
def all_tables(database: Database) -> list[str]:
    with psycopg.connect(database.admin_url) as session:
        return tables(session)


@pytest.fixture
def api(database: Database) -> Iterator[Connection]:
    """A connection of the API inside one transaction in which nothing is set."""
    with database.connect("api", autocommit=False) as connection:
        yield connection
        connection.rollback()


def act_as(connection: Connection, organization: UUID | None = OURS, user: UUID | None = None, role: str = "admin", principal: str = "") -> None:
    """Sets who acts, for this transaction."""
    values = {"organization_id": organization, "user_id": user, "role": role, "principal": principal}
    for name, value in values.items():
        connection.execute("SELECT set_config(%s, %s, true)", [f"app.current_{name}", "" if value is None else str(value)])


def attempt(connection: Connection, query: str, values: Any = None) -> Any:
    """The rows or row count of a statement, or the error's class; either way the transaction goes on."""
    try:
        with connection.transaction():
            cursor = connection.execute(query, values)  # type: ignore[call-overload]
            return cursor.fetchall() if cursor.description else cursor.rowcount
    except psycopg.Error as error:
        return type(error)


def test_rows_of_another_organization_cannot_be_read(api: Connection, all_tables: list[str]) -> None:
    act_as(api)
    seen = {table: attempt(api, f"SELECT DISTINCT organization_id FROM {table}") for table in all_tables}
    assert {table: found for table, found in seen.items() if found not in ([(OURS,)], Denied)} == {}
    assert sum(found == [(OURS,)] for found in seen.values()) > 20


def test_rows_of_another_organization_cannot_be_read_through_the_view(api: Connection) -> None:
    act_as(api)
    assert attempt(api, "SELECT DISTINCT organization_id FROM feedback_in_force") == [(OURS,)]


def test_rows_cannot_be_inserted_for_another_organization(database: Database, api: Connection, all_tables: list[str]) -> None:
    act_as(api)
    crossed = []
    for table in all_tables:
        try:
            with api.transaction():
                one_row(api, table, organization_id=THEIRS, slug="theirs", id_suffix="new", user_id=user_id(THEIRS, "ada"))
            crossed.append(table)
        except Denied:
            pass
    assert crossed == []


def test_rows_can_be_inserted_for_the_own_organization_where_the_api_writes(api: Connection) -> None:
    act_as(api, user=ADA)
    one_row(api, "agent_feedback", organization_id=OURS, id="new", user_id=ADA)
    one_row(api, "outbox", organization_id=OURS)
    one_row(api, "ingest_keys", organization_id=OURS, external_id="new")


def test_an_update_touches_rows_of_the_own_organization_only(api: Connection, all_tables: list[str]) -> None:
    act_as(api)
    touched = {table: attempt(api, f"UPDATE {table} SET organization_id = organization_id") for table in all_tables}
    assert {table: count for table, count in touched.items() if count not in (2 if table in OWN else 1, Denied)} == {}
    assert sum(count == 1 for count in touched.values()) > 5


def test_no_row_can_be_moved_to_another_organization(api: Connection, all_tables: list[str]) -> None:
    act_as(api)
    moved = {table: attempt(api, f"UPDATE {table} SET organization_id = %s", [THEIRS]) for table in all_tables}
    assert {table: result for table, result in moved.items() if result is not Denied} == {}


def test_no_row_can_be_deleted(api: Connection, all_tables: list[str]) -> None:
    act_as(api)
    assert {attempt(api, f"DELETE FROM {table}") for table in all_tables} == {Denied}


@pytest.mark.parametrize("query", ["SELECT count(*) FROM {}", "SELECT FROM {} LIMIT 1", "UPDATE {} SET organization_id = organization_id"])
def test_an_unset_organization_raises_on_every_table(api: Connection, all_tables: list[str], query: str) -> None:
    assert {table: attempt(api, query.format(table)) for table in all_tables} == dict.fromkeys(all_tables, Denied)


def test_an_unset_organization_raises_on_empty_tables_too(make_database: MakeDatabase, all_tables: list[str]) -> None:
    with make_database() as empty, empty.connect("api", autocommit=False) as api:
        for query in ("SELECT count(*) FROM {}", "UPDATE {} SET organization_id = organization_id"):
            assert {table: attempt(api, query.format(table)) for table in all_tables} == dict.fromkeys(all_tables, Denied)


def test_the_error_of_an_unset_organization_says_so(api: Connection) -> None:
    with pytest.raises(Denied, match="no organization is set"):
        api.execute("SELECT count(*) FROM agents")


def test_a_pooled_connection_forgets_the_organization_with_the_transaction(api: Connection, all_tables: list[str]) -> None:
    act_as(api)
    assert attempt(api, "SELECT organization_id FROM agents") == [(OURS,)]
    api.commit()
    assert {table: attempt(api, f"SELECT count(*) FROM {table}") for table in all_tables} == dict.fromkeys(all_tables, Denied)


def test_an_organization_that_is_no_uuid_raises(api: Connection) -> None:
    api.execute("SELECT set_config('app.current_organization_id', 'ours', true)")
    assert attempt(api, "SELECT count(*) FROM agents") is psycopg.errors.InvalidTextRepresentation


def test_an_organization_that_does_not_exist_sees_nothing(api: Connection) -> None:
    act_as(api, organization_id("nobody"))
    assert attempt(api, "SELECT count(*) FROM agents") == [(0,)]


def test_the_pipeline_sees_all_organizations(database: Database, all_tables: list[str]) -> None:
    with database.connect("pipeline") as pipeline:
        seen = {table: {row[0] for row in pipeline.execute(f"SELECT organization_id FROM {table}").fetchall()} for table in all_tables}  # type: ignore[arg-type]
    assert {table: found for table, found in seen.items() if found != {OURS, THEIRS}} == {}


@pytest.mark.parametrize("role", ["api", "pipeline"])
def test_a_partition_addressed_by_name_is_denied(database: Database, role: Any) -> None:
    with database.connect(role, autocommit=False) as connection:
        act_as(connection)
        found = connection.execute("SELECT oid::regclass::text FROM pg_class WHERE relispartition AND relkind = 'r'").fetchall()
        assert len(found) > 10
        assert {attempt(connection, f"SELECT count(*) FROM learning.{name.removeprefix('learning.')}") for (name,) in found} == {Denied}


@pytest.mark.parametrize("table", OWN)
def test_a_person_with_role_user_sees_their_own_rows_only(api: Connection, table: str) -> None:
    act_as(api, user=ADA, role="user")
    assert attempt(api, f"SELECT user_id FROM {table}") == [(ADA,)]


@pytest.mark.parametrize("table", OWN)
def test_whoever_sets_no_role_is_a_person_with_role_user(api: Connection, table: str) -> None:
    act_as(api, user=BOB, role="")
    assert attempt(api, f"SELECT user_id FROM {table}") == [(BOB,)]


def test_somebody_without_a_name_sees_no_feedback(api: Connection) -> None:
    act_as(api, role="user")
    assert attempt(api, "SELECT count(*) FROM agent_feedback") == [(0,)]


@pytest.mark.parametrize("role", ["expert", "trainer", "experimenter", "admin"])
def test_every_other_role_sees_the_feedback_of_all(api: Connection, role: str) -> None:
    act_as(api, user=ADA, role=role)
    assert attempt(api, "SELECT count(*) FROM agent_feedback") == [(2,)]


def test_an_application_with_role_user_sees_the_feedback_of_all(api: Connection) -> None:
    act_as(api, role="user", principal="application")
    assert attempt(api, "SELECT count(*) FROM agent_feedback") == [(2,)]


@pytest.mark.parametrize("table", OWN)
def test_a_person_cannot_write_in_the_name_of_another(api: Connection, table: str) -> None:
    act_as(api, user=ADA, role="user")
    with pytest.raises(Denied):
        one_row(api, table, organization_id=OURS, id="forged", user_id=BOB)


@pytest.mark.parametrize(
    ("table", "readers"),
    [
        ("learning_examples", {"expert", "trainer", "admin"}),
        ("demonstrations", {"expert", "trainer", "admin"}),
        ("training_runs", {"trainer", "admin"}),
        ("training_datasets", {"trainer", "admin"}),
        ("learning_experiments", {"experimenter", "admin"}),
        ("audit_log", {"admin"}),
        ("agents", {"user", "expert", "trainer", "experimenter", "admin"}),
    ],
)
def test_a_table_is_read_by_the_roles_that_work_with_it(api: Connection, table: str, readers: set[str]) -> None:
    seen = set()
    for role in ("user", "expert", "trainer", "experimenter", "admin"):
        act_as(api, user=ADA, role=role)
        if attempt(api, f"SELECT count(*) FROM {table}") == [(1,)]:
            seen.add(role)
    assert seen == readers
