"""Fixtures of the service's tests: one running application per module over an emptied database.

Belongs here: fixtures. Not here: helpers (serving.py), assertions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from learning_pipelines.settings import Settings
from learning_pipelines_tests.api.serving import Api, make_agents, serving
from learning_pipelines_tests.api.tenants import two_tenants
from learning_pipelines_tests.conftest import MakeDatabase

JWT_SECRET, TOKEN_SECRET, AUDIENCE = "jwt secret of the tests, at least forty-eight bytes long", "token secret of the tests, 32 bytes long", "learning"
MakeSettings = Callable[..., Settings]


@pytest.fixture(scope="module")
def make_settings(tmp_path_factory: pytest.TempPathFactory) -> MakeSettings:
    """Settings of a service, nothing from the environment."""

    def make(**given: Any) -> Settings:
        home: Path = tmp_path_factory.mktemp("service")
        chosen = {"home": home, "database_url": None, "jwt_secret": JWT_SECRET, "jwt_audience": AUDIENCE, "token_secret": TOKEN_SECRET, **given}
        return Settings(**{"rate_limits": "key=100000/second,user=100000/second,address=100000/second", **chosen})

    return make


@pytest.fixture(scope="module")
def api(make_database: MakeDatabase, make_settings: MakeSettings) -> Iterator[Api]:
    """A running service over a database of this module's own, with the agents desk and helper of the organization default."""
    with make_database() as database, serving(database, make_settings()) as running:
        running.key()
        make_agents(running, "default", "desk", "helper")
        yield running


@pytest.fixture(scope="module")
def both(make_database: MakeDatabase, make_settings: MakeSettings) -> Iterator[Api]:
    """A running service with the tenants ours and theirs."""
    with two_tenants(make_database, make_settings()) as running:
        yield running
