"""Where the embedded server keeps its files, as whom it runs, and the error that every part of it raises.

Belongs here: folders, accounts, small files and the wording of errors. Not here: processes (embedded_process.py) and starting or stopping (embedded.py).
"""

from __future__ import annotations

import errno
import hashlib
import os
import pwd
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from learning_pipelines.errors import Unavailable

SYSTEM_FOLDER = Path("/var/lib/learning_pipelines")
ELSEWHERE = "or set LEARNING_DATABASE_URL to a PostgreSQL server of your own"
_ADVICE = (
    ("No space left on device", f"Free disk space in {{folder}}, {ELSEWHERE}."),
    ("Disk quota exceeded", f"Free disk space in {{folder}}, {ELSEWHERE}."),
    ("could not look up effective user", f"Give this user id a name in /etc/passwd, work as a named user, {ELSEWHERE}."),
    ("Read-only file system", "Set LEARNING_HOME to a folder that this user can write."),
    ("Permission denied", "Set LEARNING_HOME to a folder that this user can write, or work as the user who owns it."),
    ("Cannot allocate memory", f"Free memory (the server takes about 300 MB), {ELSEWHERE}."),
    ("error while loading shared libraries", f"Install the missing system library, {ELSEWHERE}."),
)
_DECISIVE = re.compile(r"\b(PANIC|FATAL|error):|error while loading|No space left on device|Permission denied")
_LINE_PREFIX = re.compile(r"^.*?\b[\d-]{10} [\d:.]+ \w+ \[\d+\] ")


class EmbeddedServerError(Unavailable):
    """The embedded PostgreSQL server cannot be found, started, reached or stopped."""


@dataclass(frozen=True)
class Account:
    """The unprivileged user that the server runs as when we are root: PostgreSQL refuses to run as root."""

    uid: int
    gid: int


@dataclass(frozen=True)
class Place:
    """The files of one installation: `own` (below LEARNING_HOME) is ours alone, `base` holds what the server reads and writes."""

    home: Path
    base: Path
    account: Account | None

    @property
    def own(self) -> Path:
        return self.home / "postgres"

    @property
    def pointer(self) -> Path:
        return self.own / "location"

    @property
    def password_file(self) -> Path:
        return self.own / "password"

    @property
    def port_file(self) -> Path:
        return self.own / "port"

    @property
    def data(self) -> Path:
        return self.base / "data"

    @property
    def log(self) -> Path:
        return self.base / "server.log"

    def lock(self, seconds: float) -> FileLock:
        return FileLock(self.own / "lock", timeout=seconds)


def place_of(home: Path) -> Place:
    """The files of this home, whether they exist yet or not. A pointer file wins, so that a renamed home still finds its data."""
    home = home.expanduser().resolve()
    own = home / "postgres"
    if (pointer := own / "location").is_file():
        base = Path(pointer.read_text(encoding="utf-8").strip())
    elif os.geteuid() == 0 and not (own / "data").exists():
        base = SYSTEM_FOLDER / hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
    else:
        base = own
    return Place(home, base, nobody() if os.geteuid() == 0 else None)


def nobody() -> Account:
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        return Account(65534, 65534)
    return Account(entry.pw_uid, entry.pw_gid)


def make_base(place: Place) -> None:
    """Create the folder that holds the data. As root it is one that `nobody` can reach, whatever the modes above LEARNING_HOME are."""
    if place.account is None:
        return
    make_open_folder(SYSTEM_FOLDER)
    make_open_folder(place.base)
    (place.base / "home").write_text(f"{place.home}\n", encoding="utf-8")  # for people who wonder whose data this is
    check_reachable(place.base)


def make_open_folder(folder: Path) -> None:
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)  # mkdir's mode is cut by the umask


def check_reachable(folder: Path) -> None:
    """Raise, naming the first folder on the way that the server's user cannot pass."""
    for step in [*reversed(folder.parents), folder]:
        if not step.stat().st_mode & 0o001:
            raise EmbeddedServerError(
                f"As root the embedded PostgreSQL server runs as the user nobody, who cannot pass the folder {step} (mode {step.stat().st_mode & 0o777:o}).",
                f"Open it with `chmod o+x {step}`, work as an ordinary user, {ELSEWHERE}.",
            )


def read_password(place: Place) -> str:
    try:
        return place.password_file.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        raise EmbeddedServerError(
            f"There is data in {place.data}, but its password file {place.password_file} is missing.",
            "Put that file back, or move the data folder away to begin with an empty database.",
        ) from None


def new_password(place: Place) -> None:
    write_private(place.password_file, secrets.token_urlsafe(24))


def write_private(path: Path, text: str, account: Account | None = None) -> None:
    """Write a file in one step (a reader sees all of it or the former one) that only its owner can read."""
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(descriptor)
            if account:
                os.fchown(descriptor, account.uid, account.gid)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames and new files in the folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def decisive_line(output: str) -> str:
    """The line that says why: the first fatal one, else the last one. Refused clients are not the reason."""
    lines = [line.strip() for line in output.splitlines() if line.strip() and "the database system is" not in line]
    chosen = next((line for line in lines if _DECISIVE.search(line)), lines[-1] if lines else "(no message)")
    return _LINE_PREFIX.sub("", chosen)


def failure(what: str, output: str, log: Path) -> EmbeddedServerError:
    """The error for a program that failed, with the line that says why and what to do about it."""
    line = decisive_line(output)
    advice = next((advice for phrase, advice in _ADVICE if phrase in line or phrase in output), f"Read {log}, {ELSEWHERE}.")
    return EmbeddedServerError(f"{what}: {line}.", advice.replace("{folder}", str(log.parent)))


@contextmanager
def explained(home: Path) -> Iterator[None]:
    """Turn what the file system refuses into a sentence with a next step."""
    try:
        yield
    except Timeout as error:
        raise EmbeddedServerError(
            f"Another process has been starting or stopping the embedded PostgreSQL server below {home} for too long.", "Wait for it or end it, then try again."
        ) from error
    except OSError as error:
        reason = f"{error.strerror or error}{f' ({error.filename})' if error.filename else ''}"
        folder_advice = "Set LEARNING_HOME to a folder that this user can write, or work as the user who owns it."
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            folder_advice = f"Free disk space there, {ELSEWHERE}."
        elif error.filename and str(error.filename).startswith(str(SYSTEM_FOLDER)):
            folder_advice = f"As root the data is kept below {SYSTEM_FOLDER}: make it writable, work as an ordinary user, {ELSEWHERE}."
        raise EmbeddedServerError(f"The embedded PostgreSQL server below {home} cannot use its files: {reason}.", folder_advice) from error
