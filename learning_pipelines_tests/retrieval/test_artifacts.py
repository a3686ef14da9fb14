"""Learnt files and folders are stored by their content, come back with their bytes checked, and are never overwritten.

Belongs here: retrieval/artifacts.py. Not here: what serves them.
"""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest

from learning_pipelines.errors import LearningError
from learning_pipelines.retrieval import artifacts
from learning_pipelines.retrieval.index import Artifact, IndexConfig
from learning_pipelines.settings import Settings
from learning_pipelines.storage.tenants import AgentRef

AGENT = AgentRef(uuid4(), "acme", uuid4(), "desk")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "learnt" / "desk-encoder"
    (folder / "1_Pooling").mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "1_Pooling" / "config.json").write_bytes(b"pooling")
    return folder


def test_a_folder_comes_back_with_its_name_and_every_byte(settings: Settings, model: Path) -> None:
    artifact = artifacts.put_folder(settings, AGENT, model)
    fetched = artifacts.fetch(settings, artifact)
    assert fetched.name == "desk-encoder" and fetched != model
    assert (fetched / "1_Pooling" / "config.json").read_bytes() == b"pooling"
    assert artifacts.hash_of(fetched) == artifact.sha256 == artifacts.hash_of(model)


def test_other_content_under_the_same_name_is_another_artifact_and_the_first_stays(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "adapter.safetensors"
    file.write_bytes(b"one")
    first = artifacts.put_file(settings, AGENT, file)
    file.write_bytes(b"two")
    second = artifacts.put_file(settings, AGENT, file)
    assert first.path != second.path
    assert [artifacts.fetch(settings, one).read_bytes() for one in (first, second)] == [b"one", b"two"]


def test_a_damaged_copy_on_this_machine_is_fetched_again(settings: Settings, model: Path) -> None:
    artifact = artifacts.put_folder(settings, AGENT, model)
    (artifacts.fetch(settings, artifact) / "config.json").write_text("damaged")
    assert (artifacts.fetch(settings, artifact) / "config.json").read_text() == "{}"


def test_what_the_store_holds_instead_is_refused_and_leaves_nothing_behind(settings: Settings, model: Path) -> None:
    artifact = artifacts.put_folder(settings, AGENT, model)
    (settings.home / "artifacts" / artifact.path / "config.json").write_text("another")
    with pytest.raises(LearningError, match="is not what was stored"):
        artifacts.fetch(settings, artifact)
    assert not [path for path in artifacts.cache_folder(settings).rglob("*") if path.is_file()]


def test_what_is_gone_from_the_store_is_said(settings: Settings, model: Path) -> None:
    artifact = artifacts.put_folder(settings, AGENT, model)
    artifacts.fetch(settings, artifact)
    artifacts.delete(settings, artifact)
    with pytest.raises(LearningError, match="is gone from the store"):
        artifacts.fetch(settings, artifact)
    artifacts.delete(settings, artifact)


def test_a_folder_of_which_the_manifest_is_missing_was_never_put(settings: Settings, model: Path) -> None:
    artifact = artifacts.put_folder(settings, AGENT, model)
    (settings.home / "artifacts" / artifact.path / artifacts.MANIFEST).unlink()
    with pytest.raises(LearningError):
        artifacts.fetch(settings, artifact)


@pytest.mark.parametrize("path", ["../secret", "/etc/passwd", "retrieval/acme/../other/x", "retrieval/acme/desk/aa/../b", "datasets/acme/desk/aa/b"])
def test_no_path_leads_out_of_the_store(settings: Settings, path: str) -> None:
    with pytest.raises(LearningError, match="is no path of an artifact"):
        artifacts.fetch(settings, Artifact(path, "0" * 64))


def test_a_configuration_is_published_with_what_it_names(settings: Settings, model: Path, tmp_path: Path) -> None:
    (tmp_path / "learnt" / "reranker.txt").write_text("tree")
    kept = artifacts.put_folder(settings, AGENT, model)
    config = IndexConfig(encoder=kept, reranker=artifacts.local(tmp_path / "learnt", tmp_path / "learnt" / "reranker.txt"))
    published = artifacts.publish(settings, AGENT, tmp_path / "learnt", config)
    assert published.encoder == kept
    assert published.reranker is not None and published.reranker.path.startswith("retrieval/acme/desk/")
    assert artifacts.fetch(settings, published.reranker).read_text() == "tree"
