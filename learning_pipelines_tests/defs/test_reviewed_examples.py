"""The sensor reviewed_examples: whatever changes what is approved asks for that agent's dataset, once, in the order of commits.

Belongs here: the sensor on a real outbox. Not here: what the job does with it (test_datasets.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import dagster as dg
import pytest

from learning_pipelines.defs import sensors
from learning_pipelines.storage.database import Connection, Database
from learning_pipelines.storage.store import Store
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.defs.conftest import Materialize
from learning_pipelines_tests.examples.approved import example
from learning_pipelines_tests.feedback.rows import AGENT, execution, said, table

Tick = Callable[..., Any]


@pytest.fixture
def tick(store: Store, instance: dg.DagsterInstance) -> Tick:
    def evaluate(cursor: str | None = None, store: Store = store) -> Any:
        return sensors.reviewed_examples(dg.build_sensor_context(instance=instance, cursor=cursor, resources={"store": store}))

    return evaluate


@pytest.fixture
def settled(desk: None, load: Load, run_job: Materialize) -> None:
    """Ten approved examples and one pending, all in a dataset or looked at."""
    load("examples", [example(number) for number in range(10)] + [example(10, review_status="pending")])
    run_job("dataset_refresh", "default/desk")


def asked(result: Any) -> list[str]:
    return [] if isinstance(result, dg.SkipReason) else [str(one.partition_key) for one in result.run_requests]


def test_imported_examples_ask_for_their_agents_dataset(desk: None, load: Load, tick: Tick) -> None:
    load("examples", [example(number) for number in range(3)])
    result = tick()
    assert asked(result) == ["default/desk"]
    assert [request.partition_keys for request in result.dynamic_partitions_requests] == [["default/desk"]]


@pytest.mark.parametrize(
    ("change", "asks"),
    [
        ("UPDATE learning_examples SET review_status = 'approved', reviewed_at = now() WHERE id = 'x00010'", True),
        ("UPDATE learning_examples SET review_status = 'rejected' WHERE id = 'x00003'", True),
        ("UPDATE learning_examples SET is_active = false WHERE id = 'x00003'", True),
        ("UPDATE learning_examples SET expected_output = 'Edited.' WHERE id = 'x00003'", True),
        ("UPDATE learning_examples SET expected_output = expected_output, updated_at = now()", False),
        ("UPDATE learning_examples SET expected_output = 'Edited.' WHERE id = 'x00010'", False),
        ("UPDATE learning_examples SET review_status = 'rejected' WHERE id = 'x00010'", False),
        ("UPDATE learning_examples SET times_used_in_training = 1, last_used_at = now()", False),
    ],
)
def test_only_what_changes_the_dataset_asks_for_it(settled: None, tick: Tick, pipeline: Connection, change: str, asks: bool) -> None:
    assert asked(tick()) == []
    pipeline.execute(change)  # type: ignore[call-overload]
    assert asked(tick()) == (["default/desk"] if asks else [])


def test_feedback_and_executions_ask_for_no_dataset(settled: None, load: Load, tick: Tick) -> None:
    load("executions", [execution("e1")])
    load("feedback", [said("f1", "e1", "thumbs_up", user="ada")])
    assert asked(tick()) == []


def test_a_review_is_asked_about_once_also_if_the_run_never_comes(settled: None, tick: Tick, pipeline: Connection) -> None:
    pipeline.execute("UPDATE learning_examples SET review_status = 'approved' WHERE id = 'x00010'")
    first = tick()
    assert asked(first) == ["default/desk"]
    assert asked(tick(first.cursor)) == []
    assert [one.run_key for one in tick().run_requests] == [one.run_key for one in first.run_requests]


def test_a_dataset_that_was_refreshed_meanwhile_is_not_asked_for(settled: None, tick: Tick, pipeline: Connection, run_job: Materialize) -> None:
    pipeline.execute("UPDATE learning_examples SET review_status = 'approved' WHERE id = 'x00010'")
    run_job("dataset_refresh", "default/desk")
    assert asked(tick()) == []


def test_a_review_committed_late_is_not_missed(settled: None, load: Load, tick: Tick, pipeline: Connection, database: Database) -> None:
    """The one that began first commits last: its time and its serial number are older than the cursor's."""
    with database.connect("pipeline", autocommit=False) as slow:
        slow.execute("UPDATE learning_examples SET review_status = 'rejected', reviewed_at = now() WHERE id = 'x00001'")
        pipeline.execute("UPDATE learning_examples SET review_status = 'approved', reviewed_at = now() WHERE id = 'x00010'")
        early = tick()
        cursor = None if isinstance(early, dg.SkipReason) else early.cursor
        slow.commit()
    late = tick(cursor)
    assert asked(early) + asked(late) in (["default/desk"], ["default/desk", "default/desk"])
    assert asked(late) == ["default/desk"]


def test_a_refresh_beside_an_open_review_leaves_it_to_the_next(
    settled: None, tick: Tick, run_job: Materialize, database: Database, pipeline: Connection
) -> None:
    with database.connect("pipeline", autocommit=False) as slow:
        slow.execute("UPDATE learning_examples SET review_status = 'rejected' WHERE id = 'x00001'")
        pipeline.execute("UPDATE learning_examples SET review_status = 'approved' WHERE id = 'x00010'")
        run_job("dataset_refresh", "default/desk")
        slow.commit()
    assert asked(tick()) == ["default/desk"]
    run_job("dataset_refresh", "default/desk")
    assert (asked(tick()), max(row["version"] for row in table(pipeline, "training_datasets"))) == ([], 3)


def test_every_agent_is_asked_for_in_bounded_ticks(load: Load, tick: Tick, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"desk{number}" for number in range(5)]
    load("agents", [{**AGENT, "agent": name} for name in names])
    for number, name in enumerate(names):
        load("examples", [example(number, agent=name)])
    monkeypatch.setattr(sensors, "AGENTS_PER_TICK", 2)
    seen: list[str] = []
    cursor = None
    for _ in range(4):
        result = tick(cursor)
        seen += asked(result)
        cursor = cursor if isinstance(result, dg.SkipReason) else result.cursor
    assert seen == [f"default/{name}" for name in names]


def test_a_cursor_of_another_cluster_starts_over(desk: None, load: Load, tick: Tick) -> None:
    load("examples", [example(1)])
    assert asked(tick('{"cluster": "somewhere else", "xid": 999999999, "id": 5, "days": []}')) == ["default/desk"]


def test_a_database_that_is_away_keeps_the_cursor(database: Database, store: Store, tick: Tick) -> None:
    away = Store(store.settings, replace(database, admin_url="postgresql://nobody:nothing@127.0.0.1:1/learning", role_urls={}))
    result = tick("", away)
    assert isinstance(result, dg.SkipReason)
    assert "cannot be used" in str(result.skip_message)
