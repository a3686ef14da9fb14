"""Dumps of one schema: pg_dump into a stream, and back through psql in one transaction.

Belongs here: calling the programs, what they say when they fail. Not here: what a backup is made of (defs/backup.py), the rows (backup_rows.py).

A dump is restored as text through psql, not by pg_restore itself: so it is one transaction that ends in COMMIT only if every line of it was read, and
what an older server does not know can be left out.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from psycopg import conninfo

from learning_pipelines.errors import LearningError, Unavailable
from learning_pipelines.storage.database import connect, describe
from learning_pipelines.storage.embedded_binaries import wheel_binaries

BLOCK = 1 << 20
OWNER = "learning_owner"
_HEADER_LINES = 80
_KNOWS_TRANSACTION_TIMEOUT = 170000


@dataclass(frozen=True, slots=True)
class Source:
    """What is dumped, or where it goes: one schema of one database. `role`: whom the login acts as, who then owns what is restored."""

    url: str
    schema: str
    role: str | None
    embedded: bool


def dump(source: Source, into: Any, snapshot: str | None = None) -> None:
    """Writes the schema as pg_dump sees it (custom format) into anything with `write`. `snapshot`: one that a transaction exported.

    Row-level security stays on: the role must have a policy on every table, else pg_dump ends with an error and never leaves rows out unsaid.
    Raises Unavailable with what pg_dump said.
    """
    arguments = ["--format=custom", "--compress=1", f"--schema={source.schema}", "--no-password", "--enable-row-security"]
    arguments += [] if source.role else ["--no-owner", "--no-privileges"]
    arguments += [f"--role={source.role}"] if source.role else []
    arguments += [f"--snapshot={snapshot}"] if snapshot else []
    with _program(source, "pg_dump", *arguments, stdout=subprocess.PIPE) as (process, said):
        assert process.stdout is not None
        while block := process.stdout.read(BLOCK):
            into.write(block)
        if process.wait() != 0:
            raise Unavailable(f"pg_dump cannot read {describe(source.url)}: {_first_error(said)}.", _advice(said))


def tables_of(file: Path, target: Source) -> list[str]:
    """The tables that a dump holds. Raises LearningError if it cannot be read."""
    return [line.split()[5] for line in _contents(file, target) if re.match(rf"\d+; \d+ \d+ TABLE {target.schema} ", line)]


def load(file: Path, target: Source, before: Sequence[str] = (), after: Sequence[str] = ()) -> None:
    """Runs a dump in one transaction, with statements before and after it; the schema itself must be there. Raises LearningError with the first error."""
    kept = [line for line in _contents(file, target) if not re.match(r"\d+; \d+ \d+ (SCHEMA|COMMENT - SCHEMA) ", line)]
    with tempfile.NamedTemporaryFile("w", suffix=".list") as listed:
        listed.write("\n".join(kept) + "\n")
        listed.flush()
        unpack = [_path(target, "pg_restore"), "--no-owner", f"--use-list={listed.name}", "--file=-", str(file)]
        with (
            tempfile.TemporaryFile() as complaints,
            subprocess.Popen(unpack, env=_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=complaints) as script,
            _program(target, "psql", "-X", "-q", "-w", "-v", "ON_ERROR_STOP=1", "-f", "-", stdin=subprocess.PIPE) as (psql, said),
        ):
            assert script.stdout is not None and psql.stdin is not None
            try:
                role = [f"SET ROLE {target.role}"] if target.role else []
                psql.stdin.write("".join(f"{one};\n" for one in ("BEGIN", *role, *before)).encode())
                _pass_on(script.stdout, psql.stdin, target)
                whole = script.wait() == 0
                psql.stdin.write("".join(f"{one};\n" for one in ((*after, "COMMIT") if whole else ("ROLLBACK",))).encode())
                psql.stdin.close()
            except BrokenPipeError:
                script.kill()  # psql ended at an error, and says which
                whole = True
            if psql.wait() != 0:
                raise LearningError(f"The dump does not go into {describe(target.url)}: {_first_error(said)}.", _advice(said))
            if not whole:
                raise LearningError(f"The dump {file.name} cannot be read: {_first_error(complaints)}.", "Take another backup; nothing of it was kept.")


def _pass_on(script: IO[bytes], into: IO[bytes], target: Source) -> None:
    """The script as it is, without the one setting in its head that servers before 17 do not know."""
    old = _server_version(target.url) < _KNOWS_TRANSACTION_TIMEOUT
    for _ in range(_HEADER_LINES):
        line = script.readline()
        if not (old and line.startswith(b"SET transaction_timeout")):
            into.write(line)
    shutil.copyfileobj(script, into, BLOCK)


def _contents(file: Path, target: Source) -> list[str]:
    done = subprocess.run([_path(target, "pg_restore"), "--list", str(file)], env=_environment(), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["it says nothing"])[0].removeprefix("pg_restore: error: ")
        advice = "Take another backup, or install newer client programs of PostgreSQL in PATH."
        raise LearningError(f"The dump {file.name} cannot be read: {reason}.", advice)
    return done.stdout.splitlines()


@contextmanager
def _program(where: Source, name: str, *arguments: str, **pipes: Any) -> Iterator[tuple[subprocess.Popen[bytes], IO[bytes]]]:
    """A program that is connected to the database, and what it complains about. It does not outlive the block."""
    parts = conninfo.conninfo_to_dict(where.url)
    password = parts.pop("password", None)  # never among the arguments, which every process may read
    address = conninfo.make_conninfo("", **{key: str(value) for key, value in parts.items() if value is not None})
    command = [_path(where, name), *arguments, f"--dbname={address}"]
    env = _environment() | ({"PGPASSWORD": str(password)} if password else {})
    with tempfile.TemporaryFile() as said:
        settings: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": said} | pipes
        with subprocess.Popen(command, env=env, **settings) as process:
            try:
                yield process, said
            finally:
                if process.poll() is None:
                    process.kill()
                if process.stdin is not None and not process.stdin.closed:
                    with suppress(BrokenPipeError):  # what was still to be written to a program that has ended
                        process.stdin.close()


def _path(where: Source, name: str) -> str:
    """The wheel's program. Those of the wheel know no TLS: for a server that is reached by it the one of this machine."""
    if not where.embedded and name != "pg_restore" and (found := shutil.which(name)):
        with connect(where.url) as connection:
            if connection.pgconn.ssl_in_use:
                return found
    return str(wheel_binaries() / name)


