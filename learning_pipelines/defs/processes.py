"""The long-running processes of `up` and `demo`: feedback service, Dagster's code server, webserver and daemon; kept alive, stopped together.

Belongs here: starting, watching, stopping, the note of what runs. Not here: what they load; dagster is not imported.

They may be started in two parts, each watched and ended on its own: the worker (feedback service, code server, webserver) and the scheduler (the daemon).
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import httpx
import psutil
from filelock import FileLock, Timeout

from learning_pipelines.defs.instance import environment, program
from learning_pipelines.defs.ports import HOST, free_port, listens, reachable, require_free
from learning_pipelines.defs.process_ends import STOP_SECONDS, alive, end_group, end_left_behind
from learning_pipelines.errors import Unavailable
from learning_pipelines.settings import Settings
from learning_pipelines.storage.database import Database

START_SECONDS = 120.0
RESTART_PAUSE_SECONDS = 2.0
HOLLOW_LOOKS, STARTING_LOOKS = 5, 90
"""So often, about every second, a code server may be seen without the child that loads the code: after it had one, and before it has its first. On a busy
machine it takes ten seconds until it starts that; one that is ended meanwhile never comes up."""
Part = Literal["up", "worker", "scheduler"]
PARTS: tuple[Part, ...] = ("up", "worker", "scheduler")
"""What is started together; `up` is everything."""
_CALLED = {"up": "learning_pipelines", "worker": "The worker", "scheduler": "The scheduler"}
_HOLDS: dict[Part, tuple[Part, ...]] = {"up": ("worker", "scheduler"), "worker": ("worker",), "scheduler": ("scheduler",)}


@dataclass
class _Service:
    name: str
    command: list[str]
    process: subprocess.Popen[bytes]
    childless: int = 0
    loaded: bool = False


@contextlib.contextmanager
def only_one(settings: Settings, part: Part = "up") -> Iterator[None]:
    """Holds the locks of a part; raises Unavailable if it, or an `up` or `demo` that holds it, runs in this home already."""
    settings.home.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as held:
        for name in _HOLDS[part]:
            lock = FileLock(settings.home / f"{name}.lock")
            try:
                lock.acquire(timeout=0)
            except Timeout:
                raise _already(settings, part, name) from None
            held.callback(lock.release)
        for name in PARTS if part == "up" else (part, "up"):  # whoever held the locks of these is gone
            _end_leftovers(settings, name)
            _note(settings, name).unlink(missing_ok=True)
        held.callback(lambda: _note(settings, part).unlink(missing_ok=True))
        yield


def _already(settings: Settings, part: Part, held: Part) -> Unavailable:
    stop = "Use it, or stop it with `learning-pipelines down`."
    if part == "scheduler":
        return Unavailable(f"A scheduler runs already for {settings.home}, and there may be one only: two would start every run twice.", stop)
    now = parts_running(settings)
    called = _CALLED["up" if not now or "up" in now else held]
    return Unavailable(f"{called} is already up for {settings.home}.", stop)


class Services:
    """Feedback service, code server, webserver and daemon of one installation, or a part of them. Start once, call `watch` until told to stop, then `stop`."""

    def __init__(self, settings: Settings, database: Database, part: Part = "up") -> None:
        self._settings, self._part = settings, part
        self._env = environment(settings, database)
        self._logs = settings.home / "logs"
        self._services: list[_Service] = []
        self._former: list[dict[str, Any]] = []
        """Those that ended and were started again: what they had started may live on."""
        self.url = f"http://{HOST}:{settings.dagster_port}"
        self.api_url = f"http://{reachable(settings.api_host)}:{settings.api_port}"

    def start(self) -> None:
        """Starts what the part holds and waits until it answers. Raises Unavailable naming the log that says why something did not."""
        workspace = self._settings.dagster_home / "workspace.yaml"
        self._logs.mkdir(parents=True, exist_ok=True)
        if self._part == "scheduler":
            self._start_scheduler(workspace)
            return
        require_free_ports(self._settings)
        service = ["--host", self._settings.api_host, "--port", str(self._settings.api_port), "--no-access-log", "--timeout-graceful-shutdown", "10"]
        self._spawn("api", [sys.executable, "-m", "uvicorn", "learning_pipelines.api.app:app", *service])
        code_port = _code_port(workspace) or free_port()
        workspace.write_text(f"load_from:\n  - grpc_server: {{host: {HOST}, port: {code_port}, location_name: learning_pipelines}}\n")
        location = ["-m", "learning_pipelines.definitions", "--location-name", "learning_pipelines"]
        self._spawn("code-server", [program("dagster"), "code-server", "start", "-h", HOST, "-p", str(code_port), *location])
        self._wait("code-server", lambda: listens(code_port))
        shared = ["-w", str(workspace)]
        self._spawn("webserver", [program("dagster-webserver"), "-h", HOST, "-p", str(self._settings.dagster_port), *shared])
        if self._part == "up":
            self._spawn("daemon", [program("dagster-daemon"), "run", *shared])
        self._wait("webserver", lambda: _answers(f"{self.url}/server_info"))
        self._wait("api", lambda: _answers(f"{self.api_url}/readyz"))

    def _start_scheduler(self, workspace: Path) -> None:
        """The daemon alone; the code it schedules is the worker's."""
        port = _code_port(workspace, free=False)
        if port is None or not listens(port):
            raise Unavailable("The worker is not up, so there is nothing to schedule.", "Start it first: `make learning-worker`, in another terminal.")
        self._spawn("daemon", [program("dagster-daemon"), "run", "-w", str(workspace)])

    def watch(self, stopping: Callable[[], bool], say: Callable[[str], None], every: Callable[[], None], pause: float = 1.0) -> None:
        """Until `stopping`: restarts a process that ended by itself, and calls `every` about every `pause` seconds."""
        while not stopping():
            every()
            for service in self._services:
                _end_hollow(service, say)
                if (code := service.process.poll()) is not None and not stopping():
                    say(f"The {service.name} ended (exit code {code}); it is started again. Its log: {self._logs / (service.name + '.log')}")
                    time.sleep(RESTART_PAUSE_SECONDS)
                    try:
                        started = self._popen(service.name, service.command)
                    except OSError as error:
                        say(f"The {service.name} could not be started: {error}. It is tried again.")  # a full disk, no memory: neither is for ever
                        continue
                    self._former.append({"name": service.name, "pid": service.process.pid})
                    service.process, service.loaded, service.childless = started, False, 0
                    self._write_note()
            time.sleep(pause)

    def stop(self) -> None:
        """Ends all processes and everything they started."""
        for service in reversed(self._services):
            end_group(service.process.pid)
        for entry in self._former:
            end_left_behind(self._settings.home, entry["pid"])
        self._services.clear()

    def _spawn(self, name: str, command: list[str]) -> None:
        self._services.append(_Service(name, command, self._popen(name, command)))
        self._write_note()

    def _popen(self, name: str, command: list[str]) -> subprocess.Popen[bytes]:
        log = self._logs / f"{name}.log"
        with log.open("ab" if log.exists() and log.stat().st_size < 20_000_000 else "wb") as output:
            # A session of its own: Ctrl-C in the terminal reaches only the parent, which ends its children in order.
            return subprocess.Popen(
                command, env=self._env, cwd=self._settings.home, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )

    def _wait(self, name: str, ready: Callable[[], bool]) -> None:
        service = next(service for service in self._services if service.name == name)
        deadline = time.monotonic() + START_SECONDS
        while not ready():
            ended = service.process.poll() is not None
            if ended or time.monotonic() > deadline:
                log = self._logs / f"{name}.log"
                self.stop()
                raise Unavailable(
                    f"The {name} {'ended at once' if ended else f'did not answer within {START_SECONDS:.0f} s'}: {last_line(log)}.", f"Its log is {log}."
                )
            time.sleep(0.2)

    def _write_note(self) -> None:
        processes = [_entry("up", os.getpid()), *(_entry(service.name, service.process.pid) for service in self._services)]
        note = {"url": self.url, "api_url": self.api_url, "processes": processes, "former": self._former}
        with contextlib.suppress(OSError):  # a full disk: what runs goes on
            draft = _note(self._settings, self._part).with_suffix(".draft")
            draft.write_text(json.dumps(note))
            draft.replace(_note(self._settings, self._part))


