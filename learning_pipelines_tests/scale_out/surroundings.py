"""What stands around the workers: one PostgreSQL, one broker, one artifact store behind HTTP, and homes that nobody shares.

Belongs here: starting and stopping servers and workers. Not here: rows, checks, the story (story.py).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

from learning_pipelines.defs.processes import end_group
from learning_pipelines.storage import embedded
from learning_pipelines.storage.database import of_server
from learning_pipelines.storage.embedded_place import place_of
from learning_pipelines_tests.children import PROGRAM, with_this_code
from learning_pipelines_tests.cli.running import free_port

BUCKET = "artifacts"
PATIENCE = 180.0


def lacking() -> str | None:
    """What this machine needs and does not have, in words; None if nothing."""
    import importlib.util

    if shutil.which("redis-server") is None:
        return "redis-server is not installed (Debian's package redis-server)"
    for module, package in (("dagster_celery", "the extra [scale]"), ("s3fs", "the extra [scale]"), ("moto", "the extra [dev]")):
        if importlib.util.find_spec(module) is None:
            return f"{module} is not installed ({package})"
    return None


def namespaces() -> bool:
    """Whether this user may give a process a file system that no other sees."""
    tried = subprocess.run(["unshare", "--mount", "sh", "-c", "mount -t tmpfs none /mnt"], capture_output=True, check=False)
    return tried.returncode == 0


@dataclass
class Worker:
    """A process of `celery-worker`, with all that it started."""

    name: str
    process: subprocess.Popen[bytes]

    def kill(self) -> int:
        """SIGKILL for all of it at once, as a machine that loses its power. Returns how many processes that were."""
        family = [psutil.Process(self.process.pid), *psutil.Process(self.process.pid).children(recursive=True)]
        for one in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        self.process.wait()
        return len(family)


@dataclass
class Surroundings:
    folder: Path
    variables: dict[str, str]
    separate: bool
    servers: dict[str, int]
    """Process ids by name."""
    workers: list[Worker] = field(default_factory=list)

    def environment(self, home: Path) -> dict[str, str]:
        bare = {name: value for name, value in os.environ.items() if not name.startswith(("LEARNING_", "DAGSTER_", "OPENAI_", "PG", "AWS_"))}
        return with_this_code({**bare, **self.variables, "LEARNING_HOME": str(home), "OMP_NUM_THREADS": "1"})

    @property
    def homes(self) -> Path:
        return self.folder / "homes"

    def call(self, *words: str | Path) -> None:
        """One verb of the command line, at the home of the scheduler. Raises if it fails."""
        subprocess.run([PROGRAM, *map(str, words)], env=self.environment(self.homes / "main"), check=True, stdout=subprocess.DEVNULL)

    def start_worker(self, name: str, places: int) -> Worker:
        """Where the machine allows it, the folder of all homes is an empty file system of this worker alone: no other home is even there."""
        command = [PROGRAM, "celery-worker", "--name", f"learning@{name}", "--concurrency", str(places)]
        if self.separate:
            command = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o size=4g none "$0" && exec "$@"', str(self.homes), *command]
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command, env=self.environment(self.homes / name), cwd="/", stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self.workers.append(Worker(f"learning@{name}", process))
        return self.workers[-1]

    def processor_seconds(self) -> dict[str, float]:
        """What servers have taken so far, and workers that live: with their children, ended ones too."""
        alive = [worker.process.pid for worker in self.workers if worker.process.poll() is None]
        return {**{name: _processor_seconds(pid) for name, pid in self.servers.items()}, "workers": sum(map(_processor_seconds, alive))}

    def stop_workers(self) -> None:
        for worker in self.workers:
            if worker.process.poll() is None:
                end_group(worker.process.pid)


@contextlib.contextmanager
def surroundings(folder: Path, settings: Mapping[str, str]) -> Iterator[Surroundings]:
    """Everything but the installation itself; all of it is gone afterwards, with its data."""
    home = folder / "postgres"
    with contextlib.ExitStack() as stack:
        stack.callback(lambda: shutil.rmtree(place_of(home).base, ignore_errors=True))
        stack.callback(embedded.stop, home)
        server = embedded.ensure_running(home)
        database, servers = of_server(server), {"postgres": server.pid}
        broker, store = free_port(), free_port()
        redis = ["redis-server", "--port", str(broker), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
        servers["broker"] = stack.enter_context(_server(redis, folder, "redis"))
        servers["store"] = stack.enter_context(_server([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(store)], folder, "store"))
        _until(lambda: httpx.put(f"http://127.0.0.1:{store}/{BUCKET}", timeout=5).status_code == 200)
        variables = {
            "LEARNING_DATABASE_URL": database.admin_url, "LEARNING_ARTIFACTS_URL": f"s3://{BUCKET}", "LEARNING_CELERY_BROKER": f"redis://127.0.0.1:{broker}/0",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{store}", "AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "nothing",
            "AWS_DEFAULT_REGION": "us-east-1", **settings,
        }  # fmt: skip
        around = Surroundings(folder, variables, namespaces(), servers)
        around.homes.mkdir()
        stack.callback(around.stop_workers)
        yield around


@contextlib.contextmanager
def _server(command: list[str], folder: Path, name: str) -> Iterator[int]:
    """Yields its process id."""
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    try:
        yield process.pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _processor_seconds(pid: int) -> float:
    found = 0.0
    for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            found += times.user + times.system + times.children_user + times.children_system
    return found


def _until(answers: object) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            if answers():  # type: ignore[operator]
                return
        except httpx.HTTPError:
            pass
        assert time.monotonic() < deadline, "a server does not answer"
        time.sleep(0.2)
