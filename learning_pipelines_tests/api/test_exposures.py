"""Who was met is written behind the requests: once, with its own time, after an outage, and by a worker that is killed up to the last moment.

Belongs here: the queue and its thread. Not here: which requests count somebody (test_experiments_serving.py).
"""

from __future__ import annotations

import datetime as dt
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import psycopg
import pytest

from learning_pipelines.api import exposures
from learning_pipelines.api.exposures import Exposures
from learning_pipelines.storage.experiment_assignments import Exposure
from learning_pipelines.storage.sessions import Busy
from learning_pipelines_tests.api.experimenting import an_agent, ask, met, run
from learning_pipelines_tests.api.serving import Api

TENANT, OTHER = UUID(int=1), UUID(int=2)
ONE, TWO = UUID(int=11), UUID(int=12)
Written = list[tuple[UUID, list[Exposure]]]


class Fake:
    """Sessions whose statements are remembered; `failing` is raised instead while it is set."""

    def __init__(self) -> None:
        self.failing: Exception | None = None
        self.written: Written = []

    @contextmanager
    def acting(self, who: Any) -> Iterator[Any]:
        if self.failing is not None:
            raise self.failing
        assert who.role == "experimenter"
        yield self


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    sessions = Fake()
    monkeypatch.setattr(exposures.experiment_assignments, "add", lambda connection, tenant, given: sessions.written.append((tenant, list(given))))
    monkeypatch.setattr(exposures, "EVERY_SECONDS", 0.01)
    return sessions


@pytest.fixture
def noted(fake: Fake) -> Iterator[Exposures]:
    made = Exposures(fake)  # type: ignore[arg-type]
    made.start()
    yield made
    made.stop()


def until(condition: Any) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def units(fake: Fake) -> list[tuple[UUID, str]]:
    return [(tenant, one.unit) for tenant, batch in fake.written for one in batch]


def test_a_unit_is_noted_once_per_experiment_and_each_organization_writes_its_own(noted: Exposures, fake: Fake) -> None:
    for _ in range(3):
        noted.note(TENANT, ONE, "ann", "control", 1)
        noted.note(OTHER, TWO, "ann", "treatment", 2)
    until(lambda: len(units(fake)) == 2)
    noted.stop()
    assert sorted(units(fake)) == [(TENANT, "ann"), (OTHER, "ann")]
    assert {(one.experiment_id, one.variant, one.epoch) for _, batch in fake.written for one in batch} == {(ONE, "control", 1), (TWO, "treatment", 2)}


def test_while_the_database_is_away_notes_wait_in_order_with_their_own_times(noted: Exposures, fake: Fake, caplog: pytest.LogCaptureFixture) -> None:
    fake.failing = Busy("The database cannot be reached right now.", "")
    begun = dt.datetime.now(dt.UTC)
    for number in range(5):
        noted.note(TENANT, ONE, f"unit-{number}", "control", 1)
    until(lambda: "exposures wait" in caplog.text)
    ended = dt.datetime.now(dt.UTC)
    assert noted.waiting > 0 or units(fake) == []
    fake.failing = None
    until(lambda: len(units(fake)) == 5)
    assert [unit for _, unit in units(fake)] == [f"unit-{number}" for number in range(5)]
    assert all(begun <= one.exposed_at <= ended for _, batch in fake.written for one in batch)


def test_what_waits_is_bounded_and_whoever_found_no_room_is_noted_with_the_next_request(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exposures, "MOST_WAITING", 3)
    idle = Exposures(fake)  # type: ignore[arg-type]
    for number in range(5):
        idle.note(TENANT, ONE, f"unit-{number}", "control", 1)
    assert (idle.waiting, idle.missed) == (3, 2)
    idle.start()
    until(lambda: idle.waiting == 0)
    idle.note(TENANT, ONE, "unit-4", "control", 1)
    idle.stop()
    assert [unit for _, unit in units(fake)] == ["unit-0", "unit-1", "unit-2", "unit-4"]


def test_what_is_remembered_is_bounded_too(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exposures, "MOST_REMEMBERED", 10)
    idle = Exposures(fake)  # type: ignore[arg-type]
    for number in range(50):
        idle.note(TENANT, ONE, f"unit-{number}", "control", 1)
    assert len(idle._seen) <= 10


def test_one_that_the_database_refuses_costs_no_other(noted: Exposures, fake: Fake, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def add(connection: Any, tenant: UUID, given: list[Exposure]) -> None:
        if any(one.unit == "bad" for one in given):
            raise psycopg.errors.DataError("no")
        fake.written.append((tenant, list(given)))

    monkeypatch.setattr(exposures.experiment_assignments, "add", add)
    for unit in ("ann", "bad", "bob"):
        noted.note(TENANT, ONE, unit, "control", 1)
    until(lambda: len(units(fake)) == 2)
    assert "is refused" in caplog.text and "bad" not in caplog.text


def test_what_waits_is_written_when_the_worker_stops(fake: Fake) -> None:
    made = Exposures(fake)  # type: ignore[arg-type]
    made.start()
    made.note(TENANT, ONE, "ann", "control", 1)
    made.stop()
    assert units(fake) == [(TENANT, "ann")]


WORKER = """
import sys
from learning_pipelines.settings import Settings
from learning_pipelines.storage.database import Database
from learning_pipelines_tests.api.serving import serving
url, api_url, home = sys.argv[1:]
with serving(Database(url, url, {"api": api_url}, False), Settings(home=home, database_url=None)) as running:
    print(running.url, flush=True)
    sys.stdin.readline()
"""


def test_of_a_worker_that_is_killed_only_the_last_batch_is_lost(api: Api) -> None:
    agent = an_agent(api, "killed")
    one = run(api, agent)
    arguments = [api.database.admin_url, api.database.role_urls["api"], str(api.settings.home)]
    with subprocess.Popen([sys.executable, "-c", WORKER, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        worker = Api(process.stdout.readline().strip(), api.database, api.service, api.settings)
        for number in range(20):
            assert ask(worker, agent, unit=f"unit-{number}").json()["experiment"] == str(one)
        assert len(met(api, one, 20)) == 20  # written while the worker runs: nothing waits for its end
        os.kill(process.pid, signal.SIGKILL)
    assert len(met(api, one, 20)) == 20


def test_batches_are_written_within_a_quarter_of_a_second() -> None:
    assert exposures.EVERY_SECONDS <= 0.25