def _entry(name: str, pid: int) -> dict[str, Any]:
    """A process as the note names it; one that ended this very moment began at any time before now."""
    try:
        return {"name": name, "pid": pid, "started": psutil.Process(pid).create_time()}
    except psutil.NoSuchProcess:
        return {"name": name, "pid": pid, "started": time.time()}


def _end_hollow(service: _Service, say: Callable[[str], None]) -> None:
    """Ends a code server whose child, which loads the code, was killed: it answers on and never starts another."""
    if service.name != "code-server" or service.process.poll() is not None:
        return
    try:
        loading = [one for one in psutil.Process(service.process.pid).children() if one.status() != psutil.STATUS_ZOMBIE]
    except psutil.NoSuchProcess:
        return
    service.loaded = service.loaded or bool(loading)
    service.childless = 0 if loading else service.childless + 1
    if service.childless >= (HOLLOW_LOOKS if service.loaded else STARTING_LOOKS):
        say("The process that loads the code ended, and the code server does not start another; it is ended too.")
        service.childless = 0
        service.process.kill()
        service.process.wait()


def running(settings: Settings, part: Part = "up") -> dict[str, Any] | None:
    """The note of a part that runs now ({url, processes}); None if it does not."""
    note = _read_note(settings, part)
    return note if note is not None and alive(note["processes"][0]) else None


