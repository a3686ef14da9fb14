"""Running `up` or `demo` as a process, watching it through GraphQL, finding every process that works for a home.

Belongs here: what tests of the running whole share. Not here: assertions, verbs that end by themselves (command_line.py).
"""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil

from learning_pipelines_tests.children import PROGRAM
from learning_pipelines_tests.cli.command_line import environment, remove

PATIENCE = 240.0
T = TypeVar("T")
RUNS = """query($job: String!) { runsOrError(filter: {pipelineName: $job}) { ... on Runs { results { runId status tags { key value } } } } }"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(what: Callable[[], T | None], patience: float = PATIENCE) -> T:
    """The first true answer. A generous deadline: machines differ."""
    deadline = time.monotonic() + patience
    while not (found := what()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.5)
    return found


def family(home: Path) -> list[psutil.Process]:
    """Processes that work for a home."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("LEARNING_HOME") == str(home) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def commands(home: Path) -> dict[psutil.Process, str]:
    """Processes that work for a home with their command lines; one that ends while it is looked at is none."""
    found = {}
    for process in family(home):
        with suppress(psutil.NoSuchProcess):  # a zombie too
            found[process] = " ".join(process.cmdline())
    return found


@contextmanager
def lasting(path: Path) -> Iterator[Path]:
    """A home for everything that is started in it until the end of the block; then its processes are killed and its database goes."""
    try:
        yield path
    finally:
        for process in family(path):
            process.kill()
        remove(path)


@dataclass
class Up:
    """A running `up` (or `demo`)."""

    home: Path
    port: int
    api_port: int
    process: subprocess.Popen[bytes]
    log: Path

    def query(self, text: str, **variables: str) -> Any:
        answer = httpx.post(f"http://127.0.0.1:{self.port}/graphql", json={"query": text, "variables": variables}, timeout=60).json()
        assert "errors" not in answer, answer["errors"]
        return next(iter(answer["data"].values()))

    def runs(self, job: str) -> list[dict[str, Any]]:
        return [
            {"status": run["status"], "id": run["runId"], **{tag["key"]: tag["value"] for tag in run["tags"]}} for run in self.query(RUNS, job=job)["results"]
        ]

    def words(self) -> str:
        return self.log.read_text(encoding="utf-8")


def start(home: Path, *arguments: str, **variables: str) -> Up:
    """Starts `up` or `demo` and waits until it says where the UI is."""
    port = free_port()
    log = home.with_name(f"{home.name}-{arguments[0]}.log")
    api_port = free_port()
    env = environment(home, LEARNING_DAGSTER_PORT=str(port), LEARNING_API_PORT=str(api_port), **variables)
    with log.open("wb") as output:
        process = subprocess.Popen([PROGRAM, *arguments], env=env, cwd="/", stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    up = Up(home, port, api_port, process, log)
    wait_for(lambda: f"http://127.0.0.1:{port}   (Ctrl-C" in up.words() or process.poll() is not None)
    assert process.poll() is None, up.words()
    return up
