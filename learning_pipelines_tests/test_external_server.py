"""A PostgreSQL server of one's own (LEARNING_DATABASE_URL), with a login that is no superuser: migrate, import, verify, run.

Belongs here: what differs from the embedded server. Not here: the verbs themselves (cli/), schema and roles (storage/).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from learning_pipelines.storage import embedded
from learning_pipelines_tests.cli.command_line import Ended, call, write_rows
from learning_pipelines_tests.feedback.rows import AGENT, execution, said

LOGIN = "CREATE ROLE operator LOGIN PASSWORD 'sesame' CREATEROLE CREATEDB NOSUPERUSER"


@dataclass(frozen=True)
class Server:
    """A server as its administrator hands it over: an empty database with pgvector, and a login that owns it."""

    url: str
    superuser_url: str


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Technically another embedded server; its roles do not exist yet, unlike on the one that all other tests share."""
    home = tmp_path_factory.mktemp("elsewhere")
    server = embedded.ensure_running(home)
    try:
        with psycopg.connect(server.url(), autocommit=True) as session:
            session.execute(LOGIN)
            session.execute("CREATE DATABASE service OWNER operator")
        with psycopg.connect(server.url("service"), autocommit=True) as session:
            session.execute("CREATE EXTENSION vector")  # not trusted everywhere: the administrator makes it
        yield Server(server.url("service", "operator", "sesame"), server.url("service"))
    finally:
        embedded.stop(home)
        shutil.rmtree(server.data_dir.parent, ignore_errors=True)


@pytest.fixture(scope="module")
def use(elsewhere: Server, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Ended]:
    """`use("migrate")` runs a verb against that server; it was migrated before."""
    home = tmp_path_factory.mktemp("client")

    def run(*arguments: str | Path, **variables: str) -> Ended:
        return call(home, *arguments, **{"LEARNING_DATABASE_URL": elsewhere.url, **variables})

    refused = run("import", "agents", write_rows(home / "agents.jsonl", [AGENT]))
    assert (refused.code, refused.out) == (1, "")
    assert "is empty" in refused.err
    assert "Run `learning-pipelines migrate`" in refused.err
    assert "sesame" not in refused.err
    migrated = run("migrate", "--json")
    assert migrated.code == 0, migrated.err
    assert migrated.document["before"] is None
    yield run
    assert not (home / "postgres").exists()


def test_a_login_without_superuser_can_migrate_and_again(use: Callable[..., Ended]) -> None:
    again = use("migrate", "--json")
    assert again.code == 0, again.err
    assert again.document["before"] == again.document["after"]


def test_the_roles_it_made_are_bound_and_cannot_log_in(use: Callable[..., Ended], elsewhere: Server) -> None:
    with psycopg.connect(elsewhere.superuser_url) as session:
        rows = session.execute("SELECT rolname, rolsuper, rolbypassrls, rolcanlogin FROM pg_roles WHERE rolname LIKE 'learning\\_%' ORDER BY 1").fetchall()
    assert rows == [(name, False, False, False) for name in ("learning_api", "learning_owner", "learning_pipeline")]


def test_verify_passes_and_warns_that_the_main_login_can_undo_set_role(use: Callable[..., Ended]) -> None:
    ended = use("verify", "--json")
    assert ended.code == 0, ended.out
    advice = {one["name"]: one["advice"] for one in ended.document["checks"]}
    for role in ("api", "pipeline"):
        assert f"LEARNING_{role.upper()}_DATABASE_URL is not set" in advice[f"login of the role learning_{role}"]
        assert "SET ROLE" in advice[f"login of the role learning_{role}"]


def test_import_run_status_and_report_work_as_on_the_embedded_server(use: Callable[..., Ended], tmp_path: Path) -> None:
    for kind, row in (("agents", AGENT), ("executions", execution("e1")), ("feedback", said("f1", "e1"))):
        ended = use("import", kind, write_rows(tmp_path / f"{kind}.jsonl", [row]), "--json")
        assert ended.code == 0, ended.err
    ran = use("run", "dataset_refresh", "--json")
    assert (ran.code, ran.document["status"]) == (0, "success"), ran.err
    status = use("status", "--json")
    assert (status.code, status.document["counts"]["learning_examples"]) == (0, 1), status.err
    assert use("report").code == 0


def test_logins_of_their_own_are_used_and_checked(use: Callable[..., Ended], elsewhere: Server) -> None:
    with psycopg.connect(elsewhere.superuser_url, autocommit=True) as session:
        session.execute("CREATE ROLE worker LOGIN PASSWORD 'sesame' IN ROLE learning_pipeline")
        session.execute("CREATE ROLE almighty LOGIN PASSWORD 'sesame' SUPERUSER")
    worker, almighty = (elsewhere.url.replace("operator:", f"{name}:") for name in ("worker", "almighty"))
    good = {one["name"]: one for one in use("verify", "--json", LEARNING_PIPELINE_DATABASE_URL=worker).document["checks"]}
    bad = {one["name"]: one for one in use("verify", "--json", LEARNING_PIPELINE_DATABASE_URL=almighty).document["checks"]}
    assert (good["login of the role learning_pipeline"]["ok"], good["login of the role learning_pipeline"]["advice"]) == (True, "")
    assert not bad["login of the role learning_pipeline"]["ok"]
    assert use("status", "--json", LEARNING_PIPELINE_DATABASE_URL=worker).code == 0


def test_a_login_that_may_not_create_roles_is_told_what_it_needs(elsewhere: Server, tmp_path: Path) -> None:
    with psycopg.connect(elsewhere.superuser_url, autocommit=True) as session:
        session.execute("CREATE ROLE guest LOGIN PASSWORD 'sesame'")
        session.execute("CREATE DATABASE unprepared OWNER guest")
        session.execute("CREATE DATABASE guests_dagster OWNER guest")
    base = elsewhere.url.replace("operator:", "guest:").rpartition("/")[0]
    ended = call(tmp_path, "migrate", LEARNING_DATABASE_URL=f"{base}/unprepared", LEARNING_DAGSTER_DATABASE_URL=f"{base}/guests_dagster")
    assert (ended.code, ended.out) == (1, "")
    assert "CREATEROLE" in ended.err
    assert "sesame" not in ended.err
