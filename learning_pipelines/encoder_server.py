"""The encoder process that the API and all runs of one home share: its life, and what it does while it lives.

Belongs here: starting exactly one, finding, stopping, batching requests, answering. Not here: the model and the client (encoder.py).
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import psutil
from filelock import FileLock, Timeout

from learning_pipelines.encoder import (
    BATCH_TEXTS,
    CPU_BATCH_CHARS,
    PACKAGED,
    Encoder,
    EncoderStartFailed,
    LocalEncoder,
    Serving,
    UnknownEncoder,
    Vectors,
    batches,
    identity_files,
    model_source,
    prepared,
)
from learning_pipelines.errors import LearningError
from learning_pipelines.settings import Settings

HOST = "127.0.0.1"
PROTOCOL = 1  # part of the key: a process of another version is never asked
IDLE_SECONDS = 15 * 60.0
WATCH_SECONDS = 2.0
START_SECONDS = 300.0  # importing torch takes a minute on a busy machine with a cold disk
STOP_SECONDS = 5.0
GATHER_SECONDS = 0.002
QUICK_TEXTS = 8
MAX_BODY_BYTES = 32 * 1024 * 1024
MAX_TEXTS = 1_024
LOG_BYTES = 1024 * 1024
_MODULE = "learning_pipelines.encoder_server"
_EXIT_UNKNOWN, _EXIT_BUSY = 4, 5
_children: list[subprocess.Popen[bytes]] = []  # a Popen that is thrown away while its process runs complains


# --- its life, seen from outside ---


@dataclass(frozen=True)
class _Files:
    """The files of one encoder process. The key stands on its command line, so that a reused process id is not taken for it."""

    folder: Path
    key: str

    @property
    def state(self) -> Path:
        return self.folder / f"{self.key}.json"

    @property
    def log(self) -> Path:
        return self.folder / f"{self.key}.log"

    @property
    def starting(self) -> Path:
        return self.folder / f"{self.key}.starting.lock"

    @property
    def serving(self) -> Path:
        """Held by the process itself as long as it lives: also a starter that is killed half-way cannot bring about a second one."""
        return self.folder / f"{self.key}.serving.lock"


def ensure_serving(home: Path, source: str) -> Serving:
    """The encoder process of this home and model, started if need be. Any number of processes may call it at once."""
    files = _files(home, source)
    with _explained(files):
        if found := _find(files):
            return found
        files.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with FileLock(files.starting, timeout=START_SECONDS + 30):
            return _find(files) or _start(files, source)


def encoder_running(settings: Settings, model: str | None = None) -> Serving | None:
    """The encoder process of this home and model if it runs and answers; None if not."""
    return _find(_files(settings.home, model_source(model or settings.embedding_model)))


def stop_encoder(settings: Settings) -> bool:
    """Ends all encoder processes of this home, whatever their model, also one that is still loading. True if there was any."""
    stopped = False
    for state in (settings.home / "encoder").glob("*.json"):
        files = _Files(state.parent, state.stem)
        if process := _process(files, _read(files).get("pid")):
            _end(process)
            stopped = True
        state.unlink(missing_ok=True)
    return stopped


def _files(home: Path, source: str) -> _Files:
    identity = f"{PROTOCOL}\n{source}\n"
    if source != PACKAGED and Path(source).is_dir():  # trained again in the same place: another model
        stats = ((path, path.stat()) for path in sorted(identity_files(Path(source))))
        identity += "\n".join(f"{path} {status.st_size} {status.st_mtime_ns}" for path, status in stats)
    return _Files(home / "encoder", hashlib.sha256(identity.encode()).hexdigest()[:16])


def _find(files: _Files) -> Serving | None:
    state = _read(files)
    if "url" not in state or _process(files, state["pid"]) is None:
        return None
    return Serving(**state)


def _read(files: _Files) -> dict[str, Any]:
    try:
        state: dict[str, Any] = orjson.loads(files.state.read_bytes())
    except (FileNotFoundError, NotADirectoryError, orjson.JSONDecodeError):  # half a file: the machine went down while it was written
        return {}
    return state


def _process(files: _Files, pid: int | None) -> psutil.Process | None:
    """The live process with this id, if it is the encoder of these files."""
    if pid is None:
        return None
    try:
        process = psutil.Process(pid)
        command = process.cmdline()
        ours = _MODULE in command and str(files.folder) in command and files.key in command
        return process if ours and process.status() != psutil.STATUS_ZOMBIE else None
    except (psutil.NoSuchProcess, psutil.AccessDenied):  # denied: another user's, so not ours
        return None


def _start(files: _Files, source: str) -> Serving:
    """Starts it and waits until it answers. The caller holds the starting lock and found none."""
    process: subprocess.Popen[bytes] | None = None
    deadline = time.monotonic() + START_SECONDS
    while (found := _find(files)) is None:
        code = process.poll() if process else _EXIT_BUSY
        if code == _EXIT_BUSY:
            process = None if _held(files) else _spawn(files, source)
        elif code is not None:
            raise _start_error(files, source, code)
        if time.monotonic() > deadline:
            _give_up(process)
            raise EncoderStartFailed(f"The encoder process was not ready within {START_SECONDS:.0f} s: {_last_line(files)}.", f"Its log is {files.log}.")
        time.sleep(0.03)
    if process and process.pid != found.pid:
        _give_up(process)  # it would take over when the other one ends
    return found


def _held(files: _Files) -> bool:
    """Whether an encoder process lives though it does not answer: one that lost its starter still loads, or an idle one is just ending."""
    try:
        with FileLock(files.serving, timeout=0):
            return False
    except Timeout:
        return True


def _give_up(process: subprocess.Popen[bytes] | None) -> None:
    if process:
        process.kill()
        process.wait()


def _spawn(files: _Files, source: str) -> subprocess.Popen[bytes]:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | (os.O_TRUNC if files.log.exists() and files.log.stat().st_size > LOG_BYTES else 0)
    with open(os.open(files.log, flags, 0o600), "ab") as log:
        log.write(f"-- start at {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC\n".encode())
        log.flush()
        # A session of its own: it outlives whoever needed it first, and Ctrl-C in a terminal does not reach it.
        process = subprocess.Popen(
            _command(files, source),
            cwd=files.folder, env=_environment(source), stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    _children[:] = [child for child in _children if child.poll() is None]
    _children.append(process)
    return process


def _command(files: _Files, source: str) -> list[str]:
    return [sys.executable, "-P", "-m", _MODULE, str(files.folder), files.key, source]


def _environment(source: str) -> dict[str, str]:
    quiet = {"OMP_WAIT_POLICY": "PASSIVE", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    offline = {"HF_HUB_OFFLINE": "1"} if source == PACKAGED or Path(source).is_dir() else {}
    return {**os.environ, **quiet, **offline}


def _start_error(files: _Files, source: str, code: int) -> LearningError:
    line = _last_line(files)
    if code == _EXIT_UNKNOWN:
        return UnknownEncoder(source, line)
    if code == -signal.SIGKILL:
        return EncoderStartFailed("The encoder process was killed while it was starting.", "If nobody did, memory ran out: it needs about 700 MB.")
    if code == -signal.SIGTERM:
        return EncoderStartFailed("The encoder process was stopped while it was starting.", "Try again if it is still needed.")
    return EncoderStartFailed(f"The encoder process ended while it was starting (exit code {code}): {line.rstrip('.')}.", f"Its log is {files.log}.")


def _last_line(files: _Files) -> str:
    if not files.log.exists():
        return "another one was loading all the time"
    said = files.log.read_text(encoding="utf-8", errors="replace").rpartition("-- start at ")[2].splitlines()[1:]
    return next((line.strip() for line in reversed(said) if line.strip()), "it said nothing")


@contextlib.contextmanager
def _explained(files: _Files) -> Iterator[None]:
    try:
        yield
    except Timeout as error:
        raise EncoderStartFailed("Another process has been starting the encoder for too long.", f"End it, or read {files.log}.") from error
    except OSError as error:
        raise EncoderStartFailed(
            f"The encoder process cannot use its files below {files.folder}: {error.strerror or error}.",
            "Set LEARNING_HOME to a folder with free space that this user can write.",
        ) from error


def _end(process: psutil.Process) -> None:
    for send, seconds in ((process.terminate, STOP_SECONDS), (process.kill, STOP_SECONDS)):
        try:
            send()
        except psutil.NoSuchProcess:
            return
        except psutil.AccessDenied as error:
            raise LearningError(f"The encoder process {process.pid} belongs to another user.", "Stop it as the user who started it.") from error
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not _alive(process):
                return
            time.sleep(0.02)


def _alive(process: psutil.Process) -> bool:
    try:  # a zombie has ended: its parent may be busy for long before it looks
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


# --- its work ---


@dataclass
class _Job:
    """One request: its texts, and its vectors as they come."""

    texts: list[str]
    vectors: Vectors
    missing: int
    done: Future[Vectors] = field(default_factory=Future)


_Piece = tuple[_Job, list[int]]


class Batcher:
    """One thread encodes for all requests: small ones that arrive together share a batch, large ones take turns with them piece by piece."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._quick: deque[_Piece] = deque()
        self._bulk: deque[_Piece] = deque()
        self._bulk_turn = False
        self._waiting = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="encoder", daemon=True)
        self._thread.start()

    def encode(self, texts: list[str]) -> Vectors:
        """The vectors of one request; waits for them. Raises what the model raised."""
        if not texts:
            return np.empty((0, self._encoder.dimensions), dtype=np.float32)
        job = _Job(texts, np.empty((len(texts), self._encoder.dimensions), dtype=np.float32), len(texts))
        pieces = [(job, positions) for positions in batches(texts, BATCH_TEXTS, CPU_BATCH_CHARS)]
        quick = len(pieces) == 1 and len(texts) <= QUICK_TEXTS
        with self._waiting:
            (self._quick if quick else self._bulk).extend(pieces)
            self._waiting.notify()
        return job.done.result()

    def close(self) -> None:
        """Ends the thread; requests that still wait are given up."""
        with self._waiting:
            self._closed = True
            self._waiting.notify()
        self._thread.join()

    def _run(self) -> None:
        while self._wait():
            self._work(self._take())

    def _wait(self) -> bool:
        """Until there is something to do. False when closed."""
        with self._waiting:
            idle = not self._quick and not self._bulk
            self._waiting.wait_for(lambda: self._closed or self._quick or self._bulk)
        if idle:
            time.sleep(GATHER_SECONDS)  # calls that start together arrive within a few milliseconds
        return not self._closed

    def _take(self) -> list[_Piece]:
        with self._waiting:
            if self._bulk and (self._bulk_turn or not self._quick):
                self._bulk_turn = False
                return [self._bulk.popleft()]
            self._bulk_turn = True
            taken: list[_Piece] = []
            texts = longest = 0
            while self._quick:
                job, positions = self._quick[0]
                longest = max(longest, *(len(text) for text in job.texts))
                texts += len(positions)
                if taken and (texts > BATCH_TEXTS or texts * longest > CPU_BATCH_CHARS):
                    break
                taken.append(self._quick.popleft())
            return taken

    def _work(self, pieces: list[_Piece]) -> None:
        pieces = [piece for piece in pieces if not piece[0].done.done()]  # an earlier piece of it failed
        if not pieces:
            return
        try:
            vectors = self._encoder.encode([job.texts[position] for job, positions in pieces for position in positions])
        except Exception as error:  # noqa: BLE001  this thread works for everybody: whatever happens belongs to those who asked
            for job, _ in pieces:
                job.done.set_exception(error)
            return
        start = 0
        for job, positions in pieces:
            job.vectors[positions] = vectors[start : start + len(positions)]
            start += len(positions)
            job.missing -= len(positions)
            if job.missing == 0:
                job.done.set_result(job.vectors)


