"""Which running processes belong to a data folder: telling our server from a stranger that got its process id.

Belongs here: recognising, signalling and waiting for server processes. Not here: starting them (embedded.py).
"""

from __future__ import annotations

import logging
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from learning_pipelines.storage.embedded_place import EmbeddedServerError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Postmaster:
    """The main process of a running server; the port is None until the server has written it."""

    process: psutil.Process
    port: int | None


def marker(data: Path) -> str:
    """The cluster name of a data folder. It is on the command line of every process of the server, which everybody may read (their folders and programs
    only with more rights than root has in a container), it survives renaming the folder, and a copy of the folder has another one."""
    status = data.stat()
    return f"learning_{status.st_dev:x}_{status.st_ino:x}"


def find_postmaster(data: Path) -> Postmaster | None:
    """The live server of this data folder. None if there is none, or if the process id now belongs to a zombie or to somebody else."""
    lines = _pid_file_lines(data)
    if not lines or not lines[0].strip().isdigit():
        return None
    try:
        process = psutil.Process(int(lines[0]))
        if process.status() == psutil.STATUS_ZOMBIE or not process.name().startswith("postgres"):
            return None
        if f"cluster_name={marker(data)}" not in process.cmdline():
            return None
    except (psutil.NoSuchProcess, psutil.AccessDenied):  # denied: another user's process, so not our server
        return None
    port = lines[3].strip() if len(lines) > 3 else ""
    return Postmaster(process, int(port) if port.isdigit() else None)


def clear_after_crash(data: Path) -> None:
    """Remove what a killed server left behind and a new one would stumble over. Call it under the lock, when find_postmaster says None."""
    lines = _pid_file_lines(data)
    if lines is None:
        return
    _end_orphans(data)
    first = lines[0].strip() if lines else ""
    # A vanished id PostgreSQL handles itself (and better). A reused one of the same user or a zombie would block it for ever, so does an empty file.
    if not first.isdigit() or psutil.pid_exists(int(first)):
        logger.warning("Removing the stale %s: process %s is not this server.", data / "postmaster.pid", first or "(none)")
        (data / "postmaster.pid").unlink(missing_ok=True)


def shut_down(data: Path) -> bool:
    """End the server of this data folder, if it runs: fast first (clients are cut off, everything is written), at once when that takes too long."""
    found = find_postmaster(data)
    if found is None:
        return False
    for kind, seconds in ((signal.SIGINT, 60.0), (signal.SIGQUIT, 15.0)):
        try:
            found.process.send_signal(kind)  # psutil compares the start time, so a reused id is not signalled
        except psutil.NoSuchProcess:
            return True
        except psutil.AccessDenied as error:
            raise EmbeddedServerError(
                f"The PostgreSQL server (process {found.process.pid}) belongs to another user.", "Stop it as the user who started it."
            ) from error
        if _gone([found.process], seconds):
            return True
        logger.warning("PostgreSQL (process %s) did not stop within %.0f s of signal %s.", found.process.pid, seconds, kind.name)
    raise EmbeddedServerError(
        f"The PostgreSQL server (process {found.process.pid}) does not stop.", f"End it with `kill -9 {found.process.pid}`; committed rows are kept."
    )


def _pid_file_lines(data: Path) -> list[str] | None:
    try:
        return (data / "postmaster.pid").read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return None


def _end_orphans(data: Path) -> None:
    """End sessions that outlive a killed server (they notice only when they next wait): while they hold its memory no new server can start."""
    name = marker(data)
    orphans = [
        process
        for process in psutil.process_iter(["name", "cmdline"])
        if (process.info["name"] or "").startswith("postgres") and name in " ".join(process.info["cmdline"] or ())
    ]
    for kind, seconds in ((signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)):
        for process in orphans:
            try:
                process.send_signal(kind)
            except psutil.NoSuchProcess:
                continue  # it noticed by itself
        if _gone(orphans, seconds):
            return


def _gone(processes: list[psutil.Process], seconds: float) -> bool:
    """Wait until all have ended. A zombie has: in containers often nobody collects it."""
    deadline = time.monotonic() + seconds
    while any(_alive(process) for process in processes):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
