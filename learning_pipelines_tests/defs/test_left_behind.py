"""What was written is taken up whatever became of the runs that were asked for: the sensor rows_left_behind on a real outbox and stored runs.

Belongs here: what it asks for and when. Not here: the sensors that ask first (test_sensor.py, test_reviewed_examples.py), real kills (chaos/).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest

from learning_pipelines import run_tags
from learning_pipelines.defs import left_behind, sensors
from learning_pipelines.defs.cursors import position_of
from learning_pipelines.defs.left_behind import Asked, due
from learning_pipelines.retrieval import encoders
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.store import Store
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.defs.conftest import Materialize, metadata_of, queued
from learning_pipelines_tests.defs.test_crashed import asked, look
from learning_pipelines_tests.examples.approved import example
from learning_pipelines_tests.feedback.rows import AGENT, execution, said, table
from learning_pipelines_tests.retrieval.fake_encoders import FakeEncoders

NOW = dt.datetime(2026, 11, 26, 12, tzinfo=dt.UTC)
Tick = Callable[..., Any]


@pytest.fixture
def tick(store: Store, instance: dg.DagsterInstance) -> Tick:
    """`tick(cursor)` evaluates rows_left_behind once, or another sensor."""

    def evaluate(cursor: str | None = None, sensor: dg.SensorDefinition = left_behind.rows_left_behind) -> Any:
        return sensor(dg.build_sensor_context(instance=instance, cursor=cursor, resources={"store": store}))

    return evaluate


def jobs(result: Any) -> list[tuple[str, str | None]]:
    return sorted(asked(result), key=str) if isinstance(result, dg.SensorResult) else []


def ago(minutes: float) -> dt.datetime:
    return NOW - dt.timedelta(minutes=minutes)


@pytest.mark.parametrize(
    ("waits", "runs", "asks"),
    [
        (2, [], True),
        (0.5, [], False),
        (2, [0.5], False),
        (2, [1.5], True),
        (2, [None], False),
        (600, [50], False),  # what failed for ten hours is asked for every hour
        (600, [70], True),
        (6000, [50], False),
        (6000, [70], True),
        (600, [70, None], False),
    ],
)
def test_it_is_asked_for_again_when_nothing_is_on_its_way_and_the_longer_it_failed_the_less_often(waits: float, runs: list[float | None], asks: bool) -> None:
    assert due(ago(waits), [Asked(None, None if ended is None else ago(ended)) for ended in runs], NOW) is asks


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pause between a look and the next."""
    monkeypatch.setattr(left_behind, "SHORTEST", dt.timedelta(0))
    monkeypatch.setattr(left_behind, "LONGEST", dt.timedelta(0))


