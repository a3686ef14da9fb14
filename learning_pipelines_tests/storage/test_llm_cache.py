"""Answers that outlive the process and the accounts of what calls used, in the real database.

Belongs here: keeping, finding, forgetting, adding up, who may see it. Not here: when the cache is asked (test_llm.py).
"""

from __future__ import annotations

import datetime as dt
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal
from uuid import UUID

import psycopg
import pytest

from learning_pipelines.errors import LearningError
from learning_pipelines.llm import Completion, Message, Request
from learning_pipelines.llm_budget import Usage
from learning_pipelines.storage.database import Connection, Database
from learning_pipelines.storage.llm_cache import DatabaseCache, forget_answers, record_usage, total_cost, usage_between

KEY = Request((Message("user", "What is VAT?"),), 5).key("m", "here")
ANSWER = Completion("a tax – „USt“", 12, 3, 8, 0.25, False, "m", 1.5, True)
LONG_AGO, FAR_AHEAD = dt.date(2000, 1, 1), dt.date(3000, 1, 1)


def organization(connection: Connection, slug: str) -> UUID:
    row = connection.execute(
        "INSERT INTO organizations (organization_id, slug) VALUES (learning.organization_id(%s), %s) RETURNING organization_id", [slug, slug]
    ).fetchone()
    assert row is not None
    return UUID(str(row[0]))


@pytest.fixture
def here(pipeline: Connection) -> UUID:
    return organization(pipeline, "here")


def test_an_answer_is_found_again_by_another_connection(database: Database, pipeline: Connection, here: UUID) -> None:
    DatabaseCache(pipeline, here).put(KEY, ANSWER)
    with database.connect("pipeline") as later:
        assert DatabaseCache(later, here).get(KEY) == replace(ANSWER, cost_usd=0.0, from_cache=True)
        assert DatabaseCache(later, here).get("00" * 32) is None


def test_an_answer_belongs_to_one_organization(pipeline: Connection, here: UUID) -> None:
    elsewhere = organization(pipeline, "elsewhere")
    DatabaseCache(pipeline, here).put(KEY, ANSWER)
    assert DatabaseCache(pipeline, elsewhere).get(KEY) is None
    DatabaseCache(pipeline, elsewhere).put(KEY, replace(ANSWER, text="other"))
    found = [DatabaseCache(pipeline, one).get(KEY) for one in (here, elsewhere)]
    assert [one.text for one in found if one] == [ANSWER.text, "other"]


def test_the_first_answer_stays(pipeline: Connection, here: UUID) -> None:
    cache = DatabaseCache(pipeline, here)
    cache.put(KEY, ANSWER)
    cache.put(KEY, replace(ANSWER, text="second"))
    found = cache.get(KEY)
    assert found is not None and found.text == ANSWER.text


def test_an_answer_that_postgresql_cannot_hold_is_not_kept(pipeline: Connection, here: UUID) -> None:
    cache = DatabaseCache(pipeline, here)
    cache.put(KEY, replace(ANSWER, text="a\x00b"))
    assert cache.get(KEY) is None


def test_threads_share_a_cache(pipeline: Connection, here: UUID) -> None:
    cache = DatabaseCache(pipeline, here)
    keys = [f"{number:064x}" for number in range(100)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: cache.put(key, replace(ANSWER, text=key)), keys))
        found = list(pool.map(cache.get, keys))
    assert [one.text for one in found if one] == keys


def test_answers_are_forgotten_by_organization_and_by_age(pipeline: Connection, here: UUID) -> None:
    elsewhere = organization(pipeline, "elsewhere")
    for one in (here, elsewhere):
        DatabaseCache(pipeline, one).put(KEY, ANSWER)
    pipeline.execute("UPDATE llm_responses SET created_at = now() - interval '90 days' WHERE organization_id = %s", [elsewhere])
    assert forget_answers(pipeline, before=dt.datetime.now(dt.UTC) - dt.timedelta(days=30)) == 1
    assert DatabaseCache(pipeline, here).get(KEY) and not DatabaseCache(pipeline, elsewhere).get(KEY)
    assert forget_answers(pipeline, organization_id=here) == 1
    assert DatabaseCache(pipeline, here).get(KEY) is None


def test_usage_adds_up_per_role_and_model(pipeline: Connection, here: UUID) -> None:
    task = Usage("task", "m", 2, 1, 3, 100, 10, 50, Decimal("0.000000075"), 0)
    judge = Usage("judge", "n", 1, 1, 0, 7, 1, 0, Decimal(0), 1)
    record_usage(pipeline, here, "run-1", [task, judge])
    record_usage(pipeline, here, "run-1", [task])
    record_usage(pipeline, here, "run-2", [task])
    found = usage_between(pipeline, here, LONG_AGO, FAR_AHEAD)
    assert found == [judge, task.plus(task).plus(task)]
    assert total_cost(found) is None and total_cost(found[1:]) == Decimal("0.000000225")
    assert usage_between(pipeline, here, LONG_AGO, LONG_AGO) == []
    assert usage_between(pipeline, organization(pipeline, "elsewhere"), LONG_AGO, FAR_AHEAD) == []


def test_runs_that_add_at_once_lose_nothing(database: Database, here: UUID) -> None:
    def run(_: int) -> None:
        with database.connect("pipeline") as connection:
            for _ in range(5):
                record_usage(connection, here, "run", [Usage("task", "m", requests=1)])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(run, range(4)))
    with database.connect("pipeline") as connection:
        assert usage_between(connection, here, LONG_AGO, FAR_AHEAD) == [Usage("task", "m", requests=20)]


@pytest.mark.parametrize("statement", ["SELECT FROM llm_responses", "DELETE FROM llm_usage", "UPDATE llm_usage SET requests = 0"])
def test_the_service_sees_no_answer_and_changes_no_count(database: Database, here: UUID, statement: str) -> None:
    with database.connect("api", autocommit=False) as connection:
        connection.execute("SELECT set_config('app.current_organization_id', %s, true), set_config('app.current_role', 'admin', true)", [str(here)])
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement)  # type: ignore[arg-type]


@pytest.mark.parametrize(("role", "seen"), [("trainer", 1), ("admin", 1), ("user", 0), ("expert", 0), ("experimenter", 0)])
def test_what_was_asked_for_is_seen_by_trainers_of_its_organization_alone(database: Database, here: UUID, role: str, seen: int) -> None:
    with database.connect("pipeline") as connection:
        for tenant in (here, organization(connection, "elsewhere")):
            record_usage(connection, tenant, "run", [Usage("task", "m", requests=1)])
    with database.connect("api", autocommit=False) as connection:
        connection.execute("SELECT set_config('app.current_organization_id', %s, true), set_config('app.current_role', %s, true)", [str(here), role])
        assert len(connection.execute("SELECT FROM llm_usage").fetchall()) == seen


def test_a_database_that_goes_away_is_named(database: Database, here: UUID) -> None:
    with database.connect("pipeline") as connection:
        cache = DatabaseCache(connection, here)
        with psycopg.connect(database.admin_url, autocommit=True) as session:
            session.execute("SELECT pg_terminate_backend(%s, 5000)", [connection.info.backend_pid])
        with pytest.raises(LearningError, match="looking up an answer of the language model"):
            cache.get(KEY)
