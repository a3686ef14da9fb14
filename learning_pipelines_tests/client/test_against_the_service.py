"""The client and the real feedback service: an outage under load, kill -9 included, loses and doubles nothing. `make outage`: a whole minute.

Belongs here: both ends together, as processes. Not here: faults of the protocol (the other modules, against a server that misbehaves on demand).
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from learning_pipelines.client import Client
from learning_pipelines_tests.cli.command_line import call, database_of, environment, remove, write_rows
from learning_pipelines_tests.cli.running import free_port, wait_for
from learning_pipelines_tests.client.conftest import quick

OUTAGE_SECONDS = float(os.environ.get("OUTAGE_SECONDS", "4"))


class RealService:
    """The application as its own process over a home of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [sys.executable, "-m", "uvicorn", "learning_pipelines.api.app:app", "--port", str(self.port)]
        with self.home.with_name("service.log").open("ab") as log:
            self.process = subprocess.Popen(command, env=environment(self.home), cwd="/", stdout=log, stderr=log)
        wait_for(self._ready)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def _ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200
        except httpx.TransportError:
            return False


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealService]:
    home = tmp_path_factory.mktemp("client") / "home"
    agents = write_rows(home.with_name("agents.jsonl"), [{"agent": "desk", "system_prompt": "Be brief, {{name}}."}])
    assert call(home, "import", "agents", agents).code == 0
    service = RealService(home)
    service.start()
    try:
        yield service
    finally:
        service.kill()
        remove(home)


@pytest.fixture
def client(real: RealService, tmp_path: Path) -> Iterator[Client]:
    key = call(real.home, "keys", "create", "--role", "user", "--json").document["key"]
    made = Client(real.url, key, queue_dir=tmp_path / "queue", options=quick())
    yield made
    made.close(timeout=5)


def stored(real: RealService, table: str) -> list[str]:
    with database_of(real.home).connect("pipeline") as connection:
        return [str(row[0]) for row in connection.execute(f"SELECT id FROM {table}").fetchall()]  # type: ignore[arg-type]


def test_what_the_client_sends_is_stored_with_every_key(real: RealService, client: Client) -> None:
    with client.execution(agent="desk", input="When?", user="ada", tags=["vat"], session_id="s1") as run:
        run.output = "On the 10th."
    said = client.correct(run.execution_id, "On the 12th.", user="ada")
    client.retrieval_feedback(query="when", relevant=["doc"], retrieved=["doc", "other"])
    assert client.flush(30)
    with database_of(real.home).connect("pipeline") as connection:
        row = connection.execute("SELECT input, output, session_id, tags FROM agent_executions WHERE id = %s", [run.execution_id]).fetchone()
        assert row == ("When?", "On the 10th.", "s1", ["vat"])
        assert connection.execute("SELECT correction_text, pending_execution FROM agent_feedback WHERE id = %s", [said]).fetchone() == ("On the 12th.", False)
        assert connection.execute("SELECT relevant FROM retrieval_events").fetchall() == [(["doc"],)]


def test_a_prompt_comes_from_the_service_with_its_etag(client: Client) -> None:
    prompt = client.prompt("desk")
    assert (prompt.source, prompt.version) == ("service", "1")
    assert prompt.compile(name="Ada")[0]["content"] == "Be brief, Ada."


@pytest.mark.slow
def test_a_person_is_erased_with_what_the_client_still_held(real: RealService, tmp_path: Path) -> None:
    key = call(real.home, "keys", "create", "--role", "admin", "--json").document["key"]
    with Client(real.url, key, queue_dir=tmp_path / "queue", options=quick(), raise_errors=True) as client:
        run = client.log_execution(agent="desk", input="When?", output="On the 10th.", user="eve/7 of desk")
        erased = client.erase_user("eve/7 of desk")
        while not erased:
            time.sleep(0.2)
            erased = client.erasure(str(erased.id))
    assert erased.certificate is not None and erased.certificate["touched"]["agent_executions"] == 1 and erased.certificate["remaining"] == []
    assert run not in stored(real, "agent_executions")


def test_an_outage_under_load_loses_and_doubles_nothing(real: RealService, client: Client) -> None:
    sent: list[str] = []
    stopping = threading.Event()

    def load() -> None:
        while not stopping.is_set():
            execution = client.log_execution(agent="desk", input="q", output="a")
            given = client.thumbs_up(execution, user=f"u{len(sent) % 50}")
            sent.append(given)
            time.sleep(0.002)

    worker = threading.Thread(target=load)
    worker.start()
    try:
        wait_for(lambda: len(stored(real, "agent_feedback")) > 200)
        for _ in range(2):
            real.kill()
            time.sleep(OUTAGE_SECONDS / 2)
            real.start()
            time.sleep(0.5)
    finally:
        stopping.set()
        worker.join()
    assert client.flush(300)
    found = stored(real, "agent_feedback")
    assert len(found) == len(set(found))
    assert set(sent) <= set(found)
    with database_of(real.home).connect("pipeline") as connection:
        assert connection.execute("SELECT count(*) FROM agent_feedback WHERE pending_execution").fetchone() == (0,)
