"""A backup as files: one folder that is there whole or not at all, with a manifest that names every part and its SHA-256.

Belongs here: writing the folder, the manifest, checking a folder before it is used. Not here: what the parts hold (backup.py, restore.py).

    PATH/manifest.json  manifest.sha256  data.dump  dagster.dump  artifacts/…
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from learning_pipelines.errors import BadInput, LearningError, Unavailable
from learning_pipelines.examples.export_files import BLOCK, HashedFile, file_hash

FORMAT = 1
MANIFEST, CHECKSUM = "manifest.json", "manifest.sha256"
DATA, DAGSTER, ARTIFACTS = "data.dump", "dagster.dump", "artifacts"


@dataclass(frozen=True, slots=True)
class Part:
    """A file of the backup; `path` is relative to its folder."""

    path: str
    sha256: str
    bytes: int


@dataclass
class Manifest:
    """What a backup says of itself. `schema`: version of the data's schema; `postgresql`: major version it was written by."""

    made_at: str
    project: str
    schema: str
    postgresql: int
    dagster: str
    rows: dict[str, int]
    datasets: dict[str, str]
    parts: list[Part] = field(default_factory=list)
    format: int = FORMAT

    @property
    def artifacts(self) -> list[Part]:
        return [part for part in self.parts if part.path.startswith(f"{ARTIFACTS}/")]

    @property
    def bytes(self) -> int:
        return sum(part.bytes for part in self.parts)


class Folder:
    """A backup that is being written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.parts: list[Part] = []

    @contextmanager
    def part(self, name: str) -> Iterator[HashedFile]:
        """A part that is written into, on the disk when the block ends, and listed."""
        target = self._path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as file:
            hashed = HashedFile(file)
            yield hashed
            file.flush()
            os.fsync(file.fileno())
        self.parts.append(Part(name, hashed.sha256, hashed.bytes))

    def seal(self, manifest: Manifest) -> None:
        """Writes the manifest over everything that was written before."""
        manifest.parts = self.parts
        content = json.dumps(asdict(manifest), indent=1).encode()
        (self._path / MANIFEST).write_bytes(content)
        (self._path / CHECKSUM).write_text(f"{hashlib.sha256(content).hexdigest()}  {MANIFEST}\n", encoding="ascii")


@contextmanager
def whole_folder(path: Path) -> Iterator[Folder]:
    """A folder at `path` that appears when the block ends without an error, and not at all otherwise; readable for its owner alone.

    BadInput: something is there already, or it cannot be written there. LearningError: the disk is full.
    """
    if path.exists() or path.is_symlink():
        raise BadInput(f"{path} exists already.", "Name a path that does not exist: a backup never replaces anything.")
    draft = path.with_name(f".{path.name}.{os.getpid()}.incomplete")
    try:
        draft.mkdir(mode=0o700)  # people's texts lie in it
        yield Folder(draft)
        draft.rename(path)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        kind, advice = (LearningError, "Free space there, or name another path.") if full else (BadInput, "Name a path that can be written.")
        raise kind(f"The backup cannot be written to {path}: {error.strerror or error}.", f"{advice} Nothing was left behind.") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def checked(path: Path) -> Manifest:
    """The manifest of a backup whose every part is as it was written. Raises BadInput naming the first that is not, before anything is done with it."""
    manifest = _read(path)
    for part in manifest.parts:
        if (found := _hash_of(path / part.path)) != (part.sha256, part.bytes):
            what = "is missing" if found is None else f"has {found[1]} bytes instead of {part.bytes}" if found[1] != part.bytes else "was changed"
            raise BadInput(f"The backup {path} is damaged: {part.path} {what}.", "Take another backup. Nothing was restored.")
    return manifest


def _read(path: Path) -> Manifest:
    if not (path / MANIFEST).is_file():
        raise BadInput(f"{path} is no backup: it has no {MANIFEST}.", "Name the folder that `learning-pipelines backup` made.")
    try:
        content = (path / MANIFEST).read_bytes()
        wanted = (path / CHECKSUM).read_text(encoding="ascii").split()[:1]
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"The backup {path} cannot be read: {error}.", "Nothing was restored.") from error
    if wanted != [hashlib.sha256(content).hexdigest()]:
        raise BadInput(f"The backup {path} is damaged: {MANIFEST} was changed.", "Take another backup. Nothing was restored.")
    told: dict[str, Any] = json.loads(content)
    if told.get("format") != FORMAT:
        raise BadInput(f"The backup {path} has the format {told.get('format')}, this version knows {FORMAT}.", "Restore it with the version that wrote it.")
    parts = [Part(**part) for part in told.pop("parts")]
    if any(".." in PurePosixPath(part.path).parts or part.path.startswith("/") for part in parts):
        raise BadInput(f"The backup {path} names a part outside of its folder.", "Nothing was restored.")
    return Manifest(**told, parts=parts)


def _hash_of(file: Path) -> tuple[str, int] | None:
    try:
        return file_hash(str(file))
    except Unavailable as error:
        raise BadInput(f"A part of the backup is not to be had: {error.cause}", "Nothing was restored.") from error


def copy(source: Any, into: Any) -> None:
    """Bytes from one file to another."""
    while block := source.read(BLOCK):
        into.write(block)
