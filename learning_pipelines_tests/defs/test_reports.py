"""The asset learning_report with real rows: stored numbers, what it brings up to date first, old weeks, checks that can fail.

Belongs here: the asset. Not here: rates and intervals, wording (reports/), when it runs (test_schedules.py).
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import dagster as dg
import orjson
import pytest

from learning_pipelines.defs.redelivery import failed_deliveries
from learning_pipelines.feedback.identity import organization_id
from learning_pipelines.reports.markdown import week_markdown
from learning_pipelines.reports.page import week_html
from learning_pipelines.reports.week import last_closed_week
from learning_pipelines.storage.database import Connection, Database
from learning_pipelines.storage.store import Store
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.defs.conftest import Materialize, asked, checks_of, metadata_of
from learning_pipelines_tests.feedback.rows import AGENT, said, table
from learning_pipelines_tests.reports.test_delivery import Hook
from learning_pipelines_tests.storage.one_row import one_row

OLD = "2024-07-01"
GREEN = {"no_drift": True, "everybody_got_it": True}
"""The checks of what runs before and after the report."""


def stored(pipeline: Connection, week: str = OLD) -> dict[str, Any]:
    (row,) = table(pipeline, "learning_reports", f"week = '{week}'")
    return dict(row["numbers"])


def recorded(instance: dg.DagsterInstance, asset: str) -> set[str]:
    """Partitions of an asset that were materialized."""
    return set(instance.get_materialized_partitions(dg.AssetKey(asset)))


def week_of_rows(load: Load, monday: str, prefix: str = "", organization: str = "default") -> None:
    """Two executions, one rated 4 and corrected; the Sunday before and the Monday after have one each."""
    day = dt.date.fromisoformat(monday)
    moments = {"before": day - dt.timedelta(days=1), "e1": day, "e2": day + dt.timedelta(days=6), "after": day + dt.timedelta(days=7)}
    load("agents", [AGENT], organization)
    load("executions", [asked(prefix + name, f"Question {name} {prefix}", created_at=f"{moment}T12:00:00Z") for name, moment in moments.items()], organization)
    load(
        "feedback",
        [
            said(f"{prefix}f1", f"{prefix}e1", "star_rating", user="ada", rating=4, created_at=f"{day}T13:00:00Z"),
            said(f"{prefix}f2", f"{prefix}e1", "correction", user="bob", correction_text="Form 7.", created_at=f"{day}T14:00:00Z"),
        ],
        organization,
    )


@pytest.fixture
def old_week(load: Load) -> None:
    week_of_rows(load, OLD)


def test_the_numbers_of_a_week_are_stored(old_week: None, run_job: Materialize, pipeline: Connection) -> None:
    run_job("learning_report", OLD)
    numbers = stored(pipeline)
    assert (numbers["week"], numbers["starts"], numbers["ends"], numbers["organization"]) == ("2024-W27", OLD, "2024-07-07", "default")
    assert (numbers["executions"], numbers["feedback"], numbers["feedback_rate"], numbers["avg_rating"], numbers["corrections"]) == (2, 2, 0.5, 4.0, 1)
    assert numbers["change"]["executions"] == 1


def test_the_report_shows_what_weights_change(old_week: None, load: Load, run_job: Materialize, pipeline: Connection) -> None:
    load("feedback", [said("hater", "e2", "star_rating", user="hater", rating=1, created_at="2024-07-03T12:00:00Z")])
    run_job("learning_report", OLD)
    assert (stored(pipeline)["avg_rating"], stored(pipeline)["weighted_rating"], stored(pipeline)["distrusted_raters"]) == (2.5, pytest.approx(2.5), 0)
    pipeline.execute("UPDATE rater_weights SET weight = 0 WHERE user_id = (SELECT id FROM users WHERE external_id = 'hater')")
    run_job("metrics_refresh", "2024-07-03")
    metadata = metadata_of(run_job("learning_report", OLD), "learning_report")
    assert (stored(pipeline)["avg_rating"], stored(pipeline)["weighted_rating"], stored(pipeline)["distrusted_raters"]) == (2.5, pytest.approx(4.0), 1)
    assert "the average rating is 4.00 instead of 2.50. 1 raters of this week have next to no weight." in metadata["report"]


def test_every_organization_gets_its_own_report(old_week: None, load: Load, run_job: Materialize, pipeline: Connection) -> None:
    load("agents", [AGENT], "quiet")
    result = run_job("learning_report", OLD)
    found = {row["numbers"]["organization"]: row["numbers"]["executions"] for row in table(pipeline, "learning_reports")}
    assert found == {"default": 2, "quiet": 0}
    assert metadata_of(result, "learning_report")["dagster/row_count"] == 2


def test_the_page_is_in_the_artifact_store_and_in_the_metadata(old_week: None, store: Store, run_job: Materialize) -> None:
    metadata = metadata_of(run_job("learning_report", OLD), "learning_report")
    pages = {suffix: Path(store.settings.home / "artifacts" / "reports" / "default" / f"2024-W27.{suffix}") for suffix in ("md", "html", "json")}
    markdown = pages["md"].read_text(encoding="utf-8")
    assert markdown.split("\n## Queries\n")[0].strip() == metadata["report"] and "```sql" in markdown
    assert pages["html"].read_text(encoding="utf-8").startswith("<!doctype html>")
    assert orjson.loads(pages["json"].read_bytes())["executions"] == metadata["executions"] == 2
    assert metadata["page"].endswith("/reports#2024-W27")
    assert metadata["dagster/table_name"] == "learning.learning_reports"
    assert "numbers" in {column.name for column in metadata["dagster/column_schema"].columns}


def test_what_it_reads_is_brought_up_to_date_first(old_week: None, run_job: Materialize, pipeline: Connection) -> None:
    run_job("learning_report", OLD)
    assert [row["example_type"] for row in sorted(table(pipeline, "learning_examples"), key=lambda row: row["source_id"])] == ["positive", "correction"]
    assert {row["day"].isoformat() for row in table(pipeline, "feedback_metrics")} == {"2024-06-30", OLD, "2024-07-07", "2024-07-08"}


def test_what_was_brought_up_to_date_is_recorded_as_materialized(old_week: None, run_job: Materialize, instance: dg.DagsterInstance) -> None:
    run_job("learning_report", OLD)
    assert recorded(instance, "learning_examples") == recorded(instance, "training_datasets") == {"default/desk"}
    assert recorded(instance, "feedback_metrics") == {"2024-06-30", OLD, "2024-07-07", "2024-07-08"}
    assert recorded(instance, "learning_report") == {OLD}
    assert instance.has_dynamic_partition("agents", "default/desk")


def test_running_again_replaces_the_report_and_changes_no_number(old_week: None, run_job: Materialize, pipeline: Connection) -> None:
    run_job("learning_report", OLD)
    before = stored(pipeline)
    run_job("learning_report", OLD)
    assert stored(pipeline) == before


def test_a_late_row_is_in_the_report_of_its_week_when_that_runs_again(old_week: None, load: Load, run_job: Materialize, pipeline: Connection) -> None:
    run_job("learning_report", OLD)
    load("executions", [asked("late", "Something late", created_at=f"{OLD}T20:00:00Z")])
    run_job("learning_report", OLD)
    assert stored(pipeline)["executions"] == 3


def test_an_old_week_can_be_filled_in_while_the_latest_is_still_to_come(old_week: None, run_job: Materialize, pipeline: Connection) -> None:
    result = run_job("learning_report", OLD)
    assert checks_of(result) == {"latest_closed_week_exists": True, "adds_up": True, **GREEN}
    assert len(table(pipeline, "learning_reports")) == 1


def test_a_week_without_any_row_has_no_evidence_instead_of_zeros(old_week: None, run_job: Materialize, pipeline: Connection) -> None:
    run_job("learning_report", "2024-01-01")
    numbers = stored(pipeline, "2024-01-01")
    assert (numbers["executions"], numbers["feedback_rate"], numbers["avg_rating"], numbers["rating_interval"]) == (0, None, None, None)


def test_the_latest_week_of_every_organization_passes_the_checks(load: Load, store: Store, run_job: Materialize) -> None:
    latest = last_closed_week(dt.datetime.now(dt.UTC), store.settings.zone).isoformat()
    week_of_rows(load, latest, organization="other")
    week_of_rows(load, latest)
    assert checks_of(run_job("learning_report", latest)) == {"latest_closed_week_exists": True, "adds_up": True, **GREEN}


def test_a_report_that_was_lost_fails_the_check(old_week: None, database: Database, store: Store, run_job: Materialize) -> None:
    latest = last_closed_week(dt.datetime.now(dt.UTC), store.settings.zone).isoformat()
    with database.connect("owner") as owner:
        owner.execute("CREATE FUNCTION learning.lose() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'")
        owner.execute("CREATE TRIGGER lose BEFORE INSERT ON learning_reports FOR EACH ROW EXECUTE FUNCTION learning.lose()")
    try:
        assert checks_of(run_job("learning_report", latest)) == {"latest_closed_week_exists": False, "adds_up": True, **GREEN}
    finally:
        with database.connect("owner") as owner:
            owner.execute("DROP FUNCTION learning.lose CASCADE")


@pytest.mark.parametrize("planted", ["UPDATE feedback_metrics SET feedback = feedback + 1 WHERE day = '2024-07-01'", "DELETE FROM feedback_metrics"])
def test_a_report_that_counts_other_rows_than_there_are_fails_the_check(planted: str, old_week: None, run_job: Materialize, pipeline: Connection) -> None:
    run_job("learning_report", OLD)
    pipeline.execute(planted)  # type: ignore[arg-type]
    assert checks_of(run_job("learning_report", OLD)) == {"latest_closed_week_exists": True, "adds_up": False, **GREEN}


def test_a_model_that_cannot_be_asked_leaves_no_evidence_and_a_report(load: Load, store: Store, run_job: Materialize, pipeline: Connection) -> None:
    latest = last_closed_week(dt.datetime.now(dt.UTC), store.settings.zone).isoformat()
    week_of_rows(load, latest)
    metadata = metadata_of(run_job("learning_report", latest), "serving_scores")
    assert (metadata["dagster/row_count"], metadata["not_measured"], metadata["calls"]) == (0, 2, 0)
    assert {one["kind"]: one["reason"] for one in stored(pipeline, latest)["serving"]} == {
        "prompt": "no evidence: fewer than 5 approved examples with an answer are in the test split", "index": "no evidence: the agent has no documents",
    }  # fmt: skip


def test_a_webhook_that_nobody_answers_is_a_warning_and_the_report_is_green(
    load: Load, store: Store, run_job: Materialize, pipeline: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    latest = last_closed_week(dt.datetime.now(dt.UTC), store.settings.zone).isoformat()
    week_of_rows(load, latest)
    monkeypatch.setattr("learning_pipelines.reports.delivery.WAIT", 0.0)
    monkeypatch.setattr(store, "settings", store.settings.model_copy(update={"webhook_url": "http://127.0.0.1:9/hook"}))
    result = run_job("learning_report", latest)
    assert result.success and checks_of(result)["everybody_got_it"] is False
    assert metadata_of(result, "report_delivery")["not_sent"] == 1
    (row,) = table(pipeline, "report_deliveries")
    assert (row["channel"], row["state"], row["error"]) == ("webhook", "failed", "no connection (ConnectError)")
    assert stored(pipeline, latest)["executions"] == 2


def test_a_delivery_that_failed_is_tried_again_when_it_is_due_nobody_gets_it_twice_and_the_last_attempt_is_told(
    load: Load, store: Store, run_job: Materialize, pipeline: Connection, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    latest = last_closed_week(dt.datetime.now(dt.UTC), store.settings.zone).isoformat()
    week_of_rows(load, latest)
    monkeypatch.setattr("learning_pipelines.reports.delivery.WAIT", 0.0)
    hook = Hook()
    with hook.running() as url:
        monkeypatch.setattr(store, "settings", store.settings.model_copy(update={"webhook_url": url, "slack_webhook": "http://127.0.0.1:9/slack"}))
        run_job("learning_report", latest)
        assert asked_again(store) is None  # five minutes are not over
        ago(pipeline, minutes=6)
        request = asked_again(store)
        assert request is not None and request.partition_key == latest and request.run_key == f"{latest}/default/slack/1"
        assert run_job("report_redelivery", latest).success
        assert (len(hook.asked), state_of(pipeline)) == (1, {"webhook": ("sent", 1), "slack": ("failed", 2)})
        ago(pipeline, minutes=9)
        assert asked_again(store) is None  # the pause is double the first
        pipeline.execute("UPDATE report_deliveries SET attempts = 7, changed_at = now() - interval '1 day' WHERE channel = 'slack'")
        result = run_job("report_redelivery", latest)
        assert (state_of(pipeline)["slack"], checks_of(result)["everybody_got_it"]) == (("failed", 8), False)
        assert "did not go out by slack in 8 attempts" in caplog.text
        assert [body["event"] for _, body in hook.asked] == ["learning_report", "report_undelivered"]
        ago(pipeline, minutes=100_000)
        assert asked_again(store) is None


def test_trying_again_sends_nothing_for_the_first_time(
    load: Load, store: Store, run_job: Materialize, pipeline: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    latest = last_closed_week(dt.datetime.now(dt.UTC), store.settings.zone).isoformat()
    week_of_rows(load, latest)
    run_job("learning_report", latest)
    monkeypatch.setattr(store, "settings", store.settings.model_copy(update={"webhook_url": "http://127.0.0.1:9/hook"}))
    run_job("report_redelivery", latest)
    assert table(pipeline, "report_deliveries") == []


def asked_again(store: Store) -> dg.RunRequest | None:
    with dg.DagsterInstance.ephemeral() as instance:
        asked = failed_deliveries(dg.build_sensor_context(instance=instance, resources={"store": store}))
    return asked if isinstance(asked, dg.RunRequest) else None


def ago(pipeline: Connection, minutes: int) -> None:
    pipeline.execute("UPDATE report_deliveries SET changed_at = now() - make_interval(mins => %s)", [minutes])


def state_of(pipeline: Connection) -> dict[str, tuple[str, int]]:
    return {row["channel"]: (row["state"], row["attempts"]) for row in table(pipeline, "report_deliveries")}


def test_raters_of_a_week_that_lies_in_the_archive_are_not_known_instead_of_0(old_week: None, run_job: Materialize, pipeline: Connection) -> None:
    one_row(pipeline, "archived_metrics", organization_id=organization_id("default"), day=dt.date(2024, 7, 3), month=dt.date(2024, 7, 1), feedback=5)
    run_job("learning_report", OLD)
    numbers = stored(pipeline)
    assert numbers["distrusted_raters"] is None
    assert {one["key"]: one["count"] for one in numbers["incidents"]}["distrusted_raters"] is None
    assert "Raters of next to no weight who said something: no evidence" in week_markdown(numbers)
    assert "no evidence" in week_html(numbers, "http://127.0.0.1:8000").split('id="incidents"')[1].split("</ul>")[0]
