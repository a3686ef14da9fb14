"""Requests made from the OpenAPI document, valid and not, as every role and as nobody: `make fuzz` sends 10,000, the tests 1,000.

Belongs here: no 5xx, no answer that the document does not describe, no word of another tenant. Not here: what a route means.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_headers_conformance, response_schema_conformance, status_code_conformance

from learning_pipelines.api.app import create_app
from learning_pipelines.api.keys import ROLES
from learning_pipelines.settings import Settings
from learning_pipelines_tests.api.serving import Api
from learning_pipelines_tests.api.tenants import MARK, SAME, theirs

CASES = int(os.environ.get("FUZZ_CASES", "1000"))
ACTORS = (*ROLES, "token", "nobody")
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance, response_headers_conformance]
NEEDS_DAGSTER = ("/runs", "/optimize-prompt")
"""No Dagster runs beside these tests: its routes answer 503 and say so."""

_document = create_app(Settings(home=Path(tempfile.gettempdir()) / "never-made", database_url=None)).openapi()
_operations = sum(len(methods) for methods in _document["paths"].values())
_schema = schemathesis.openapi.from_dict(_document)
_each = -(-CASES // (_operations * len(ACTORS)))
sent: dict[str, int] = {}


@pytest.fixture(scope="module")
def credentials(both: Api) -> dict[str, str | None]:
    token, _ = both.service.tokens.for_execution("ours", SAME, "ada-ours", 3600)
    return {**{role: both.key(role, "ours") for role in ROLES}, "token": token, "nobody": None}


@pytest.fixture(scope="module", autouse=True)
def their_rows(both: Api) -> Any:
    before = theirs(both)
    yield
    assert theirs(both) == before, "a fuzzed request changed something of another tenant"


@pytest.mark.parametrize("actor", ACTORS)
@_schema.parametrize()
@settings(max_examples=_each, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
def test_no_request_breaks_the_service_or_its_document(case: schemathesis.Case, actor: str, both: Api, credentials: dict[str, str | None]) -> None:
    credential = credentials[actor]
    answer = case.call(base_url=both.url, headers={"Authorization": f"Bearer {credential}"} if credential else {}, timeout=30)
    sent[actor] = sent.get(actor, 0) + 1
    assert MARK not in answer.text
    if answer.status_code == 400 and answer.text == "Invalid HTTP request received.":
        return  # header names that are none: not HTTP, the server refuses it before the application
    if (answer.status_code == 503 and case.path.endswith(NEEDS_DAGSTER)) or ("/runs/" in case.path and answer.status_code == 503):
        assert "Dagster" in answer.json()["detail"]
        return
    case.validate_response(answer, checks=CHECKS)


def test_as_many_requests_were_sent_as_the_name_says() -> None:
    assert sum(sent.values()) >= 0.9 * CASES, sent
    assert set(sent) == set(ACTORS)
