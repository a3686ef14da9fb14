"""The system as an installation runs it: `up` with everything below it, on a disk of its own, and who of its processes is who.

Belongs here: starting, finding, stopping; the harness as the service manager of `up` itself. Not here: killing (blows.py), load (load.py).
"""

from __future__ import annotations

import json
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psutil

from learning_pipelines.defs import processes
from learning_pipelines.settings import Settings
from learning_pipelines.storage import embedded
from learning_pipelines.storage.database import Database, of_server
from learning_pipelines.storage.embedded_place import place_of
from learning_pipelines.storage.embedded_process import find_postmaster, marker
from learning_pipelines_tests.chaos.disk import Disk
from learning_pipelines_tests.children import PROGRAM
from learning_pipelines_tests.cli.command_line import call, environment, write_rows
from learning_pipelines_tests.cli.running import family, free_port

AGENTS = ("desk", "tax", "payroll")
_ROLES = {
    "api": "learning_pipelines.api.app:app", "code-server": "code-server start", "loader": "dagster api grpc", "daemon": "dagster-daemon",
    "webserver": "dagster-webserver", "encoder": "learning_pipelines.encoder_server", "model": "learning_pipelines.llm_server",
}  # fmt: skip
ALWAYS = ("api", "code-server", "loader", "daemon", "webserver")
"""What runs whenever the system is well; the encoder and the model are started when somebody needs them."""


class World:
    """One home whose `up` is started by `start`, and again by `keep_up` when it has ended."""

    def __init__(self, disk: Disk, variables: dict[str, str]) -> None:
        self.disk, self.home = disk, disk.home
        self.port, self.api_port = free_port(), free_port()
        temporary = disk.outside / "tmp"  # the embedded model's server is found there: this one is nobody else's
        temporary.mkdir(exist_ok=True)
        self.variables = {
            "LEARNING_DAGSTER_PORT": str(self.port), "LEARNING_API_PORT": str(self.api_port), "TMPDIR": str(temporary), "LEARNING_AUTO_APPROVE": "",
            "LEARNING_RAG_MIN_PAIRS": "1000000",  # training retrieval for three agents takes longer than everything else together
            "LEARNING_RATE_LIMITS": "key=1000000/second,user=1000000/second,address=1000000/second", "OMP_NUM_THREADS": "1", **variables,
        }  # fmt: skip
        self.log = disk.outside / "up.log"
        self.starts = 0
        self._up: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.api_port}"

    @property
    def settings(self) -> Settings:
        return Settings(home=self.home, database_url=None, dagster_database_url=None)

    def prepare(self) -> dict[str, str]:
        """Agents and the keys of the load: {role: key}."""
        self.disk.hold_database()
        rows = [{"agent": name, "system_prompt": f"You are the {name} assistant. Be brief."} for name in AGENTS]
        self.run("import", "agents", write_rows(self.disk.outside / "agents.jsonl", rows))
        return {role: str(json.loads(self.run("keys", "create", "--role", role, "--json"))["key"]) for role in ("user", "expert", "trainer", "admin")}

    def run(self, *arguments: str | Path) -> str:
        """Runs one verb to its end. Raises AssertionError unless it succeeds."""
        ended = call(self.home, *arguments, **self.variables)
        assert ended.code == 0, ended.err or ended.out
        return ended.out

    def run_json(self, verb: str) -> dict[str, Any]:
        """What a verb prints as JSON, whatever its exit code."""
        return call(self.home, verb, "--json", **self.variables).document

    def start(self) -> None:
        """Starts `up`, as a service manager does."""
        self.starts += 1
        with self.log.open("ab") as output:
            env = environment(self.home, **self.variables)
            self._up = subprocess.Popen([PROGRAM, "up"], env=env, cwd="/", stdin=subprocess.DEVNULL, stdout=output, stderr=output)

    def keep_up(self) -> bool:
        """Starts `up` again if it has ended; whether it had."""
        if self._up is not None and self._up.poll() is None:
            return False
        self.start()
        return True

    def kill_up(self) -> None:
        """Kills the supervisor alone; what it started lives on until it is started again."""
        assert self._up is not None
        self._up.kill()
        self._up.wait()

    def stop(self) -> None:
        """Ends everything that works for this home."""
        if self._up is not None and self._up.poll() is None:
            self._up.terminate()
            try:
                self._up.wait(120)
            except subprocess.TimeoutExpired:
                self._up.kill()
                self._up.wait()
        call(self.home, "down", **self.variables)
        for process in family(self.home):
            process.kill()

    def processes(self) -> dict[str, list[psutil.Process]]:
        """Who runs now, by role; `run` are the processes of runs."""
        found: dict[str, list[psutil.Process]] = defaultdict(list)
        for process in family(self.home):
            try:
                words = _words(process)
                role = next((role for role, sign in _ROLES.items() if sign in words), None)
                parent = process.parent()
                if role is None and "spawn_main" in words and parent is not None and _ROLES["loader"] in _words(parent):
                    role = "run"
            except psutil.NoSuchProcess:
                continue
            if role is not None:
                found[role].append(process)
        return found

    def postgres(self) -> list[psutil.Process]:
        """Every process of the database server, the main one first."""
        data = place_of(self.home).data
        main = find_postmaster(data)
        if main is None:
            return []
        name = marker(data)
        try:
            return [main.process, *(one for one in main.process.children(recursive=True) if name in _words(one) or one.name().startswith("postgres"))]
        except psutil.NoSuchProcess:
            return []

    def database(self) -> Database:
        """The database, for looking into it; started if it does not run."""
        return of_server(embedded.ensure_running(self.home))

    def well(self) -> bool:
        """Whether everything answers that should."""
        try:
            if any(httpx.get(url, timeout=5).status_code != 200 for url in (f"{self.url}/readyz", f"http://127.0.0.1:{self.port}/server_info")):
                return False
        except httpx.TransportError:
            return False
        now, note = self.processes(), processes.running(self.settings)
        complete = note is not None and self._up is not None and note["processes"][0]["pid"] == self._up.pid and len(note["processes"]) == len(ALWAYS)
        return complete and all(now[role] for role in ALWAYS)

    def query(self, text: str) -> Any:
        """Asks Dagster. Raises httpx.HTTPError or KeyError when it does not answer."""
        answer = httpx.post(f"http://127.0.0.1:{self.port}/graphql", json={"query": text}, timeout=60).json()
        return next(iter(answer["data"].values()))


def _words(process: psutil.Process) -> str:
    return " ".join(process.cmdline())


def wait(what: Callable[[], object], seconds: float, pause: float = 0.5) -> bool:
    """Whether it became true in time."""
    deadline = time.monotonic() + seconds
    while not what():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
    return True
