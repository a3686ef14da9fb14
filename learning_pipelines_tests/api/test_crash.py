"""The service or its database killed under load: every acknowledged record is there once, and what was not acknowledged can be sent again.

Belongs here: real processes, killed with SIGKILL, over an embedded server that writes to disk as in production; a database that is too
slow. Not here: the writer's queue by itself (test_writer.py), the client that keeps what was not acknowledged (client/).
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psycopg
import pytest

from learning_pipelines.api import writer
from learning_pipelines.api.keys import new_key
from learning_pipelines.feedback.identity import agent_id, organization_id, user_id
from learning_pipelines.storage import api_keys, embedded, sessions, tenants
from learning_pipelines.storage.database import Database, of_server
from learning_pipelines.storage.migrate import migrate
from learning_pipelines_tests.api.conftest import MakeSettings
from learning_pipelines_tests.api.serving import make_agents, serving
from learning_pipelines_tests.conftest import MakeDatabase

SENDERS = 8
ORGANIZATION = organization_id("default")
LEDGERS = (("agent_feedback", "id"), ("outbox", "row_id"), ("audit_log", "subject_id"), ("ingest_keys", "external_id"))


class Load:
    """Sends feedback one after the other on several connections; remembers what every request was answered with (0: no answer)."""

    def __init__(self, url: str, key: str) -> None:
        self._url = f"{url}/api/learning/feedback"
        self._headers = {"Authorization": f"Bearer {key}"}
        self._ends = threading.Event()
        self._threads = ThreadPoolExecutor(SENDERS)
        self.prefix = uuid.uuid4().hex[:8]
        self.statuses: dict[str, int] = {}
        self.without_retry_after = 0

    def __enter__(self) -> Load:
        self._running = [self._threads.submit(self._run, number) for number in range(SENDERS)]
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        for running in self._running:
            running.result()
        self._threads.shutdown()

    @property
    def acknowledged(self) -> int:
        return sum(status == 201 for status in list(self.statuses.values()))

    def until_acknowledged(self, more: int) -> None:
        """Waits until so many more are acknowledged."""
        wanted, deadline = self.acknowledged + more, time.monotonic() + 60
        while self.acknowledged < wanted:
            assert time.monotonic() < deadline, f"only {self.acknowledged} of {wanted} were acknowledged within a minute"
            time.sleep(0.01)

    def resend(self) -> None:
        """Sends what was not acknowledged again, with the same ids, until all of it is."""
        with self._client() as client:
            for name in [name for name, status in self.statuses.items() if status != 201]:
                deadline = time.monotonic() + 30
                while self._send(client, name) != 201:
                    assert time.monotonic() < deadline, f"{name} is not acknowledged: {self.statuses[name]}"
                    time.sleep(0.05)

    def _client(self) -> httpx.Client:
        return httpx.Client(timeout=30, headers=self._headers, verify=False)

    def _run(self, sender: int) -> None:
        number = 0
        with self._client() as client:
            while not self._ends.is_set():
                number += 1
                try:
                    refused = self._send(client, f"{self.prefix}-{sender}-{number}") != 201
                except httpx.TransportError:
                    refused = True
                if refused:
                    time.sleep(0.25)

    def _send(self, client: httpx.Client, name: str) -> int:
        self.statuses[name] = 0
        body = {"feedback_id": name, "execution_id": name, "agent": "desk", "feedback_type": "thumbs_up", "user": f"user-{hash(name) % 50}"}
        answer = client.post(self._url, json=body)
        self.statuses[name] = answer.status_code
        self.without_retry_after += answer.status_code == 503 and "retry-after" not in answer.headers
        return answer.status_code


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home with a server of its own that writes to disk (the session's does not)."""
    folder = tmp_path_factory.mktemp("crash")
    server = embedded.ensure_running(folder)
    migrate(of_server(server))
    with of_server(server).connect("pipeline") as connection:
        tenants.ensure_organization(connection, ORGANIZATION, "default")
        connection.execute("INSERT INTO agents (organization_id, id, slug) VALUES (%s, %s, 'desk')", [ORGANIZATION, agent_id(ORGANIZATION, "desk")])
    yield folder
    embedded.stop(folder)


