"""Dataset versions of an erased person: successors, rows and contents that go, refusals.

Belongs here: examples and datasets. Not here: prompts, behaviour and indexes (test_learnt_versions.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest

from learning_pipelines.errors import BadInput
from learning_pipelines.examples.exporting import export_dataset, export_to_artifacts
from learning_pipelines.examples.refresh import refresh_examples
from learning_pipelines.examples.versions import rebuild
from learning_pipelines.settings import Settings
from learning_pipelines.storage import examples
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.datasets import lock_datasets
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.examples.approved import choice, correction, dataset, example, refresh
from learning_pipelines_tests.feedback.erasure.learnt_from import NAME, erase, person_of
from learning_pipelines_tests.feedback.rows import AGENT, agent_ref, execution, said, table

THEIRS = 7
"""Examples of the person; their words hold the nonce `zyzzyva`."""


@pytest.fixture
def made(load: Load, pipeline: Connection) -> None:
    load("agents", [{**AGENT, "system_prompt": "You help with taxes."}])
    load("examples", [example(number) for number in range(30)] + [correction(number) for number in range(30, 40)] + [choice(40)])
    load("examples", [
        correction(100 + number, input_text=f"zyzzyva number {number} asks about the tax of {number} ships", expected_output=f"zyzzyva {number}", user=NAME,
                   domain="zyzzyva ships", task_type="zyzzyva")
        for number in range(THEIRS)
    ])  # fmt: skip
    refresh(pipeline)


def test_a_version_loses_the_persons_rows_and_its_successor_is_the_same_without_them(made: None, pipeline: Connection, tmp_path: Path) -> None:
    old, before = dataset(pipeline), {row["example_id"]: (row["split"], row["weight"], row["content_hash"]) for row in table(pipeline, "dataset_examples")}
    touched = erase(pipeline, tmp_path)
    emptied, successor = dataset(pipeline, 1), dataset(pipeline)
    assert (emptied.status, emptied.content_hash, emptied.total_examples, emptied.erased, emptied.successor) == ("archived", old.content_hash, 48, True, 2)
    assert (successor.version, successor.status, successor.erased, successor.total_examples) == (2, "ready", False, 41)
    rows = table(pipeline, "dataset_examples", f"dataset_id = '{successor.id}'")
    left = {row["example_id"]: (row["split"], row["weight"], row["content_hash"]) for row in rows}
    assert left == {name: kept for name, kept in before.items() if not name.startswith("x001")}
    assert rebuild(pipeline, agent_ref(pipeline), successor.id).pairs == successor.pairs_count == 11
    assert successor.statistics["pairs"] == {name: count for name, count in successor.statistics["pairs"].items() if count}
    assert touched.datasets == [{"agent": "desk", "old": 1, "successor": 2}]
    assert (touched.rows["dataset_examples"], touched.rows["learning_examples"]) == (THEIRS, THEIRS)


def test_nothing_of_the_person_is_left_in_examples_and_contents(made: None, pipeline: Connection, tmp_path: Path) -> None:
    erase(pipeline, tmp_path)
    for name in ("learning_examples", "example_contents", "preference_pairs", "dataset_pairs", "training_datasets", "example_sketches", "example_changes"):
        assert [row for row in table(pipeline, name) if "zyzzyva" in str(row) or "x0010" in str(row)] == [], name
    assert len(table(pipeline, "learning_examples")) == 41


def test_a_version_that_lost_rows_is_neither_rebuilt_nor_exported_and_says_which_took_its_place(made: None, pipeline: Connection, tmp_path: Path) -> None:
    erase(pipeline, tmp_path)
    old = dataset(pipeline, 1)
    for refused in (lambda: rebuild(pipeline, agent_ref(pipeline), old.id),
                    lambda: export_dataset(pipeline, agent_ref(pipeline), old, "parquet", str(tmp_path / "old.parquet"))):  # fmt: skip
        with pytest.raises(BadInput, match=r"held a person who was erased.*Version 2 took its place"):
            refused()
    assert not (tmp_path / "old.parquet").exists()


def test_the_next_refresh_makes_the_same_dataset_as_the_successor(made: None, pipeline: Connection, tmp_path: Path) -> None:
    erase(pipeline, tmp_path)
    again = refresh(pipeline)
    assert (again.version, again.is_new, again.content_hash) == (2, False, dataset(pipeline).content_hash.hex())


def test_versions_of_which_the_same_is_left_share_a_successor(made: None, load: Load, pipeline: Connection, tmp_path: Path) -> None:
    load("examples", [example(200, input_text="zyzzyva comes back with another question", user=NAME)])
    refresh(pipeline)
    touched = erase(pipeline, tmp_path)
    assert [one["successor"] for one in touched.datasets] == [3, 3]


def test_where_nothing_is_left_there_is_no_successor(load: Load, pipeline: Connection, tmp_path: Path) -> None:
    load("agents", [AGENT])
    load("examples", [example(number, user=NAME) for number in range(5)])
    refresh(pipeline)
    assert erase(pipeline, tmp_path).datasets == [{"agent": "desk", "old": 1, "successor": None}]
    with pytest.raises(BadInput, match="Nothing of it was left"):
        rebuild(pipeline, agent_ref(pipeline), dataset(pipeline, 1).id)


def test_a_content_that_somebody_elses_example_shares_stays_with_them(load: Load, pipeline: Connection, tmp_path: Path) -> None:
    load("agents", [AGENT])
    load("examples", [example(number) for number in range(5)] + [example(5, user=NAME), {**example(5), "example_id": "twin"}])
    refresh(pipeline)
    contents = len(table(pipeline, "example_contents"))
    erase(pipeline, tmp_path)
    assert len(table(pipeline, "example_contents")) >= contents - 1
    refresh(pipeline)
    assert {row["example_id"] for row in table(pipeline, "dataset_examples", f"dataset_id = '{dataset(pipeline).id}'")} >= {"twin", "x00000"}


def test_recorded_exports_of_the_old_version_are_forgotten_and_their_files_named(made: None, pipeline: Connection, tmp_path: Path) -> None:
    artifacts = Settings(home=tmp_path).artifacts
    export_to_artifacts(pipeline, agent_ref(pipeline), dataset(pipeline), "parquet", artifacts)
    touched = erase(pipeline, tmp_path)
    assert touched.files == ["datasets/default/desk/v1"]
    assert table(pipeline, "dataset_exports") == []


def test_sealed_rows_go_with_an_erasure_only(made: None, pipeline: Connection) -> None:
    for name in ("dataset_examples", "dataset_pairs"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="go with an erased person only"):
            pipeline.execute(f"DELETE FROM {name}")  # type: ignore[arg-type]
    pipeline.execute("INSERT INTO example_contents (organization_id, content_hash, content) SELECT organization_id, sha256('{}'), '{}' FROM organizations")
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="go with an erased person only"):
        pipeline.execute("DELETE FROM example_contents WHERE content = '{}'")


def test_a_second_erasure_replaces_the_successor_too(made: None, load: Load, pipeline: Connection, tmp_path: Path) -> None:
    load("examples", [example(300 + number, user="bob") for number in range(2)])
    refresh(pipeline)
    erase(pipeline, tmp_path)
    erase(pipeline, tmp_path, "bob")
    assert {row["version"]: row["status"] for row in table(pipeline, "training_datasets")}[1] == "archived"
    whole = [row["version"] for row in table(pipeline, "training_datasets", "erased_at IS NULL")]
    assert dataset(pipeline, 1).successor in whole and dataset(pipeline, 2).successor in whole
    with pipeline.transaction():
        lock_datasets(pipeline, agent_ref(pipeline))


def test_feedback_that_was_read_before_an_erasure_makes_no_example_after_it(load: Load, pipeline: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    load("agents", [AGENT])
    load("executions", [execution("e1", user=NAME), execution("e2", user="bob")])
    load("feedback", [said(f"f{name}", f"e{name}", "correction", correction_text=f"The right answer of e{name}.", user="eve") for name in (1, 2)])
    store = examples.store_derived

    def late(connection: Connection, *given: Any) -> Any:
        person_of(connection)
        connection.execute("DELETE FROM agent_feedback WHERE id = 'f1'")
        return store(connection, *given)

    monkeypatch.setattr(examples, "store_derived", late)
    assert refresh_examples(pipeline, agent_ref(pipeline)).created == 1
    assert [row["source_id"] for row in table(pipeline, "learning_examples")] == ["f2"]
