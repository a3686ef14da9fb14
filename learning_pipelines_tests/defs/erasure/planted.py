"""An installation with a person in it whose words and ids are unmistakable, and with others who must stay as they are.

Belongs here: the installation, who the person is, how rows and runs get into it. Not here: what is said (planted_rows.py), learnt (planted_learnt.py).
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import orjson
import psycopg
import pytest

from learning_pipelines.definitions import defs
from learning_pipelines.defs.instance import environment
from learning_pipelines.feedback.identity import organization_id, user_id
from learning_pipelines.feedback.importing import import_file, window_now
from learning_pipelines.settings import Settings
from learning_pipelines.storage.database import Connection, Database, open_database
from learning_pipelines.storage.embedded import EmbeddedServer
from learning_pipelines.storage.migrate import migrate
from learning_pipelines.storage.store import Store
from learning_pipelines_tests.conftest import MakeDatabase
from learning_pipelines_tests.defs.erasure.looking import Needles, in_files, in_tables
from learning_pipelines_tests.fake_endpoint import FakeEndpoint
from learning_pipelines_tests.feedback.rows import Row

NAME, WORD, ID = "qorvathzelmin", "blorvextun", "idgrumvexa"
"""What the outside calls the person; a word that stands in everything they said and in everything that was done for them; what their rows' ids begin with."""
OTHER = "elsewhere"
"""Another organization, which has a person of the same external id."""
PERSON = user_id(organization_id("default"), NAME)


@dataclass
class Planted:
    """An installation on the server of all tests. `model`: the endpoint of the language models, by a real protocol."""

    settings: Settings
    database: Database
    model: FakeEndpoint
    _numbers: Any = field(default_factory=lambda: itertools.count(1))

    @property
    def store(self) -> Store:
        return Store(self.settings, self.database)

    def load(self, kind: str, rows: Iterable[Row], organization: str = "default") -> None:
        """Imports rows as an operator does, all of which must be taken; the file is gone afterwards."""
        path = self.settings.home / f"{kind}_{next(self._numbers)}.jsonl"
        path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
        with self.connection() as connection:
            result = import_file(connection, organization, kind, path, window=window_now(self.settings.start_date, self.settings.zone))
        path.unlink()
        assert result.rejected == 0, result.errors

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        with self.database.connect("pipeline") as connection:
            yield connection

    @contextmanager
    def instance(self) -> Iterator[dg.DagsterInstance]:
        """Dagster's instance on PostgreSQL, as the processes of the installation have it."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in environment(self.settings, self.database).items():
                patch.setenv(name, value)
            with dg.DagsterInstance.from_config(str(self.settings.dagster_home)) as instance:
                yield instance

    def run(self, job: str, partition: str | None = None, *, tags: dict[str, str] | None = None) -> dg.ExecuteInProcessResult:
        """Runs a job of the code location; it must succeed."""
        with self._running(partition) as instance:
            return defs().resolve_job_def(job).execute_in_process(
                instance=instance, partition_key=partition, tags=tags or {}, resources={"store": self.store}
            )  # fmt: skip

    def materialize(self, *assets: dg.AssetsDefinition, partition: str, **settings: Any) -> dg.ExecuteInProcessResult:
        """The same of some assets alone, with other settings."""
        store = Store(self.settings.model_copy(update=settings), self.database)
        with self._running(partition) as instance:
            return dg.materialize([*assets], instance=instance, partition_key=partition, resources={"store": store})

    @contextmanager
    def _running(self, partition: str | None) -> Iterator[dg.DagsterInstance]:
        with self.instance() as instance, pytest.MonkeyPatch.context() as patch:
            patch.setenv("OPENAI_BASE_URL", self.model.base_url)
            patch.setenv("OPENAI_API_KEY", "none")
            if partition is not None and "/" in partition:
                instance.add_dynamic_partitions("agents", [partition])
            yield instance

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Rows as the pipeline sees them."""
        with self.connection() as connection:
            return connection.execute(query, values or None).fetchall()  # type: ignore[call-overload,no-any-return]

    def one(self, query: str, *values: object) -> Any:
        ((value,),) = self.rows(query, *values)
        return value


@contextmanager
def installation(server: EmbeddedServer, make_database: MakeDatabase, home: Path, **settings: Any) -> Iterator[Planted]:
    """An installation whose databases are dropped at the end of the block."""
    with make_database() as made, FakeEndpoint().running() as model:
        dagster = f"{psycopg.conninfo.conninfo_to_dict(made.admin_url)['dbname']}_dagster"
        given = {
            "home": home, "database_url": made.admin_url, "dagster_database_url": server.url(dagster), "artifacts_url": None, "duplicate_cosine": None,
            "timezone": "Europe/Berlin", "task_model": "fake", "judge_model": "fake-judge", "min_executions": 1, "optimization_calls": 90,
            "planned_effect": 0.45, "rag_min_pairs": 20, "rate_limits": "key=100000/second,user=100000/second,address=100000/second",
            "token_secret": "token secret of the tests, 32 bytes long", "jwt_secret": "jwt secret of the tests, at least forty-eight bytes long",
            "jwt_audience": "learning", **settings,
        }  # fmt: skip
        chosen = Settings(**given)
        try:
            one = Planted(chosen, open_database(chosen), model)
            migrate(one.database)  # makes Dagster's database
            yield one
        finally:
            with psycopg.connect(server.url(), autocommit=True) as session:
                session.execute(f"DROP DATABASE IF EXISTS {dagster} WITH (FORCE)")  # type: ignore[arg-type]


