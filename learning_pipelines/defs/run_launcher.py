"""The launcher of runs: Dagster's own, which also knows whether the process of a run is still there.

Belongs here: that look. Not here: what follows (the daemon's run monitoring fails the run, the sensor crashed_runs asks for it again).

Dagster's default launcher has no such look: a run whose process went with its code server, or while the database was away so that nobody could write
it down, says that it runs until max_runtime_seconds, and keeps its pool for as long.
"""

import json
import socket
from collections.abc import Iterable

import dagster as dg
import psutil
from dagster._core.launcher.base import CheckRunHealthResult, WorkerStatus
from dagster._core.launcher.default_run_launcher import DefaultRunLauncher
from dagster._core.storage.tags import GRPC_INFO_TAG

from learning_pipelines.defs.common import HOST_TAG

_HERE = ("127.0.0.1", "localhost", "::1")
_SLACK_SECONDS = 1.0


class WatchedRunLauncher(DefaultRunLauncher):
    """Runs are processes of the code server (or of a command); one that is gone is noticed at the next look of run monitoring."""

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Whether the process of a started run is there. On another machine nobody can tell (a code server that was reloaded no longer knows what it
        runs): it counts as running there, until max_runtime_seconds."""
        server = json.loads(run.tags[GRPC_INFO_TAG]) if GRPC_INFO_TAG in run.tags else None
        host = server.get("host", "localhost") if server else run.tags.get(HOST_TAG)
        if host not in (*_HERE, socket.gethostname()):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        started = _started(self._instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT))
        if started is not None and not process_there(*started):
            return CheckRunHealthResult(WorkerStatus.NOT_FOUND, f"process {started[0]} is gone")
        return CheckRunHealthResult(WorkerStatus.RUNNING)


def process_there(pid: int, seen: float) -> bool:
    """Whether the process that had this id at a moment (seconds since 1970) is there; a younger one with its id is another."""
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and process.create_time() <= seen + _SLACK_SECONDS
    except psutil.NoSuchProcess:
        return False


def _started(entries: Iterable[dg.EventLogEntry]) -> tuple[int, float] | None:
    """The process that the newest event of a run names, and when."""
    found = None
    for entry in entries:
        data = entry.dagster_event.event_specific_data if entry.dagster_event else None
        value = getattr(getattr(data, "metadata", {}).get("pid"), "value", None)
        if value is not None:
            found = int(value), entry.timestamp
    return found

