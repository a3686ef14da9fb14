"""One home with an embedded server for all tests of the command line; tests keep apart by organization.

Belongs here: fixtures. Not here: calling the program (command_line.py).
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from learning_pipelines.feedback.importing import import_file, window_now
from learning_pipelines.settings import Settings
from learning_pipelines.storage.installation import ready_store
from learning_pipelines_tests.cli.command_line import Ended, call, remove, write_rows

Import = Callable[..., Ended]
Load = Callable[..., None]


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Nothing is prepared: the first verb makes the database."""
    path = tmp_path_factory.mktemp("cli") / "home of tests"
    try:
        yield path
    finally:
        remove(path)


@pytest.fixture
def import_rows(home: Path, tmp_path: Path) -> Import:
    """`import_rows("agents", rows, organization)` writes a file and imports it with --json."""
    numbers = itertools.count(1)

    def run(kind: str, rows: Iterable[dict[str, Any]], organization: str) -> Ended:
        return call(home, "import", kind, write_rows(tmp_path / f"{kind}_{next(numbers)}.jsonl", rows), "--organization", organization, "--json")

    return run


@pytest.fixture
def load_rows(home: Path, tmp_path: Path) -> Load:
    """The same without a process, for rows that a test only needs to be there."""
    numbers = itertools.count(1)

    def run(kind: str, rows: Iterable[dict[str, Any]], organization: str) -> None:
        path = write_rows(tmp_path / f"loaded_{kind}_{next(numbers)}.jsonl", rows)
        with ready_store(Settings(home=home, database_url=None)).pipeline() as connection:
            assert import_file(connection, organization, kind, path, window=window_now(dt.date(2015, 1, 5), dt.UTC)).rejected == 0

    return run
