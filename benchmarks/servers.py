"""The processes of the load benchmark: the feedback service, the floor, and the peers' servers, all on one embedded PostgreSQL.

Belongs here: starting, seeding, stopping, processor time. Not here: requests (targets.py), rounds (service.py).
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil

from benchmarks.loop import remove
from learning_pipelines.api.keys import new_key
from learning_pipelines.experiments.assignment import ranges_of_weights
from learning_pipelines.feedback.identity import agent_id, organization_id, user_id
from learning_pipelines.prompts.prompt import content_hash
from learning_pipelines.storage import api_keys, embedded, experiments, prompts, tenants
from learning_pipelines.storage.database import Database, of_server
from learning_pipelines.storage.experiment_rows import Arm
from learning_pipelines.storage.migrate import migrate
from learning_pipelines.storage.tenants import AgentRef

ORGANIZATION = "default"
START_SECONDS = 180.0


@contextlib.contextmanager
def database(folder: Path) -> Iterator[tuple[Database, embedded.EmbeddedServer]]:
    """A migrated database on a server of its own (with fsync, as always), with one agent; gone afterwards."""
    try:
        server = embedded.ensure_running(folder / "home")
        one = of_server(server)
        migrate(one)
        organization = organization_id(ORGANIZATION)
        with one.connect("pipeline") as connection:
            tenants.ensure_organization(connection, organization, ORGANIZATION)
            connection.execute("INSERT INTO agents (organization_id, id, slug) VALUES (%s, %s, 'desk')", [organization, agent_id(organization, "desk")])
            agent = AgentRef(organization, ORGANIZATION, agent_id(organization, "desk"), "desk")
            messages = [{"role": "system", "content": "You answer questions about taxes, shortly and with the date that counts. " * 10}]
            version, _ = prompts.add_written(connection, agent, messages, None, content_hash(messages, {}), None)
            prompts.move_label(connection, agent, prompts.PRODUCTION, version, None)
        yield one, server
    finally:
        remove(folder)


def experiment(one: Database, slug: str) -> None:
    """An agent with two versions and an experiment between them, half and half."""
    organization = organization_id(ORGANIZATION)
    agent = AgentRef(organization, ORGANIZATION, agent_id(organization, slug), slug)
    arms = (Arm("control", 1, 0.5), Arm("treatment", 2, 0.5))
    with one.connect("pipeline") as connection:
        connection.execute("INSERT INTO agents (organization_id, id, slug) VALUES (%s, %s, %s)", [organization, agent.agent_id, slug])
        for arm in arms:
            messages = [{"role": "system", "content": f"Version {arm.version} answers questions about taxes, with the date that counts. " * 10}]
            prompts.add_written(connection, agent, messages, None, content_hash(messages, {}), None)
        prompts.move_label(connection, agent, prompts.PRODUCTION, 1, None)
        made = experiments.add(connection, agent, name="trial", arms=arms)
        experiments.begin_epoch(connection, organization, made, ranges_of_weights(arms))
        experiments.set_status(connection, organization, made, "running")


def api_key(one: Database) -> str:
    """A new key of the application."""
    key, hashed = new_key(ORGANIZATION)
    with one.connect("pipeline") as connection:
        api_keys.create(connection, organization_id(ORGANIZATION), hashed, "user", None, user_id)
    return key


class Server:
    """A process that listens on `port`."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = process
        self.port = port

    def cpu(self) -> float:
        """Processor seconds of the process and its children so far."""
        return tree_cpu(psutil.Process(self.process.pid))


@contextlib.contextmanager
def uvicorn(application: str, folder: Path, **environment: str) -> Iterator[Server]:
    """One worker of an ASGI application, as in production."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", application, "--host", "127.0.0.1", "--port", str(port), "--no-access-log", "--log-level", "warning"]
    settings = {"LEARNING_HOME": str(folder / "home"), "LEARNING_RATE_LIMITS": "key=10000000/second,user=10000000/second,address=10000000/second"}
    with serving(command, port, folder / f"{application.replace(':', '-')}.log", {**settings, **environment}) as server:
        yield server


@contextlib.contextmanager
def serving(command: list[str], port: int, log: Path, environment: dict[str, str]) -> Iterator[Server]:
    """Runs the command until the end of the block, in a session of its own so that its children end with it; waits until it listens."""
    with log.open("ab") as output:
        process = subprocess.Popen(command, env={**os.environ, **environment}, stdout=output, stderr=output, start_new_session=True)
    try:
        wait_until_it_listens(process, port, log)
        yield Server(process, port)
    finally:
        end(process)


def wait_until_it_listens(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"{process.args!r} did not start: {log.read_text(errors='replace')[-3000:]}")
        with contextlib.suppress(httpx.HTTPError):
            httpx.get(f"http://127.0.0.1:{port}/", timeout=5)
            return
        time.sleep(0.1)


def end(process: subprocess.Popen[bytes]) -> None:
    """Asks, waits, insists: the process and whatever it started."""
    with contextlib.suppress(psutil.NoSuchProcess):
        family = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
        for one in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.terminate()
        for one in psutil.wait_procs(family, timeout=10)[1]:
            one.kill()
    process.wait()


def tree_cpu(process: psutil.Process) -> float:
    """Processor seconds of a process and all that it started, the ended ones that it waited for included."""
    total = 0.0
    for one in [process, *process.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = one.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
