"""The asset learning_examples with real rows: what a refresh of one agent writes and reports, and each of its checks failing.

Belongs here: the asset. Not here: which feedback makes which example (examples/), datasets made of them (test_datasets.py).
"""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest

from learning_pipelines.defs.examples import learning_examples
from learning_pipelines.examples import refresh
from learning_pipelines.examples.rescrub import Rescrubbed
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.store import Store
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.defs.conftest import Materialize, asked, checks_of, metadata_of
from learning_pipelines_tests.feedback.rows import AGENT, said, table

DESK = "default/desk"
SOUND = dict.fromkeys(("references_hold", "no_duplicate_example", "no_raw_email", "no_raw_account_number", "scrubbed_by_current_rules"), True)


def materialize(store: Store, instance: dg.DagsterInstance, partition: str = DESK, *, raise_on_error: bool = True) -> dg.ExecuteInProcessResult:
    instance.add_dynamic_partitions("agents", [partition])
    return dg.materialize([learning_examples], partition_key=partition, resources={"store": store}, instance=instance, raise_on_error=raise_on_error)


def all_rows(pipeline: Connection) -> dict[str, list[dict[str, Any]]]:
    return {name: sorted(table(pipeline, name), key=str) for name in ("learning_examples", "example_sources", "outbox_positions")}


@pytest.fixture
def rated(desk: None, load: Load) -> None:
    """A correction, a clear yes, a no, a reported failure, and a lukewarm rating that makes no example."""
    questions = ["How do I file VAT?", "Where is my refund?", "Can I deduct a bicycle?", "When is payroll due?", "Who signs the audit letter?"]
    load("executions", [asked(f"e{number}", question, user="ada") for number, question in enumerate(questions, start=1)])
    load(
        "feedback",
        [
            said("f1", "e1", "correction", user="ada", correction_text="Use form 7; questions to jo@example.org."),
            said("f2", "e2", "thumbs_up", user="ada"),
            said("f3", "e3", "star_rating", user="bob", rating=1),
            said("f4", "e4", "report_issue", user="bob", issue_categories=["hallucination"]),
            said("f5", "e5", "star_rating", user="bob", rating=3),
        ],
    )


def test_feedback_becomes_examples_of_every_kind(rated: None, store: Store, instance: dg.DagsterInstance, pipeline: Connection) -> None:
    materialize(store, instance)
    assert {row["source_id"]: row["example_type"] for row in table(pipeline, "learning_examples")} == {
        "f1": "correction", "f2": "positive", "f3": "negative", "f4": "failure",
    }  # fmt: skip


def test_metadata_count_and_name_but_hold_no_text(rated: None, store: Store, instance: dg.DagsterInstance) -> None:
    metadata = metadata_of(materialize(store, instance), "learning_examples")
    assert (metadata["dagster/row_count"], metadata["dagster/table_name"], metadata["created"]) == (4, "learning.learning_examples", 4)
    assert "expected_output" in {column.name for column in metadata["dagster/column_schema"].columns}
    assert (metadata["type_correction"], metadata["type_positive"], metadata["type_negative"], metadata["type_failure"]) == (1, 1, 1, 1)
    assert metadata["personal_data_replaced"] == 1
    assert "form 7" not in str(metadata)


def test_materializing_again_changes_no_row(rated: None, store: Store, instance: dg.DagsterInstance, pipeline: Connection) -> None:
    materialize(store, instance)
    before = all_rows(pipeline)
    again = metadata_of(materialize(store, instance), "learning_examples")
    assert all_rows(pipeline) == before
    assert (again["entries_read"], again["created"], again["dagster/row_count"]) == (0, 0, 4)


def test_only_the_agent_of_the_partition_is_taken_up(rated: None, load: Load, store: Store, instance: dg.DagsterInstance, pipeline: Connection) -> None:
    load("agents", [{**AGENT, "agent": "other"}])
    load("executions", [asked("o1", "How long do I keep receipts?", agent="other")])
    load("feedback", [said("g1", "o1", "thumbs_up")])
    materialize(store, instance, "default/other")
    assert [row["source_id"] for row in table(pipeline, "learning_examples")] == ["g1"]


def test_equal_names_in_two_organizations_stay_apart(rated: None, load: Load, store: Store, instance: dg.DagsterInstance, pipeline: Connection) -> None:
    load("agents", [AGENT], "other")
    load("executions", [asked("e1", "How do I file VAT?")], "other")
    load("feedback", [said("f1", "e1", "thumbs_down")], "other")
    materialize(store, instance, "other/desk")
    assert [row["example_type"] for row in table(pipeline, "learning_examples")] == ["negative"]


def test_a_partition_without_an_agent_fails_at_once_and_says_so(store: Store, instance: dg.DagsterInstance) -> None:
    result = materialize(store, instance, "default/nobody", raise_on_error=False)
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert "There is no agent 'default/nobody'" in failure.step_failure_data.error_display_string
    assert not result.retry_attempts_for_node("learning_examples")