def parts_running(settings: Settings) -> set[Part]:
    """What runs now; an `up` is all three."""
    found = {part for part in PARTS if running(settings, part) is not None}
    return set(PARTS) if "up" in found else found


def others_running(settings: Settings, part: Part) -> bool:
    """Whether another part runs beside this one."""
    return any(running(settings, other) is not None for other in PARTS if other != part)


def stop_running(settings: Settings) -> bool:
    """Asks whatever runs to end and waits, the scheduler first; ends what killed ones left behind. True if there was anything."""
    found = [_stop_part(settings, part) for part in reversed(PARTS)]
    return any(found)


def _stop_part(settings: Settings, part: Part) -> bool:
    note = _read_note(settings, part)
    if note is None:
        return False
    parent = note["processes"][0]
    if alive(parent):
        os.kill(parent["pid"], signal.SIGTERM)
        with contextlib.suppress(psutil.NoSuchProcess, psutil.TimeoutExpired):
            psutil.Process(parent["pid"]).wait(STOP_SECONDS + 10)
    found = _end_leftovers(settings, part)
    _note(settings, part).unlink(missing_ok=True)
    return found or not alive(parent)


def require_free_ports(settings: Settings) -> None:
    """Raises Unavailable if something listens already where Dagster's UI or the feedback service is meant to."""
    require_free(HOST, settings.dagster_port, "LEARNING_DAGSTER_PORT", "the Dagster UI")
    require_free(settings.api_host, settings.api_port, "LEARNING_API_PORT", "the feedback service")


def _note(settings: Settings, part: Part) -> Path:
    return settings.home / f"{part}.json"


def _read_note(settings: Settings, part: Part) -> dict[str, Any] | None:
    try:
        note: dict[str, Any] = json.loads(_note(settings, part).read_text())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except json.JSONDecodeError:
        return None  # a machine that went down in the middle of writing it: nothing of it can run any more
    return note


def _end_leftovers(settings: Settings, part: Part) -> bool:
    note = _read_note(settings, part)
    left = [entry for entry in (note["processes"][1:] if note else []) if alive(entry)]
    for entry in left:
        end_group(entry["pid"])
    former = [entry for entry in (note["processes"][1:] + note.get("former", []) if note else []) if end_left_behind(settings.home, entry["pid"])]
    return bool(left or former)


def _code_port(workspace: Path, *, free: bool = True) -> int | None:
    """The port of the code server that the workspace names; with `free` only if it can be had again: a scheduler that goes on knows no other."""
    found = re.search(r"port: (\d+)", workspace.read_text()) if workspace.exists() else None
    if found is None or (free and listens(int(found[1]))):
        return None
    return int(found[1])


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def last_line(log: Path) -> str:
    """What a process said last, without a full stop."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()] if log.exists() else []
    return lines[-1].rstrip(".") if lines else "it said nothing"
