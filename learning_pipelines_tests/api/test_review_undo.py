"""Many verdicts at once, and taking back what one request did.

Belongs here: bulk and undo. Not here: single verdicts (test_review.py).
"""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from learning_pipelines_tests.api.reviewing import count, example_row, examples, expert, judge, new_agent, queue
from learning_pipelines_tests.api.serving import Api

ADA, BOB, CYD = expert("ada"), expert("bob"), expert("cyd")
STATE = """review_status, reviewed_by, reviewed_at, review_notes, review_round, reviews_needed, adjudicating, example_type, expected_output,
    encode(content_hash, 'hex')"""


def bulk(api: Api, who: str, ids: list[str], approved: bool = True, **more: Any) -> Any:
    return api.post("/annotations/bulk", {"example_ids": ids, "approved": approved, **more}, who)


def undo(api: Api, who: str, undo_id: Any) -> Any:
    return api.post(f"/annotations/undo/{undo_id}", {}, who)


@pytest.mark.parametrize(("approved", "status"), [(True, "approved"), (False, "rejected")])
def test_many_items_get_the_same_verdict(api: Api, approved: bool, status: str) -> None:
    ids = examples(api, 5)
    answer = bulk(api, ADA, ids, approved)
    assert answer.status_code == 201, answer.text
    assert {(result["example_id"], result["review_status"]) for result in answer.json()["results"]} == {(one, status) for one in ids}
    assert [example_row(api, one) for one in ids] == [status] * 5
    assert count(api, "outbox WHERE kind = 'annotations' AND row_id = ANY(%s)", ids) == 5


def test_undo_restores_the_state_before_exactly(api: Api) -> None:
    agent = new_agent(api)
    ids = examples(api, 4, agent=agent)
    judge(api, BOB, ids[0], None, needs_revision=True, notes="unclear")
    before = [example_row(api, one, STATE) for one in ids]
    undo_id = bulk(api, ADA, ids, notes="fine").json()["undo_id"]
    answer = undo(api, ADA, undo_id)
    assert (answer.status_code, set(answer.json()["restored"])) == (200, set(ids))
    assert [example_row(api, one, STATE) for one in ids] == before
    assert set(queue(api, ADA, agent=agent)) == set(ids)
    assert count(api, "expert_verdicts WHERE example_id = ANY(%s)", ids) == 1  # what was taken back counts for nothing
    assert count(api, "audit_log WHERE action = 'undone' AND subject_id = ANY(%s)", ids) == 4
    assert count(api, "outbox WHERE kind = 'annotations' AND row_id = %s", ids[1]) == 2


def test_after_an_undo_the_same_expert_may_judge_again(api: Api) -> None:
    (name,) = examples(api)
    undo(api, ADA, judge(api, ADA, name).json()["undo_id"])
    assert judge(api, ADA, name, False).json()["review_status"] == "rejected"


def test_undo_brings_back_the_text_that_was_edited(api: Api) -> None:
    (name,) = examples(api, example_type="positive")
    before = example_row(api, name, STATE)
    undo_id = judge(api, ADA, name, corrected_output="Something else.").json()["undo_id"]
    assert example_row(api, name, "example_type, expected_output") == ("correction", "Something else.")
    assert undo(api, ADA, undo_id).status_code == 200
    assert example_row(api, name, STATE) == before


@pytest.mark.parametrize("what", ["verified", "judged again", "undone and decided"])
def test_undo_is_refused_by_name_when_something_happened_since(api: Api, what: str) -> None:
    first, second = examples(api, 2, agent=new_agent(api, reviewers=2))
    done = bulk(api, ADA, [first, second]).json()
    if what == "verified":
        judge(api, BOB, second)
        annotation = next(result["annotation_id"] for result in done["results"] if result["example_id"] == second)
        api.post(f"/annotations/{annotation}/verify", {}, BOB)
    else:
        later = judge(api, BOB, second).json()["undo_id"]
        if what == "undone and decided":
            undo(api, BOB, later)
            judge(api, CYD, second, False)
    before = [example_row(api, one, STATE) for one in (first, second)]
    answer = undo(api, ADA, done["undo_id"])
    assert (answer.status_code, second in answer.json()["detail"], first in answer.json()["detail"]) == (409, True, False)
    assert [example_row(api, one, STATE) for one in (first, second)] == before


def test_what_others_did_and_what_is_undone_cannot_be_undone(api: Api) -> None:
    (name,) = examples(api)
    undo_id = judge(api, ADA, name).json()["undo_id"]
    assert undo(api, BOB, undo_id).status_code == 403
    assert (undo(api, ADA, undo_id).status_code, undo(api, ADA, undo_id).status_code) == (200, 409)
    assert undo(api, ADA, uuid4()).status_code == 404
    api.key(organization="elsewhere")
    assert undo(api, expert("ada", "elsewhere"), undo_id).status_code == 404


def test_one_item_that_cannot_be_judged_refuses_them_all_by_name(api: Api) -> None:
    fine, own, decided = examples(api)[0], examples(api, user="ada")[0], examples(api)[0]
    judge(api, BOB, decided)
    answer = bulk(api, ADA, [fine, own, decided])
    assert answer.status_code in (403, 409)
    assert (own in answer.json()["detail"], decided in answer.json()["detail"], answer.json()["field"]) == (True, True, "example_ids")
    missing = bulk(api, ADA, [fine, "x-nowhere"])
    assert (missing.status_code, "x-nowhere" in missing.json()["detail"]) == (404, True)
    assert example_row(api, fine) == "pending"
    assert count(api, "expert_annotations WHERE example_id = %s", fine) == 0


def test_items_that_would_say_the_same_as_withdrawn_ones_are_all_named(api: Api) -> None:
    """The first of them ended the transaction for the others: an answer of 500."""
    agent = new_agent(api, reviewers=3)
    ids = examples(api, 2, agent=agent)
    for one in ids:
        for who in (ADA, BOB):
            assert judge(api, who, one, corrected_output=f"Better {one}.").status_code == 201
    gone = [examples(api, agent=agent, input_text=f"Question {one}?", expected_output=f"Better {one}.")[0] for one in ids]
    with api.database.connect("pipeline") as connection:
        connection.execute("UPDATE learning_examples SET source_type = 'user_feedback' WHERE id = ANY(%s)", [[*ids, *gone]])
        connection.execute("UPDATE learning_examples SET is_active = false WHERE id = ANY(%s)", [gone])
    answer = bulk(api, CYD, ids)
    assert answer.status_code == 409 and all(f"{one} would say the same" in answer.json()["detail"] for one in ids), answer.text
    assert [example_row(api, one) for one in ids] == ["in_review"] * 2


def test_undoing_a_disagreement_closes_its_adjudication(api: Api) -> None:
    (name,) = examples(api, agent=new_agent(api, reviewers=2))
    judge(api, ADA, name)
    undo_id = judge(api, BOB, name, False).json()["undo_id"]
    assert undo(api, BOB, undo_id).status_code == 200
    assert count(api, "adjudications WHERE example_id = %s AND resolved_at IS NULL", name) == 0
    assert example_row(api, name, "review_status, reviews_needed, adjudicating") == ("in_review", 2, False)
    assert judge(api, CYD, name).json()["review_status"] == "approved"
