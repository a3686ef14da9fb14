"""Executions chosen by what was said about them and by what they carry: bounded looks, pages that lose nothing; one with what replaced what.

Belongs here: filters that are looked at row by row, superseded feedback, retrieved texts. Not here: pages and filters by index (test_executions.py).
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from learning_pipelines.storage import executions as storage
from learning_pipelines_tests.api.serving import Api

START = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)


def at(hours: float) -> str:
    return (START + dt.timedelta(hours=hours)).isoformat()


@pytest.fixture(scope="module")
def key(api: Api) -> str:
    """Forty executions: every fourth of helper; feedback on seven of them."""
    made = api.key("expert")
    items = [
        {"execution_id": f"x{number:02}", "agent": "desk" if number % 4 else "helper", "input": f"q{number}", "output": "a",
         "user": "ada" if number % 2 else "bob", "environment": "staging" if number < 4 else "production", "prompt_version": str(1 + number // 30),
         "created_at": at(number // 2)}
        for number in range(40)
    ]  # fmt: skip
    said: list[dict[str, Any]] = [
        {"execution_id": "x00", "feedback_type": "star_rating", "rating": 2, "user": "ada"},
        {"execution_id": "x01", "feedback_type": "star_rating", "rating": 4, "user": "ada"},
        {"execution_id": "x02", "feedback_type": "report_issue", "issue_categories": ["hallucination"], "user": "ada"},
        {"execution_id": "x03", "feedback_type": "correction", "correction_text": "b", "user": "bob"},
        {"execution_id": "x30", "feedback_type": "star_rating", "rating": 1, "user": "ada", "created_at": at(100)},
        {"execution_id": "x30", "feedback_type": "star_rating", "rating": 5, "user": "ada", "created_at": at(101)},
        {"execution_id": "x31", "feedback_type": "thumbs_down"},
    ]  # fmt: skip
    for path, rows in (("/executions/batch", items), ("/feedback/batch", said)):
        assert {one["status"] for one in api.post(path, {"items": rows}, made).json()["results"]} == {"stored"}
    return made


def listed(api: Api, key: str, query: str) -> list[str]:
    """All pages of a query, and that each execution comes once and newest first."""
    found, cursor = [], ""
    while True:
        page = api.get(f"/executions?before=2026-11-20T00:00:00Z&{query}{cursor}", key).json()
        found += [(row["created_at"], row["execution_id"]) for row in page["executions"]]
        if page["cursor"] is None:
            assert page["searched_to"] is None
            assert found == sorted(set(found), reverse=True)
            return sorted(identity for _, identity in found)
        cursor = f"&cursor={page['cursor']}"


FILTERS = [
    ("environment=staging", ["x00", "x01", "x02", "x03"]), ("prompt_version=2&agent=helper", ["x32", "x36"]), ("rating_max=3", ["x00"]),
    ("rating_max=5", ["x00", "x01", "x30"]), ("issue=hallucination", ["x02"]), ("issue=tone", []), ("corrected=true", ["x03"]),
    ("with_feedback=true&agent=desk", ["x01", "x02", "x03", "x30", "x31"]), ("with_feedback=true&user=ada", ["x01", "x03", "x31"]),
    ("with_feedback=false&prompt_version=2", ["x32", "x33", "x34", "x35", "x36", "x37", "x38", "x39"]),
]  # fmt: skip


@pytest.mark.parametrize(("query", "expected"), FILTERS)
def test_filters_choose_by_what_is_in_force(api: Api, key: str, query: str, expected: list[str]) -> None:
    assert listed(api, key, query) == expected


@pytest.mark.parametrize(("query", "expected"), FILTERS)
def test_short_looks_find_the_same_page_by_page(api: Api, key: str, query: str, expected: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("SCANNED", 6), ("PROBED", 6), ("LEAST", 3)):
        monkeypatch.setattr(storage, name, value)
    assert listed(api, key, f"limit=2&{query}") == expected


def test_a_look_that_found_too_few_says_how_far_back_it_was(api: Api, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "SCANNED", 10)
    page = api.get("/executions?before=2026-11-20T00:00:00Z&environment=staging&agent=desk", key).json()
    assert page["executions"] == [] and page["cursor"] is not None
    assert page["searched_to"] == at(27 // 2).replace("+00:00", "Z")  # desk's tenth of the newest


def test_days_count_back_from_now(api: Api, key: str) -> None:
    assert api.post("/executions", {"execution_id": "today", "agent": "desk", "input": "q", "output": "a"}, key).status_code == 201
    assert [row["execution_id"] for row in api.get("/executions?days=1", key).json()["executions"]] == ["today"]


def test_a_person_finds_their_own_whatever_is_filtered(api: Api, key: str) -> None:
    mine = api.key("user", user="ada")  # a key with a person is an application's: it sees what its role may see
    session = api.post("/session", {}, mine)
    own = {"headers": {"Cookie": f"learning_session={session.cookies['learning_session']}"}}
    rows = api.get("/executions?before=2026-11-20T00:00:00Z&environment=staging", None, **own).json()["executions"]
    assert [row["execution_id"] for row in rows] == ["x03", "x01"]
    assert api.get("/executions?user=bob&limit=5", None, **own).json()["executions"] == []


def test_excerpts_are_as_long_as_was_asked(api: Api, key: str) -> None:
    assert api.post("/executions", {"execution_id": "long", "agent": "desk", "input": "äöü" * 9, "output": "o" * 50}, key).status_code == 201
    (found,) = [row for row in api.get("/executions?days=1&excerpt=5", key).json()["executions"] if row["execution_id"] == "long"]
    assert (found["input"], found["output"]) == ("äöüäö", "ooooo")


@pytest.mark.parametrize("query", ["rating_max=9", "issue=boring", "days=0", "with_feedback=perhaps", "prompt_version=%00"])
def test_a_filter_that_is_none_is_named(api: Api, key: str, query: str) -> None:
    answer = api.get(f"/executions?{query}", key)
    assert (answer.status_code, answer.json()["field"]) == (422, query.partition("=")[0])


def test_feedback_says_what_of_it_was_replaced(api: Api, key: str) -> None:
    found = api.get("/executions/x30", key).json()["feedback"]
    assert [(one["rating"], one["superseded"]) for one in found] == [(1, ["rating"]), (5, [])]
    assert [one["superseded"] for one in api.get("/executions/x31", key).json()["feedback"]] == [[]]


def test_what_was_taken_back_is_no_feedback_any_more(api: Api, key: str) -> None:
    assert api.post("/executions", {"execution_id": "regretted", "agent": "desk", "input": "q", "output": "a", "user": "cy"}, key).status_code == 201
    for number, more in enumerate(({}, {"withdrawn": True})):
        body = {"execution_id": "regretted", "feedback_type": "report_issue", "issue_categories": ["tone"], "user": "cy", "created_at": at(200 + number)}
        assert api.post("/feedback", body | more, key).status_code == 201
    assert [row["execution_id"] for row in api.get("/executions?user=cy&with_feedback=true", key).json()["executions"]] == []
    found = api.get("/executions/regretted", key).json()["feedback"]
    assert [(one["withdrawn"], one["superseded"]) for one in found] == [(False, ["issues"]), (True, [])]


def test_retrieved_texts_come_with_the_execution(api: Api, key: str) -> None:
    assert api.post("/documents", {"document_id": "vat", "title": "VAT", "text": "Monthly <b>returns</b>. " * 400}, key).status_code == 201
    body = {
        "execution_id": "read", "agent": "desk", "input": "q", "output": "a",
        "retrieved": [{"document_id": "gone"}, {"document_id": "vat", "rank": 1, "score": 0.5}, {"chunk_id": "none"}],
    }  # fmt: skip
    assert api.post("/executions", body, key).status_code == 201
    found = api.get("/executions/read", key).json()
    assert [(one["place"], one["document_id"], one["title"], one["chunk_id"]) for one in found["passages"]] == [(1, "vat", "VAT", None)]
    assert found["passages"][0]["text"].startswith("Monthly <b>") and len(found["passages"][0]["text"]) == 4000
    assert len(found["retrieved"]) == 3