def own_failure(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    """A step failed, and why could not be written any more: nobody repeats such a run."""
    instance.add_run_tags(run.run_id, {run_tags.FAILURE_REASON: "STEP_FAILURE"})
    instance.report_run_failed(run, "steps failed")


def test_a_row_is_taken_up_though_the_run_that_waited_when_it_came_failed_and_nobody_repeats_it(
    desk: None, load: Load, tick: Tick, instance: dg.DagsterInstance, location: dg.Definitions, run_job: Materialize, at_once: None
) -> None:
    waits = queued(instance, location.resolve_job_def("examples_refresh"), {run_tags.PARTITION: "default/desk"})
    load("executions", [execution("e1")])
    first = tick(sensor=sensors.new_feedback)
    assert jobs(first) == [("metrics_refresh", None)]  # the examples are to come anyway
    assert ("examples_refresh", "default/desk") not in jobs(tick())
    own_failure(instance, waits)
    assert (jobs(look(instance)), isinstance(tick(first.cursor, sensors.new_feedback), dg.SkipReason)) == ([], True)  # nobody else asks again
    assert jobs(tick()) == [("examples_refresh", "default/desk"), ("metrics_refresh", None)]
    run_job("examples_refresh", "default/desk")
    assert jobs(tick()) == [("metrics_refresh", None)]


def test_what_is_young_is_left_to_the_sensors_that_read_the_outbox(desk: None, load: Load, tick: Tick) -> None:
    load("executions", [execution("e1")])
    assert jobs(tick()) == []


def test_after_a_run_that_ended_there_is_a_pause(
    desk: None, load: Load, tick: Tick, instance: dg.DagsterInstance, location: dg.Definitions, pipeline: Connection
) -> None:
    load("executions", [execution("e1")])
    pipeline.execute("UPDATE outbox SET received_at = received_at - interval '5 minutes'")
    other = queued(instance, location.resolve_job_def("examples_refresh"), {run_tags.PARTITION: "default/other"})
    own_failure(instance, other)
    assert ("examples_refresh", "default/desk") in jobs(tick())
    run = queued(instance, location.resolve_job_def("examples_refresh"), {run_tags.PARTITION: "default/desk"})
    own_failure(instance, run)
    assert ("examples_refresh", "default/desk") not in jobs(tick())
    instance.delete_run(run.run_id)
    assert ("examples_refresh", "default/desk") in jobs(tick())


def test_metrics_of_every_changed_day_are_taken_up_whichever_day_is_asked_for(
    desk: None, load: Load, tick: Tick, run_job: Materialize, pipeline: Connection, at_once: None
) -> None:
    load("executions", [execution("e1", created_at="2025-03-10T09:00:00Z"), execution("e2", created_at="2025-06-10T09:00:00Z")])
    run_job("examples_refresh", "default/desk")
    (request,) = tick().run_requests
    result = run_job("metrics_refresh", tags=dict(request.tags))
    assert metadata_of(result, "feedback_metrics")["dagster/row_count"] == 0  # of the day that was asked for, on which nothing happened
    assert [(str(row["day"]), row["executions"]) for row in table(pipeline, "feedback_metrics", "executions > 0 ORDER BY day")] == [
        ("2025-03-10", 1), ("2025-06-10", 1),
    ]  # fmt: skip
    assert jobs(tick()) == []


def test_weights_and_datasets_are_asked_for_until_they_are_taken_up(
    desk: None, load: Load, tick: Tick, run_job: Materialize, instance: dg.DagsterInstance, at_once: None
) -> None:
    load("executions", [execution("e1")])
    load("feedback", [said("f1", "e1", user="ada")])
    load("examples", [example(number) for number in range(3)])
    assert jobs(tick()) == [("dataset_refresh", "default/desk"), ("examples_refresh", "default/desk"), ("metrics_refresh", None), ("weights_refresh", None)]
    assert instance.has_dynamic_partition("agents", "default/desk") is False
    assert [one.partition_keys for one in tick().dynamic_partitions_requests] == [["default/desk"]]
    run_job("dataset_refresh", "default/desk")
    run_job("weights_refresh")
    assert jobs(tick()) == [("metrics_refresh", None)]


def test_documents_are_asked_for_until_they_are_taken_up(
    desk: None, load: Load, tick: Tick, run_job: Materialize, monkeypatch: pytest.MonkeyPatch, at_once: None
) -> None:
    made = FakeEncoders()
    monkeypatch.setattr(encoders.Encoders, "base", lambda self: made.base())
    monkeypatch.setattr(encoders.Encoders, "base_name", lambda self: made.base_name())
    load("agents", [{**AGENT, "agent": "zeal"}])
    load("documents", [{"document_id": "own", "text": "Of the other.", "agent": "zeal"}, {"document_id": "shared", "text": "Of everybody."}])
    assert jobs(tick()) == [("index_refresh", "default/desk"), ("index_refresh", "default/zeal")]
    run_job("index_refresh", "default/zeal")  # takes up what is shared, too
    assert jobs(tick()) == []


def test_retrieval_feedback_is_asked_for_until_it_is_taken_up_and_the_cursor_waits_for_it(
    desk: None, load: Load, tick: Tick, run_job: Materialize, at_once: None
) -> None:
    load("retrieval_feedback", [{"query": "whose?", "agent": "desk", "retrieved": ["d1"], "relevant": ["d1"]}])
    first = tick()
    second = tick(first.cursor)
    assert jobs(first) == jobs(second) == [("pairs_refresh", "default/desk")]
    run_job("pairs_refresh", "default/desk")
    third = tick(second.cursor)
    assert jobs(third) == []
    before, after = position_of(second.cursor), position_of(third.cursor)
    assert before is not None and after is not None and (before.xid, before.id) < (after.xid, after.id)
