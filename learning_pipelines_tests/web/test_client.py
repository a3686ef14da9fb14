"""The JavaScript client beside the OpenAPI document: every method asks for a route that exists, and its types are the document's.

Belongs here: what reading the files can tell. Not here: the client at work (browser/test_client.py), types in use (browser/test_hooks.py).
"""

from __future__ import annotations

import re
from typing import Any

import pytest

from learning_pipelines.web import FILES
from learning_pipelines_tests.web.schema_types import METHODS, PATH, document, made, name_of

_METHOD = re.compile(r"^  (?:async )?([a-z]\w+)\([^\n]*\) \{\n((?:    .*\n)+?)  \}", re.MULTILINE)
_ASKED = re.compile(r"""this\.request\("([A-Z]+)", ["`]([^"`]+)["`]""")
_DECLARED = re.compile(r"^  ([a-z]\w+)(?:<[^>]*>)?\(.*\): Promise<(.+)>;$", re.MULTILINE)


def asked() -> dict[str, tuple[str, str]]:
    """Method of the client → HTTP method and path, with {} for each part that is filled in."""
    found = {}
    text = "".join((FILES / "client" / name).read_text(encoding="utf-8") for name in ("learning.js", "operating.js"))
    for name, body in _METHOD.findall(text):
        if (request := _ASKED.search(body)) is not None:
            found[name] = (request[1], re.sub(r"\$\{segment\(\w+\)\}", "{}", request[2]))
    return found


@pytest.fixture(scope="module")
def routes() -> dict[tuple[str, str], dict[str, Any]]:
    paths = document()["paths"]
    return {
        (method.upper(), re.sub(r"\{\w+\}", "{}", path.removeprefix("/api/learning"))): operation
        for path, methods in paths.items()
        for method, operation in methods.items()
    }


def test_every_method_asks_for_a_route_that_exists(routes: dict[tuple[str, str], dict[str, Any]]) -> None:
    methods = asked()
    assert len(methods) >= 55
    assert {name: route for name, route in methods.items() if route not in routes} == {}


def test_every_route_has_a_method(routes: dict[tuple[str, str], dict[str, Any]]) -> None:
    of_service = {route for route in routes if not route[1].startswith(("/healthz", "/readyz", "/metrics"))}
    # A file for links, not JSON; and signing in, which gives a cookie: the pages do it without a token (ui/session.js).
    assert of_service - set(asked().values()) == {("GET", "/reports/{}/{}"), ("POST", "/session")}


def test_every_method_declares_what_its_route_answers(routes: dict[tuple[str, str], dict[str, Any]]) -> None:
    declared = dict(_DECLARED.findall(METHODS.read_text(encoding="utf-8")))
    assert {*declared} - {"request", "followRun"} == {*asked()}
    wrong = {}
    for name, route in asked().items():
        answers = [content["schema"] for status, answer in routes[route]["responses"].items() if status < "3" for content in answer.get("content", {}).values()]
        named = [f"schema.{name_of(one['$ref'])}" if "$ref" in one else "Record<string, unknown>" for one in answers]
        expected = " | ".join(named) or "null"
        if declared[name].removesuffix(" | null") != expected:
            wrong[name] = (declared[name], expected)
    assert wrong == {}


def test_the_types_of_bodies_and_answers_are_those_of_the_document() -> None:
    assert PATH.read_text(encoding="utf-8") == made(), "Write them anew: python -m learning_pipelines_tests.web.schema_types"
