"""The command line of the pages in homes of their own: each page's shell blocks as one script, by a real bash, with the installed program.

Belongs here: shell without curl. Not here: what needs a service (test_snippets.py). Blocks marked slow run in `make test-slow`.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from learning_pipelines.encoder_server import stop_encoder
from learning_pipelines.settings import Settings
from learning_pipelines_tests.cli.command_line import environment, remove
from learning_pipelines_tests.docs.snippets import Snippet, snippets

PROGRAMS = Path(sys.executable).parent


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """Where the pages work; some make a second one, called elsewhere."""
    path = tmp_path / "home"
    try:
        yield path
    finally:
        for one in (path, tmp_path / "elsewhere"):
            stop_encoder(Settings(home=one))
            remove(one)


def scripts(slow: bool) -> list[Any]:
    """Page → its shell blocks: what stands before the first slow one, or all of a page that has a slow one."""
    pages: dict[str, list[Snippet]] = {}
    for one in snippets("bash"):
        if one.reason is None and not one.asks_service:
            pages.setdefault(one.page, []).append(one)
    if slow:
        return [pytest.param(found, id=page) for page, found in pages.items() if any(one.slow for one in found)]
    quick = {page: list(itertools.takewhile(lambda one: not one.slow, found)) for page, found in pages.items()}
    return [pytest.param(found, id=page) for page, found in quick.items() if found]


def run(blocks: list[Snippet], home: Path, folder: Path) -> str:
    """What the script printed; it must end with success, and without a Python traceback."""
    script = "\n".join(one.text for one in blocks)
    env = environment(home, PATH=f"{PROGRAMS}:/usr/local/bin:/usr/bin:/bin")
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=folder, env=env, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout


@pytest.mark.parametrize("blocks", scripts(slow=False))
def test_the_commands_of_a_page_succeed(blocks: list[Snippet], home: Path, tmp_path: Path) -> None:
    assert run(blocks, home, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("blocks", scripts(slow=True))
def test_the_commands_of_a_page_that_take_long_succeed(blocks: list[Snippet], home: Path, tmp_path: Path) -> None:
    assert run(blocks, home, tmp_path)
