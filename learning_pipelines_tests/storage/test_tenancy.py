"""What the catalog promises about tenants: every table, partition, key, policy, grant and role is looked at, also those to come.

Belongs here: the schema as PostgreSQL describes it. Not here: rows that try to cross the border (test_isolation.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from learning_pipelines.storage.database import Database
from learning_pipelines.storage.embedded import EmbeddedServer
from learning_pipelines_tests.conftest import MakeDatabase

EXEMPT = "alembic_version"
TABLES = f"FROM pg_class c WHERE relnamespace = 'learning'::regnamespace AND relkind IN ('r', 'p') AND relname <> '{EXEMPT}'"
COLUMNS = """(SELECT array_agg(attname::text ORDER BY place) FROM unnest({keys}) WITH ORDINALITY AS k (number, place)
    JOIN pg_attribute ON attrelid = {table} AND attnum = number)"""
NAMED_INDEXES = {
    "learning_examples": [("agent_id", "review_status"), ("domain", "task_type"), ("source_type", "created_at"), ("is_active",)],
    "agent_feedback": [("execution_id",), ("agent_id", "created_at"), ("user_id", "created_at")],
    "expert_annotations": [("example_id",), ("expert_id", "created_at")],
    "training_runs": [("agent_id", "status"), ("dataset_id",)],
    "learning_experiments": [("agent_id", "status")],
    "dataset_examples": [("dataset_id",), ("example_id",)],
}


@pytest.fixture(scope="module")
def database(make_database: MakeDatabase) -> Iterator[Database]:
    with make_database() as fresh:
        yield fresh


@pytest.fixture(scope="module")
def catalog(database: Database) -> Iterator[psycopg.Connection[Any]]:
    """A superuser's view of the catalog."""
    with psycopg.connect(database.admin_url, autocommit=True, options="-c search_path=learning,public") as session:
        yield session


def names(catalog: psycopg.Connection[Any], query: str) -> list[str]:
    return [" ".join(str(value) for value in row) for row in catalog.execute(query).fetchall()]  # type: ignore[arg-type]


def test_there_are_tables_and_partitions_to_look_at(catalog: psycopg.Connection[Any]) -> None:
    found = names(catalog, f"SELECT relname {TABLES}")
    assert {"organizations", "learning_examples", "agent_feedback", "outbox", "audit_log"} <= set(found)
    assert sum(name.startswith("agent_feedback_2") for name in found) >= 5


def test_row_security_is_enabled_and_forced_on_every_table_and_partition(catalog: psycopg.Connection[Any]) -> None:
    assert names(catalog, f"SELECT relname {TABLES} AND NOT (relrowsecurity AND relforcerowsecurity)") == []


def test_the_owner_has_a_policy_of_its_own_on_every_table_and_partition(catalog: psycopg.Connection[Any]) -> None:
    without = f"""SELECT relname {TABLES} AND NOT EXISTS (SELECT FROM pg_policies p WHERE p.schemaname = 'learning' AND p.tablename = c.relname
        AND p.roles = '{{learning_owner}}' AND p.cmd = 'ALL' AND p.qual = 'true' AND p.with_check = 'true')"""
    assert names(catalog, without) == []


def test_every_table_belongs_to_the_owner(catalog: psycopg.Connection[Any]) -> None:
    assert names(catalog, f"SELECT relname {TABLES} AND relowner <> 'learning_owner'::regrole") == []


def test_every_policy_of_the_api_asks_for_the_organization(catalog: psycopg.Connection[Any]) -> None:
    found = catalog.execute("SELECT tablename, policyname, qual, with_check FROM pg_policies WHERE roles = '{learning_api}'").fetchall()
    assert len(found) > 30
    asks = re.compile(r"SELECT current_organization_id\(\).{1,40}IS NOT NULL\) AND \(organization_id = \( SELECT current_organization_id\(\)")
    assert [(table, policy) for table, policy, *conditions in found for text in conditions if text is not None and not asks.search(text)] == []


def test_no_policy_is_for_everyone(catalog: psycopg.Connection[Any]) -> None:
    wanted = "'{learning_owner}', '{learning_api}', '{learning_pipeline}'"
    assert names(catalog, f"SELECT tablename, policyname FROM pg_policies WHERE schemaname = 'learning' AND roles NOT IN ({wanted})") == []


def test_every_table_carries_the_organization(catalog: psycopg.Connection[Any]) -> None:
    without = f"""SELECT relname {TABLES} AND NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = c.oid AND attname = 'organization_id' AND attnotnull)"""
    assert names(catalog, without) == []


@pytest.mark.parametrize("kind", ["p", "u", "f"])
def test_every_primary_unique_and_foreign_key_starts_with_the_organization(catalog: psycopg.Connection[Any], kind: str) -> None:
    columns, targets = COLUMNS.format(keys="conkey", table="conrelid"), COLUMNS.format(keys="confkey", table="confrelid")
    found = catalog.execute(  # type: ignore[call-overload]
        f"""SELECT conrelid::regclass::text, conname, {columns}, {targets} FROM pg_constraint
        WHERE connamespace = 'learning'::regnamespace AND contype = %s AND conrelid <> '{EXEMPT}'::regclass""",
        [kind],
    ).fetchall()
    assert found
    assert [name for _, name, own, other in found if own[0] != "organization_id" or (other or own)[0] != "organization_id"] == []