def _environment() -> dict[str, str]:
    """No PG… variable of whoever runs this; HOME for certificates."""
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC", **({"HOME": os.environ["HOME"]} if "HOME" in os.environ else {})}


def _server_version(url: str) -> int:
    with connect(url) as connection:
        return connection.info.server_version


def _first_error(said: IO[bytes]) -> str:
    """The first line that says what is wrong; details are left out: they quote rows."""
    said.seek(0)
    lines = said.read(100_000).decode(errors="replace").splitlines()
    found = next((line for line in lines if re.search(r"(ERROR|error|FATAL|fatal):", line)), lines[0] if lines else "it says nothing")
    return re.sub(r"^.*?(?:ERROR|error|FATAL|fatal):\s*", "", found).rstrip(".")


def _advice(said: IO[bytes]) -> str:
    reason = _first_error(said)
    if "server version mismatch" in reason or "SSL support is not compiled in" in reason:
        return "Install PostgreSQL's client programs (pg_dump, pg_restore, psql) in the server's version, so that they are found in PATH."
    if "No space left" in reason:
        return "Free space on the disk of the database, then run it again: nothing of it was kept."
    if "row-level security" in reason:
        return "Run `learning-pipelines verify`: it names the table whose policies are not as they must be."
    return "Nothing of it was kept. Run `learning-pipelines verify`, then try again."
