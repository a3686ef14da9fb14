"""The embedded language model's server: one per machine and user, shared by every LEARNING_HOME, started when first needed.

Belongs here: its life, and what runs inside it (`python -m learning_pipelines.llm_server serve …`). Not here: weights (llm_weights.py), calls (llm_client.py).
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import secrets
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from filelock import FileLock, Timeout

from learning_pipelines.llm_weights import ELSEWHERE, EmbeddedModelError, NoMatchingWheel, ensure_weights

if TYPE_CHECKING:
    from learning_pipelines.settings import Settings  # pydantic: the server itself does without

MODEL = "smollm2-135m"
HOST = "127.0.0.1"
START_SECONDS = 120.0
STOP_SECONDS = 10.0
ANSWER_SECONDS = 30.0  # a busy machine; the server says that it is well while it computes
WATCH_SECONDS = 2.0
_started: list[subprocess.Popen[bytes]] = []
"""Servers this process has started: one that was killed stays a zombie until it is asked for."""


class ServerDidNotStart(EmbeddedModelError):
    """The server ended, or said nothing, while it was starting."""


@dataclass(frozen=True, slots=True)
class ModelServer:
    """A running server. `homes` are the installations that use it; without the key nobody else on this machine can."""

    base_url: str
    api_key: str = field(repr=False)
    pid: int
    created: float
    log: str
    homes: tuple[str, ...]
    model: str = MODEL


def ensure_model(settings: Settings) -> ModelServer:
    """The server, started if need be, noted as used by this home. Any number of threads and processes may call it at once.

    Raises EmbeddedModelError (NoDisk, WrongChecksum, NoMatchingWheel, IndexUnreachable, ServerDidNotStart) saying what to do.
    """
    if importlib.util.find_spec("xllamacpp") is None:
        raise NoMatchingWheel(
            "The package xllamacpp, which runs the embedded model, is not installed"
            f" (Python {platform.python_version()} on {platform.system()} {platform.machine()}).",
            f"Install it with `pip install xllamacpp` where there is a wheel for this platform, {ELSEWHERE}.",
        )
    with _alone() as state:
        server = _read(state)
        if server is not None and _answers(server):
            if str(settings.home) not in server.homes:
                server = replace(server, homes=(*_homes(server), str(settings.home)))
                _write(state, server)
            return server
        if server is not None:
            _end(server)  # alive but mute
        return _start(settings.home, state, () if server is None else _homes(server))


def model_running(settings: Settings) -> ModelServer | None:
    """The server, if it runs and this home uses it."""
    server = _read(_state_file())
    return server if server is not None and str(settings.home) in server.homes else None


def stop_model(settings: Settings) -> bool:
    """This home no longer needs the server. True if it was stopped: it goes on while another home uses it."""
    if not _state_file().exists():
        return False
    with _alone() as state:
        server = _read(state)
        if server is None or str(settings.home) not in server.homes:
            return False
        if others := tuple(home for home in _homes(server) if home != str(settings.home)):
            _write(state, replace(server, homes=others))
            return False
        _end(server)
        state.unlink(missing_ok=True)
        return True


def _start(home: Path, state: Path, homes: tuple[str, ...]) -> ModelServer:
    """Start the server. The caller holds the lock and found none running."""
    weights = ensure_weights(home)
    log = home / "logs" / "model.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    users = [part for one in dict.fromkeys((*homes, str(home))) for part in ("--home", one)]
    command = [sys.executable, "-m", "learning_pipelines.llm_server", "serve", "--weights", str(weights), "--state", str(state), "--log", str(log), *users]
    with log.open("wb") as output:
        # A session of its own: Ctrl-C in a terminal must not reach a server that other homes use.
        process = subprocess.Popen(
            command, cwd=Path(__file__).parents[1], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    _started.append(process)
    try:
        return _wait(process, state, log)
    except BaseException:
        process.kill()
        process.wait()
        raise


def _wait(process: subprocess.Popen[bytes], state: Path, log: Path) -> ModelServer:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        server = _read(state)
        if server is not None and server.pid == process.pid and _answers(server):
            return server
        time.sleep(0.05)
    what = f"did not answer within {START_SECONDS:.0f} s" if process.poll() is None else f"ended at once (exit code {process.returncode})"
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    raise ServerDidNotStart(
        f"The embedded language model {what}: {lines[-1].rstrip('.') if lines else 'it said nothing'}.",
        f"Read {log}, free memory (it takes about 400 MB), {ELSEWHERE}.",
    )


def _end(server: ModelServer) -> None:
    """Ends the server: asked first, killed after STOP_SECONDS."""
    try:
        process = psutil.Process(server.pid)
        process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        while _alive(server):
            if time.monotonic() > deadline:
                process.kill()
            time.sleep(0.02)
    except psutil.NoSuchProcess:
        return


def _alive(server: ModelServer) -> bool:
    """Whether this very process runs: process ids are reused, start times are not."""
    for one in _started:
        one.poll()
    try:
        process = psutil.Process(server.pid)
        return abs(process.create_time() - server.created) < 1 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _answers(server: ModelServer) -> bool:
    """Whether it is well, and is ours: only it knows the key."""
    import httpx

    try:
        answer = httpx.get(f"{server.base_url}/models", headers={"Authorization": f"Bearer {server.api_key}"}, timeout=ANSWER_SECONDS, trust_env=False)
    except httpx.HTTPError:
        return False
    return answer.status_code == 200


def _homes(server: ModelServer) -> tuple[str, ...]:
    """The homes that use it. One that was deleted no longer does."""
    return tuple(home for home in server.homes if Path(home).is_dir())


def _state_file() -> Path:
    return Path(tempfile.gettempdir()) / f"learning_pipelines-{os.getuid()}" / "model.json"


@contextmanager
def _alone() -> Iterator[Path]:
    """Holds the lock of this user on this machine; yields the state file. The state holds the key, so the folder must be ours alone."""
    folder = _state_file().parent
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
            raise EmbeddedModelError(f"{folder} is not a folder of this user alone.", "Remove it, or set TMPDIR to another folder, then try again.")
        with FileLock(folder / "lock", timeout=2000):  # as long as fetching the weights may take
            yield folder / "model.json"
    except Timeout as error:
        raise EmbeddedModelError("Another process has been starting or stopping the embedded model for too long.", "End it, then try again.") from error
    except OSError as error:
        raise EmbeddedModelError(
            f"The embedded model cannot use its files: {error.strerror or error}{f' ({error.filename})' if error.filename else ''}.",
            f"Make the folder writable or free disk space, {ELSEWHERE}.",
        ) from error


def _read(state: Path) -> ModelServer | None:
    """The server of the state file, if that process lives."""
    try:
        found = json.loads(state.read_text(encoding="utf-8"))
        server = ModelServer(**{**found, "homes": tuple(found["homes"])})
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return None  # not there, or of another version: that server notices and ends
    return server if _alive(server) else None


def _write(state: Path, server: ModelServer) -> None:
    draft = state.with_name(f"model.{secrets.token_hex(4)}")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump(asdict(server), file)
    draft.replace(state)


def _serve(weights: Path, state: Path, log: Path, homes: list[str]) -> None:
    """Runs inside the server's own process, until SIGTERM or until the state file names another one."""
    import xllamacpp

    stopping = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, stopping)  # before its threads begin, or one of them gets the signal
    key = secrets.token_urlsafe(32)
    params = xllamacpp.CommonParams()
    params.model.path = str(weights)
    params.model_alias = {MODEL}  # without it /v1/models shows the path
    params.hostnames, params.port = [HOST], 0
    params.api_keys = [key]
    params.n_ctx, params.n_parallel = 8192, 1  # parallel requests gain nothing
    params.cache_ram_mib = 0  # by default 8 GiB
    params.verbosity = 2  # warnings: several lines per call would fill the disk
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    server = xllamacpp.Server(params)
    me = psutil.Process()
    _write(state, ModelServer(f"{server.listening_address}/v1", key, me.pid, me.create_time(), str(log), tuple(homes)))
    threading.Thread(target=_watch, args=(state,), daemon=True).start()
    signal.sigwait(stopping)
    del server


def _watch(state: Path) -> None:
    """A server that nobody can find any more would stay for ever."""
    while (server := _read(state)) is not None and server.pid == os.getpid():
        time.sleep(WATCH_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    parser = argparse.ArgumentParser(description="The server of the embedded language model; started by the project itself.")
    serve = parser.add_subparsers(required=True).add_parser("serve")
    for name in ("--weights", "--state", "--log"):
        serve.add_argument(name, type=Path, required=True)
    serve.add_argument("--home", action="append", required=True)
    given = parser.parse_args()
    _serve(given.weights, given.state, given.log, given.home)


if __name__ == "__main__":
    main()
