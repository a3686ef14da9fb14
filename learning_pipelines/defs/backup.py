"""`backup`: one consistent copy of an installation while it runs.

Belongs here: what is copied, in which order. Not here: files (backup_files.py), dumps (storage/dump.py), bringing it back (restore.py).

Order. Dagster's history first, then the data, then the artifacts: a cursor in the copy is never ahead of the rows, so after a restore nothing is
skipped, and what a cursor has not seen of the rows' own positions is taken up once. Artifacts that rows name never change and are copied last.
Not copied: secrets (LEARNING_TOKEN_SECRET or the one kept below LEARNING_HOME; settings), caches, downloaded models, logs.
"""

from __future__ import annotations

import datetime as dt
import importlib.metadata
from collections.abc import Callable
from pathlib import Path
from typing import Any

from learning_pipelines import __version__
from learning_pipelines.defs.backup_files import ARTIFACTS, DAGSTER, DATA, Folder, Manifest, copy, whole_folder
from learning_pipelines.errors import LearningError, Unavailable
from learning_pipelines.settings import Settings
from learning_pipelines.storage import backup_rows, dump, migrate
from learning_pipelines.storage.database import Database, database_errors, open_database
from learning_pipelines.storage.dump import OWNER, Source

Say = Callable[[str], None]


def back_up(settings: Settings, path: Path, say: Say) -> Manifest:
    """Writes the folder `path` and returns its manifest. What goes wrong is named, and no folder is left then."""
    path = path.expanduser().absolute()
    with whole_folder(path) as folder:
        database = open_database(settings)
        _require_known(database)
        say("Dagster's runs, events and cursors …")
        with folder.part(DAGSTER) as into:
            dump.dump(dagster_source(database), into)
        say("Rows …")
        with database_errors("backing it up"), backup_rows.exported_snapshot(database) as (connection, snapshot):
            facts = backup_rows.facts(connection)
            with folder.part(DATA) as into:
                dump.dump(data_source(database), into, snapshot)
        say("Artifacts …")
        _artifacts(settings.artifacts, folder)
        manifest = Manifest(dt.datetime.now(dt.UTC).isoformat(timespec="seconds"), __version__, dagster=importlib.metadata.version("dagster"), **facts)
        folder.seal(manifest)
    return manifest


def _require_known(database: Database) -> None:
    """Any version that this code knows: the time for a backup is before `migrate`."""
    if database.embedded and not migrate.prepared(database):
        raise LearningError("This home was never migrated: there is nothing to back up.", _ELSEWHERE)
    with database_errors("backing it up"), database.connect("owner") as connection:
        version = migrate.current_version(connection)
    if version not in migrate.versions():
        raise LearningError(f"The schema of {database.name} is {version or 'empty'}: there is nothing to back up that this version knows.", _NEWER)


_ELSEWHERE = "Name the home that is meant with LEARNING_HOME; `learning-pipelines migrate` or `up` begins a new one."
_NEWER = "Check LEARNING_DATABASE_URL and LEARNING_HOME; a newer schema is backed up by the version that wrote it."


def data_source(database: Database) -> Source:
    """The data, read and owned by learning_owner, which has a policy on every table."""
    return Source(database.admin_url, "learning", OWNER, database.embedded)


def dagster_source(database: Database) -> Source:
    """Dagster's own tables."""
    return Source(database.dagster_url, "public", None, database.embedded)


def _artifacts(artifacts: str, folder: Folder) -> None:
    """Every whole file of the artifact store; parts of files that are being written have names that begin with a dot."""
    system, root, names = stored(artifacts)
    for name in names:
        try:
            with system.open(f"{root}/{name}", "rb") as source, folder.part(f"{ARTIFACTS}/{name}") as into:
                copy(source, into)
        except FileNotFoundError as error:
            raise Unavailable(f"The artifact {name} went away while it was copied.", "A clean-up was running: run the backup again.") from error


def stored(artifacts: str) -> tuple[Any, str, list[str]]:
    """The artifact store, its root, and the names of the files in it."""
    from fsspec.core import url_to_fs

    try:
        system, root = url_to_fs(artifacts, use_listings_cache=False)
        root = root.rstrip("/")
        found = system.find(root)
    except FileNotFoundError:
        return system, root, []
    except (OSError, ImportError, ValueError) as error:
        raise LearningError(f"The artifact store {artifacts} cannot be read: {error}.", "See to the store, then try again.") from error
    names = sorted(file[len(root) + 1 :] for file in found)
    return system, root, [name for name in names if not any(part.startswith(".") for part in name.split("/"))]
