"""Whether the archive still is what was written: bytes, manifests, rows.

Belongs here: comparing files with the ledger. Not here: writing them (archiving.py).
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from learning_pipelines.errors import LearningError
from learning_pipelines.feedback.archive import files
from learning_pipelines.storage import archive
from learning_pipelines.storage.archive import Entry
from learning_pipelines.storage.store import Store

SAMPLE = 20
"""Files that are looked at where not all are: the newest, and others by chance."""


@dataclass
class Checked:
    """How many files were looked at, and what is wrong, in words."""

    files: int = 0
    wrong: list[str] = field(default_factory=list)


def check(store: Store, most: int | None = None) -> Checked:
    """Compares files with what was written down of them: the bytes' hash, then the manifest beside them. `most`: only so many of them."""
    with store.pipeline() as connection:
        entries = list(archive.entries(connection))
    if most is not None and len(entries) > most:
        newest = entries[: most // 2]
        entries = newest + random.sample(entries[len(newest) :], most - len(newest))
    checked = Checked(len(entries))
    for entry in entries:
        if said := _wrong(store.settings.artifacts, entry):
            checked.wrong.append(said)
    return checked


def _wrong(artifacts: str, entry: Entry) -> str | None:
    try:
        if said := files.bytes_are(artifacts, entry.path, entry.sha256):
            return f"{entry.path}: {said}; restore it from a backup of the artifact store"
    except LearningError as error:
        return str(error)
    if files.read_manifest(artifacts, entry.path) != entry.manifest:
        files.write_manifest(artifacts, entry.path, entry.manifest)  # the ledger has it
        return f"{files.manifest_path(entry.path)}: it was not the one that was written; it was written again"
    return None
