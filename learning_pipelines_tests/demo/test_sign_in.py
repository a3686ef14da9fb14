"""The key that the demo prints: it signs in, and the next run's takes its place."""

from __future__ import annotations

from pathlib import Path

from learning_pipelines.api.keys import parts
from learning_pipelines.demo.sign_in import OPERATOR, operator_key
from learning_pipelines.feedback.identity import organization_id
from learning_pipelines.settings import Settings
from learning_pipelines.storage import api_keys, tenants
from learning_pipelines.storage.database import Database
from learning_pipelines.storage.store import Store


def test_a_new_run_has_a_new_key_and_the_last_ones_is_revoked(database: Database, tmp_path: Path) -> None:
    tenant = organization_id("demo")
    with database.connect("pipeline") as connection:
        tenants.ensure_organization(connection, tenant, "demo")
    first, second = (operator_key(Store(Settings(home=tmp_path), database), "demo") for _ in range(2))
    with database.connect("pipeline") as connection:
        rows = [api_keys.in_force(connection, tenant, (parts(key) or ("", b""))[1]) for key in (first, second)]
    assert rows[0] is None and rows[1] is not None and (rows[1].role, rows[1].user) == ("admin", OPERATOR)
