"""The sensor of erasures that nobody works on, and the job that ends them.

Belongs here: defs/erasure.py. Not here: what is erased (feedback/erasure/).
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import dagster as dg
import psycopg
import pytest
from dagster._core.instance import InstanceRef
from dagster._core.test_utils import create_run_for_test

from learning_pipelines import run_tags
from learning_pipelines.defs import erasure
from learning_pipelines.errors import LearningError
from learning_pipelines.feedback.erasure import engine
from learning_pipelines.feedback.erasure.requesting import request
from learning_pipelines.feedback.identity import organization_id
from learning_pipelines.storage import erasure_requests, erasure_runs
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.store import Store
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.defs.conftest import Materialize
from learning_pipelines_tests.feedback.rows import execution

HERE = organization_id("default")


@pytest.fixture
def asked(desk: None, load: Load, pipeline: Connection) -> UUID:
    """An erasure that was asked for a minute ago, of somebody of whom there is an execution."""
    load("executions", [execution("run-of-ada", user="ada")])
    found = request(pipeline, HERE, "ada", actor="operator", requested_by="operator")
    assert found is not None
    pipeline.execute("UPDATE erasures SET requested_at = requested_at - interval '1 minute'")
    return found


def look(instance: dg.DagsterInstance, store: Store) -> Any:
    return erasure.requested_erasures(dg.build_sensor_context(instance=instance, resources={"store": store}))


def test_a_request_that_nobody_works_on_is_asked_for(instance: dg.DagsterInstance, store: Store, asked: UUID) -> None:
    assert look(instance, store).run_key.startswith(str(asked))


def test_one_that_is_worked_on_or_young_is_left_to_who_asked(instance: dg.DagsterInstance, store: Store, pipeline: Connection, asked: UUID) -> None:
    with store.database.connect("pipeline") as working, erasure_requests.alone(working, asked, lambda text: None):
        assert isinstance(look(instance, store), dg.SkipReason)
    pipeline.execute("UPDATE erasures SET requested_at = now()")
    assert isinstance(look(instance, store), dg.SkipReason)


def test_the_job_ends_what_waits_and_names_nobody(run_job: Materialize, instance: dg.DagsterInstance, store: Store, asked: UUID) -> None:
    result = run_job("erasure")
    with store.pipeline() as connection:
        found = erasure_requests.read(connection, asked)
    assert found is not None and found.state == "done"
    assert isinstance(look(instance, store), dg.SkipReason)
    events = [record.event_log_entry.to_json() for record in instance.get_records_for_run(result.run_id).records]
    assert events and not any('"ada"' in one or "run-of-ada" in one for one in events)


def test_one_that_cannot_be_ended_fails_the_run_and_stays(
    run_job: Materialize, store: Store, pipeline: Connection, asked: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*arguments: Any) -> None:
        raise LearningError("The disk is full.", "Free space.")

    monkeypatch.setattr(engine, "erase", fails)
    result = run_job("erasure", raise_on_error=False)
    assert not result.success
    assert [one.id for one in erasure_requests.nobodys(pipeline, 0)] == [asked]


def test_runs_that_the_person_asked_for_name_the_tombstone(server: Any, store: Store, tmp_path: Any) -> None:
    """In a real event log on Postgres: the tag, and the run that repeats it."""
    with psycopg.connect(server.url(), autocommit=True) as session:
        session.execute("CREATE DATABASE erasure_dagster")
    try:
        database = type(store.database)(**{**vars(store.database), "dagster_url": server.url("erasure_dagster")})
        assert erasure_runs.rename(database, "ada", "erased-1") == 0  # Dagster never ran
        url = server.url("erasure_dagster")
        reference = InstanceRef.from_dir(str(tmp_path), overrides={"storage": {"postgres": {"postgres_url": url}}})
        with dg.DagsterInstance.from_ref(reference) as one:
            key = "key:00000000-0000-0000-0000-000000000000"
            runs = {
                by: create_run_for_test(one, job_name="prompt_optimization", tags={run_tags.REQUESTED_BY: by, "learning/budget": "5"}).run_id
                for by in ("user:ada", f"{key} for user:ada", "user:adam")
            }
            assert erasure_runs.rename(database, "ada", "erased-1") == 2
            found = {by: one.get_run_by_id(run).tags for by, run in runs.items()}
            assert found["user:ada"][run_tags.REQUESTED_BY] == "user:erased-1" and found["user:ada"]["learning/budget"] == "5"
            assert found[f"{key} for user:ada"][run_tags.REQUESTED_BY] == f"{key} for user:erased-1"
            assert found["user:adam"][run_tags.REQUESTED_BY] == "user:adam"
            assert len(one.get_runs(dg.RunsFilter(tags={run_tags.REQUESTED_BY: "user:erased-1"}))) == 1
            assert erasure_runs.rename(database, "ada", "erased-1") == 0
    finally:
        with psycopg.connect(server.url(), autocommit=True) as session:
            session.execute("DROP DATABASE erasure_dagster WITH (FORCE)")
