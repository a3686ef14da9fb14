"""One home with an embedded server for all tests of the command line; tests keep apart by organization.

Belongs here: fixtures. Not here: calling the program (command_line.py).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from learning_pipelines_tests.cli.command_line import Ended, call, remove, write_rows

Import = Callable[..., Ended]


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Nothing is prepared: the first verb makes the database."""
    path = tmp_path_factory.mktemp("cli") / "home of tests"
    yield path
    remove(path)


@pytest.fixture
def import_rows(home: Path, tmp_path: Path) -> Import:
    """`import_rows("agents", rows, organization)` writes a file and imports it with --json."""
    numbers = itertools.count(1)

    def run(kind: str, rows: Iterable[dict[str, Any]], organization: str) -> Ended:
        return call(home, "import", kind, write_rows(tmp_path / f"{kind}_{next(numbers)}.jsonl", rows), "--organization", organization, "--json")

    return run
