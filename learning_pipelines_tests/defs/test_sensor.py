"""The sensors on a real outbox: what a tick asks for, its cursor, backlogs, dying ticks, another cluster, a database that is away.

Belongs here: sensors evaluated in this process. Not here: order and safety of reading the outbox (storage/), the daemon (test_end_to_end.py).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import dagster as dg
import pytest

from learning_pipelines.defs import sensors
from learning_pipelines.storage.database import Connection, Database
from learning_pipelines.storage.store import Store
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.defs.conftest import RANGE_END, RANGE_START, Materialize, queued
from learning_pipelines_tests.feedback.rows import AGENT, execution, one_of_each, said, table

Tick = Callable[..., Any]


@pytest.fixture
def tick(store: Store, instance: dg.DagsterInstance) -> Tick:
    """`tick(cursor)` evaluates new_feedback once, as the daemon would."""

    def evaluate(cursor: str | None = None, sensor: dg.SensorDefinition = sensors.new_feedback, store: Store = store) -> Any:
        return sensor(dg.build_sensor_context(instance=instance, cursor=cursor, resources={"store": store}))

    return evaluate


@pytest.fixture
def away(database: Database, store: Store) -> Store:
    """A store whose server does not answer."""
    nowhere = "postgresql://nobody:nothing@127.0.0.1:1/learning"
    return Store(store.settings, replace(database, admin_url=nowhere, role_urls={}))


def example_runs(result: dg.SensorResult) -> list[str]:
    return sorted(str(one.partition_key) for one in result.run_requests or () if one.job_name == "examples_refresh")


def stretches(result: dg.SensorResult) -> list[tuple[str, str]]:
    """First and last day of every run over metrics."""
    return sorted((one.tags[RANGE_START], one.tags[RANGE_END]) for one in result.run_requests or () if one.job_name == "metrics_refresh")


def some(load: Load, count: int, first: int = 0, day: str = "2025-03-10", **more: Any) -> None:
    load("executions", [execution(f"e{number}", created_at=f"{day}T09:00:00Z", **more) for number in range(first, first + count)])


def test_a_tick_asks_for_one_run_per_agent_and_not_per_row(load: Load, tick: Tick) -> None:
    load("agents", [AGENT, {**AGENT, "agent": "second"}])
    some(load, 50)
    load("executions", [execution("s1", "second", created_at="2025-03-10T09:00:00Z")])
    load("feedback", [said(f"f{number}", f"e{number}", created_at="2025-03-11T09:00:00Z") for number in range(50)])
    result = tick()
    assert example_runs(result) == ["default/desk", "default/second"]
    assert stretches(result) == [("2025-03-10", "2025-03-11")]


def test_partitions_of_agents_are_added_before_their_runs_and_only_once(desk: None, load: Load, tick: Tick, instance: dg.DagsterInstance) -> None:
    some(load, 1)
    (request,) = tick().dynamic_partitions_requests
    assert (request.partitions_def_name, request.partition_keys) == ("agents", ["default/desk"])
    instance.add_dynamic_partitions("agents", ["default/desk"])
    assert tick().dynamic_partitions_requests == []


def test_the_cursor_leads_to_the_next_news(desk: None, load: Load, tick: Tick) -> None:
    some(load, 2)
    first = tick()
    assert isinstance(tick(first.cursor), dg.SkipReason)
    some(load, 1, first=10, day="2025-03-20")
    second = tick(first.cursor)
    assert stretches(second) == [("2025-03-20", "2025-03-20")]
    assert isinstance(tick(second.cursor), dg.SkipReason)


def test_an_empty_database_is_nothing_new(tick: Tick) -> None:
    assert tick().skip_message == "Nothing new."


def test_run_keys_tell_ticks_apart_and_repeat_for_the_same_tick(desk: None, load: Load, tick: Tick) -> None:
    some(load, 1)
    first, same = tick(), tick()
    some(load, 1, first=1)
    later = tick(first.cursor)
    keys = [{one.run_key for one in result.run_requests} for result in (first, same, later)]
    assert keys[0] == keys[1]
    assert not keys[0] & keys[2]


def test_examples_that_are_up_to_date_already_need_no_run(desk: None, load: Load, tick: Tick, run_job: Materialize) -> None:
    some(load, 1)
    run_job("examples_refresh", "default/desk")
    result = tick()
    assert example_runs(result) == []
    assert stretches(result) == [("2025-03-10", "2025-03-10")]


def test_days_far_apart_are_not_joined_over_the_empty_years_between(desk: None, load: Load, tick: Tick) -> None:
    for number, day in enumerate(("2019-01-01", "2022-06-01", "2025-03-10")):
        some(load, 1, first=number, day=day)
    assert stretches(tick()) == [("2019-01-01", "2019-01-01"), ("2022-06-01", "2022-06-01"), ("2025-03-10", "2025-03-10")]


def test_a_late_row_asks_for_its_own_day_again(desk: None, load: Load, tick: Tick) -> None:
    some(load, 1, day="2025-03-10")
    first = tick()
    some(load, 1, first=1, day="2020-02-02")
    assert stretches(tick(first.cursor)) == [("2020-02-02", "2020-02-02")]


def test_days_are_those_of_the_settings_zone(desk: None, load: Load, tick: Tick, berlin_store: Store) -> None:
    load("executions", [execution("e1", created_at="2025-03-30T22:30:00Z")])
    assert stretches(tick(store=berlin_store)) == [("2025-03-31", "2025-03-31")]


def test_documents_ask_for_no_examples_and_no_metrics(load: Load, tick: Tick) -> None:
    load("agents", [AGENT])
    load("documents", [one_of_each()["documents"]])
    result = tick()
    assert result.run_requests == []
    assert isinstance(tick(result.cursor), dg.SkipReason)


def read_backlog(tick: Tick) -> list[dg.SensorResult]:
    results: list[dg.SensorResult] = []
    while isinstance(result := tick(results[-1].cursor if results else None), dg.SensorResult):
        results.append(result)
    return results


@pytest.mark.parametrize("rows", [5, 6, 7])  # and the entry of the agent
def test_a_backlog_is_read_in_bounded_ticks_and_its_days_are_asked_for_once_at_the_end(
    rows: int, desk: None, load: Load, tick: Tick, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(rows):
        some(load, 1, first=number, day=f"2025-03-{10 + number}")
    monkeypatch.setattr(sensors, "ENTRIES_PER_TICK", 3)
    results = read_backlog(tick)
    assert len(results) == 3  # for 6 entries too: whether a full tick was the last one shows only in the next
    assert [stretches(result) for result in results] == [[], [], [("2025-03-10", f"2025-03-{9 + rows}")]]
    assert [len(json.loads(result.cursor)["days"]) for result in results] == [2, 5, 0]


def test_a_tick_that_dies_after_reading_changes_nothing(desk: None, load: Load, tick: Tick, pipeline: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    some(load, 3)
    assert tick().run_requests  # the first look at a database makes a note of the cluster it is in
    before = {name: table(pipeline, name) for name in ("outbox", "outbox_positions")}

    def die(*_: object) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as broken:
        broken.setattr(sensors, "_requests", die)
        with pytest.raises(Exception, match="killed"):
            tick()
    assert {name: table(pipeline, name) for name in before} == before
    assert example_runs(tick()) == ["default/desk"]


def test_a_cursor_of_another_cluster_starts_over(desk: None, load: Load, tick: Tick) -> None:
    some(load, 1)
    here = json.loads(tick().cursor)
    foreign = json.dumps({**here, "cluster": "1234567890", "xid": here["xid"] + 10**6, "days": ["2024-01-01"]})
    result = tick(foreign)
    assert example_runs(result) == ["default/desk"]
    assert stretches(result) == [("2025-03-10", "2025-03-10")]
    assert json.loads(result.cursor) == here


def test_after_a_restore_everything_is_looked_at_again_with_its_effect_once(
    desk: None, load: Load, tick: Tick, run_job: Materialize, pipeline: Connection
) -> None:
    some(load, 1)
    load("feedback", [said("f1", "e0")])
    run_job("examples_refresh", "default/desk")
    cursor = json.loads(tick().cursor)
    examples = table(pipeline, "learning_examples")
    # A dump restored elsewhere: positions name the former cluster, entries carry transaction ids that are still to come here.
    pipeline.execute("UPDATE outbox_positions SET cluster = 'former'")
    pipeline.execute("UPDATE outbox SET xid = (xid::text::bigint + 1000000)::text::xid8")
    some(load, 1, first=7)
    result = tick(json.dumps({**cursor, "cluster": "former", "xid": cursor["xid"] + 10**6}))
    assert example_runs(result) == ["default/desk"]
    run_job("examples_refresh", "default/desk")
    assert table(pipeline, "learning_examples") == examples
    assert isinstance(tick(result.cursor), dg.SkipReason)


def test_while_the_database_is_away_ticks_are_skipped_and_say_why(tick: Tick, away: Store) -> None:
    result = tick('{"cluster": "1", "xid": 5, "id": 7, "days": []}', store=away)
    assert isinstance(result, dg.SkipReason)  # a skip keeps the cursor
    assert "127.0.0.1:1/learning cannot be used" in str(result.skip_message)


def test_stored_rows_are_observed_without_a_run(desk: None, load: Load, tick: Tick) -> None:
    some(load, 3)
    load("feedback", [said("f1", "e1")])
    result = tick(sensor=sensors.stored_rows)
    seen = {event.asset_key.to_user_string(): event.metadata for event in result.asset_events}
    assert {name: metadata["dagster/row_count"].value for name, metadata in seen.items()} == {
        "agent_executions": 3, "agent_feedback": 1, "expert_annotations": 0, "demonstrations": 0, "documents": 0,
    }  # fmt: skip
    assert {name for name, metadata in seen.items() if "last_row" in metadata} == {"agent_executions", "agent_feedback"}
    assert not result.run_requests


def test_nothing_is_observed_twice(desk: None, load: Load, tick: Tick) -> None:
    some(load, 1)
    cursor = tick(sensor=sensors.stored_rows).cursor
    assert isinstance(tick(cursor, sensor=sensors.stored_rows), dg.SkipReason)
    load("documents", [one_of_each()["documents"]])
    assert tick(cursor, sensor=sensors.stored_rows).asset_events


def test_observing_waits_while_the_database_is_away(tick: Tick, away: Store) -> None:
    assert "cannot be used" in str(tick(sensor=sensors.stored_rows, store=away).skip_message)


def test_a_tick_asks_for_nothing_that_waits_already(desk: None, load: Load, tick: Tick, instance: dg.DagsterInstance, location: dg.Definitions) -> None:
    load("agents", [{**AGENT, "agent": "second"}])
    some(load, 1)
    load("executions", [execution("s1", "second", created_at="2025-03-10T09:00:00Z")])
    load("feedback", [said("f1", "e0", created_at="2025-03-11T09:00:00Z")])
    queued(instance, location.resolve_job_def("examples_refresh"), {"dagster/partition": "default/desk"})
    days = {RANGE_START: "2025-03-01", RANGE_END: "2025-03-10"}
    queued(instance, location.resolve_job_def("metrics_refresh"), days)
    weights = queued(instance, location.resolve_job_def("weights_refresh"))
    result = tick()
    assert (example_runs(result), stretches(result)) == (["default/second"], [("2025-03-10", "2025-03-11")])  # of the days only one is to come anyway
    assert not [one for one in result.run_requests if one.job_name == "weights_refresh"]
    instance.report_run_canceled(weights, "by hand")
    assert [one.job_name for one in tick().run_requests if one.job_name == "weights_refresh"] == ["weights_refresh"]
    queued(instance, location.resolve_job_def("metrics_refresh"), {**days, RANGE_END: "2025-03-11"})
    assert stretches(tick()) == []
