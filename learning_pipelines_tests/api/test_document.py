"""The OpenAPI document: every route with a description, its problems, and examples that fit its own schemas.

Belongs here: the document. Not here: whether the service keeps to it (test_fuzz.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest

from learning_pipelines.api.app import create_app
from learning_pipelines_tests.api.conftest import MakeSettings
from learning_pipelines_tests.api.serving import Api


@pytest.fixture(scope="module")
def document(make_settings: MakeSettings) -> dict[str, Any]:
    return create_app(make_settings()).openapi()


def test_the_page_of_the_document_needs_nothing_from_elsewhere(api: Api) -> None:
    page = api.get("/docs", raw=True)
    files = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(files) == 3 and all(file.startswith("/docs/files/") for file in files)
    assert [api.get(file, raw=True).status_code for file in files] == [200] * 3


def test_a_body_without_its_content_type_is_told_which(api: Api) -> None:
    answer = api.ask("POST", "/tokens", api.key(), content=b'{"execution_id": "run"}', headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert answer.status_code == 422 and "Content-Type: application/json" in answer.json()["detail"]


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method} {path}", operation


def bodies(operation: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every described JSON content of a request or a successful answer."""
    for status, answer in operation["responses"].items():
        if status.startswith("2"):
            yield from (content for kind, content in answer.get("content", {}).items() if "json" in kind)
    yield from (content for kind, content in operation.get("requestBody", {}).get("content", {}).items() if "json" in kind)


def test_every_route_says_what_it_does(document: dict[str, Any]) -> None:
    assert len(list(operations(document))) > 30
    assert [name for name, operation in operations(document) if not operation.get("description")] == []


def test_every_body_has_an_example(document: dict[str, Any]) -> None:
    assert [name for name, operation in operations(document) for content in bodies(operation) if "example" not in content and "examples" not in content] == []


def test_every_example_fits_its_schema(document: dict[str, Any]) -> None:
    wrong = []
    for name, operation in operations(document):
        for content in bodies(operation):
            if "example" in content:
                schema = {**content["schema"], "components": document["components"]}
                wrong += [(name, error.message[:200]) for error in jsonschema_rs.validator_for(schema).iter_errors(content["example"])]
    assert wrong == []


def test_every_route_of_the_service_names_its_problems(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        if "/api/learning" in name:
            assert {"400", "401", "403", "422", "429", "503"} <= set(operation["responses"]), name
