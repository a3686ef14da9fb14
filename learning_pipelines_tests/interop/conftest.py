"""Fixtures of interoperability: the real service, and the peers' public clients as processes of their own environment.

Belongs here: starting clients. Not here: what they send (clients/), what must come of it (test_*.py).
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from learning_pipelines_tests.api.conftest import make_settings
from learning_pipelines_tests.api.serving import Api, make_agents, serving
from learning_pipelines_tests.conftest import MakeDatabase
from learning_pipelines_tests.fake_endpoint import FakeEndpoint, says

__all__ = ["make_settings"]
PYTHON = Path(__file__).resolve().parents[2] / ".venv-peers" / "bin" / "python"
CLIENTS = Path(__file__).parent / "clients"
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "PYTHONDONTWRITEBYTECODE": "1"}


@dataclass
class Ran:
    """What a client's process ended with."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        assert self.code == 0, self.err
        return json.loads(self.out.splitlines()[-1])


@dataclass
class Office:
    """A running service and one organization's way into it by each client."""

    api: Api
    key: str
    organization: str = "default"

    def run(self, client: str, *arguments: str, env: dict[str, str] | None = None, key: str | None = None) -> Ran:
        """Runs a script of clients/ to its end, with the environment variables that its library documents."""
        key = self.key if key is None else key
        chosen = {
            "PATH": os.environ["PATH"], "HOME": str(self.api.settings.home), **QUIET,
            "LANGFUSE_BASE_URL": self.api.url, "LANGFUSE_PUBLIC_KEY": self.organization, "LANGFUSE_SECRET_KEY": key, "OTEL_SERVICE_NAME": "desk",
            "PHOENIX_BASE_URL": self.api.url, "PHOENIX_API_KEY": key, "MLFLOW_TRACKING_URI": self.api.url, "MLFLOW_TRACKING_TOKEN": key,
        }  # fmt: skip
        if client == "otlp_traces":  # MLflow would follow these away from its own server
            chosen |= {
                "OTEL_EXPORTER_OTLP_ENDPOINT": self.api.url, "OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer%20{key}",
                "OTEL_SEMCONV_STABILITY_OPT_IN": "gen_ai_latest_experimental", "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "SPAN_ONLY",
            }  # fmt: skip
        process = subprocess.run(
            [str(PYTHON), str(CLIENTS / f"{client}.py"), *arguments], env={**chosen, **(env or {})}, capture_output=True, text=True, timeout=120, check=False
        )
        return Ran(process.returncode, process.stdout, process.stderr)

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Rows as the pipeline sees them."""
        with self.api.database.connect("pipeline") as connection:
            return connection.execute(query, values or None).fetchall()  # type: ignore[call-overload,no-any-return]

    def one(self, query: str, *values: Any) -> Any:
        ((value,),) = self.rows(query, *values)
        return value


@pytest.fixture(scope="session", autouse=True)
def _clients() -> None:
    if not PYTHON.exists():
        pytest.fail(f"{PYTHON} is missing: the peers' clients are not installed. Run `make peers`.", pytrace=False)


@pytest.fixture(scope="module")
def office(make_database: MakeDatabase, make_settings: Callable[..., Any]) -> Iterator[Office]:
    """A running service with the agents desk and helper, and a key for it. One for a module: starting a client takes seconds, so
    tests look at what a few processes did."""
    with make_database() as database, serving(database, make_settings()) as running:
        key = running.key()
        make_agents(running, "default", "desk", "helper")
        yield Office(running, key)


@pytest.fixture(scope="module")
def model_url() -> Iterator[str]:
    """An OpenAI-compatible endpoint for the traced calls."""
    with FakeEndpoint().running() as endpoint:
        endpoint.always = says("At nine.", tokens=(31, 4, 0))
        yield endpoint.base_url
