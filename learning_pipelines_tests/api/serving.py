"""The real application on a real socket, in a thread of this process, over the test's database; keys and tokens for it.

Belongs here: what tests of the service share. Not here: assertions, fixtures (conftest.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI

from learning_pipelines.api.app import create_app
from learning_pipelines.api.keys import new_key, parts
from learning_pipelines.api.service import Service
from learning_pipelines.feedback.identity import organization_id, user_id
from learning_pipelines.feedback.importing import import_file, window_now
from learning_pipelines.settings import Settings
from learning_pipelines.storage import api_keys, tenants
from learning_pipelines.storage.database import Database

BASE = "/api/learning"


@dataclasses.dataclass
class Api:
    """A running service and how to talk to it. Paths are below /api/learning unless they begin with `/`…`/` of their own (`raw`)."""

    url: str
    database: Database
    service: Service
    settings: Settings

    def key(self, role: str = "user", organization: str = "default", user: str | None = None) -> str:
        """A new API key."""
        key, hashed = new_key(organization)
        with self.database.connect("pipeline") as connection:
            tenants.ensure_organization(connection, organization_id(organization), organization)
            api_keys.create(connection, organization_id(organization), hashed, role, user, user_id)
        return key

    def revoke(self, key: str) -> None:
        """Revokes a key."""
        slug, hashed = parts(key) or ("", b"")
        with self.database.connect("pipeline") as connection:
            row = api_keys.in_force(connection, organization_id(slug), hashed)
            assert row is not None and api_keys.revoke(connection, organization_id(slug), row.id)

    def ask(self, method: str, path: str, credential: str | None = None, *, raw: bool = False, **options: Any) -> httpx.Response:
        """One request on a connection of its own."""
        headers = {**options.pop("headers", {}), **({"Authorization": f"Bearer {credential}"} if credential else {})}
        return httpx.request(method, f"{self.url}{'' if raw else BASE}{path}", headers=headers, timeout=30, **options)

    def get(self, path: str, credential: str | None = None, **options: Any) -> httpx.Response:
        return self.ask("GET", path, credential, **options)

    def post(self, path: str, body: Any, credential: str | None = None, **options: Any) -> httpx.Response:
        return self.ask("POST", path, credential, json=body, **options)


def make_agents(api: Api, organization: str, *slugs: str) -> None:
    """Makes agents that have a prompt."""
    path = api.settings.home / "agents.jsonl"
    path.write_text("".join(f'{{"agent": "{slug}", "system_prompt": "You are {slug}."}}\n' for slug in slugs))
    with api.database.connect("pipeline") as connection:
        assert import_file(connection, organization, "agents", path, window=window_now(api.settings.start_date, api.settings.zone)).rejected == 0


@contextlib.contextmanager
def serving(database: Database, settings: Settings) -> Iterator[Api]:
    """Runs the application over this database until the end of the block."""
    app = create_app(settings, lambda: database)
    with listening(app) as url:
        yield Api(url, database, app.state.service, settings)


@contextlib.contextmanager
def listening(app: FastAPI) -> Iterator[str]:
    """The address of an application that runs until the end of the block."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=5))
        thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])), daemon=True)
        thread.start()
        deadline = time.monotonic() + 60
        while not server.started:
            assert thread.is_alive() and time.monotonic() < deadline, "the application did not start"
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(timeout=20)
