"""The jobs with real rows: those that have nothing of their own to do write nothing of their own, cleanup tidies.

Belongs here: jobs run in this process. Not here: single assets (their files), the command line (test_cli.py).
"""

from __future__ import annotations

import dagster as dg
import pytest

from learning_pipelines.storage import overview
from learning_pipelines.storage.database import Connection, Database
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.defs.conftest import Materialize, asked
from learning_pipelines_tests.feedback.rows import AGENT, said, table

IDLE = {"cleanup": None}
every_idle_job = pytest.mark.parametrize("job", IDLE)
DERIVED = {
    "learning_examples", "example_sources", "outbox_positions", "rater_weights", "feedback_metrics", "training_datasets",
    "dataset_examples", "example_splits", "example_changes", "dataset_states",
    "stale_quality", "example_quality", "quality_calibrations", "expert_reliability", "annotation_agreement", "adjudications", "curation_state",
    "example_sketches", "example_embeddings", "duplicate_links", "example_conflicts",
}  # fmt: skip


@pytest.fixture
def rated(desk: None, load: Load) -> None:
    load("executions", [asked("e1", "How do I file VAT?", user="ada", created_at="2025-03-10T09:00:00Z")])
    load("feedback", [said("f1", "e1", "thumbs_up", user="bob", created_at="2025-03-11T09:00:00Z")])


@every_idle_job
def test_a_job_without_anything_of_its_own_to_do_only_brings_up_to_date(job: str, rated: None, run_job: Materialize, pipeline: Connection) -> None:
    before = overview.table_counts(pipeline)
    run_job(job, IDLE[job])
    after = overview.table_counts(pipeline)
    assert {name for name in after if after[name] != before[name]} <= DERIVED
    assert (after["learning_examples"], after["feedback_metrics"]) == (1, 2)


@every_idle_job
def test_running_it_again_changes_no_count(job: str, rated: None, run_job: Materialize, pipeline: Connection) -> None:
    run_job(job, IDLE[job])
    before = overview.table_counts(pipeline)
    run_job(job, IDLE[job])
    assert overview.table_counts(pipeline) == before


@every_idle_job
def test_what_it_brought_up_to_date_is_recorded(job: str, rated: None, run_job: Materialize, instance: dg.DagsterInstance) -> None:
    run_job(job, IDLE[job])
    assert set(instance.get_materialized_partitions(dg.AssetKey("learning_examples"))) == {"default/desk"}
    assert set(instance.get_materialized_partitions(dg.AssetKey("feedback_metrics"))) == {"2025-03-10", "2025-03-11"}


def test_a_job_of_one_agent_leaves_the_others_for_their_own_runs(rated: None, load: Load, run_job: Materialize, pipeline: Connection) -> None:
    load("agents", [{**AGENT, "agent": "other"}])
    load("executions", [asked("o1", "Where is my refund?", agent="other")])
    load("feedback", [said("g1", "o1", "thumbs_down")])
    run_job("prompt_optimization", "default/other")
    assert [row["source_id"] for row in table(pipeline, "learning_examples")] == ["g1"]


def test_a_run_tagged_with_an_organization_leaves_the_others_alone(rated: None, load: Load, run_job: Materialize, pipeline: Connection) -> None:
    load("agents", [AGENT], "other")
    load("executions", [asked("o1", "Where is my refund?")], "other")
    load("feedback", [said("g1", "o1", "thumbs_down")], "other")
    run_job("cleanup", tags={"learning/organization": "other"})
    assert [row["source_id"] for row in table(pipeline, "learning_examples")] == ["g1"]


def test_cleanup_makes_the_partitions_that_are_missing(database: Database, run_job: Materialize, pipeline: Connection) -> None:
    with database.connect("owner") as owner:
        newest = max(row["relname"] for row in table(owner, "pg_class", "relispartition AND relname LIKE 'agent_feedback_2%' AND relkind = 'r'"))
        owner.execute(f"DROP TABLE {newest}")
    run_job("cleanup")
    assert table(pipeline, "pg_class", f"relname = '{newest}' AND relrowsecurity AND relforcerowsecurity")


def test_cleanup_prunes_old_entries_that_every_reader_has_taken_up(rated: None, load: Load, run_job: Materialize, pipeline: Connection) -> None:
    pipeline.execute("UPDATE outbox SET received_at = now() - interval '31 days' WHERE kind <> 'feedback'")
    run_job("cleanup")
    assert {row["kind"] for row in table(pipeline, "outbox")} == {"feedback"}
    assert len(table(pipeline, "agent_executions")) == 1


def test_cleanup_deletes_old_runs_and_keeps_young_ones(
    rated: None, run_job: Materialize, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    from learning_pipelines.defs import maintenance

    first = run_job("examples_refresh", "default/desk").run_id
    run_job("cleanup")
    assert instance.has_run(first)
    monkeypatch.setattr(maintenance, "RUNS_KEPT_DAYS", 0)
    last = run_job("cleanup").run_id
    assert not instance.has_run(first)
    assert instance.has_run(last)


def test_examples_and_dataset_of_an_agent_are_one_run(rated: None, run_job: Materialize) -> None:
    result = run_job("dataset_refresh", "default/desk")
    order = [event.asset_key.to_user_string() for event in result.get_asset_materialization_events()]
    before, after = order[: order.index("training_datasets")], order[order.index("training_datasets") + 1 :]
    assert before[0] == "learning_examples"
    assert set(before[1:]) == {"duplicate_clusters", "annotation_agreement", "example_quality"}
    assert after == ["preference_pairs", "dataset_exports"]
