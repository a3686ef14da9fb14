"""Review over HTTP with one reviewer per item: the queue, a verdict and what it does, what is refused.

Belongs here: one expert at a time. Not here: several reviewers (test_blind_review.py), undo (test_review_undo.py), experts at once.
"""

from __future__ import annotations

from typing import Any

import pytest

from learning_pipelines_tests.api.reviewing import count, example_row, examples, expert, judge, new_agent, queue
from learning_pipelines_tests.api.serving import Api

ADA, BOB = expert("ada"), expert("bob")


def test_the_queue_shows_what_is_open_with_what_it_takes_to_judge_it(api: Api) -> None:
    agent = new_agent(api)
    (name,) = examples(api, agent=agent, domain="tax")
    answer = api.get("/annotations/queue", ADA, params={"agent": agent}).json()
    assert answer["total"] == 1
    (item,) = answer["queue"]
    assert (item["example_id"], item["agent"], item["input_text"], item["domain"]) == (name, agent, f"Question {name}?", "tax")
    assert (item["review_status"], item["reviews_needed"], item["lease_until"], item["provenance"]) == ("pending", 1, None, [])


@pytest.mark.parametrize(("approved", "more", "status"), [(True, {}, "approved"), (False, {}, "rejected"), (None, {"needs_revision": True}, "needs_revision")])
def test_one_verdict_decides(api: Api, approved: bool | None, more: dict[str, Any], status: str) -> None:
    agent = new_agent(api)
    (name,) = examples(api, agent=agent)
    answer = judge(api, ADA, name, approved, notes="as it should be", **more)
    assert (answer.status_code, answer.json()["review_status"]) == (201, status)
    stored = example_row(api, name, "review_status, reviewed_by = (SELECT id FROM users WHERE external_id = 'ada'), reviewed_at IS NOT NULL, review_notes")
    assert stored == (status, True, True, "as it should be")
    assert queue(api, ADA, agent=agent) == []


def test_a_review_is_stored_whole_with_outbox_and_audit(api: Api) -> None:
    (name,) = examples(api)
    scores = {"technical_accuracy": 0.9, "professional_quality": 0.8, "completeness": 1, "clarity": 0}
    body = {"notes": "n", "improvement_suggestions": "s", "annotation_type": "quality_assessment", **scores}
    identity = judge(api, ADA, name, **body).json()["annotation_id"]
    stored = " AND ".join(f"{key} = '{value}'" for key, value in body.items())
    assert count(api, f"expert_annotations WHERE id = %s AND example_id = %s AND approved AND {stored}", identity, name) == 1
    assert count(api, "outbox WHERE kind = 'annotations' AND row_id = %s", name) == 1
    assert count(api, "audit_log WHERE subject_id = %s AND action = 'reviewed' AND actor = 'user:ada' AND before_hash <> after_hash", name) == 1


def test_a_decided_item_takes_no_further_verdict(api: Api) -> None:
    (name,) = examples(api)
    judge(api, ADA, name)
    answer = judge(api, BOB, name, False)
    assert (answer.status_code, answer.json()["field"]) == (409, "example_id")
    assert example_row(api, name) == "approved"
    assert count(api, "expert_annotations WHERE example_id = %s", name) == 1


def test_an_example_of_ones_own_words_is_neither_offered_nor_taken(api: Api) -> None:
    agent = new_agent(api)
    (name,) = examples(api, agent=agent, user="ada")
    assert (queue(api, ADA, agent=agent), queue(api, BOB, agent=agent)) == ([], [name])
    answer = judge(api, ADA, name)
    assert answer.status_code == 403
    assert "Another expert" in answer.json()["detail"]
    assert example_row(api, name) == "pending"


