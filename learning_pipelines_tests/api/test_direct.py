"""The short way answers as the declared routes do.

Belongs here: the same request over both ways. Not here: what the answers must be (test_feedback.py).
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from learning_pipelines.api import direct
from learning_pipelines.api.openapi import BASE
from learning_pipelines_tests.api.serving import Api, serving

THUMB = {"execution_id": "run-1", "agent": "desk", "feedback_type": "thumbs_up"}
RUN = {"execution_id": "run-1", "agent": "desk", "input": "q", "output": "a"}
BODIES: list[tuple[str, Any]] = [
    ("/feedback", THUMB), ("/feedback", {**THUMB, "rating": 9}), ("/feedback", {**THUMB, "agent": "nobody"}), ("/feedback", []), ("/feedback", None),
    ("/executions", RUN), ("/executions", {"execution_id": "run-1"}), ("/feedback/batch", {"items": [THUMB, 7]}), ("/feedback/batch", {}),
    ("/executions/batch", {"items": [RUN]}),
]  # fmt: skip
NAMES = ["/prompts/desk", "/prompts/nobody", "/prompts/de%00sk", "/prompts/", "/prompts/a%2Fb"]
SPELLINGS = ["ann%40x.org", "", "a+b", "a%00b", "%FF%zz", "a&unit=b", "x" * 256]


@pytest.fixture(scope="module")
def declared(api: Api) -> Iterator[Api]:
    """The same application without the short way."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(direct, "HANDLERS", {})
        patch.setattr(direct, "PROMPTS", "/nothing/")
        with serving(api.database, api.settings) as running:
            yield running


def test_every_short_way_is_a_declared_route(api: Api) -> None:
    paths = api.get("/openapi.json", raw=True).json()["paths"]
    assert set(direct.HANDLERS) <= {path for path, methods in paths.items() if "post" in methods}
    assert all(path.startswith(BASE) for path in direct.HANDLERS)


@pytest.mark.parametrize("credential", ["key", "token", "forged", None])
@pytest.mark.parametrize(("path", "body"), BODIES)
def test_both_ways_give_the_same_answer(api: Api, declared: Api, path: str, body: Any, credential: str | None) -> None:
    token, _ = api.service.tokens.for_execution("default", "run-1", "ada", 60)
    given = {"key": api.key(), "token": token, "forged": "lp_default_forged-forged-forged"}.get(credential or "")
    short, long = (one.post(path, body, given, headers={"Idempotency-Key": str(uuid.uuid4())}) for one in (api, declared))
    assert (short.status_code, short.headers.keys()) == (long.status_code, long.headers.keys())
    assert _without_ids(short.json()) == _without_ids(long.json())


@pytest.mark.parametrize("credential", ["key", "token", "forged", None])
@pytest.mark.parametrize("path", [*NAMES, *(f"/prompts/desk?unit={unit}" for unit in SPELLINGS)])
def test_both_ways_give_the_same_prompt(api: Api, declared: Api, path: str, credential: str | None) -> None:
    token, _ = api.service.tokens.for_execution("default", "run-1", "ada", 60)
    given = {"key": api.key(), "token": token, "forged": "lp_default_forged-forged-forged"}.get(credential or "")
    short, long = (one.get(path, given) for one in (api, declared))
    assert (short.status_code, short.headers.keys(), short.json()) == (long.status_code, long.headers.keys(), long.json())
    if short.status_code == 200:
        assert [one.get(path, given, headers={"If-None-Match": short.headers["etag"]}).status_code for one in (api, declared)] == [304, 304]


def test_requests_of_the_short_way_are_counted_by_their_route(api: Api) -> None:
    api.post("/feedback", THUMB, api.key())
    assert f'learning_http_requests_total{{method="POST",route="{BASE}/feedback",status="201"}}' in api.get("/metrics", raw=True).text


def _without_ids(answer: dict[str, Any]) -> Any:
    """Ids are new every time, and of two equal executions the first is stored and the second unchanged."""
    if "results" in answer:
        return [_without_ids(result) for result in answer["results"]]
    return {key: value for key, value in answer.items() if key not in ("feedback_id", "id") and value not in ("stored", "unchanged")}
