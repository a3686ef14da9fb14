"""How often a credential is looked up: once, however many requests bring it, and ahead of time while it is in use.

Belongs here: the authenticator's memory. Not here: which credentials are accepted (test_authentication.py).
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from learning_pipelines.api import authentication
from learning_pipelines.storage import api_keys
from learning_pipelines_tests.api.serving import Api


@pytest.fixture
def looked_up(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When a key was looked up in the database; each look-up takes a while."""
    found, times = api_keys.in_force, []

    def slowly(*arguments: Any) -> Any:
        times.append(time.monotonic())
        time.sleep(0.3)
        return found(*arguments)

    monkeypatch.setattr(api_keys, "in_force", slowly)
    return times


def test_many_requests_at_once_share_one_look_up(api: Api, looked_up: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authentication, "BELIEVED_SECONDS", 60.0)
    key = api.key()
    with ThreadPoolExecutor(12) as threads:
        assert set(threads.map(lambda _: api.get("/stats", key).status_code, range(24))) == {200}
    assert len(looked_up) == 1


def test_a_key_in_use_is_looked_up_ahead_of_time(api: Api, looked_up: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authentication, "BELIEVED_SECONDS", 6.0)
    key = api.key()
    begun = time.monotonic()
    while len(looked_up) < 2:
        assert api.get("/stats", key).status_code == 200
        assert time.monotonic() < begun + 60, "it was looked up once and never again"
    assert looked_up[1] - looked_up[0] >= 3.0
