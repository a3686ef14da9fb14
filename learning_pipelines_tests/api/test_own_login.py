"""The service where its own login is all that it has.

Belongs here: starting and serving with LEARNING_API_DATABASE_URL alone. Not here: what each role may (storage/test_every_policy.py).
"""

from __future__ import annotations

import httpx
import pytest

from learning_pipelines.api.app import create_app
from learning_pipelines.errors import LearningError
from learning_pipelines.storage.database import Database, open_database
from learning_pipelines_tests.api.conftest import MakeSettings
from learning_pipelines_tests.api.serving import listening


def test_it_starts_and_serves_with_its_own_login_alone(database: Database, make_settings: MakeSettings, caplog: pytest.LogCaptureFixture) -> None:
    settings = make_settings(api_database_url=database.role_urls["api"])
    with listening(create_app(settings)) as url:
        assert httpx.get(f"{url}/readyz", timeout=30).status_code == 200
    assert "not ready" not in caplog.text
    with pytest.raises(LearningError, match="not for this login"):
        open_database(settings).connect("owner")
