"""Calling `learning-pipelines` as a process with a home of its own, and cleaning up after it.

Belongs here: what tests of processes share. Not here: fixtures, assertions about one verb.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from learning_pipelines.settings import Settings
from learning_pipelines.storage import embedded
from learning_pipelines.storage.database import Database, open_database
from learning_pipelines.storage.embedded_place import place_of
from learning_pipelines_tests.children import PROGRAM, with_this_code

_OURS = ("LEARNING_", "DAGSTER_", "OPENAI_", "PG")


@dataclass(frozen=True)
class Ended:
    """A command that ended: exit code and what it printed."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """The one JSON document on stdout; anything else beside it fails here."""
        found = json.loads(self.out)
        assert isinstance(found, dict)
        return found


def environment(home: Path, **variables: str) -> dict[str, str]:
    """Only what the test says: no setting of the person who runs it. Near-duplicates by 5-grams alone, so that no verb waits for the encoder."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    return with_this_code({**kept, "LEARNING_HOME": str(home), "LEARNING_DUPLICATE_COSINE": "off", **variables})


def call(home: Path, *arguments: str | Path, **variables: str) -> Ended:
    """Runs one verb to its end. No answer may ever be a Python traceback."""
    command, env = [PROGRAM, *map(str, arguments)], environment(home, **variables)
    done = subprocess.run(command, env=env, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=900, check=False)
    ended = Ended(done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in ended.err + ended.out, ended.err
    return ended


def write_rows(path: Path, rows: Iterable[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def database_of(home: Path) -> Database:
    """The database of a home, for looking into it and for planting faults."""
    return open_database(Settings(home=home, database_url=None, dagster_database_url=None))


def remove(home: Path) -> None:
    """Stops the embedded server of a home and deletes its data, which as root does not lie below the home."""
    base = place_of(home).base
    embedded.stop(home)
    if base != home / "postgres":
        shutil.rmtree(base, ignore_errors=True)
