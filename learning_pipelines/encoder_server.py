"""The encoder process that the API and all runs of one home share: started once, found by everybody, stopped on request.

Belongs here: its life, seen from outside, and its entry (`python -m learning_pipelines.encoder_server …`). Not here: what it does inside (encoder_service.py).
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from learning_pipelines.encoder_files import Files, files_of, folder_of
from learning_pipelines.encoder_protocol import PACKAGED, EncoderStartFailed, Serving, UnknownEncoder, model_source
from learning_pipelines.encoder_service import serve
from learning_pipelines.errors import LearningError
from learning_pipelines.settings import Settings

START_SECONDS = 300.0  # importing torch takes a minute on a busy machine with a cold disk
STOP_SECONDS = 5.0
LOG_BYTES = 1024 * 1024
_MODULE = "learning_pipelines.encoder_server"
_EXIT_UNKNOWN, _EXIT_BUSY = 4, 5
_children: list[subprocess.Popen[bytes]] = []  # a Popen that is thrown away while its process runs complains


def ensure_serving(home: Path, source: str) -> Serving:
    """The encoder process of this home and model, started if need be. Any number of processes may call it at once."""
    files = files_of(home, source)
    with _explained(files):
        if found := _find(files):
            return found
        files.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with FileLock(files.starting, timeout=START_SECONDS + 30):
            return _find(files) or _start(files, source)


def encoder_running(settings: Settings, model: str | None = None) -> Serving | None:
    """The encoder process of this home and model if it runs and answers; None if not."""
    return _find(files_of(settings.home, model_source(model or settings.embedding_model)))


def stop_encoder(settings: Settings) -> bool:
    """Ends all encoder processes of this home, whatever their model, also one that is still loading. True if there was any."""
    stopped = False
    for state in folder_of(settings.home).glob("*.json"):
        files = Files(state.parent, state.stem)
        if process := _process(files, files.read_state().get("pid")):
            _end(process)
            stopped = True
        state.unlink(missing_ok=True)
    return stopped


def _find(files: Files) -> Serving | None:
    state = files.read_state()
    if "url" not in state or _process(files, state["pid"]) is None:
        return None
    return Serving(**state)


def _process(files: Files, pid: int | None) -> psutil.Process | None:
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


def _start(files: Files, source: str) -> Serving:
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


def _held(files: Files) -> bool:
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


def _spawn(files: Files, source: str) -> subprocess.Popen[bytes]:
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


def _command(files: Files, source: str) -> list[str]:
    return [sys.executable, "-P", "-m", _MODULE, str(files.folder), files.key, source]


def _environment(source: str) -> dict[str, str]:
    quiet = {"OMP_WAIT_POLICY": "PASSIVE", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    offline = {"HF_HUB_OFFLINE": "1"} if source == PACKAGED or Path(source).is_dir() else {}
    return {**os.environ, **quiet, **offline}


def _start_error(files: Files, source: str, code: int) -> LearningError:
    line = _last_line(files)
    if code == _EXIT_UNKNOWN:
        return UnknownEncoder(source, line)
    if code == -signal.SIGKILL:
        return EncoderStartFailed("The encoder process was killed while it was starting.", "If nobody did, memory ran out: it needs about 700 MB.")
    if code == -signal.SIGTERM:
        return EncoderStartFailed("The encoder process was stopped while it was starting.", "Try again if it is still needed.")
    return EncoderStartFailed(f"The encoder process ended while it was starting (exit code {code}): {line.rstrip('.')}.", f"Its log is {files.log}.")


def _last_line(files: Files) -> str:
    if not files.log.exists():
        return "another one was loading all the time"
    said = files.log.read_text(encoding="utf-8", errors="replace").rpartition("-- start at ")[2].splitlines()[1:]
    return next((line.strip() for line in reversed(said) if line.strip()), "it said nothing")


@contextlib.contextmanager
def _explained(files: Files) -> Iterator[None]:
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


def main(folder: str, key: str, source: str) -> int:
    """Loads the model and serves until nobody has asked for IDLE_SECONDS. Returns the exit code."""
    files = Files(Path(folder), key)
    only = FileLock(files.serving, timeout=0)
    try:
        only.acquire()
    except Timeout:
        return _EXIT_BUSY
    files.write_state({"key": key, "pid": os.getpid()})  # so that `stop_encoder` finds it while it loads
    try:
        serve(files, source)
        return 0
    except UnknownEncoder as error:
        print(error.why, flush=True)
        return _EXIT_UNKNOWN
    finally:
        files.withdraw_state()


if __name__ == "__main__":
    code = main(*sys.argv[1:])
    sys.stdout.flush()
    os._exit(code)  # taking torch apart in order costs seconds, and its threads are still at work