def test_checks_pass_on_sound_rows(rated: None, store: Store, instance: dg.DagsterInstance) -> None:
    assert checks_of(materialize(store, instance)) == SOUND


@pytest.mark.parametrize("planted", ["DELETE FROM ingest_keys WHERE external_id = 'f1'", "DELETE FROM example_sources WHERE feedback_id = 'f2'"])
def test_an_example_without_its_feedback_fails_the_check(
    planted: str, rated: None, store: Store, instance: dg.DagsterInstance, pipeline: Connection
) -> None:
    materialize(store, instance)
    pipeline.execute(planted)  # type: ignore[arg-type]
    assert checks_of(materialize(store, instance))["references_hold"] is False


def test_a_repeated_example_fails_the_check(rated: None, store: Store, instance: dg.DagsterInstance, pipeline: Connection) -> None:
    materialize(store, instance)
    pipeline.execute(
        """INSERT INTO learning_examples (organization_id, id, agent_id, example_type, source_type, input_text, content_hash, scrub_rules)
        SELECT organization_id, 'again', agent_id, example_type, 'imported', input_text, content_hash, scrub_rules FROM learning_examples LIMIT 1"""
    )
    assert checks_of(materialize(store, instance)) == SOUND | {"no_duplicate_example": False}


@pytest.mark.parametrize(
    "planted",
    [
        "input_text = 'Write to Jo@Example.org, please.'",
        "expected_output = 'jo@example.org'",
        """input_context = '{"from": "jo@example.org"}'""",
        "tags = ARRAY['vat', 'jo@example.org']",
    ],
)
def test_a_raw_address_anywhere_in_an_example_fails_the_check(
    planted: str, rated: None, store: Store, instance: dg.DagsterInstance, pipeline: Connection
) -> None:
    materialize(store, instance)
    pipeline.execute(f"UPDATE learning_examples SET {planted} WHERE source_id = 'f2'")  # type: ignore[arg-type]
    assert checks_of(materialize(store, instance, raise_on_error=False))["no_raw_email"] is False


@pytest.mark.parametrize("planted", ["IBAN DE89 3704 0044 0532 0130 00", "Visa 4111-1111-1111-1111"])
def test_a_raw_account_number_fails_the_check(planted: str, rated: None, store: Store, instance: dg.DagsterInstance, pipeline: Connection) -> None:
    materialize(store, instance)
    pipeline.execute("UPDATE learning_examples SET expected_output = %s WHERE source_id = 'f2'", [planted])
    found = checks_of(materialize(store, instance, raise_on_error=False))
    assert (found["no_raw_account_number"], found["no_raw_email"]) == (False, True)


def test_an_example_of_older_rules_that_stays_fails_the_check(
    rated: None, store: Store, instance: dg.DagsterInstance, pipeline: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    materialize(store, instance)
    pipeline.execute("UPDATE learning_examples SET scrub_rules = '1' WHERE source_id = 'f2'")
    monkeypatch.setattr(refresh, "rescrub_examples", lambda connection, agent: Rescrubbed())
    assert checks_of(materialize(store, instance, raise_on_error=False))["scrubbed_by_current_rules"] is False


def test_a_job_scrubs_again_also_where_no_feedback_is_new(rated: None, run_job: Materialize, pipeline: Connection) -> None:
    run_job("examples_refresh", DESK)
    pipeline.execute("UPDATE learning_examples SET scrub_rules = '1', expected_output = 'Dear Mr Miller, no.' WHERE source_id = 'f2'")
    run_job("cleanup")
    assert [row["expected_output"] for row in table(pipeline, "learning_examples", "source_id = 'f2'")] == ["Dear Mr <PERSON_1>, no."]


def test_metadata_of_scrubbing_again_are_counts(rated: None, store: Store, instance: dg.DagsterInstance, pipeline: Connection) -> None:
    materialize(store, instance)
    pipeline.execute("UPDATE learning_examples SET scrub_rules = '1', expected_output = 'Dear Mr Miller, no.' WHERE source_id = 'f2'")
    metadata = metadata_of(materialize(store, instance), "learning_examples")
    assert (metadata["scrubbed_again"], metadata["changed_by_it"], metadata["merged_by_it"], metadata["personal_data_replaced"]) == (1, 1, 0, 1)
    assert "Miller" not in str(metadata)


def test_a_raw_address_stops_the_dataset_of_the_same_run(rated: None, run_job: Materialize, pipeline: Connection) -> None:
    run_job("examples_refresh", DESK)
    pipeline.execute("UPDATE learning_examples SET input_text = 'jo@example.org', review_status = 'approved' WHERE source_id = 'f2'")
    result = run_job("dataset_refresh", DESK, raise_on_error=False)
    assert not result.success
    assert table(pipeline, "training_datasets") == []
