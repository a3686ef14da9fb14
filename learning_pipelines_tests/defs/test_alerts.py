"""Noticing failed runs and failed checks: each once, and never with a word of what people wrote.

Belongs here: defs/alerts.py on runs that really failed, defs/operating.py and defs/standing.py on the same instance, what launch.py says. Not here: sending.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from learning_pipelines.defs import alerts, launch, operating, standing
from learning_pipelines.defs.freshness import HOURLY, WHEN_WRITTEN, judged
from learning_pipelines.storage import operating as storage
from learning_pipelines.storage.store import Store

SECRET = "Ada's salary is 5"


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """An instance with the storage of sensors, which the one in memory lacks."""
    with dg.DagsterInstance.local_temp(str(tmp_path)) as one:
        yield one


def evaluated(instance: dg.DagsterInstance, passed: bool, check: str = "adds_up") -> dg.DagsterRun:
    """A run of an asset with one check."""

    @dg.asset(name="learning_report", check_specs=[dg.AssetCheckSpec(check, asset="learning_report")])
    def checked() -> dg.MaterializeResult:
        return dg.MaterializeResult(check_results=[dg.AssetCheckResult(check_name=check, passed=passed, metadata={"said": SECRET})])

    run = instance.get_run_by_id(dg.materialize([checked], instance=instance).run_id)
    assert run is not None
    return run


def titles(instance: dg.DagsterInstance, run: dg.DagsterRun) -> list[str]:
    return [alert.title for alert in alerts.checks_that_began_to_fail(instance, run)]


def test_a_check_is_told_when_it_begins_to_fail_and_again_only_after_it_passed(kept: dg.DagsterInstance) -> None:
    told = [titles(kept, evaluated(kept, passed)) for passed in (True, False, False, True, False)]
    once = ["Check adds_up of learning_report failed (error)."]
    assert told == [[], once, [], [], once]


def test_a_run_that_is_looked_at_twice_is_told_once(kept: dg.DagsterInstance) -> None:
    run = evaluated(kept, False)
    assert [len(titles(kept, run)) for _ in range(2)] == [1, 0]


def test_a_candidate_that_is_no_better_is_no_incident(kept: dg.DagsterInstance, location: dg.Definitions) -> None:
    assert titles(kept, evaluated(kept, False, "beats_current_prompt")) == []
    assert {key.name for key in location.resolve_asset_graph().asset_check_keys} >= standing.VERDICTS


def test_a_failed_run_is_told_with_steps_and_classes_of_errors_but_not_their_words(kept: dg.DagsterInstance) -> None:
    @dg.op
    def breaks() -> None:
        raise ValueError(SECRET)

    @dg.job
    def breaking() -> None:
        breaks()

    done = breaking.execute_in_process(instance=kept, raise_on_error=False)
    run = kept.get_run_by_id(done.run_id)
    assert run is not None
    alert = alerts.failure_of(run, [event for event in done.all_events if event.is_step_failure], "http://dagster")
    assert alert.title == "breaking failed in breaks (ValueError)."
    assert (alert.link, SECRET in str(alert)) == (f"http://dagster/runs/{done.run_id}", False)


def test_the_sensor_measures_failures_checks_and_lag_into_the_row(kept: dg.DagsterInstance, location: dg.Definitions, store: Store) -> None:
    evaluated(kept, False)
    context = dg.build_sensor_context(instance=kept, repository_def=location.get_repository_def(), resources={"store": store})
    assert "Measured" in str(operating.operating_numbers(context).skip_message)
    with store.pipeline() as connection:
        found = storage.read(connection)
    assert found is not None
    values = {(one.name, one.labels.get("job") or one.labels.get("sensor")): one.value for one in found[0]}
    assert (values["checks_failed", None], values["runs_queued", None], values["runs_failed", "cleanup"]) == (1, 0, 0)
    assert values["sensor_lag_entries", "new_feedback"] == 0


def test_a_run_that_only_its_checks_failed_says_which(kept: dg.DagsterInstance) -> None:
    @dg.asset(check_specs=[dg.AssetCheckSpec("adds_up", asset="checked")])
    def checked() -> dg.MaterializeResult:
        return dg.MaterializeResult(check_results=[dg.AssetCheckResult(check_name="adds_up", passed=False)])

    assert launch._why(dg.materialize([checked], instance=kept)) == "check adds_up failed"


def test_every_check_that_fails_is_named_with_its_run(kept: dg.DagsterInstance, location: dg.Definitions) -> None:
    run = evaluated(kept, False)
    (failed,) = standing.failed_checks(kept, location.get_repository_def())
    assert (failed["asset"], failed["check"], failed["severity"], failed["run_id"]) == ("learning_report", "adds_up", "error", run.run_id)


@pytest.mark.parametrize(("minutes", "state"), [(None, "never"), (20, "fresh"), (200, "stale")])
def test_what_a_schedule_makes_is_stale_after_its_deadline(minutes: int | None, state: str) -> None:
    now = dt.datetime(2026, 3, 4, 12, 5, tzinfo=dt.UTC)
    assert judged(HOURLY, None if minutes is None else now - dt.timedelta(minutes=minutes), now) == state


@pytest.mark.parametrize(("days", "state"), [(1, "fresh"), (9, "late"), (40, "stale")])
def test_what_people_write_is_late_after_a_week_and_stale_after_a_month(days: int, state: str) -> None:
    now = dt.datetime(2026, 3, 4, 12, 5, tzinfo=dt.UTC)
    assert judged(WHEN_WRITTEN, now - dt.timedelta(days=days), now) == state
