"""Files of old dataset versions go, and exporting such a version again gives the file that went.

Belongs here: export_retention.py on real versions and files. Not here: what a file holds (test_exports.py), the whole clean-up (defs/test_housekeeping.py).
"""

from __future__ import annotations

from pathlib import Path

import pytest

from learning_pipelines.errors import Unavailable
from learning_pipelines.examples.export_retention import GRACE, prune_exports, would_prune
from learning_pipelines.examples.exporting import export_to_artifacts
from learning_pipelines.examples.formats import FormatName
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.exports import ExportRecord, forget_export, old_exports
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.examples.approved import correction, dataset, refresh
from learning_pipelines_tests.feedback.rows import AGENT, agent_ref, table


@pytest.fixture
def three(load: Load, pipeline: Connection) -> None:
    """Three versions of the agent's dataset."""
    load("agents", [AGENT])
    for version in range(3):
        load("examples", [correction(number) for number in range(version * 10, version * 10 + 10)])
        refresh(pipeline)


def export(pipeline: Connection, base: Path, version: int, name: FormatName = "parquet") -> ExportRecord:
    return export_to_artifacts(pipeline, agent_ref(pipeline), dataset(pipeline, version), name, base.as_uri())


def age(pipeline: Connection, days: int = 8) -> None:
    pipeline.execute("UPDATE dataset_exports SET created_at = now() - make_interval(days => %s)", [days])


def prune(pipeline: Connection, base: Path, kept: int = 1) -> int:
    return prune_exports(pipeline, agent_ref(pipeline), base.as_uri(), kept)


def folder(base: Path) -> Path:
    return base / "datasets" / "default" / "desk"


def there(base: Path) -> set[str]:
    return {path.relative_to(folder(base)).as_posix() for path in folder(base).rglob("*") if path.is_file()}


def test_files_of_old_versions_go_with_their_rows_and_come_back_to_the_same_bytes(three: None, pipeline: Connection, tmp_path: Path) -> None:
    first = export(pipeline, tmp_path, 1)
    for version in (2, 3):
        export(pipeline, tmp_path, version)
    age(pipeline)
    assert would_prune(pipeline, agent_ref(pipeline), tmp_path.as_uri(), 1) == 2 and len(there(tmp_path)) == 3
    assert prune(pipeline, tmp_path) == 2
    assert there(tmp_path) == {"v3/parquet.train.parquet"} and not (folder(tmp_path) / "v1").exists()
    assert [row["dataset_id"] for row in table(pipeline, "dataset_exports")] == [dataset(pipeline, 3).id]
    again = export(pipeline, tmp_path, 1)
    assert again == first and there(tmp_path) == {"v1/parquet.train.parquet", "v3/parquet.train.parquet"}
    assert prune(pipeline, tmp_path) == 0


def test_of_each_format_the_newest_versions_that_have_it_stay(three: None, pipeline: Connection, tmp_path: Path) -> None:
    for version in (1, 2, 3):
        export(pipeline, tmp_path, version)
    for version in (1, 2):
        export(pipeline, tmp_path, version, "trl-dpo")
    age(pipeline)
    assert prune(pipeline, tmp_path, kept=2) == 1
    assert prune(pipeline, tmp_path) == 2
    assert there(tmp_path) == {"v2/trl-dpo.train.jsonl", "v3/parquet.train.parquet"}


def test_young_files_stay(three: None, pipeline: Connection, tmp_path: Path) -> None:
    for version in (1, 2):
        export(pipeline, tmp_path, version)
    age(pipeline, 6)
    assert (prune(pipeline, tmp_path), len(there(tmp_path))) == (0, 2)


def test_a_file_outside_the_agents_folder_is_left_alone_with_its_row(three: None, pipeline: Connection, tmp_path: Path) -> None:
    export(pipeline, tmp_path / "former", 1)
    export(pipeline, tmp_path / "now", 2)
    age(pipeline)
    assert prune(pipeline, tmp_path / "now") == 0
    assert len(there(tmp_path / "former")) == 1 and len(table(pipeline, "dataset_exports")) == 2


def test_a_clean_up_that_was_killed_after_the_file_is_ended_by_the_next(three: None, pipeline: Connection, tmp_path: Path) -> None:
    for version in (1, 2):
        export(pipeline, tmp_path, version)
    age(pipeline)
    (folder(tmp_path) / "v1" / "parquet.train.parquet").unlink()
    assert (prune(pipeline, tmp_path), len(table(pipeline, "dataset_exports"))) == (1, 1)


def test_a_file_that_was_written_anew_meanwhile_is_not_forgotten(three: None, pipeline: Connection, tmp_path: Path) -> None:
    for version in (1, 2):
        export(pipeline, tmp_path, version)
    age(pipeline)
    (old,) = old_exports(pipeline, agent_ref(pipeline), 1, GRACE)
    export(pipeline, tmp_path, 1)
    assert forget_export(pipeline, agent_ref(pipeline), old) == 0


def test_a_file_that_cannot_be_deleted_keeps_its_row(three: None, pipeline: Connection, tmp_path: Path) -> None:
    for version in (1, 2):
        export(pipeline, tmp_path, version)
    age(pipeline)
    stuck = folder(tmp_path) / "v1" / "parquet.train.parquet"
    stuck.unlink()
    stuck.mkdir()
    with pytest.raises(Unavailable, match="cannot be deleted"):
        prune(pipeline, tmp_path)
    assert len(table(pipeline, "dataset_exports")) == 2
