"""The asset feedback_metrics with real rows: numbers computed by hand, days of the settings' zone, late rows, checks that can fail.

Belongs here: what a materialization writes and reports. Not here: supersession itself (feedback/), which days are asked for (test_sensor.py).
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import dagster as dg
import psycopg
import pytest

from learning_pipelines import run_tags
from learning_pipelines.defs.feedback import feedback_metrics
from learning_pipelines.storage.database import Connection, Database
from learning_pipelines.storage.store import Store
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.defs.conftest import RANGE_END, RANGE_START, checks_of, metadata_of
from learning_pipelines_tests.feedback.rows import AGENT, execution, said, table

MONDAY, TUESDAY = "2025-03-10", "2025-03-11"


def materialize(store: Store, instance: dg.DagsterInstance, first: str, last: str | None = None, **tags: str) -> dg.ExecuteInProcessResult:
    chosen: dict[str, Any] = {"partition_key": first} if last is None else {"tags": {RANGE_START: first, RANGE_END: last} | tags}
    return dg.materialize([feedback_metrics], resources={"store": store}, instance=instance, **chosen)


def by_day(pipeline: Connection) -> dict[str, dict[str, Any]]:
    """The stored metrics, every number that is not zero, by day; weighted sums are tested with the weights (feedback/test_trust_refresh.py)."""
    other = ("organization_id", "agent_id", "day", "computed_at", "rating_weight_sum", "rating_weighted_sum", "thumbs_up_weighted", "thumbs_down_weighted")
    return {row["day"].isoformat(): {name: value for name, value in row.items() if value and name not in other} for row in table(pipeline, "feedback_metrics")}


@pytest.fixture
def two_days(desk: None, load: Load) -> None:
    """Ada changes her mind, Bob complains, someone unknown likes it, Ada corrects the day after, and one feedback waits for its execution."""
    load(
        "executions",
        [
            execution("e1", created_at=f"{MONDAY}T09:00:00Z", latency_ms=100, input_tokens=10, output_tokens=5, cost_usd=0.5),
            execution("e2", created_at=f"{MONDAY}T10:00:00Z"),
            execution("e3", created_at=f"{TUESDAY}T08:00:00Z"),
            execution("e4", created_at=f"{TUESDAY}T08:30:00Z"),
        ],
    )
    load(
        "feedback",
        [
            said("f1", "e1", "star_rating", user="ada", rating=2, created_at=f"{MONDAY}T10:00:00Z"),
            said("f2", "e1", "star_rating", user="ada", rating=5, created_at=f"{MONDAY}T11:00:00Z"),
            said("f3", "e2", "thumbs_down", user="bob", issue_categories=["tone"], created_at=f"{MONDAY}T12:00:00Z"),
            said("f4", "e2", "thumbs_up", created_at=f"{TUESDAY}T09:00:00Z"),
            said("f5", "e3", "correction", user="ada", correction_text="Form 2.", created_at=f"{TUESDAY}T10:00:00Z"),
            said("f6", "e3", "detailed_feedback", user="bob", feedback_text="Hm.", created_at=f"{TUESDAY}T10:30:00Z"),
            said("f7", "e3", "detailed_feedback", user="bob", feedback_text="So so.", dimensions={"accuracy": 3}, created_at=f"{TUESDAY}T11:00:00Z"),
            said("f8", "unheard-of", "thumbs_up", agent="desk", created_at=f"{TUESDAY}T12:00:00Z"),
        ],
    )


MONDAY_NUMBERS = {
    "executions": 2, "executions_with_feedback": 2, "latency_count": 1, "latency_ms_sum": 100, "tokens_sum": 15, "cost_usd_sum": 0.5,
    "feedback": 2, "rating_count": 1, "rating_sum": 5, "rating_sum_squares": 25, "thumbs_down": 1, "issues": {"tone": 1},
}  # fmt: skip
TUESDAY_NUMBERS = {
    "executions": 2, "executions_with_feedback": 1, "feedback": 4, "thumbs_up": 1, "corrections": 1, "accuracy_count": 1, "accuracy_sum": 3,
}  # fmt: skip


def test_asked_for_what_changed_days_that_did_not_are_left_as_they_are(
    two_days: None, store: Store, instance: dg.DagsterInstance, pipeline: Connection, load: Load
) -> None:
    """A sensor asks for a stretch of days; of a long history those between the changed ones would be most of the work."""
    materialize(store, instance, MONDAY, TUESDAY)
    pipeline.execute("UPDATE feedback_metrics SET executions = 77")
    load("executions", [execution("e5", created_at=f"{TUESDAY}T09:00:00Z")])
    materialize(store, instance, MONDAY, TUESDAY, **{run_tags.CHANGED_ONLY: "true"})
    assert {day: numbers["executions"] for day, numbers in by_day(pipeline).items()} == {MONDAY: 77, TUESDAY: 3}
    materialize(store, instance, MONDAY, TUESDAY)
    assert {day: numbers["executions"] for day, numbers in by_day(pipeline).items()} == {MONDAY: 2, TUESDAY: 3}


def test_a_day_counts_what_is_in_force(two_days: None, store: Store, instance: dg.DagsterInstance, pipeline: Connection) -> None:
    materialize(store, instance, MONDAY)
    assert by_day(pipeline)[MONDAY] == MONDAY_NUMBERS


def test_whichever_day_is_asked_for_every_changed_day_is_taken_up(
    two_days: None, load: Load, store: Store, instance: dg.DagsterInstance, pipeline: Connection
) -> None:
    """The run for another day may have been lost."""
    result = materialize(store, instance, MONDAY)
    assert (by_day(pipeline), metadata_of(result, "feedback_metrics")["dagster/row_count"]) == ({MONDAY: MONDAY_NUMBERS, TUESDAY: TUESDAY_NUMBERS}, 1)
    pipeline.execute("UPDATE feedback_metrics SET executions = 7")
    load("executions", [execution("late", created_at=f"{TUESDAY}T23:00:00Z")])
    materialize(store, instance, MONDAY)
    assert by_day(pipeline) == {MONDAY: MONDAY_NUMBERS, TUESDAY: {**TUESDAY_NUMBERS, "executions": 3}}


def test_a_range_of_days_is_one_run(two_days: None, store: Store, instance: dg.DagsterInstance, pipeline: Connection) -> None:
    result = materialize(store, instance, "2025-03-09", "2025-03-12")
    assert by_day(pipeline) == {MONDAY: MONDAY_NUMBERS, TUESDAY: TUESDAY_NUMBERS}
    events = result.get_asset_materialization_events()
    assert {event.partition for event in events} == {"2025-03-09", MONDAY, TUESDAY, "2025-03-12"}


def test_computing_a_day_again_changes_nothing(two_days: None, store: Store, instance: dg.DagsterInstance, pipeline: Connection) -> None:
    for _ in range(2):
        materialize(store, instance, MONDAY)
    assert by_day(pipeline)[MONDAY] == MONDAY_NUMBERS


def test_metadata_say_how_many_rows_which_table_and_its_columns(two_days: None, store: Store, instance: dg.DagsterInstance, pipeline: Connection) -> None:
    metadata = metadata_of(materialize(store, instance, MONDAY), "feedback_metrics")
    assert (metadata["dagster/row_count"], metadata["dagster/table_name"]) == (1, "learning.feedback_metrics")
    columns = {column.name: column.type for column in metadata["dagster/column_schema"].columns}
    assert columns["day"] == "date"
    assert columns["issues"] == "jsonb"
    assert (metadata["days"], metadata["executions"], metadata["feedback"], metadata["corrections"]) == (1, 2, 2, 0)


def test_days_begin_at_midnight_of_the_settings_zone(desk: None, load: Load, berlin_store: Store, instance: dg.DagsterInstance, pipeline: Connection) -> None:
    # 30 March 2025 had 23 hours in Berlin: from 23:00 UTC of the 29th to 22:00 UTC of the 30th.
    moments = {"e1": "2025-03-29T22:59:59Z", "e2": "2025-03-29T23:00:00Z", "e3": "2025-03-30T21:59:59Z", "e4": "2025-03-30T22:00:00Z"}
    load("executions", [execution(name, created_at=moment) for name, moment in moments.items()])
    materialize(berlin_store, instance, "2025-03-29", "2025-03-31")
    assert {day: numbers["executions"] for day, numbers in by_day(pipeline).items()} == {"2025-03-29": 1, "2025-03-30": 2, "2025-03-31": 1}


def test_a_late_row_changes_its_own_day(two_days: None, load: Load, store: Store, instance: dg.DagsterInstance, pipeline: Connection) -> None:
    materialize(store, instance, MONDAY, TUESDAY)
    load("executions", [execution("late", created_at=f"{MONDAY}T23:00:00Z")])
    materialize(store, instance, MONDAY)
    assert by_day(pipeline) == {MONDAY: {**MONDAY_NUMBERS, "executions": 3}, TUESDAY: TUESDAY_NUMBERS}


def test_feedback_counts_once_its_execution_arrives(two_days: None, load: Load, store: Store, instance: dg.DagsterInstance, pipeline: Connection) -> None:
    materialize(store, instance, TUESDAY)
    load("executions", [execution("unheard-of", created_at=f"{TUESDAY}T11:00:00Z")])
    materialize(store, instance, TUESDAY)
    assert by_day(pipeline)[TUESDAY] == {**TUESDAY_NUMBERS, "executions": 3, "executions_with_feedback": 2, "feedback": 5, "thumbs_up": 2}


def test_agents_and_organizations_are_counted_apart(load: Load, store: Store, instance: dg.DagsterInstance, pipeline: Connection) -> None:
    for organization in ("default", "other"):
        load("agents", [AGENT, {**AGENT, "agent": "second"}], organization)
        load("executions", [execution(f"e-{agent}", agent, created_at=f"{MONDAY}T09:00:00Z") for agent in ("desk", "second")], organization)
    materialize(store, instance, MONDAY)
    rows = table(pipeline, "feedback_metrics")
    assert len({(row["organization_id"], row["agent_id"]) for row in rows}) == 4
    assert [row["executions"] for row in rows] == [1, 1, 1, 1]


def test_checks_pass_on_sound_rows(two_days: None, store: Store, instance: dg.DagsterInstance) -> None:
    assert checks_of(materialize(store, instance, MONDAY, TUESDAY)) == {"references_hold": True, "ratings_in_range": True}


def test_feedback_whose_execution_is_gone_fails_the_check(two_days: None, store: Store, instance: dg.DagsterInstance, pipeline: Connection) -> None:
    pipeline.execute("DELETE FROM agent_executions WHERE id = 'e1'")
    assert checks_of(materialize(store, instance, MONDAY)) == {"references_hold": False, "ratings_in_range": True}


def test_feedback_whose_agent_is_gone_fails_the_check(two_days: None, store: Store, instance: dg.DagsterInstance, pipeline: Connection) -> None:
    pipeline.execute("UPDATE agent_feedback SET agent_id = gen_random_uuid() WHERE id = 'f3'")
    assert checks_of(materialize(store, instance, MONDAY)) == {"references_hold": False, "ratings_in_range": True}


def test_a_rating_out_of_range_fails_the_check(two_days: None, database: Database, store: Store, instance: dg.DagsterInstance, pipeline: Connection) -> None:
    # The table refuses such a rating: it can only be there if somebody took the constraint away.
    names = [row["conname"] for row in table(pipeline, "pg_constraint", "conrelid = 'learning.agent_feedback'::regclass AND conname LIKE '%feedback_rating%'")]
    with database.connect("owner", autocommit=False) as owner:
        for name in names:
            owner.execute(f"ALTER TABLE agent_feedback DROP CONSTRAINT {name}")
        owner.execute("UPDATE agent_feedback SET rating = 9 WHERE id = 'f2'")
        owner.commit()
    try:
        assert checks_of(materialize(store, instance, MONDAY)) == {"references_hold": True, "ratings_in_range": False}
    finally:
        with database.connect("owner") as owner:
            owner.execute("DELETE FROM agent_feedback WHERE rating > 5")
            for name in names:
                owner.execute(f"ALTER TABLE agent_feedback ADD CONSTRAINT {name} CHECK (rating BETWEEN 1 AND 5)")


def test_a_run_on_a_schema_that_does_not_fit_says_what_to_do(
    two_days: None, database: Database, store: Store, instance: dg.DagsterInstance, pipeline: Connection
) -> None:
    with database.connect("owner") as owner:
        owner.execute("ALTER TABLE feedback_metrics RENAME TO elsewhere")
    try:
        with pytest.raises(Exception, match="learning-pipelines migrate") as failed:
            materialize(store, instance, MONDAY)
        assert not isinstance(failed.value, psycopg.Error)
    finally:
        with database.connect("owner") as owner:
            owner.execute("ALTER TABLE elsewhere RENAME TO feedback_metrics")


def test_the_current_day_is_a_partition() -> None:
    today = dt.datetime.now(dt.UTC).date()
    assert feedback_metrics.partitions_def is not None
    assert feedback_metrics.partitions_def.get_last_partition_key() in {(today + dt.timedelta(days=back)).isoformat() for back in (-1, 0, 1)}
