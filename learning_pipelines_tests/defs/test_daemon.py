"""The daemon of compose.yaml is the only scheduler of its database.

Belongs here: the lock around the daemon. Not here: the lock itself (storage/test_operating.py), a real daemon (docs/test_deployment.py).
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from learning_pipelines.defs import daemon
from learning_pipelines.settings import Settings
from learning_pipelines.storage.database import Database
from learning_pipelines.storage.scheduler_lock import only_scheduler

ASKS_FOR_THE_LOCK = """#!{python}
import psycopg, sys
with psycopg.connect("{url}") as connection:
    free = connection.execute("SELECT pg_try_advisory_lock(hashtext('learning_pipelines scheduler'))").fetchone()[0]
sys.exit(9 if free or sys.argv[1:] != ["run", "-w", "workspace.yaml"] else 7)
"""


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def started(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    """The settings of an installation whose daemon is a program that asks for the lock."""
    fake = tmp_path / "dagster-daemon"
    fake.write_text(ASKS_FOR_THE_LOCK.format(python=sys.executable, url=database.admin_url))
    fake.chmod(0o755)
    settings = Settings(home=tmp_path, database_url=database.admin_url, dagster_database_url=database.admin_url)
    monkeypatch.setattr(daemon, "program", lambda _: str(fake))
    monkeypatch.setattr(daemon, "load_settings", lambda: settings)
    return Database(database.admin_url, database.admin_url, {}, embedded=False)


def test_the_lock_is_held_while_the_daemon_runs_and_its_exit_code_is_handed_on(started: Database) -> None:
    assert daemon.main(["-w", "workspace.yaml"]) == 7
    with only_scheduler(started):
        pass  # free again


def test_a_second_one_says_so_and_starts_nothing(started: Database, capsys: pytest.CaptureFixture[str]) -> None:
    with only_scheduler(started):
        assert daemon.main(["-w", "workspace.yaml"]) == 1
    assert "A scheduler runs already" in capsys.readouterr().err
