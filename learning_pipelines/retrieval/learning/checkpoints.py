"""What a learner leaves on disk so that a killed run goes on: whole or not at all.

Belongs here: writing folders in one step, checkpoints of a training loop and finding the newest good one. Not here: what is trained (contrastive.py).

A checkpoint is a folder `step-<n>` with `tensors.safetensors` (weights, state of the optimizer) and `state.json` (everything else, and the hash of the
tensors): nothing that is read can run code. It is written beside its place, flushed to the disk and renamed, so that at any instant at least the one
before is there. Checkpoints carry the fingerprint of what is learnt: those of other data or settings are thrown away, never taken up.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from learning_pipelines.errors import Unavailable

if TYPE_CHECKING:
    from torch import Tensor

_TENSORS, _STATE = "tensors.safetensors", "state.json"
_PREFIX, _DRAFT = "step-", ".draft"


@dataclass(frozen=True)
class Checkpoint:
    """`tensors` by name, on the CPU; `state`: what else the loop needs, as it was given."""

    step: int
    tensors: dict[str, Tensor]
    state: dict[str, Any]


class Checkpoints:
    """The checkpoints of one learning task in a folder of their own. One process at a time writes there."""

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self._folder = folder
        self._fingerprint = fingerprint

    def save(self, step: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Keeps this step and drops those before. Raises Unavailable when the disk does not take it: the checkpoint before stays."""
        from safetensors.torch import save_file

        def write(draft: Path) -> None:
            save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, draft / _TENSORS)
            about = {"fingerprint": self._fingerprint, "step": step, "sha256": _sha256(draft / _TENSORS), "state": state}
            (draft / _STATE).write_bytes(orjson.dumps(about))

        place = self._folder / f"{_PREFIX}{step:08d}"
        write_folder(place, write, "a checkpoint")
        for other in self._all():
            if other != place:
                shutil.rmtree(other, ignore_errors=True)

    def newest(self) -> Checkpoint | None:
        """The last checkpoint of this task that is whole; None to begin at the beginning. Others are deleted."""
        from safetensors.torch import load_file

        for draft in self._folder.glob(f"*{_DRAFT}"):
            shutil.rmtree(draft, ignore_errors=True)
        for place in reversed(self._all()):
            about = self._read(place)
            if about is not None:
                return Checkpoint(int(about["step"]), load_file(place / _TENSORS), about["state"])
            shutil.rmtree(place, ignore_errors=True)
        return None

    def clear(self) -> None:
        """Nothing of it is needed any more."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _all(self) -> list[Path]:
        return sorted(path for path in self._folder.glob(f"{_PREFIX}*") if not path.name.endswith(_DRAFT))

    def _read(self, place: Path) -> dict[str, Any] | None:
        """What state.json says; None for another task's, and for files that a failing disk has changed."""
        try:
            about: dict[str, Any] = orjson.loads((place / _STATE).read_bytes())
            good = about["fingerprint"] == self._fingerprint and about["sha256"] == _sha256(place / _TENSORS)
        except (OSError, orjson.JSONDecodeError, KeyError, TypeError):
            return None
        return about if good else None


def write_folder(place: Path, write: Callable[[Path], None], what: str) -> None:
    """`write` fills an empty folder that then takes its place in one step, replacing what was there; after a crash it is there whole or not at all.

    Raises Unavailable naming `what` if the disk is full or cannot be written; then nothing has changed.
    """
    draft = place.with_name(place.name + _DRAFT)
    with _whole(place, what):
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        try:
            write(draft)
            for path in [*draft.rglob("*"), draft]:
                _flush(path)
            shutil.rmtree(place, ignore_errors=True)
            draft.rename(place)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        _flush(place.parent)


def write_file(place: Path, content: bytes, what: str) -> None:
    """The same for one small file."""
    draft = place.with_name(place.name + _DRAFT)
    with _whole(place, what):
        try:
            draft.write_bytes(content)
            _flush(draft)
            draft.replace(place)
        finally:
            draft.unlink(missing_ok=True)


@contextmanager
def _whole(place: Path, what: str) -> Iterator[None]:
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, SafetensorError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or " ".join(str(error).split())
        raise Unavailable(
            f"Training could not save {what} in {place.parent}: {why}.", "Free space there and run it again: it goes on from the last checkpoint."
        ) from error


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
