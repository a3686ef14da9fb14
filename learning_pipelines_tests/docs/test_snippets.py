"""Python, JavaScript and curl of the pages against a real service, each page's blocks one after the other, as somebody who follows it would.

Belongs here: what needs the service. Not here: the command line (test_shell.py), what reading can tell (test_pages.py).
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from learning_pipelines.feedback.importing import import_file, window_now
from learning_pipelines.settings import Settings
from learning_pipelines.web import FILES
from learning_pipelines_tests.api.serving import Api, make_agents, serving
from learning_pipelines_tests.conftest import MakeDatabase
from learning_pipelines_tests.docs.snippets import Snippet, snippets

ADDRESS, ORIGIN = "http://127.0.0.1:8000", "https://learning.example.com"
NODE = shutil.which("node")
REACT = Path(__file__).resolve().parents[1] / "browser" / "node_modules"


@pytest.fixture(scope="module")
def api(make_database: MakeDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A service with an agent, an execution that somebody saw, and an example to review."""
    settings = Settings(home=tmp_path_factory.mktemp("service"), database_url=None, token_secret="a secret of the tests that is long enough")
    with make_database() as database, serving(database, settings) as running:
        running.key()
        make_agents(running, "default", "desk")
        _example(running)
        yield running


def _example(api: Api) -> None:
    """One example that waits for review."""
    path = api.settings.home / "examples.jsonl"
    path.write_text('{"example_id": "ex-1", "agent": "desk", "input_text": "When is it due?", "expected_output": "On the 10th."}\n', encoding="utf-8")
    with api.database.connect("pipeline") as connection:
        assert import_file(connection, "default", "examples", path, window=window_now(api.settings.start_date, api.settings.zone)).imported == 1


@pytest.fixture(scope="module")
def variables(api: Api, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What a page may assume: the service's address and keys of three roles."""
    return {
        "LEARNING_API_URL": api.url,
        "LEARNING_API_KEY": api.key(),
        "LEARNING_QUEUE_DIR": str(tmp_path_factory.mktemp("queue")),
        "KEY": api.key(),
        "EXPERT_KEY": api.key("expert", user="eva"),
        "ADMIN_KEY": api.key("admin", user="adam"),
    }


def of_page(*languages: str) -> list[Any]:
    """Page → the blocks of it that are to be run, in order; for parametrize."""
    pages: dict[str, list[Snippet]] = {}
    for one in snippets(*languages):
        if one.reason is None and not one.slow and (one.language != "bash" or one.asks_service):
            pages.setdefault(one.page, []).append(one)
    return [pytest.param(found, id=page) for page, found in pages.items()]


@pytest.mark.parametrize("blocks", of_page("bash"))
def test_curl_is_answered_with_success(blocks: list[Snippet], api: Api, variables: dict[str, str], tmp_path: Path) -> None:
    script = "curl() { command curl --fail-with-body --silent --show-error \"$@\" || exit 22; }\n" + "\n".join(one.text for one in blocks)
    environment = {**os.environ, **variables}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script.replace(ADDRESS, api.url)], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("blocks", of_page("python"))
def test_python_of_a_page_runs(
    blocks: list[Snippet], api: Api, variables: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "snippet", "database": api.database}
    for one in blocks:
        exec(compile(one.text.replace(ADDRESS, api.url), one.place, "exec", dont_inherit=True), names)


@pytest.mark.skipif(NODE is None, reason="node is not installed")
@pytest.mark.parametrize("blocks", of_page("js"))
def test_javascript_of_a_page_runs_in_node(blocks: list[Snippet], api: Api, variables: dict[str, str], tmp_path: Path) -> None:
    for number, one in enumerate(blocks):
        if '"react"' in one.text and not (REACT / "react").exists():
            pytest.skip("React is not installed (make test-browser installs it)")
        if REACT.exists() and not (tmp_path / "node_modules").exists():
            (tmp_path / "node_modules").symlink_to(REACT.resolve())
        text = one.text.replace(f"{ORIGIN}/api/learning/web/", f"{FILES.as_uri()}/").replace(ORIGIN, api.url)
        (tmp_path / f"{number}.mjs").write_text(text, encoding="utf-8")
        done = subprocess.run(
            ["node", f"{number}.mjs"], cwd=tmp_path, env={**os.environ, **variables}, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, f"{one.place}: {done.stderr}"


@pytest.mark.parametrize("blocks", of_page("sql"))
def test_queries_of_a_page_are_answered_to_the_administrator_of_the_database(blocks: list[Snippet], api: Api) -> None:
    with psycopg.connect(api.database.admin_url) as session:
        for one in blocks:
            assert session.execute(one.text).description  # type: ignore[call-overload]
