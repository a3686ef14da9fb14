"""Feedback over HTTP: identity, pending executions, supersession, batches, and what is refused.

Belongs here: POST /feedback and its batch. Not here: who may send it (test_authentication.py), statistics (test_statistics.py).
"""

from __future__ import annotations

import concurrent.futures
import uuid
from typing import Any

import pytest

from learning_pipelines_tests.api.serving import Api


@pytest.fixture(scope="module")
def key(api: Api) -> str:
    return api.key()


def execution(api: Api, key: str, **more: Any) -> str:
    name = f"run-{uuid.uuid4()}"
    answer = api.post("/executions", {"execution_id": name, "agent": "desk", "input": "question", "output": "answer", **more}, key)
    assert answer.status_code == 201, answer.text
    return name


def thumb(execution_id: str, **more: Any) -> dict[str, Any]:
    return {"execution_id": execution_id, "feedback_type": "thumbs_up", **more}


def count(api: Api, where: str, *values: object) -> int:
    with api.database.connect("pipeline") as connection:
        row = connection.execute(f"SELECT count(*) FROM {where}", values).fetchone()  # type: ignore[arg-type]
    assert row is not None
    return int(row[0])


def test_a_feedback_is_answered_with_its_id_and_is_stored_with_outbox_and_audit(api: Api, key: str) -> None:
    run = execution(api, key)
    answer = api.post("/feedback", thumb(run, feedback_id=f"f-{run}", user="ada", feedback_text="good"), key)
    assert (answer.status_code, answer.json()) == (201, {"feedback_id": f"f-{run}", "status": "stored", "pending_execution": False})
    for table in ("agent_feedback WHERE id = %s", "outbox WHERE row_id = %s", "audit_log WHERE subject_id = %s AND action = 'stored'"):
        assert count(api, table, f"f-{run}") == 1


def test_everything_a_person_can_say_fits_into_one_call(api: Api, key: str) -> None:
    run = execution(api, key)
    body = {
        "execution_id": run, "feedback_type": "correction", "user": "ada", "rating": 2, "dimensions": {"accuracy": 1, "clarity": 4},
        "issue_categories": ["incorrect", "tone"], "feedback_text": "no", "correction_text": "the right answer", "task_context": {"form": 7}, "page": "home",
    }  # fmt: skip
    assert api.post("/feedback", body, key).status_code == 201
    (said,) = api.get(f"/executions/{run}", key).json()["feedback"]
    shown = (said["rating"], said["dimensions"]["accuracy"], said["issue_categories"], said["correction_text"])
    assert shown == (2, 1, ["incorrect", "tone"], "the right answer")
    assert count(api, "agent_feedback WHERE execution_id = %s AND context = '{\"page\": \"home\"}'", run) == 1


def test_the_same_id_with_the_same_content_is_unchanged(api: Api, key: str) -> None:
    run = execution(api, key)
    body = thumb(run, feedback_id=f"f-{run}")
    assert [api.post("/feedback", body, key).json()["status"] for _ in range(3)] == ["stored", "unchanged", "unchanged"]
    assert count(api, "agent_feedback WHERE execution_id = %s", run) == 1


def test_the_same_id_with_other_content_is_a_conflict_that_changes_nothing(api: Api, key: str) -> None:
    run = execution(api, key)
    api.post("/feedback", thumb(run, feedback_id=f"f-{run}"), key)
    answer = api.post("/feedback", {**thumb(run, feedback_id=f"f-{run}"), "feedback_type": "thumbs_down"}, key)
    assert (answer.status_code, answer.json()["field"]) == (409, "feedback_id")
    assert count(api, "agent_feedback WHERE execution_id = %s AND feedback_type = 'thumbs_up'", run) == 1


