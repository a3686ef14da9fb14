"""`restore`: a backup into an installation that holds nothing yet.

Belongs here: what is checked first, the order of things, taking back what was begun. Not here: files (backup_files.py), dumps and rows (storage/).

First every part is checked, then that the target is empty; only then something is written. The rows come last of the three parts, in one
transaction. Whatever fails afterwards takes everything back; after a kill the rows are either not there at all, and the same restore begins again,
or they are whole, and readers whose positions did not get here start over, with their effect once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from learning_pipelines.defs import processes
from learning_pipelines.defs.backup import dagster_source, data_source, stored
from learning_pipelines.defs.backup_files import ARTIFACTS, DAGSTER, DATA, Manifest, checked, copy
from learning_pipelines.defs.instance import child, environment
from learning_pipelines.errors import BadInput, LearningError
from learning_pipelines.examples.export_files import file_hash, whole_file
from learning_pipelines.feedback.erasure import replay
from learning_pipelines.feedback.erasure.certificate import FOLDER
from learning_pipelines.feedback.erasure.replay import Replayed
from learning_pipelines.settings import Settings
from learning_pipelines.storage import backup_rows, dump, migrate
from learning_pipelines.storage.database import Database, database_errors, open_database
from learning_pipelines.storage.installation import Finding, findings
from learning_pipelines.storage.store import Store

Say = Callable[[str], None]


def restore(settings: Settings, path: Path, say: Say, erasures: Path | None = None) -> tuple[Manifest, list[Finding], Replayed]:
    """Brings a backup back; answers its manifest, which checks of the database fail now (none, unless the server is set up otherwise), and who was
    erased again: whoever was erased after the backup was taken, by certificates that lie in the backup, in the target's artifact store or below
    `erasures`.

    Raises BadInput before anything is written, LearningError after everything was taken back.
    """
    path = path.expanduser().absolute()
    say("Checking every part …")
    manifest = checked(path)
    _known_versions(manifest)
    certificates = {} if erasures is None else replay.in_folder(erasures)
    with processes.only_one(settings), database_errors("restoring into it"):
        database = open_database(settings)
        backup_rows.require_empty(database)
        _new_enough(database, manifest)
        _artifacts_fit(settings.artifacts, manifest)
        certificates |= replay.in_store(settings.artifacts)
        with _taken_back() as undo:
            replayed = _restore(settings, database, path, manifest, undo, say, certificates)
        return manifest, [one for one in findings(database) if not one.ok], replayed


def _restore(
    settings: Settings, database: Database, path: Path, manifest: Manifest, undo: ExitStack, say: Say, certificates: replay.Certificates
) -> Replayed:
    say("Dagster's runs, events and cursors …")
    dagster = dagster_source(database)
    tables = dump.tables_of(path / DAGSTER, dagster)
    backup_rows.drop_tables(database.dagster_url, tables)  # empty ones, or of a restore that was cut off
    undo.callback(backup_rows.drop_tables, database.dagster_url, tables)
    dump.load(path / DAGSTER, dagster, after=[f"COMMENT ON TABLE public.runs IS '{backup_rows.LEFTOVER}'"] if "runs" in tables else [])
    say("Artifacts …")
    _artifacts(settings.artifacts, path, manifest, undo)
    say("Rows …")
    undo.callback(backup_rows.empty_schema, database)
    backup_rows.empty_schema(database)
    dump.load(path / DATA, data_source(database))
    with database.connect("owner") as connection:
        _as_it_was(manifest, connection)
    migrate.migrate(database)  # of an older version; partitions for the months to come
    say("Positions of readers …")
    _settle(settings, database)
    backup_rows.analyze(database)
    if "runs" in tables:
        backup_rows.restored_wholly(database.dagster_url)
    undo.pop_all()  # all of it is there; what the following erases must not come back, and it may be repeated
    return replay.replay(Store(settings, database), certificates | replay.in_store(settings.artifacts), say)


@contextmanager
def _taken_back() -> Iterator[ExitStack]:
    """What is given to the stack is done, the last first, unless the block ends well."""
    with ExitStack() as undo:
        yield undo
        undo.pop_all()


def _known_versions(manifest: Manifest) -> None:
    if manifest.schema not in migrate.versions():
        raise BadInput(
            f"The backup has the schema {manifest.schema}, written by learning_pipelines {manifest.project}; this version knows up to {migrate.head()}.",
            f"Install learning_pipelines {manifest.project} or newer and restore with that. Nothing was restored.",
        )


def _new_enough(database: Database, manifest: Manifest) -> None:
    found = backup_rows.server_major(database.admin_url)
    if found < manifest.postgresql:
        raise BadInput(
            f"The backup was written by PostgreSQL {manifest.postgresql}, the server of {database.name} is {found}.",
            f"Restore into PostgreSQL {manifest.postgresql} or newer. Nothing was restored.",
        )


def _artifacts_fit(artifacts: str, manifest: Manifest) -> None:
    """The store may hold what the backup holds, byte by byte, and certificates of erasures; nothing else."""
    _, _, names = stored(artifacts)
    wanted = {part.path.removeprefix(f"{ARTIFACTS}/"): (part.sha256, part.bytes) for part in manifest.artifacts}
    for name in names:
        if name.startswith(f"{FOLDER}/"):
            continue  # certificates of erasures: they are replayed, and those of the backup come beside them
        if file_hash(f"{artifacts.rstrip('/')}/{name}") != wanted.get(name):
            raise BadInput(
                f"The artifact store {artifacts} is not empty: it holds {name}, which is not of this backup.",
                "Restore into a new installation: another LEARNING_HOME, or another LEARNING_ARTIFACTS_URL. Nothing was changed.",
            )


def _artifacts(artifacts: str, path: Path, manifest: Manifest, undo: ExitStack) -> None:
    system, root, there = stored(artifacts)
    for part in manifest.artifacts:
        name = part.path.removeprefix(f"{ARTIFACTS}/")
        if name in there:
            continue
        with (path / part.path).open("rb") as source, whole_file(f"{artifacts.rstrip('/')}/{name}", make_folders=True) as into:
            copy(source, into)
        undo.callback(system.rm, f"{root}/{name}")


def _as_it_was(manifest: Manifest, connection: Any) -> None:
    """Rows and dataset hashes against the manifest."""
    rows, datasets = backup_rows.row_counts(connection), backup_rows.dataset_hashes(connection)
    for what, found, wanted in (("rows of {}", rows, manifest.rows), ("the hash of the dataset {}", datasets, manifest.datasets)):
        if wrong := sorted(name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name)):
            name = wrong[0]
            raise LearningError(
                f"After the restore {what.format(name)} are not those of the backup: {found.get(name)} instead of {wanted.get(name)}.",
                "Nothing of it was kept. Report this with the manifest of the backup.",
            )


def _settle(settings: Settings, database: Database) -> None:
    """In a process of its own, as everything that reads Dagster's instance: see restored.py."""
    log = settings.home / "logs" / "restore.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as errors:
        env = environment(settings, database) | ({"LEARNING_DATABASE_URL": settings.database_url} if settings.database_url else {})
        process = child("learning_pipelines.defs.restored", env, stderr=errors)
        answer, _ = process.communicate()
    if process.returncode != 0:
        raise LearningError("The positions of readers could not be brought here.", f"Nothing was kept. The reason is in {log}.")
    json.loads(answer)
