"""The assets preference_pairs and dataset_exports on real rows: what they record, files that stay, checks that can fail.

Belongs here: the assets over refreshes. Not here: what makes a pair or a row (examples/).
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import psycopg
import pytest

from learning_pipelines.storage.database import SESSION, Connection, Database
from learning_pipelines.storage.store import Store
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.defs.conftest import Materialize, checks_of, metadata_of
from learning_pipelines_tests.examples.approved import choice, correction, example
from learning_pipelines_tests.feedback.rows import table

DESK = "default/desk"


@pytest.fixture
def sixty(desk: None, load: Load) -> None:
    load("examples", [example(number) for number in range(20)] + [correction(number) for number in range(20, 50)] + [choice(n) for n in range(50, 60)])


@pytest.fixture
def folder(store: Store) -> Path:
    return Path(store.settings.home) / "artifacts" / "datasets" / "default" / "desk" / "v1"


def plant(database: Database, fault: str) -> None:
    with psycopg.connect(database.admin_url, options=SESSION, autocommit=True) as owner:
        owner.execute("SET session_replication_role = replica")
        owner.execute(fault)  # type: ignore[call-overload]


def test_a_refresh_leaves_every_format_with_its_hash_and_rows(sixty: None, run_job: Materialize, pipeline: Connection, folder: Path) -> None:
    result = run_job("dataset_refresh", DESK)
    metadata = metadata_of(result, "dataset_exports")
    files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    assert set(files) == {"openai-chat.train.jsonl", "openai-dpo.train.jsonl", "trl-dpo.train.jsonl", "triples.train.jsonl", "parquet.train.parquet"}
    assert {row["path"].rsplit("/", 1)[1]: row["sha256"] for row in table(pipeline, "dataset_exports")} == files
    assert metadata["openai-chat: sha256"] == files["openai-chat.train.jsonl"]
    assert (metadata["openai-chat: rows"], metadata["parquet: rows"], metadata["files_written"]) == (30, 30, 5)
    assert all(checks_of(result)[name] for name in ("bytes_as_recorded", "rows_complete", "no_personal_data"))


def test_a_refresh_without_news_writes_no_file(sixty: None, run_job: Materialize, folder: Path) -> None:
    run_job("dataset_refresh", DESK)
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert metadata_of(run_job("dataset_refresh", DESK), "dataset_exports")["files_written"] == 0
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_a_file_that_was_changed_is_written_again_to_the_same_bytes(sixty: None, run_job: Materialize, folder: Path) -> None:
    run_job("dataset_refresh", DESK)
    before = (folder / "triples.train.jsonl").read_bytes()
    (folder / "triples.train.jsonl").write_bytes(before[:-10])
    (folder / "trl-dpo.train.jsonl").unlink()
    result = run_job("dataset_refresh", DESK)
    assert metadata_of(result, "dataset_exports")["files_written"] == 2
    assert (folder / "triples.train.jsonl").read_bytes() == before
    assert checks_of(result)["bytes_as_recorded"]


def test_formats_with_too_few_rows_are_skipped_and_say_why(desk: None, load: Load, run_job: Materialize) -> None:
    load("examples", [example(number) for number in range(6)])
    metadata = metadata_of(run_job("dataset_refresh", DESK), "dataset_exports")
    assert metadata["parquet: rows"] == 3
    assert "and 10 are needed" in metadata["openai-chat: skipped"]
    assert {name for name in metadata if name.endswith("skipped")} == {f"{name}: skipped" for name in ("openai-chat", "openai-dpo", "trl-dpo", "triples")}


def test_an_agent_without_a_dataset_has_no_files(desk: None, run_job: Materialize, folder: Path) -> None:
    result = run_job("dataset_refresh", DESK)
    assert (metadata_of(result, "dataset_exports")["version"], folder.exists()) == (0, False)
    assert metadata_of(result, "preference_pairs")["dagster/row_count"] == 0


def faults(store: Store, pipeline: Connection) -> Any:
    from learning_pipelines.examples.artifacts import check_artifacts
    from learning_pipelines_tests.examples.approved import dataset
    from learning_pipelines_tests.feedback.rows import agent_ref

    return check_artifacts(pipeline, agent_ref(pipeline), dataset(pipeline), store.settings.artifacts)


def test_a_changed_a_missing_and_a_foreign_file_are_found(sixty: None, run_job: Materialize, store: Store, pipeline: Connection, folder: Path) -> None:
    run_job("dataset_refresh", DESK)
    assert faults(store, pipeline).changed == 0
    (folder / "triples.train.jsonl").write_text("{}\n")
    (folder / "openai-chat.train.jsonl").unlink()
    elsewhere = folder.parents[2] / "other" / "desk" / "v1" / "trl-dpo.train.jsonl"
    elsewhere.parent.mkdir(parents=True)
    elsewhere.write_bytes((folder / "trl-dpo.train.jsonl").read_bytes())
    pipeline.execute("UPDATE dataset_exports SET path = %s WHERE format = 'trl-dpo'", [elsewhere.as_uri()])
    assert faults(store, pipeline).changed == 3


@pytest.mark.parametrize("row", ['{"anchor": "x", "positive": "mail ada.lovelace@example.org", "negative": "y"}\n', '{"anchor": "x"}\n'])
def test_a_planted_row_is_found_even_with_the_right_hash(
    sixty: None, run_job: Materialize, store: Store, pipeline: Connection, folder: Path, row: str
) -> None:
    run_job("dataset_refresh", DESK)
    path = folder / "triples.train.jsonl"
    data = path.read_bytes() + row.encode()
    path.write_bytes(data)
    pipeline.execute("UPDATE dataset_exports SET sha256 = %s, bytes = %s WHERE format = 'triples'", [hashlib.sha256(data).hexdigest(), len(data)])
    found = faults(store, pipeline)
    assert (found.changed, found.incomplete, found.personal) == (0, 1, int("@" in row))


def test_pairs_are_counted_by_source(sixty: None, run_job: Materialize) -> None:
    metadata = metadata_of(run_job("dataset_refresh", DESK), "preference_pairs")
    assert (metadata["dagster/row_count"], metadata["pairs_correction"], metadata["pairs_choice"], metadata["version"]) == (40, 30, 10, 1)
    assert sum(value for name, value in metadata.items() if name.startswith("sealed_")) == 40


@pytest.mark.parametrize(
    ("fault", "check"),
    [
        ("UPDATE example_contents SET content = jsonb_set(content, '{original_output}', content -> 'expected_output')", "answers_differ"),
        ("UPDATE dataset_pairs SET split = CASE split WHEN 'train' THEN 'test' ELSE 'train' END", "splits_inherited"),
        (
            """UPDATE example_contents SET content = content || '{"input_text": "same", "expected_output": "a", "original_output": "b"}'
            WHERE content_hash = (SELECT min(chosen_content) FROM dataset_pairs WHERE source = 'correction');
            UPDATE example_contents SET content = content || '{"input_text": "same", "expected_output": "b", "original_output": "a"}'
            WHERE content_hash = (SELECT max(chosen_content) FROM dataset_pairs WHERE source = 'correction')""",
            "no_contradiction",
        ),
    ],
)
def test_every_check_of_pairs_can_fail(sixty: None, run_job: Materialize, database: Database, pipeline: Connection, fault: str, check: str) -> None:
    from learning_pipelines.storage.preferences import broken
    from learning_pipelines_tests.examples.approved import dataset
    from learning_pipelines_tests.feedback.rows import agent_ref

    result = run_job("dataset_refresh", DESK)
    assert checks_of(result)[check]
    plant(database, "ALTER TABLE example_contents DROP CONSTRAINT IF EXISTS example_contents_check")
    try:
        plant(database, fault)
        found = dict(zip(("answers_differ", "splits_inherited", "no_contradiction"), broken(pipeline, agent_ref(pipeline), dataset(pipeline).id), strict=True))
        assert found[check] > 0
        assert sum(count > 0 for count in found.values()) == 1
    finally:
        plant(database, "DELETE FROM example_contents")
        plant(database, "ALTER TABLE example_contents ADD CHECK (content_hash = sha256(convert_to(content::text, 'UTF8')))")


def test_a_version_changed_by_the_owner_fails_to_rebuild(sixty: None, run_job: Materialize, database: Database) -> None:
    assert checks_of(run_job("dataset_refresh", DESK))["rebuilds"]
    plant(database, "UPDATE dataset_examples SET weight = 1.7 WHERE example_id = 'x00003'")
    result = run_job("dataset_refresh", DESK, raise_on_error=False)
    assert (checks_of(result)["rebuilds"], result.success) == (False, False)


def test_growth_by_type_is_shown_over_the_versions(sixty: None, load: Load, run_job: Materialize) -> None:
    run_job("dataset_refresh", DESK)
    load("examples", [correction(number) for number in range(70, 75)])
    shown = metadata_of(run_job("dataset_refresh", DESK), "training_datasets")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in shown["growth"].splitlines()]
    assert rows[0][:2] == ["version", "total_examples"]
    assert [row[:2] for row in rows[2:]] == [["1", "60"], ["2", "65"]]
    assert shown["input_characters_p50"] > 0