def test_an_idempotency_key_makes_a_request_without_id_repeatable(api: Api, key: str) -> None:
    run = execution(api, key)
    answers = [api.post("/feedback", thumb(run), key, headers={"Idempotency-Key": f"k-{run}"}).json() for _ in range(2)]
    assert [answer["status"] for answer in answers] == ["stored", "unchanged"]
    assert answers[0]["feedback_id"] == answers[1]["feedback_id"]
    other = api.post("/feedback", thumb(run, rating=3), key, headers={"Idempotency-Key": f"k-{run}"})
    assert other.status_code == 409


def test_without_id_and_key_a_request_is_always_new(api: Api, key: str) -> None:
    run = execution(api, key)
    assert [api.post("/feedback", thumb(run), key).json()["status"] for _ in range(2)] == ["stored", "stored"]
    assert count(api, "agent_feedback WHERE execution_id = %s", run) == 2


def test_feedback_before_its_execution_waits_and_joins_it(api: Api, key: str) -> None:
    name = f"late-{uuid.uuid4()}"
    first = api.post("/feedback", thumb(name, agent="helper", feedback_id=name), key)
    assert first.json() == {"feedback_id": name, "status": "stored", "pending_execution": True}
    api.post("/executions", {"execution_id": name, "agent": "desk", "input": "q", "output": "a"}, key)
    again = api.post("/feedback", thumb(name, agent="helper", feedback_id=name), key)
    assert again.json() == {"feedback_id": name, "status": "unchanged", "pending_execution": False}
    assert count(api, "agent_feedback f JOIN agents a ON a.id = f.agent_id WHERE f.id = %s AND NOT pending_execution AND a.slug = 'desk'", name) == 1


def test_an_unknown_execution_without_agent_is_refused_by_name(api: Api, key: str) -> None:
    answer = api.post("/feedback", thumb("nobody-knows"), key)
    assert (answer.status_code, answer.json()["field"]) == (422, "execution_id")


def test_an_agent_that_is_not_the_executions_is_refused(api: Api, key: str) -> None:
    answer = api.post("/feedback", thumb(execution(api, key), agent="helper"), key)
    assert (answer.status_code, answer.json()["field"]) == (422, "agent")


def test_an_unknown_agent_is_refused(api: Api, key: str) -> None:
    answer = api.post("/feedback", thumb("x", agent="nobody"), key)
    assert (answer.status_code, answer.json()["field"]) == (422, "agent")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"rating": 6}, "rating"), ({"rating": "5"}, "rating"), ({"feedback_type": "love"}, "feedback_type"),
        ({"dimensions": {"accuracy": 0}}, "dimensions.accuracy"),
        ({"issue_categories": ["bad"]}, "issue_categories.0"), ({"execution_id": ""}, "execution_id"), ({"feedback_type": "star_rating"}, "rating"),
        ({"feedback_type": "correction"}, "correction_text"), ({"created_at": "yesterday"}, "created_at"),
        ({"created_at": "2001-01-01T00:00:00Z"}, "created_at"),
        ({"feedback_text": "x" * 1_000_001}, "feedback_text"), ({"feedback_text": "a\x00b"}, "feedback_text"),
    ],
)  # fmt: skip
def test_a_value_that_is_not_permitted_is_named(api: Api, key: str, change: dict[str, Any], field: str) -> None:
    answer = api.post("/feedback", {**thumb("x", agent="desk"), **change}, key)
    assert (answer.status_code, answer.headers["content-type"], answer.json()["field"]) == (422, "application/problem+json", field)


@pytest.mark.parametrize(("body", "status"), [(b"{", 400), (b'{"a": "\xff"}', 400), (b"[]", 422), (b"null", 422), (b"", 400)])
def test_a_body_that_is_no_record_is_refused(api: Api, key: str, body: bytes, status: int) -> None:
    answer = api.ask("POST", "/feedback", key, content=body)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")


