"""The asset duplicate_clusters with real rows: numbers, conflicts, checks that can fail; once with the real encoder.

Belongs here: the asset and what it hands on to the dataset. Not here: what is alike or contradicts (examples/).
"""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from learning_pipelines.settings import Settings
from learning_pipelines.storage.database import Connection, Database
from learning_pipelines.storage.store import Store
from learning_pipelines_tests.conftest import Load, ShareEncoder
from learning_pipelines_tests.defs.conftest import Materialize, checks_of, metadata_of
from learning_pipelines_tests.defs.test_datasets import plant
from learning_pipelines_tests.examples.curated import approved
from learning_pipelines_tests.feedback.rows import table

DESK = "default/desk"
QUESTIONS = [
    approved("a", "Where is my parcel from last week?", expected_output="parcel_late"),
    approved("b", "where is my parcel from last week", expected_output="parcel_lost"),
    approved("c", "How do I file the VAT return?", expected_output="vat_return"),
]


@pytest.fixture
def asked(desk: None, load: Load) -> None:
    load("examples", QUESTIONS)


def test_metadata_tell_clusters_and_conflicts(asked: None, run_job: Materialize) -> None:
    result = run_job("dataset_refresh", DESK)
    metadata = metadata_of(result, "duplicate_clusters")
    names = ("dagster/row_count", "clusters", "largest_cluster", "size_1", "size_2", "duplicate_share", "open_conflicts", "new_inputs", "new_links")
    assert [metadata[name] for name in names] == [3, 1, 2, 1, 1, pytest.approx(1 / 3, abs=1e-4), 1, 3, 1]
    assert not any(isinstance(value, str) and "parcel" in value for value in metadata.values())


def test_approved_examples_that_contradict_each_other_fail_a_check_as_a_warning(asked: None, run_job: Materialize, pipeline: Connection) -> None:
    result = run_job("dataset_refresh", DESK)
    assert (checks_of(result)["no_approved_contradiction"], result.success) == (False, True)
    pipeline.execute("UPDATE learning_examples SET review_status = 'rejected' WHERE id = 'b'")
    assert checks_of(run_job("dataset_refresh", DESK))["no_approved_contradiction"] is True


def test_a_near_duplicate_pair_in_two_clusters_fails_a_check_and_stops_the_run(asked: None, run_job: Materialize, pipeline: Connection) -> None:
    assert checks_of(run_job("dataset_refresh", DESK))["links_within_clusters"] is True
    pipeline.execute("UPDATE example_sketches SET cluster = 99 WHERE example_id = 'b'")
    result = run_job("dataset_refresh", DESK, raise_on_error=False)
    assert (checks_of(result)["links_within_clusters"], result.success) == (False, False)


def test_a_near_duplicate_pair_on_two_sides_fails_the_check_of_the_dataset(asked: None, run_job: Materialize, database: Database) -> None:
    assert checks_of(run_job("dataset_refresh", DESK))["splits_disjoint"] is True
    plant(database, "UPDATE dataset_examples SET split = CASE split WHEN 'test' THEN 'train' ELSE 'test' END WHERE example_id = 'b'")
    result = run_job("dataset_refresh", DESK, raise_on_error=False)
    assert (checks_of(result)["splits_disjoint"], result.success) == (False, False)


def test_every_active_example_was_searched(asked: None, run_job: Materialize) -> None:
    assert checks_of(run_job("dataset_refresh", DESK))["every_input_searched"] is True


def test_catching_up_before_other_work_curates_too(asked: None, run_job: Materialize, pipeline: Connection) -> None:
    run_job("prompt_optimization", DESK)
    assert len(table(pipeline, "example_sketches")) == 3
    assert len(table(pipeline, "example_conflicts")) == 1


@pytest.fixture
def encoding_store(database: Database, tmp_path: Path, share_encoder: ShareEncoder) -> Store:
    """An installation with the packaged encoder."""
    return Store(Settings(home=share_encoder(tmp_path / "home"), timezone="UTC"), database)


def test_the_packaged_encoder_joins_what_grams_do_not(
    desk: None, load: Load, location: dg.Definitions, instance: dg.DagsterInstance, encoding_store: Store, pipeline: Connection
) -> None:
    texts = ["How do I cancel my order?", "How can I cancel my order?", "When is the VAT return due?"]
    load("examples", [approved(f"x{place}", text) for place, text in enumerate(texts)])
    instance.add_dynamic_partitions("agents", [DESK])
    job = location.resolve_job_def("dataset_refresh")
    result = job.execute_in_process(instance=instance, partition_key=DESK, resources={"store": encoding_store})
    assert metadata_of(result, "duplicate_clusters")["encoded"] == 3
    assert [(row["first_id"], row["second_id"], row["leg"]) for row in table(pipeline, "duplicate_links")] == [("x0", "x1", "embedding")]
    splits = {row["example_id"]: row["split"] for row in table(pipeline, "example_splits")}
    assert splits["x0"] == splits["x1"] != splits["x2"]