def test_every_unique_index_starts_with_the_organization(catalog: psycopg.Connection[Any]) -> None:
    first = "(SELECT attname FROM pg_attribute WHERE attrelid = i.indrelid AND attnum = i.indkey[0])"
    query = f"""SELECT indexrelid::regclass FROM pg_index i JOIN pg_class c ON c.oid = indrelid
        WHERE relnamespace = 'learning'::regnamespace AND indisunique AND relname <> '{EXEMPT}' AND {first} <> 'organization_id'"""
    assert names(catalog, query) == []


def test_no_foreign_key_points_at_a_partitioned_table(catalog: psycopg.Connection[Any]) -> None:
    query = "SELECT conname FROM pg_constraint JOIN pg_class c ON c.oid = confrelid WHERE contype = 'f' AND (relkind = 'p' OR relispartition)"
    assert names(catalog, query) == []


def test_nobody_but_the_owner_has_grants_on_partitions(catalog: psycopg.Connection[Any]) -> None:
    query = f"""SELECT relname, grantee::regrole, privilege_type FROM (SELECT * {TABLES} AND relispartition) c,
        aclexplode(coalesce(relacl, acldefault('r', relowner))) WHERE grantee <> relowner"""
    assert names(catalog, query) == []


def test_only_the_three_roles_have_grants_in_the_schema(catalog: psycopg.Connection[Any]) -> None:
    query = """SELECT relname, grantee FROM pg_class c, aclexplode(coalesce(relacl, acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", relowner)))
        WHERE relnamespace = 'learning'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'S')
        AND grantee NOT IN ('learning_owner'::regrole, 'learning_api'::regrole, 'learning_pipeline'::regrole)"""
    assert names(catalog, query) == []


def test_the_api_may_delete_and_truncate_nothing(catalog: psycopg.Connection[Any]) -> None:
    assert names(catalog, f"SELECT relname {TABLES} AND has_table_privilege('learning_api', c.oid, 'DELETE, TRUNCATE, REFERENCES, TRIGGER')") == []


def test_the_audit_log_cannot_be_changed_by_anyone_but_the_owner(catalog: psycopg.Connection[Any]) -> None:
    for role in ("learning_api", "learning_pipeline"):
        assert names(catalog, f"SELECT has_table_privilege('{role}', 'learning.audit_log', 'UPDATE, DELETE, TRUNCATE')") == ["False"]


def test_only_the_owner_may_create_in_the_schema(catalog: psycopg.Connection[Any]) -> None:
    for role in ("learning_api", "learning_pipeline"):
        query = f"SELECT has_schema_privilege('{role}', 'learning', 'CREATE'), has_schema_privilege('{role}', 'learning', 'USAGE')"
        assert names(catalog, query) == ["False True"]


def test_views_see_with_the_rights_of_their_reader(catalog: psycopg.Connection[Any]) -> None:
    query = """SELECT relname FROM pg_class WHERE relnamespace = 'learning'::regnamespace AND (relkind = 'm'
        OR (relkind = 'v' AND NOT 'security_invoker=true' = ANY (coalesce(reloptions, '{}'))))"""
    assert names(catalog, query) == []


def test_no_function_runs_with_the_rights_of_its_owner(catalog: psycopg.Connection[Any]) -> None:
    assert names(catalog, "SELECT oid::regprocedure FROM pg_proc WHERE pronamespace = 'learning'::regnamespace AND prosecdef") == []


@pytest.mark.parametrize("role", ["learning_owner", "learning_api", "learning_pipeline"])
def test_a_role_can_neither_bypass_row_security_nor_make_roles(catalog: psycopg.Connection[Any], role: str) -> None:
    query = f"SELECT rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication FROM pg_roles WHERE rolname = '{role}'"
    assert names(catalog, query) == ["False False False False False"]


def test_no_role_is_a_member_of_another(catalog: psycopg.Connection[Any]) -> None:
    assert names(catalog, "SELECT roleid::regrole FROM pg_auth_members WHERE member::regrole::text LIKE 'learning\\_%'") == []


def test_each_role_logs_in_with_a_password_of_its_own(server: EmbeddedServer, database: Database) -> None:
    passwords = {psycopg.conninfo.conninfo_to_dict(url)["password"] for url in database.role_urls.values()}
    assert len(passwords | {server.password}) == 4


def test_the_fourteen_named_indexes_are_there(catalog: psycopg.Connection[Any]) -> None:
    query = f"SELECT indrelid::regclass::text, {COLUMNS.format(keys='indkey', table='indrelid')} FROM pg_index WHERE indrelid::regclass::text = ANY(%s)"
    found = {(table, tuple(columns)) for table, columns in catalog.execute(query, [list(NAMED_INDEXES)]).fetchall()}  # type: ignore[call-overload]
    wanted = [(table, ("organization_id", *columns)) for table, indexes in NAMED_INDEXES.items() for columns in indexes]
    assert len(wanted) == 14
    missing = [(table, columns) for table, columns in wanted if not any(t == table and c[: len(columns)] == columns for t, c in found)]
    assert missing == []
