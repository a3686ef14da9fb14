"""The files by which the processes of one home and its shared encoder find each other.

Belongs here: their names, the key of a model, the state that is read and written. Not here: starting and stopping (encoder_server.py), the model's own files.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from learning_pipelines.encoder_local import identity_files
from learning_pipelines.encoder_protocol import PACKAGED

PROTOCOL = 1  # part of the key: a process of another version is never asked


@dataclass(frozen=True)
class Files:
    """The files of one encoder process. The key stands on its command line, so that a reused process id is not taken for it."""

    folder: Path
    key: str

    @property
    def state(self) -> Path:
        return self.folder / f"{self.key}.json"

    @property
    def log(self) -> Path:
        return self.folder / f"{self.key}.log"

    @property
    def starting(self) -> Path:
        return self.folder / f"{self.key}.starting.lock"

    @property
    def serving(self) -> Path:
        """Held by the process itself as long as it lives: also a starter that is killed half-way cannot bring about a second one."""
        return self.folder / f"{self.key}.serving.lock"

    def read_state(self) -> dict[str, Any]:
        try:
            state: dict[str, Any] = orjson.loads(self.state.read_bytes())
        except (FileNotFoundError, NotADirectoryError, orjson.JSONDecodeError):  # half a file: the machine went down while it was written
            return {}
        return state

    def write_state(self, state: dict[str, Any]) -> None:
        """In one step, readable by the owner only: it holds the token."""
        draft = self.state.with_suffix(".draft")
        draft.unlink(missing_ok=True)
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(orjson.dumps(state))
        draft.replace(self.state)

    def withdraw_state(self) -> None:
        """Nobody is sent to this process any more. What another process wrote stays."""
        if self.read_state().get("pid") == os.getpid():
            self.state.unlink(missing_ok=True)


def folder_of(home: Path) -> Path:
    """Where it really lies: processes know each other by this path, also where the folder is a link to another disk."""
    return (home / "encoder").resolve()


def files_of(home: Path, source: str) -> Files:
    identity = f"{PROTOCOL}\n{source}\n"
    if source != PACKAGED and Path(source).is_dir():  # trained again in the same place: another model
        stats = ((path, path.stat()) for path in sorted(identity_files(Path(source))))
        identity += "\n".join(f"{path} {status.st_size} {status.st_mtime_ns}" for path, status in stats)
    return Files(folder_of(home), hashlib.sha256(identity.encode()).hexdigest()[:16])