def test_an_example_of_another_organization_is_not_there(api: Api) -> None:
    (name,) = examples(api)
    api.key(organization="other")
    stranger = expert("eve", "other")
    assert judge(api, stranger, name).status_code == 404
    for verb in ("lease", "release", "skip"):
        assert api.post(f"/annotations/queue/{name}/{verb}", {}, stranger).status_code == 404
    assert example_row(api, name) == "pending"
    assert count(api, "review_seats WHERE example_id = %s", name) == 0


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"corrected_output": ""}, "corrected_output"), ({"corrected_output": " \n"}, "corrected_output"), ({"corrected_output": "a\x00"}, "corrected_output"),
        ({"clarity": 1.01}, "clarity"), ({"completeness": -0.1}, "completeness"), ({"technical_accuracy": "good"}, "technical_accuracy"),
        ({"approved": None}, "approved"), ({"needs_revision": True}, "needs_revision"), ({"approved": "yes"}, "approved"),
        ({"annotation_type": "essay"}, "annotation_type"), ({"surprise": 1}, "surprise"), ({"approved": False, "corrected_output": "x"}, "corrected_output"),
        ({"approved": None, "needs_revision": True, "annotation_type": "explanation"}, "annotation_type"),
    ],
)  # fmt: skip
def test_a_value_out_of_its_range_is_refused_by_name_and_changes_nothing(api: Api, change: dict[str, Any], field: str) -> None:
    (name,) = examples(api)
    answer = api.post("/annotations", {"example_id": name, "approved": True, **change}, ADA)
    assert (answer.status_code, answer.json()["field"]) == (422, field)
    assert example_row(api, name, "review_status, reviewed_by") == ("pending", None)
    assert count(api, "expert_annotations WHERE example_id = %s", name) == 0


@pytest.mark.parametrize("role", ["user", "trainer", "experimenter"])
def test_review_is_for_experts(api: Api, role: str) -> None:
    (name,) = examples(api)
    who = expert("mallory", role=role)
    assert judge(api, who, name).status_code == 403
    assert api.get("/annotations/queue", who).status_code == 403


@pytest.mark.parametrize("kind", ["explanation", "categorization", "difficulty_rating"])
def test_a_comment_without_a_verdict_decides_nothing(api: Api, kind: str) -> None:
    agent = new_agent(api)
    (name,) = examples(api, agent=agent)
    answer = judge(api, ADA, name, None, annotation_type=kind, notes="because of section 3")
    assert (answer.status_code, answer.json()["review_status"]) == (201, "pending")
    assert queue(api, ADA, agent=agent) == [name]


def test_a_skipped_item_is_gone_for_this_expert_only(api: Api) -> None:
    agent = new_agent(api)
    (name,) = examples(api, agent=agent)
    assert api.post(f"/annotations/queue/{name}/skip", {}, ADA).status_code == 200
    assert (queue(api, ADA, agent=agent), queue(api, BOB, agent=agent)) == ([], [name])


def test_filters_narrow_the_queue_and_its_total(api: Api) -> None:
    agent = new_agent(api)
    (vat,) = examples(api, agent=agent, domain="vat")
    (wages,) = examples(api, agent=agent, domain="wages", example_type="failure")
    assert set(queue(api, ADA, agent=agent)) == {vat, wages}
    for filters, found in (({"domain": "vat"}, vat), ({"type": "failure"}, wages), ({"status": "pending", "domain": "wages"}, wages)):
        answer = api.get("/annotations/queue", ADA, params={"agent": agent, **filters}).json()
        assert ([item["example_id"] for item in answer["queue"]], answer["total"]) == ([found], 1)


def test_an_unknown_agent_is_refused_by_name(api: Api) -> None:
    assert api.get("/annotations/queue", ADA, params={"agent": "nobody"}).status_code == 404


def test_a_key_speaks_for_the_expert_that_the_body_names(api: Api) -> None:
    agent = new_agent(api)
    first, second = examples(api, 2, agent=agent)
    key = api.key("expert")
    leased = api.post(f"/annotations/queue/{first}/lease", {"user": "eve"}, key)
    assert leased.status_code == 200
    assert api.post(f"/annotations/queue/{first}/lease", {"user": "fay"}, key).status_code == 409
    assert api.post("/annotations", {"example_id": first, "approved": True, "user": "eve"}, key).status_code == 201
    assert example_row(api, first, "review_status, reviewed_by = (SELECT id FROM users WHERE external_id = 'eve')") == ("approved", True)
    assert api.post(f"/annotations/queue/{second}/skip", {"user": "eve"}, key).status_code == 200
    assert api.get("/annotations/queue", key, params={"agent": agent, "user": "eve"}).json()["queue"] == []
    assert len(api.get("/annotations/queue", key, params={"agent": agent, "user": "fay"}).json()["queue"]) == 1


def test_an_expert_cannot_review_in_the_name_of_another(api: Api) -> None:
    (name,) = examples(api)
    answer = api.post("/annotations", {"example_id": name, "approved": True, "user": "bob"}, ADA)
    assert (answer.status_code, answer.json()["field"], example_row(api, name)) == (403, "user", "pending")
