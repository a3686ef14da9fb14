"""The launcher of runs: Dagster's own, which also knows whether the process of a run is still there, or will ever come.

Belongs here: these looks. Not here: what follows (run monitoring and the sensor lost_starts fail the run, the sensor crashed_runs asks for it again).

Dagster's default launcher has no such look: a run whose process went with its code server, or while the database was away so that nobody could write
it down, says that it runs until max_runtime_seconds, and keeps its pool for as long.

One that was lost while it was launched, because daemon or code server was killed in that moment, keeps one of the few places of running ones for 3 minutes.
"""

import json
import socket
import time
from collections.abc import Iterable

import dagster as dg
import psutil
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher.base import CheckRunHealthResult, WorkerStatus
from dagster._core.launcher.default_run_launcher import DefaultRunLauncher
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._grpc.types import CanCancelExecutionRequest, CanCancelExecutionResult
from dagster._serdes import deserialize_value

from learning_pipelines import run_tags

_HERE = ("127.0.0.1", "localhost", "::1")
_SLACK_SECONDS = 1.0
LAUNCH_SECONDS = 30.0
"""From the moment a run leaves the queue until its code server knows it, at most. What begins later all the same finds that it failed, and does nothing."""


class WatchedRunLauncher(DefaultRunLauncher):
    """Runs are processes of the code server (or of a command); one that is gone is noticed at the next look of run monitoring."""

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Whether the process of a started run is there. On another machine nobody can tell (a code server that was reloaded no longer knows what it
        runs): it counts as running there, until max_runtime_seconds."""
        if not _here(run):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        started = self._process(run)
        if started is not None and not process_there(*started):
            return CheckRunHealthResult(WorkerStatus.NOT_FOUND, f"process {started[0]} is gone")
        return CheckRunHealthResult(WorkerStatus.RUNNING)

    def lost_start(self, run: dg.DagsterRun) -> str | None:
        """Why a run that says that it is starting will never run; None: it may, or its code server cannot be asked now."""
        started = self._process(run)
        if started is not None:
            return None if not _here(run) or process_there(*started) else f"process {started[0]} is gone"
        launched = self._instance.get_run_stats(run.run_id).launch_time
        if launched is None or time.time() - launched < LAUNCH_SECONDS:
            return None
        if GRPC_INFO_TAG not in run.tags:
            return "it was handed to no code server"
        return None if self._known(run) else "its code server knows nothing of it"

    def _process(self, run: dg.DagsterRun) -> tuple[int, float] | None:
        return _started(self._instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT))

    def _known(self, run: dg.DagsterRun) -> bool:
        """Whether the code server that was to start a run has a process for it; one that does not answer may."""
        client = self._get_grpc_client_for_termination(run.run_id)
        if client is None:
            return True  # it ended this moment
        try:
            answer = client.can_cancel_execution(CanCancelExecutionRequest(run_id=run.run_id))
        except DagsterUserCodeUnreachableError:
            return True
        return bool(deserialize_value(answer, CanCancelExecutionResult).can_cancel)


def _here(run: dg.DagsterRun) -> bool:
    """Whether the process of a run is one of this machine."""
    server = json.loads(run.tags[GRPC_INFO_TAG]) if GRPC_INFO_TAG in run.tags else None
    host = server.get("host", "localhost") if server else run.tags.get(run_tags.HOST)
    return host in (*_HERE, socket.gethostname())


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