def test_newer_words_of_one_person_supersede_older_ones_as_in_an_import(api: Api, key: str) -> None:
    run = execution(api, key)
    for day, kind in (("2026-11-02", "thumbs_down"), ("2026-11-01", "thumbs_up")):
        api.post("/feedback", {"execution_id": run, "feedback_type": kind, "user": "ada", "created_at": f"{day}T10:00:00Z"}, key)
    assert count(api, "feedback_in_force WHERE execution_id = %s AND facets_in_force <> 0 AND feedback_type = 'thumbs_down'", run) == 1
    assert count(api, "feedback_in_force WHERE execution_id = %s AND facets_in_force <> 0", run) == 1


def test_anonymous_feedback_never_supersedes(api: Api, key: str) -> None:
    run = execution(api, key)
    for _ in range(2):
        api.post("/feedback", thumb(run), key)
    assert count(api, "feedback_in_force WHERE execution_id = %s AND facets_in_force <> 0", run) == 2


def test_many_requests_with_the_same_id_at_once_store_one_row(api: Api, key: str) -> None:
    run = execution(api, key)
    with concurrent.futures.ThreadPoolExecutor(12) as threads:
        same = list(threads.map(lambda _: api.post("/feedback", thumb(run, feedback_id=f"f-{run}"), key).json()["status"], range(36)))
        other = list(threads.map(lambda n: api.post("/feedback", thumb(run, feedback_id=f"c-{run}", rating=1 + n % 2), key).status_code, range(24)))
    assert (same.count("stored"), same.count("unchanged")) == (1, 35)
    assert sorted(set(other)) == [201, 409]
    assert count(api, "agent_feedback WHERE id IN (%s, %s)", f"f-{run}", f"c-{run}") == 2


def test_a_batch_answers_for_every_item_and_keeps_the_good_ones(api: Api, key: str) -> None:
    run = execution(api, key)
    items = [thumb(run, feedback_id=f"a-{run}"), {"feedback_type": "thumbs_up"}, thumb(run, feedback_id=f"a-{run}"), 7,
             thumb(run, feedback_id=f"a-{run}", rating=1), thumb("unknown"), thumb(run)]  # fmt: skip
    answer = api.post("/feedback/batch", {"items": items}, key)
    results = answer.json()["results"]
    assert [result["index"] for result in results] == list(range(7))
    assert [result["status"] for result in results] == ["stored", "rejected", "unchanged", "rejected", "rejected", "rejected", "stored"]
    assert [bool(result["error"]) for result in results] == [False, True, False, True, True, True, False]
    assert count(api, "agent_feedback WHERE execution_id = %s", run) == 2


@pytest.mark.parametrize("body", [{}, {"items": {}}, {"items": [{}] * 10_001}, []])
def test_a_batch_that_is_none_is_refused(api: Api, key: str, body: Any) -> None:
    assert api.post("/feedback/batch", body, key).status_code == 422


def test_an_empty_batch_stores_nothing(api: Api, key: str) -> None:
    assert api.post("/feedback/batch", {"items": []}, key).json() == {"results": []}


def test_ten_thousand_items_with_one_id_are_judged_at_once(api: Api, key: str) -> None:
    run = execution(api, key)
    same = api.post("/feedback/batch", {"items": [thumb(run, feedback_id=f"many-{run}")] * 10_000}, key).json()["results"]
    assert [result["status"] for result in same] == ["stored"] + ["unchanged"] * 9_999
    refused = [thumb("unknown", feedback_id=f"none-{run}", rating=1 + index % 5) for index in range(1_000)]
    assert {result["status"] for result in api.post("/feedback/batch", {"items": refused}, key).json()["results"]} == {"rejected"}


def test_a_record_whose_id_was_refused_earlier_in_the_batch_is_tried_for_itself(api: Api, key: str) -> None:
    name = f"twice-{uuid.uuid4()}"
    items = [thumb(name, feedback_id=name), thumb(name, feedback_id=name, agent="desk"), thumb(name, feedback_id=name)]
    assert [result["status"] for result in api.post("/feedback/batch", {"items": items}, key).json()["results"]] == ["rejected", "stored", "rejected"]