@pytest.fixture(scope="module")
def key(home: Path) -> str:
    made, hashed = new_key("default")
    with database(home).connect("pipeline") as connection:
        api_keys.create(connection, ORGANIZATION, hashed, "user", None, user_id)
    return made


class Process:
    """The service as it runs in production, on a port that stays the same when it starts again."""

    def __init__(self, home: Path) -> None:
        self._home = home
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "uvicorn", "learning_pipelines.api.app:app", "--port", str(self.port), "--no-access-log", "--log-level", "warning"]
        limits = "key=1000000/second,user=1000000/second,address=1000000/second"
        environment = {**os.environ, "LEARNING_HOME": str(self._home), "LEARNING_RATE_LIMITS": limits}
        with (self._home / "service.log").open("ab") as log:
            self._process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while not _answers(f"{self.url}/readyz"):
            assert self._process.poll() is None and time.monotonic() < deadline, (self._home / "service.log").read_text()[-3000:]
            time.sleep(0.05)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture(scope="module")
def service(home: Path) -> Iterator[Process]:
    process = Process(home)
    yield process
    process.kill()


def test_killing_the_service_under_load_loses_and_doubles_nothing(home: Path, service: Process, key: str) -> None:
    with Load(service.url, key) as load:
        load.until_acknowledged(100)
        service.kill()
        service.start()
        load.until_acknowledged(50)
    assert set(load.statuses.values()) <= {201, 0}
    assert 0 in load.statuses.values()  # some requests were under way when it died
    load.resend()
    assert_each_is_there_once(home, load)


def test_killing_the_database_under_load_is_answered_503_and_loses_and_doubles_nothing(home: Path, service: Process, key: str) -> None:
    with Load(service.url, key) as load:
        for _ in range(2):
            load.until_acknowledged(100)
            os.kill(embedded.ensure_running(home).pid, signal.SIGKILL)
            embedded.ensure_running(home)
        load.until_acknowledged(50)
    assert set(load.statuses.values()) == {201, 503}
    assert load.without_retry_after == 0
    load.resend()
    assert_each_is_there_once(home, load)


def test_a_slow_database_is_answered_503_without_a_pile_up(make_database: MakeDatabase, make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions.Sessions, "open_writer", lambda self: sessions.open_connection(self._database_of(), statement_seconds=1))
    monkeypatch.setattr(writer, "PATIENCE_SECONDS", 1.5)
    monkeypatch.setattr(writer, "WAITING_ROWS", 10)
    with make_database() as one, serving(one, make_settings()) as api, ThreadPoolExecutor(60) as threads:
        key = api.key()
        make_agents(api, "default", "desk")

        def send(number: int) -> httpx.Response:
            return api.post("/feedback", {"feedback_id": f"slow-{number}", "execution_id": "run", "agent": "desk", "feedback_type": "thumbs_up"}, key)

        assert send(0).status_code == 201
        with psycopg.connect(one.admin_url) as holder:
            holder.execute("LOCK TABLE learning.ingest_keys IN ACCESS EXCLUSIVE MODE")
            answers = list(threads.map(send, range(1, 61)))  # all are answered while the table is still locked
            assert {(answer.status_code, answer.headers.get("retry-after")) for answer in answers} == {(503, "1")}
            assert any("Too many records wait" in answer.text for answer in answers)
            assert api.get("/healthz", raw=True).status_code == 200
            holder.rollback()
        assert {send(number).status_code for number in range(61)} == {201}
        with one.connect("pipeline") as connection:
            assert connection.execute("SELECT count(*), count(DISTINCT id) FROM agent_feedback").fetchone() == (61, 61)


def database(home: Path) -> Database:
    return of_server(embedded.ensure_running(home))


def assert_each_is_there_once(home: Path, load: Load) -> None:
    with database(home).connect("owner") as connection:
        for table, column in LEDGERS:
            rows = connection.execute(f"SELECT {column} FROM {table} WHERE {column} LIKE %s", [f"{load.prefix}-%"]).fetchall()  # type: ignore[arg-type]
            assert sorted(name for (name,) in rows) == sorted(load.statuses), table


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.TransportError:
        return False
