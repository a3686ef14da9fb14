"""The embedded PostgreSQL server: start it or attach to it, find out whether it runs, stop it.

Belongs here: the life of the server below LEARNING_HOME. Not here: databases, roles and tables inside it (migrations), connections of the project.
"""

from __future__ import annotations

import logging
import os
import random
import socket
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg

from learning_pipelines.storage.embedded_binaries import run, wal_compression
from learning_pipelines.storage.embedded_data import abandoned, check_owner, prepare_data
from learning_pipelines.storage.embedded_place import ELSEWHERE, EmbeddedServerError, Place, explained, failure, place_of, read_password, write_private
from learning_pipelines.storage.embedded_process import Postmaster, clear_after_crash, find_postmaster, marker, shut_down

__all__ = ["EmbeddedServer", "EmbeddedServerError", "ensure_running", "running", "stop"]
logger = logging.getLogger(__name__)

HOST = "127.0.0.1"
LOG_BYTES = 20 * 1024 * 1024
ATTEMPTS = 6
ANSWER_SECONDS = 30.0  # a server that is up but says nothing
RECOVERY_SECONDS = 900.0  # replaying 4 GB of log after a crash on a slow disk
_OPTIONS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "max_connections": "200",
    "checkpoint_timeout": "15min",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "logging_collector": "off",
    "log_min_messages": "warning",
    "log_checkpoints": "off",
    # People's texts stand in failing statements and in the details of their errors: they do not belong into a log file.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}


@dataclass(frozen=True)
class EmbeddedServer:
    """A running server that answered `SELECT 1`."""

    host: str
    port: int
    password: str = field(repr=False)
    data_dir: Path
    log_file: Path
    pid: int
    started_here: bool

    def url(self, database: str = "postgres", user: str = "postgres", password: str | None = None) -> str:
        secret = quote(self.password if password is None else password, safe="")
        return f"postgresql://{quote(user, safe='')}:{secret}@{self.host}:{self.port}/{quote(database, safe='')}"


def ensure_running(home: Path) -> EmbeddedServer:
    """The server of this home, started if need be. Any number of threads and processes may call it at once; waits while it recovers from a crash."""
    with explained(home):
        if server := _attach(place_of(home)):
            return server
        place_of(home).own.mkdir(mode=0o700, parents=True, exist_ok=True)
        with place_of(home).lock(RECOVERY_SECONDS + 60):
            place = place_of(home)
            return _attach(place) or _start(place)


def running(home: Path) -> EmbeddedServer | None:
    """The server of this home if it runs (waits while it recovers from a crash); None if it does not."""
    with explained(home):
        return _attach(place_of(home))


def stop(home: Path) -> bool:
    """Stop the server of this home, whoever started it. True if it was running. Clients are cut off, committed rows are on disk."""
    with explained(home):
        place = place_of(home)
        if not place.own.is_dir():
            return shut_down(place.data)  # the home was deleted, a server started by root may have stayed
        with place.lock(120):
            return shut_down(place_of(home).data)


def _attach(place: Place, started_here: bool = False) -> EmbeddedServer | None:
    if find_postmaster(place.data) is None or abandoned(place):
        return None
    password = read_password(place)
    found = _wait_ready(place, password)
    if found is None or found.port is None:
        return None
    return EmbeddedServer(HOST, found.port, password, place.data, place.log, found.process.pid, started_here)


