"""A service per test and clients whose queue lies in the test's own folder.

Belongs here: fixtures and waiting. Not here: what a test expects.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from learning_pipelines.client import Client, Options
from learning_pipelines_tests.client.service import Service

KEY = "lp_firm_secret"
QUICK = {"max_delay": 0.02, "backoff_first": 0.02, "backoff_most": 0.1, "adopt_every": 0.1, "request_timeout": 5.0, "prompt_timeout": 3.0}
MakeClient = Callable[..., Client]


def quick(**changes: Any) -> Options:
    return Options(**(QUICK | changes))


def eventually(condition: Callable[[], object], seconds: float = 90.0) -> None:
    """Waits for something that happens in the background; the limit only ends a test that has failed anyway."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service()
    yield made
    made.stop()


@pytest.fixture
def queue_dir(tmp_path: Path) -> Path:
    return tmp_path / "queue"


@pytest.fixture
def make_client(service: Service, queue_dir: Path) -> Iterator[MakeClient]:
    made: list[Client] = []

    def make(**options: Any) -> Client:
        arguments: dict[str, Any] = {"url": service.url, "api_key": KEY, "queue_dir": queue_dir}
        arguments |= {name: options.pop(name) for name in ("url", "api_key", "queue_dir", "raise_errors") if name in options}
        made.append(Client(**arguments, options=quick(**options)))
        return made[-1]

    yield make
    for client in made:
        client._core.reporter.raise_errors = False
        client.close(timeout=0)


@pytest.fixture
def client(make_client: MakeClient) -> Client:
    return make_client()


def host(code: str, *arguments: object, **options: Any) -> subprocess.Popen[str]:
    """Another process that uses the client; `code` finds Client, quick and the arguments in `argv`."""
    start = "import sys\nfrom learning_pipelines.client import Client\nfrom learning_pipelines_tests.client.conftest import KEY, quick\nargv = sys.argv[1:]\n"
    return subprocess.Popen([sys.executable, "-c", start + code, *map(str, arguments)], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
