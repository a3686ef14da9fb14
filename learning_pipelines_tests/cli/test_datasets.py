"""`datasets`, `archive` and `export` as typed: what they print, the file they leave, and what they refuse.

Belongs here: the three verbs. Not here: formats (examples/test_exports.py).
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from learning_pipelines.examples.datasets import refresh_dataset
from learning_pipelines.storage.tenants import agents
from learning_pipelines_tests.cli.command_line import call, database_of
from learning_pipelines_tests.cli.conftest import Load
from learning_pipelines_tests.examples.approved import SHARES, TEXT_ONLY, correction, example
from learning_pipelines_tests.feedback.rows import AGENT

NAME = "exporting"


@pytest.fixture
def desk(home: Path, load_rows: Load) -> None:
    """default dataset: one version of 30 examples, 10 of them corrections, of the agent `desk`; the agent `idle` has none."""
    load_rows("agents", [AGENT, {**AGENT, "agent": "idle"}], NAME)
    load_rows("examples", [example(number) for number in range(20)] + [correction(number) for number in range(20, 30)], NAME)
    with database_of(home).connect("pipeline") as connection:
        refresh_dataset(connection, agents(connection, NAME, "desk")[0], rule=TEXT_ONLY, shares=SHARES)


def test_datasets_lists_versions_with_the_keys_of_the_contract(desk: None, home: Path) -> None:
    ended = call(home, "datasets", "desk", "--organization", NAME, "--json")
    assert ended.code == 0
    (one,) = ended.document["datasets"]
    assert set(one) == {"id", "name", "version", "status", "total_examples", "avg_quality_score", "created_at"}
    assert (one["name"], one["version"], one["status"], one["total_examples"], one["avg_quality_score"]) == ("desk", 1, "ready", 30, None)


def test_an_agent_without_a_dataset_lists_none(desk: None, home: Path) -> None:
    assert call(home, "datasets", "idle", "--organization", NAME, "--json").document == {"datasets": []}
    assert "has no dataset yet" in call(home, "datasets", "idle", "--organization", NAME).out


def test_a_version_is_archived_for_good_and_can_still_be_named(desk: None, home: Path, load_rows: Load, tmp_path: Path) -> None:
    load_rows("agents", [{**AGENT, "agent": "old"}], NAME)
    load_rows("examples", [{**example(number), "example_id": f"old-{number}", "agent": "old"} for number in range(20)], NAME)
    with database_of(home).connect("pipeline") as connection:
        refresh_dataset(connection, agents(connection, NAME, "old")[0], rule=TEXT_ONLY, shares=SHARES)
    for _ in range(2):
        done = call(home, "archive", "old@1", "--organization", NAME, "--json").document
        assert (done["agent"], done["version"], done["status"]) == ("old", 1, "archived")
    (one,) = call(home, "datasets", "old", "--organization", NAME, "--json").document["datasets"]
    assert (one["id"], one["status"]) == (done["dataset_id"], "archived")
    refused = call(home, "export", "old", "--format", "parquet", "--out", tmp_path / "none", "--organization", NAME)
    assert refused.code == 2 and "Every dataset version of" in refused.err
    assert call(home, "export", "old@1", "--format", "parquet", "--out", tmp_path / "some", "--organization", NAME).code == 0
    unnamed = call(home, "archive", "old", "--organization", NAME)
    assert unnamed.code == 2 and "old@1" in unnamed.err


def test_export_writes_a_file_and_says_its_rows_and_hash(desk: None, home: Path, tmp_path: Path) -> None:
    ended = call(home, "export", "desk@1", "--format", "openai-chat", "--out", tmp_path / "chat.jsonl", "--organization", NAME, "--json")
    assert ended.code == 0, ended.err
    data = (tmp_path / "chat.jsonl").read_bytes()
    assert (ended.document["rows"], ended.document["sha256"]) == (len(data.splitlines()), hashlib.sha256(data).hexdigest())
    assert (ended.document["split"], ended.document["version"], ended.document["rows"]) == ("train", 1, 15)
    assert all(set(json.loads(line)) == {"messages"} for line in data.splitlines())


def test_export_takes_the_newest_version_and_any_split(desk: None, home: Path, tmp_path: Path) -> None:
    ended = call(home, "export", "desk", "--format", "trl-dpo", "--split", "all", "--out", tmp_path / "pairs.jsonl", "--organization", NAME)
    assert (ended.code, len((tmp_path / "pairs.jsonl").read_text().splitlines())) == (0, 10)
    assert "10 rows of version 1 (all)" in ended.out


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["nobody", "--format", "parquet"], "There is no agent 'nobody'"),
        (["desk@7", "--format", "parquet"], "has no dataset version 7. Known: 1."),
        (["desk@latest", "--format", "parquet"], "'latest' is no dataset version"),
        (["desk@0", "--format", "parquet"], "'0' is no dataset version"),
        (["idle", "--format", "parquet"], "has no dataset yet. Approve examples"),
        (["desk", "--format", "openai-dpo"], "and 10 are needed (OpenAI takes no fewer)"),
    ],
)
def test_what_cannot_be_exported_is_refused_and_leaves_no_file(desk: None, home: Path, tmp_path: Path, typed: list[str], said: str) -> None:
    ended = call(home, "export", *typed, "--out", tmp_path / "out", "--organization", NAME)
    assert (ended.code, list(tmp_path.glob("*out*"))) == (2, [])
    assert said in ended.err


def test_a_place_that_cannot_be_written_is_refused(desk: None, home: Path, tmp_path: Path) -> None:
    for target in (tmp_path, tmp_path / "nowhere" / "out", "/proc/out"):
        ended = call(home, "export", "desk", "--format", "parquet", "--out", target, "--organization", NAME, "--json")
        assert ended.code == 2, ended.err
        assert str(target) in ended.document["error"]["cause"] or "folder" in ended.document["error"]["cause"]


def test_an_unknown_format_is_bad_usage(home: Path, tmp_path: Path) -> None:
    ended = call(home, "export", "desk", "--format", "csv", "--out", tmp_path / "out")
    assert ended.code == 2
    assert "openai-chat" in ended.err