def _wait_ready(place: Place, password: str) -> Postmaster | None:
    """Wait until the server answers. None if it ended meanwhile."""
    begun = time.monotonic()
    patience = begun + ANSWER_SECONDS
    said, reason = False, "it has no port yet"
    while (found := find_postmaster(place.data)) is not None:
        if found.port is not None:
            try:
                _select_one(found.port, password)
                return found
            except psycopg.OperationalError as error:
                reason = str(error).strip()
        if "too many clients" in reason or "connection slots are reserved" in reason:
            return found  # it answers, only not to us
        if "password authentication failed" in reason:
            raise EmbeddedServerError(
                f"The server in {place.data} refuses the password in {place.password_file}.", "Put back the password file that belongs to this data folder."
            )
        now = time.monotonic()
        if "the database system is" in reason or "not yet accepting connections" in reason:
            patience = now + ANSWER_SECONDS  # starting, recovering or stopping: it moves
        if now > min(patience, begun + RECOVERY_SECONDS):
            raise EmbeddedServerError(
                f"The embedded PostgreSQL server (process {found.process.pid}) does not answer: {reason}.",
                f"Read {place.log}, stop it and start again, {ELSEWHERE}.",
            )
        if now > begun + 5 and not said:
            said = True
            logger.warning("Waiting for PostgreSQL (process %s), which is not ready yet: %s", found.process.pid, reason)
        time.sleep(0.05)
    return None


def _select_one(port: int, password: str) -> None:
    login: dict[str, Any] = {"host": HOST, "hostaddr": HOST, "port": port, "user": "postgres", "password": password, "dbname": "postgres"}
    with psycopg.connect(**login, connect_timeout=5, sslmode="disable") as session:  # all named: PG… variables must not lead elsewhere
        session.execute("SELECT 1")


def _start(place: Place) -> EmbeddedServer:
    """Start the server. The caller holds the lock and found none running."""
    check_owner(place)
    prepare_data(place)
    clear_after_crash(place.data)
    port = _saved_port(place) or _free_port()
    output = ""
    for _ in range(ATTEMPTS):
        output = _launch(place, port)
        if server := _attach(place, started_here=True):
            write_private(place.port_file, str(server.port))
            return server
        output = _launch_log(place) + output
        if "Address already in use" in output:
            logger.warning("Port %s is taken by another program; choosing another one.", port)
            port = _free_port()
        elif "lock file" in output and "already exists" in output:  # a start that was interrupted, or the old process id was given away this very moment
            time.sleep(1)
            clear_after_crash(place.data)
        else:
            break
    raise failure("The embedded PostgreSQL server could not be started", output, place.log)


def _launch(place: Place, port: int) -> str:
    """Let pg_ctl start the server in a session of its own. Its paths are relative, because it hands them to a shell. Returns what pg_ctl said."""
    if place.log.exists() and place.log.stat().st_size > LOG_BYTES:
        place.log.replace(place.log.with_name("server.log.1"))
    with place.log.open("ab") as log:
        log.write(f"-- start at {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC on port {port}\n".encode())
        os.fchmod(log.fileno(), 0o600)
        if place.account:
            os.fchown(log.fileno(), place.account.uid, place.account.gid)
    options = {**_OPTIONS, "port": str(port), "wal_compression": wal_compression(place), "cluster_name": marker(place.data)}
    text = " ".join(f"-c {name}={value}" for name, value in options.items())
    # After ten seconds of crash recovery pg_ctl gives up; we then wait ourselves and can tell progress from silence.
    result = run(place, "pg_ctl", "-D", place.data.name, "-l", place.log.name, "-w", "-t", "10", "-o", text, "start", folder=place.base)
    return result.stdout + result.stderr


def _launch_log(place: Place) -> str:
    """What the server logged since the last launch (of a long log its end)."""
    with place.log.open("rb") as log:
        log.seek(max(0, place.log.stat().st_size - 200_000))
        return log.read().decode(errors="replace").rpartition("\n-- start at ")[2]


def _saved_port(place: Place) -> int | None:
    """The port of last time: clients that live longer than the server find it again."""
    try:
        text = place.port_file.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return None
    return int(text) if text.isdigit() else None


def _free_port() -> int:
    """A random port below the range that the system hands to outgoing connections, which would take it while the server is down."""
    for _ in range(200):
        port = random.randint(15_000, 32_000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does
            try:
                probe.bind((HOST, port))
            except OSError:
                continue  # taken
            return port
    raise EmbeddedServerError(f"No free port between 15000 and 32000 on {HOST} was found.", f"End programs that hold ports, {ELSEWHERE}.")
