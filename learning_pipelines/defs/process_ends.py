"""Ending the processes of an installation, with everything they started, also what outlived them.

Belongs here: whole families and sessions of processes. Not here: which there are (processes.py); dagster is not imported.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import psutil

STOP_SECONDS = 20.0


def end_group(pid: int) -> None:
    """Ends a process that leads its own session, and its descendants: asked first, killed after STOP_SECONDS."""
    try:
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for process in family[:1]:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    _, remaining = psutil.wait_procs(family[:1], timeout=STOP_SECONDS)
    for process in [*remaining, *family[1:]]:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(family, timeout=5)


def end_left_behind(home: Path, pid: int) -> bool:
    """Ends what a process that was killed had started: runs outlive their code server, and would start the database again. True if there was anything.

    It led a session of its own, whose number no other process gets while any of them lives.
    """
    if psutil.pid_exists(pid):
        return False  # it lives, or its number was given away, so that nothing of its session is left
    left = [process for process in psutil.process_iter() if _session(process.pid) == pid and _works_for(process, home)]
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left, timeout=5)
    return bool(left)


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None  # it ended, or is none of ours


def _works_for(process: psutil.Process, home: Path) -> bool:
    try:
        return process.environ().get("LEARNING_HOME") == str(home)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False


def alive(entry: dict[str, Any]) -> bool:
    """Whether this very process runs: process ids are reused, start times are not."""
    try:
        process = psutil.Process(entry["pid"])
        return abs(process.create_time() - entry["started"]) < 1 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