@contextmanager
def copy_of(original: Planted, server: EmbeddedServer, home: Path) -> Iterator[Planted]:
    """Another installation that holds the same; its databases are dropped at the end of the block."""
    before = [str(original.settings.database_url), str(original.settings.dagster_database_url)]
    names = [str(psycopg.conninfo.conninfo_to_dict(url)["dbname"]) for url in before]
    shutil.copytree(original.settings.home, home)
    chosen = original.settings.model_copy(
        update={"home": home, "database_url": server.url(f"{names[0]}_copy"), "dagster_database_url": server.url(f"{names[1]}_copy")}
    )
    with psycopg.connect(server.url(), autocommit=True) as session:
        try:
            for name in names:
                session.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", [name])
                session.execute(f"CREATE DATABASE {name}_copy TEMPLATE {name} STRATEGY FILE_COPY")  # type: ignore[arg-type]
            yield Planted(chosen, open_database(chosen), original.model)
        finally:
            for name in names:
                session.execute(f"DROP DATABASE IF EXISTS {name}_copy WITH (FORCE)")  # type: ignore[arg-type]


def needles_of(planted: Planted) -> Needles:
    """Names and words of the person, and ids and hashes derived from their rows: by them a trace could be found that bears no word of theirs.

    What others said as well (an example that also stands on what somebody else said of somebody else's execution) may come back, and is not among them.
    """
    whose = "(s.user_id = %(p)s OR s.input_user_id = %(p)s)"
    mine = f"""(SELECT s.example_id FROM example_sources s GROUP BY s.example_id
        HAVING bool_or({whose}) AND NOT bool_or(s.user_id <> %(p)s AND s.input_user_id IS DISTINCT FROM %(p)s)
        UNION SELECT e.id FROM learning_examples e WHERE e.user_id = %(p)s AND e.id NOT IN (SELECT example_id FROM example_sources))"""
    queries = (
        mine[1:-1],
        f"SELECT encode(content_hash, 'hex') FROM learning_examples WHERE id IN {mine} AND content_hash IS NOT NULL",
        f"SELECT encode(content_hash, 'hex') FROM dataset_examples WHERE example_id IN {mine}",
        f"SELECT id FROM preference_pairs WHERE chosen_example_id IN {mine} OR rejected_example_id IN {mine}",
        "SELECT id FROM retrieval_queries WHERE people = ARRAY[%(p)s::text]",
        "SELECT text_hash::text FROM feedback_texts WHERE user_id = %(p)s",
        "SELECT id::text FROM expert_annotations WHERE expert_id = %(p)s",
        "SELECT example_id FROM expert_annotations WHERE expert_id = %(p)s AND corrected_output IS NOT NULL",
        "SELECT id FROM agent_executions WHERE user_id = %(p)s", "SELECT id FROM retrieval_events WHERE user_id = %(p)s",
        "SELECT id FROM agent_feedback WHERE user_id = %(p)s OR execution_id IN (SELECT id FROM agent_executions WHERE user_id = %(p)s)",
    )
    with planted.connection() as connection:
        ids = {str(row[0]) for query in queries for row in connection.execute(query, {"p": PERSON}).fetchall()}  # type: ignore[call-overload]
    return Needles(NAME, WORD, ID, ids=[str(PERSON), *ids])


def shared_of(planted: Planted) -> dict[str, str]:
    """Examples that the person is a source of and others are as well, and the execution each stands on: they go, and are derived again without the person."""
    rows = planted.rows(
        """SELECT s.example_id, min(s.execution_id) FROM example_sources s GROUP BY s.example_id
        HAVING bool_or(s.user_id = %(p)s) AND bool_or(s.user_id <> %(p)s AND s.input_user_id IS DISTINCT FROM %(p)s)""".replace("%(p)s", f"'{PERSON}'")
    )
    return {str(example): str(execution) for example, execution in rows}


def traces(planted: Planted, needles: Needles) -> set[str]:
    """Where anything of the person is: `table.column`, `dagster: table.column`, files. The other organization's person is somebody else."""
    found = in_tables(planted.database.admin_url, needles, organization_id(OTHER))
    found |= {f"dagster: {one}" for one in in_tables(planted.database.dagster_url, needles)}
    return found | in_files(planted.settings.home, needles)
