"""Executions over HTTP: taken in, listed page by page, one with its feedback; and the other kinds that applications send.

Belongs here: /executions, /documents, /retrieval-feedback, /demonstrations, /prompts. Not here: feedback (test_feedback.py).
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from learning_pipelines_tests.api.serving import Api

START = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)


@pytest.fixture(scope="module")
def key(api: Api) -> str:
    made = api.key("expert")
    items = [
        {"execution_id": f"x{number:02}", "agent": "desk" if number % 3 else "helper", "input": f"q{number}", "output": "a",
         "user": "ada" if number % 2 else "bob", "session_id": f"s{number // 10}",
         "tags": ["vat"] if number < 5 else [], "created_at": (START + dt.timedelta(hours=number // 2)).isoformat()}
        for number in range(30)
    ]  # fmt: skip
    results = api.post("/executions/batch", {"items": items}, made).json()["results"]
    assert {result["status"] for result in results} == {"stored"}
    return made


def listed(api: Api, key: str, query: str) -> list[str]:
    return [row["execution_id"] for row in api.get(f"/executions?before=2026-11-20T00:00:00Z&{query}", key).json()["executions"]]


def test_pages_hold_every_execution_once_newest_first(api: Api, key: str) -> None:
    found, cursor = [], ""
    while True:
        page = api.get(f"/executions?limit=7&before=2026-11-20T00:00:00Z{cursor}", key).json()
        found += [(row["created_at"], row["execution_id"]) for row in page["executions"]]
        if page["cursor"] is None:
            break
        cursor = f"&cursor={page['cursor']}"
    assert len(found) == len(set(found)) == 30
    assert found == sorted(found, reverse=True)


@pytest.mark.parametrize(
    ("query", "count"),
    [("agent=helper", 10), ("user=ada", 15), ("session_id=s1", 10), ("tag=vat", 5), ("agent=desk&user=bob&tag=vat", 2),
     ("after=2026-11-01T10:00:00Z", 10), ("user=nobody", 0)],
)
def test_filters_choose(api: Api, key: str, query: str, count: int) -> None:
    assert len(listed(api, key, query)) == count


@pytest.mark.parametrize(
    ("query", "field"), [("cursor=nonsense", "cursor"), ("limit=0", "limit"), ("after=yesterday", "after"), ("agent=nobody", "agent"), ("user=%00", "user")]
)
def test_a_filter_that_is_none_is_named(api: Api, key: str, query: str, field: str) -> None:
    answer = api.get(f"/executions?{query}", key)
    assert (answer.status_code in (404, 422), answer.json()["field"]) == (True, field)


def test_the_same_execution_again_is_unchanged_and_another_one_under_its_id_a_conflict(api: Api, key: str) -> None:
    body = {"execution_id": "same", "agent": "desk", "input": "q", "output": "a"}
    assert [api.post("/executions", body, key).json()["status"] for _ in range(2)] == ["stored", "unchanged"]
    answer = api.post("/executions", {**body, "output": "b"}, key)
    assert (answer.status_code, answer.json()["field"]) == (409, "execution_id")


def test_a_document_with_other_text_replaces_the_one_before(api: Api, key: str) -> None:
    for text in ("first", "second"):
        assert api.post("/documents", {"document_id": "d1", "text": text}, key).json() == {"id": "d1", "status": "stored"}
    assert api.post("/documents", {"document_id": "d1", "text": "second"}, key).json()["status"] == "unchanged"
    with api.database.connect("pipeline") as connection:
        assert connection.execute("SELECT text FROM documents WHERE id = 'd1'").fetchall() == [("second",)]


def test_retrieval_feedback_is_repeatable_by_its_key(api: Api, key: str) -> None:
    body = {"query": "vat", "relevant": ["d1"], "retrieved": ["d1", "d2"]}
    answers = [api.post("/retrieval-feedback", body, key, headers={"Idempotency-Key": "rf-1"}).json() for _ in range(2)]
    assert [answer["status"] for answer in answers] == ["stored", "unchanged"]
    assert answers[0]["id"] == answers[1]["id"]


def test_a_demonstration_says_which_example_it_will_make(api: Api, key: str) -> None:
    body: dict[str, Any] = {"agent": "desk", "task_description": "File", "actions": [{"type": "open"}], "final_output": "Filed.", "expert": "eve"}
    answer = api.post("/demonstrations", {**body, "demonstration_id": "dm1"}, key)
    assert answer.status_code == 201
    assert answer.json()["example_id"].startswith("ex-")
    assert api.post("/demonstrations", {**body, "actions": []}, key).json()["field"] == "actions"


def test_a_demonstration_takes_its_expert_under_either_name(api: Api, key: str) -> None:
    body: dict[str, Any] = {"agent": "desk", "task_description": "File", "actions": [{"type": "open"}], "final_output": "Filed."}
    assert api.post("/demonstrations", {**body, "demonstration_id": "dm2", "user": "fay"}, key).status_code == 201
    assert api.post("/demonstrations", {**body, "demonstration_id": "dm2", "expert": "fay"}, key).json()["status"] == "unchanged"
    assert api.post("/demonstrations", {**body, "user": "fay", "expert": "gus"}, key).json()["field"] == "expert"


# Prompts.


def test_a_prompt_that_did_not_change_is_not_sent_again(api: Api, key: str) -> None:
    first = api.get("/prompts/desk?unit=ada", key)
    assert (first.json()["messages"], first.json()["version"]) == ([{"role": "system", "content": "You are desk."}], "1")
    assert (first.json()["experiment"], first.json()["variant"], first.headers["etag"]) == (None, None, first.json()["etag"])
    again = api.get("/prompts/desk", key, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert api.get("/prompts/desk", key, headers={"If-None-Match": '"other"'}).status_code == 200


def test_a_written_version_serves_once_its_label_is_moved(api: Api, key: str) -> None:
    admin = api.key("admin")
    before = api.get("/prompts/helper", key).headers["etag"]
    written = api.post("/prompts/helper", {"messages": [{"role": "system", "content": "Help {{name}}."}]}, admin).json()
    assert written == {"version": "2", "status": "stored"}
    assert api.get("/prompts/helper", key).json()["version"] == "1"
    moved = api.ask("PUT", "/prompts/helper/labels/production", admin, json={"version": 2, "user": "boss"}).json()
    with api.database.connect("pipeline") as connection:
        row = connection.execute("SELECT actor FROM audit_log WHERE subject_id = 'helper/production'").fetchone()
    assert row is not None and row[0].startswith("key:") and row[0].endswith(" for user:boss")
    assert moved == {"label": "production", "version": "2", "before": "1"}
    served = api.get("/prompts/helper", key, headers={"If-None-Match": before})
    assert (served.status_code, served.json()["messages"][0]["content"]) == (200, "Help {{name}}.")


@pytest.mark.parametrize(
    "body",
    [{}, {"messages": []}, {"messages": [{"role": "root", "content": "x"}]}, {"messages": [{"role": "user", "content": "a\x00"}]}, {"messages": "x"}],
)
def test_a_prompt_that_is_none_is_refused(api: Api, body: dict[str, Any]) -> None:
    assert api.post("/prompts/desk", body, api.key("admin")).status_code == 422


def test_a_label_cannot_point_at_a_version_that_is_not_there(api: Api) -> None:
    answer = api.ask("PUT", "/prompts/desk/labels/production", api.key("admin"), json={"version": 99})
    assert (answer.status_code, answer.json()["field"]) == (404, "version")
