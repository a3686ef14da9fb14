"""Schedules at given moments: which runs they ask for, also where the clock was changed.

Belongs here: schedules evaluated in this process, or in one with another timezone. Not here: crons (test_location.py), what the jobs do.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from learning_pipelines.defs import schedules
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.store import Store
from learning_pipelines_tests.conftest import Load

MONDAY = dt.datetime(2026, 11, 16, 9, tzinfo=dt.UTC)
IN_BERLIN = """
import datetime as dt, json, sys, zoneinfo
import dagster as dg
from learning_pipelines.defs.schedules import learning_report_weekly
answers = {}
with dg.DagsterInstance.ephemeral() as instance:
    for text in json.load(sys.stdin):
        moment = dt.datetime.fromisoformat(text).replace(tzinfo=zoneinfo.ZoneInfo("Europe/Berlin"))
        answers[text] = learning_report_weekly(dg.build_schedule_context(instance=instance, scheduled_execution_time=moment)).partition_key
print(json.dumps(answers))
"""


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """On disk: schedules get their instance by reference, which one in memory has not."""
    with dg.DagsterInstance.local_temp(str(tmp_path)) as one:
        yield one


PER_AGENT = [
    schedules.prompt_optimization_weekly, schedules.rag_training_daily, schedules.behavior_learning_weekly, schedules.fine_tuning_monthly,
]  # fmt: skip


def requests_of(schedule: dg.ScheduleDefinition, instance: dg.DagsterInstance, store: Store) -> Any:
    return schedule(dg.build_schedule_context(instance=instance, scheduled_execution_time=MONDAY, resources={"store": store}))


@pytest.mark.parametrize("schedule", PER_AGENT)
def test_per_agent_schedules_ask_for_one_run_per_known_agent(schedule: dg.ScheduleDefinition, instance: dg.DagsterInstance, store: Store) -> None:
    instance.add_dynamic_partitions("agents", ["default/desk", "other/desk"])
    requests = requests_of(schedule, instance, store)
    assert sorted(request.partition_key for request in requests) == ["default/desk", "other/desk"]
    assert len({request.run_key for request in requests}) == 2


@pytest.mark.parametrize("schedule", PER_AGENT)
def test_nothing_is_asked_for_while_its_agent_may_not_learn(
    schedule: dg.ScheduleDefinition, instance: dg.DagsterInstance, store: Store, load: Load, pipeline: Connection
) -> None:
    instance.add_dynamic_partitions("agents", ["default/desk", "default/other"])
    load("agents", [{"agent": "desk"}, {"agent": "other"}])
    pipeline.execute("UPDATE agents SET learning_enabled = false WHERE slug = 'desk'")
    assert [request.partition_key for request in requests_of(schedule, instance, store)] == ["default/other"]
    pipeline.execute("UPDATE agents SET learning_enabled = false")
    assert "disabled for every agent" in str(requests_of(schedule, instance, store).skip_message)


@pytest.mark.parametrize("schedule", PER_AGENT)
def test_per_agent_schedules_say_so_while_there_is_no_agent(schedule: dg.ScheduleDefinition, instance: dg.DagsterInstance, store: Store) -> None:
    result = requests_of(schedule, instance, store)
    assert isinstance(result, dg.SkipReason)
    assert "no agent yet" in str(result.skip_message)


def test_a_judge_is_asked_for_where_an_agent_wants_one_that_dagster_knows(instance: dg.DagsterInstance, store: Store, load: Load) -> None:
    load("agents", [{"agent": "desk", "metric": {"type": "judge"}}, {"agent": "new", "metric": {"type": "judge"}}, {"agent": "other"}])
    instance.add_dynamic_partitions("agents", ["default/desk", "default/other"])
    assert [request.partition_key for request in requests_of(schedules.judge_sample_hourly, instance, store)] == ["default/desk"]


def test_a_moment_is_asked_for_once_however_often_it_is_evaluated(instance: dg.DagsterInstance) -> None:
    def run_key(moment: dt.datetime) -> str | None:
        return schedules.learning_report_weekly(dg.build_schedule_context(instance=instance, scheduled_execution_time=moment)).run_key

    assert run_key(MONDAY) == run_key(MONDAY) != run_key(MONDAY + dt.timedelta(weeks=1))


def test_the_weekly_report_is_about_the_week_that_closed_also_where_the_clock_was_changed(tmp_path: Path) -> None:
    expected = {
        "2026-11-16T09:00": "2026-11-09",
        "2026-03-30T09:00": "2026-03-23",  # the day after the clock went forward
        "2026-10-26T09:00": "2026-10-19",  # the day after it went back
        "2026-10-26T00:30": "2026-10-19",
        "2026-11-15T23:30": "2026-11-02",  # Sunday night: its own week is not over
        "2027-01-04T09:00": "2026-12-28",
    }
    env = {**os.environ, "LEARNING_HOME": str(tmp_path), "LEARNING_TIMEZONE": "Europe/Berlin"}
    ended = subprocess.run([sys.executable, "-c", IN_BERLIN], input=json.dumps(list(expected)), env=env, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout) == expected
