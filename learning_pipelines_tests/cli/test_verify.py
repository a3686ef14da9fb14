"""`learning-pipelines verify` on a sound installation and after each thing that can go wrong with its database.

Belongs here: faults planted in the database of the shared home and taken away again. Not here: homes and servers that are away (test_bad_input.py).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from learning_pipelines.storage.installation import Finding, findings
from learning_pipelines.storage.migrate import head, migrate, versions
from learning_pipelines_tests.cli.command_line import call, database_of, write_rows
from learning_pipelines_tests.cli.conftest import Load
from learning_pipelines_tests.feedback.rows import AGENT

CHECKS = [
    "LEARNING_HOME writable", "database reachable", "PostgreSQL 15 or newer", "schema at head", "row-level security forced on every table",
    "roles without BYPASSRLS", "month partitions ahead of time", "pgvector 0.8 or newer", "login of the role learning_api",
    "login of the role learning_pipeline", "Dagster's database reachable", "archived files as they were written", "code location loads",
    "schedules and sensors on",
]  # fmt: skip


@contextmanager
def planted(home: Path, fault: str, mended: str) -> Iterator[None]:
    """A fault in the database as its superuser can make it, for as long as it takes."""

    def execute(statement: str) -> None:
        with psycopg.connect(database_of(home).admin_url, autocommit=True) as connection:
            connection.execute(statement)  # type: ignore[arg-type]

    execute(fault)
    try:
        yield
    finally:
        execute(mended)


def failures(home: Path) -> dict[str, str]:
    """Names and advice of the checks that fail; the exit code must fit."""
    ended = call(home, "verify", "--json")
    found = {one["name"]: one["advice"] for one in ended.document["checks"] if not one["ok"]}
    assert (ended.code, ended.document["ok"]) == (1 if found else 0, not found)
    return found


def still_wrong(home: Path) -> list[Finding]:
    """The failed checks of the database alone: loading the code location takes seconds."""
    return [one for one in findings(database_of(home)) if not one.ok]


@pytest.fixture(autouse=True)
def prepared(load_rows: Load) -> None:
    load_rows("agents", [AGENT], "verified")


def test_a_sound_installation_passes_every_check(home: Path) -> None:
    ended = call(home, "verify", "--json")
    assert ended.code == 0, ended.out
    assert [(one["name"], one["ok"]) for one in ended.document["checks"]] == [(name, True) for name in CHECKS]


def test_security_switched_off_is_found_on_tables_and_on_partitions(home: Path) -> None:
    with database_of(home).connect("owner") as owner:
        row = owner.execute("SELECT max(relname) FROM pg_class WHERE relispartition AND relname LIKE 'agent_feedback_2%' AND relkind = 'r'").fetchone()
    assert row is not None
    with (
        planted(home, "ALTER TABLE learning.learning_examples NO FORCE ROW LEVEL SECURITY", "ALTER TABLE learning.learning_examples FORCE ROW LEVEL SECURITY"),
        planted(home, f"ALTER TABLE learning.{row[0]} DISABLE ROW LEVEL SECURITY", f"ALTER TABLE learning.{row[0]} ENABLE ROW LEVEL SECURITY"),
    ):
        found = failures(home)
    assert list(found) == ["row-level security forced on every table"]
    advice = found["row-level security forced on every table"]
    assert "learning_examples" in advice
    assert row[0] in advice


def test_a_role_that_may_bypass_security_is_found_and_migrate_takes_it_back(home: Path) -> None:
    with planted(home, "ALTER ROLE learning_pipeline BYPASSRLS", "ALTER ROLE learning_pipeline NOBYPASSRLS"):
        found = failures(home)
        assert "ALTER ROLE" in found["roles without BYPASSRLS"]
        assert "learning_pipeline" in found["roles without BYPASSRLS"]
        call(home, "migrate")
        assert still_wrong(home) == []


def test_a_missing_partition_is_found_and_migrate_makes_it(home: Path) -> None:
    this_month = dt.datetime.now(dt.UTC).date().replace(day=1)
    with database_of(home).connect("owner") as owner:
        owner.execute(f"DROP TABLE agent_executions_{this_month + dt.timedelta(days=32):%Y_%m}")  # type: ignore[arg-type]
    found = failures(home)
    assert list(found) == ["month partitions ahead of time"]
    assert "learning-pipelines migrate" in found["month partitions ahead of time"]
    assert call(home, "migrate").code == 0
    assert still_wrong(home) == []


def test_a_login_that_no_longer_works_is_found(home: Path) -> None:
    with planted(home, "ALTER ROLE learning_pipeline NOLOGIN", "ALTER ROLE learning_pipeline LOGIN"):
        assert list(failures(home)) == ["login of the role learning_pipeline"]


def test_an_older_schema_is_named_by_every_verb_and_migrate_brings_it_up(home: Path, tmp_path: Path) -> None:
    database = database_of(home)
    older = versions()[-2]
    migrate(database, older)
    try:
        found = failures(home)
        assert older in found["schema at head"]
        assert "learning-pipelines migrate" in found["schema at head"]
        agents = write_rows(tmp_path / "agents.jsonl", [AGENT])
        for typed in (["import", "agents", agents], ["run", "cleanup"], ["status"], ["report"]):
            ended = call(home, *typed)
            assert (ended.code, ended.out) == (1, ""), typed
            assert "Run `learning-pipelines migrate`" in ended.err
    finally:
        ended = call(home, "migrate", "--json")
    assert (ended.code, ended.document["before"], ended.document["after"]) == (0, older, head())
    assert still_wrong(home) == []


def test_a_newer_schema_is_refused_rather_than_changed(home: Path) -> None:
    with planted(home, "UPDATE learning.alembic_version SET version_num = '9999'", f"UPDATE learning.alembic_version SET version_num = '{head()}'"):
        ended = call(home, "migrate")
    assert (ended.code, ended.out) == (1, "")
    assert "9999, which this version of learning_pipelines does not know" in ended.err
