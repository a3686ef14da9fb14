"""Checkpoints: whole or not at all, of this task only, and without anything that runs code.

Belongs here: what lies on the disk after a crash, a full disk, another task. Not here: training loops (test_encoders.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from learning_pipelines.errors import Unavailable
from learning_pipelines.retrieval.learning.checkpoints import Checkpoints, write_file, write_folder

if TYPE_CHECKING:
    import torch  # collecting the tests needs none: it takes seconds of every worker

STATE = {"seed": 1, "loss": 0.1 + 0.2, "history": [{"step": 1, "ndcg": 1 / 3}]}


def tensors(value: float = 1.0) -> dict[str, torch.Tensor]:
    import torch

    return {"a/b": torch.full((40, 50), value), "step": torch.tensor(3.0)}


def test_the_newest_comes_back_as_it_was_and_older_ones_go(tmp_path: Path) -> None:
    import torch

    kept = Checkpoints(tmp_path, "task")
    kept.save(1, tensors(1.0), {})
    kept.save(2, tensors(2.0), STATE)
    found = Checkpoints(tmp_path, "task").newest()
    assert found is not None and (found.step, found.state) == (2, STATE)
    assert torch.equal(found.tensors["a/b"], tensors(2.0)["a/b"]) and found.tensors["step"].shape == ()
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000002"]
    assert {path.suffix for path in tmp_path.rglob("*") if path.is_file()} == {".json", ".safetensors"}


def test_checkpoints_of_another_task_are_not_taken_up(tmp_path: Path) -> None:
    Checkpoints(tmp_path, "other data").save(5, tensors(), STATE)
    assert Checkpoints(tmp_path, "task").newest() is None
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("file", ["tensors.safetensors", "state.json"])
@pytest.mark.parametrize("content", [b"", b"{", b"\0" * 400])
def test_a_checkpoint_that_the_disk_has_damaged_is_passed_over_for_the_one_before(tmp_path: Path, file: str, content: bytes) -> None:
    kept = Checkpoints(tmp_path / "a", "task")
    kept.save(1, tensors(), STATE)
    (tmp_path / "a" / "step-00000001").rename(tmp_path / "older")
    kept.save(2, tensors(), STATE)
    (tmp_path / "older").rename(tmp_path / "a" / "step-00000001")
    (tmp_path / "a" / "step-00000002" / file).write_bytes(content)
    found = kept.newest()
    assert found is not None and found.step == 1


def test_what_a_killed_process_was_writing_is_no_checkpoint(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path, "task")
    kept.save(1, tensors(), STATE)
    (tmp_path / "step-00000001").rename(tmp_path / "step-00000002.draft")
    assert kept.newest() is None


def test_a_full_disk_leaves_the_checkpoint_before_and_says_what_to_do(tmp_path: Path, small_files: Any) -> None:
    kept = Checkpoints(tmp_path, "task")
    kept.save(1, tensors(), STATE)
    with small_files(1_000), pytest.raises(Unavailable, match=r"could not save a checkpoint in .*Free space") as caught:
        kept.save(2, tensors(), STATE)
    assert caught.value.exit_code == 1
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]
    found = kept.newest()
    assert found is not None and found.step == 1


def test_a_folder_or_file_is_replaced_in_one_step_or_stays(tmp_path: Path, small_files: Any) -> None:
    place = tmp_path / "model"
    write_folder(place, lambda draft: (draft / "one").write_bytes(b"1") and None, "the model")
    write_file(tmp_path / "done.json", b"old", "a note")

    def fails(draft: Path) -> None:
        (draft / "two").write_bytes(b"2")
        raise OSError(28, "No space left on device")

    with pytest.raises(Unavailable, match=r"the model in .*: No space left on device"):
        write_folder(place, fails, "the model")
    with small_files(10), pytest.raises(Unavailable, match="a note"):
        write_file(tmp_path / "done.json", b"n" * 100, "a note")
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")) == ["done.json", "model", "model/one"]
    assert (tmp_path / "done.json").read_bytes() == b"old"