class Server(ThreadingHTTPServer):
    """Answers `POST /encode` {texts: […]} with the bytes of little-endian float32 rows, to whoever knows the token."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, encoder: Encoder, key: str, token: str) -> None:
        super().__init__((HOST, 0), _Handler)
        self.batcher = Batcher(encoder)
        self.key = key
        self.token = token
        self._busy = 0
        self._last = time.monotonic()
        self._counting = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.server_address[1]}"

    @property
    def idle_seconds(self) -> float:
        with self._counting:
            return 0.0 if self._busy else time.monotonic() - self._last

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        with self._counting:
            self._busy += 1
        try:
            yield
        finally:
            with self._counting:
                self._busy -= 1
                self._last = time.monotonic()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is its own business; a traceback could hold its texts."""


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body leave in one packet

    def do_POST(self) -> None:
        if not hmac.compare_digest(self.headers.get("Authorization", "").encode(), f"Bearer {self.server.token}".encode()):
            self._refuse(401, "the token is wrong")
        elif self.path != "/encode":
            self._refuse(404, "there is only POST /encode")
        elif not (length := self.headers.get("Content-Length", "")).isdecimal():
            self._refuse(411, "the request does not say how long it is")
        elif int(length) > MAX_BODY_BYTES:
            self._refuse(413, f"a request holds at most {MAX_BODY_BYTES:,} bytes")
        else:
            with self.server.at_work():
                self._answer(*self._encode(self.rfile.read(int(length))))

    def _encode(self, body: bytes) -> tuple[int, bytes, str]:
        texts = _texts(body)
        if isinstance(texts, str):
            return 400, texts.encode(), "text/plain"
        try:
            vectors = self.server.batcher.encode(prepared(texts))
        except Exception as error:  # noqa: BLE001  the client is told what kind of failure it was; its words could repeat a text
            print(f"Could not encode {len(texts)} texts: {type(error).__name__}", flush=True)
            return 500, f"the model failed with {type(error).__name__}".encode(), "text/plain"
        return 200, vectors.astype("<f4", copy=False).tobytes(), "application/octet-stream"

    def _refuse(self, status: int, why: str) -> None:
        self.close_connection = True  # the body is not read
        self._answer(status, why.encode(), "text/plain")

    def _answer(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Encoder", self.server.key)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:
        """Not a line per request."""


def _texts(body: bytes) -> list[str] | str:
    """The texts of a request, or the sentence that says what is wrong with it."""
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError:
        return "the request is not JSON"
    texts = request.get("texts") if isinstance(request, dict) else None
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        return 'the request is not {"texts": [strings]}'
    return texts if len(texts) <= MAX_TEXTS else f"a request holds at most {MAX_TEXTS:,} texts"


def main(folder: str, key: str, source: str) -> int:
    """Loads the model and serves until nobody has asked for IDLE_SECONDS. Returns the exit code."""
    files = _Files(Path(folder), key)
    only = FileLock(files.serving, timeout=0)
    try:
        only.acquire()
    except Timeout:
        return _EXIT_BUSY
    _write_state(files, {"key": key, "pid": os.getpid()})  # so that `stop_encoder` finds it while it loads
    try:
        return _serve(files, source)
    except UnknownEncoder as error:
        print(error.why, flush=True)
        return _EXIT_UNKNOWN
    finally:
        _withdraw(files)


def _serve(files: _Files, source: str) -> int:
    encoder = LocalEncoder(source)
    server = Server(encoder, files.key, secrets.token_urlsafe(32))
    serving = {"key": files.key, "url": server.url, "token": server.token, "pid": os.getpid(), "name": encoder.name, "dimensions": encoder.dimensions}
    threading.Thread(target=_watch, args=(server, files), daemon=True).start()
    _write_state(files, serving)
    print(f"{encoder.name} in {encoder.precision} on {encoder.device}, process {os.getpid()}, {server.url}", flush=True)
    signal.signal(signal.SIGTERM, _leave)  # until here nothing is lost by ending at once
    with contextlib.suppress(SystemExit):
        server.serve_forever()
    return 0


def _leave(*_: Any) -> None:
    raise SystemExit


def _watch(server: Server, files: _Files) -> None:
    """Ends the server when it is no longer needed, or when its home was deleted or now belongs to another one."""
    while server.idle_seconds < IDLE_SECONDS:
        time.sleep(WATCH_SECONDS)
        if _read(files).get("pid") != os.getpid():
            break
    _withdraw(files)  # first: nobody is sent here any more
    server.shutdown()


def _withdraw(files: _Files) -> None:
    if _read(files).get("pid") == os.getpid():
        files.state.unlink(missing_ok=True)


def _write_state(files: _Files, state: dict[str, Any]) -> None:
    """In one step, readable by the owner only: it holds the token."""
    draft = files.state.with_suffix(".draft")
    draft.unlink(missing_ok=True)
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(orjson.dumps(state))
    draft.replace(files.state)


if __name__ == "__main__":
    code = main(*sys.argv[1:])
    sys.stdout.flush()
    os._exit(code)  # taking torch apart in order costs seconds, and its threads are still at work
