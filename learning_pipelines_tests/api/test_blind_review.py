"""Several reviewers per item: blind until one has judged, never the same expert twice, disagreement and adjudication, verification, hints.

Belongs here: experts one after another. Not here: experts at once (test_experts_at_once.py), leases (test_review_leases.py).
"""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import psycopg
import pytest

from learning_pipelines.feedback.identity import organization_id, user_id
from learning_pipelines_tests.api.reviewing import count, example_row, examples, expert, judge, new_agent, one, queue
from learning_pipelines_tests.api.serving import Api

ADA, BOB, CYD, ADMIN = expert("ada"), expert("bob"), expert("cyd"), expert("root", role="admin")


@pytest.fixture
def pair(api: Api) -> str:
    """An item that takes two reviewers."""
    return examples(api, agent=new_agent(api, reviewers=2))[0]


def seen(api: Api, who: str, example_id: str) -> list[tuple[str, bool | None]]:
    answer = api.get("/annotations", who, params={"example_id": example_id})
    assert answer.status_code == 200, answer.text
    return [(said["expert"], said["approved"]) for said in answer.json()["annotations"]]


def test_two_approvals_approve_and_one_does_not(api: Api, pair: str) -> None:
    assert judge(api, ADA, pair).json()["review_status"] == "in_review"
    assert example_row(api, pair, "review_status, reviewed_by, reviewed_at") == ("in_review", None, None)
    assert judge(api, BOB, pair).json()["review_status"] == "approved"


def test_an_expert_counts_once(api: Api, pair: str) -> None:
    judge(api, ADA, pair)
    again = judge(api, ADA, pair)
    assert (again.status_code, "already" in again.json()["detail"]) == (409, True)
    assert example_row(api, pair) == "in_review"
    assert count(api, "expert_annotations WHERE example_id = %s", pair) == 1


def test_the_database_refuses_a_second_verdict_of_an_expert(api: Api, pair: str) -> None:
    judge(api, ADA, pair)
    with api.database.connect("pipeline") as connection, pytest.raises(psycopg.errors.UniqueViolation):
        connection.execute(
            """INSERT INTO expert_annotations (organization_id, example_id, expert_id, approved, round, is_verdict)
            SELECT organization_id, example_id, expert_id, false, round, true FROM expert_annotations WHERE example_id = %s""",
            [pair],
        )


def test_the_database_refuses_two_holders_of_one_seat(api: Api, pair: str) -> None:
    api.post(f"/annotations/queue/{pair}/lease", {}, ADA)
    judge(api, BOB, examples(api)[0])  # bob is known now
    with api.database.connect("pipeline") as connection, pytest.raises(psycopg.errors.UniqueViolation):
        connection.execute(
            """INSERT INTO review_seats (organization_id, example_id, expert_id, round, seat, state)
            SELECT organization_id, example_id, %s, round, seat, 'reviewed' FROM review_seats WHERE example_id = %s""",
            [user_id(organization_id("default"), "bob"), pair],
        )


@pytest.mark.parametrize("who", [BOB, ADMIN])
def test_anothers_open_verdict_is_hidden_until_one_has_judged_oneself(api: Api, pair: str, who: str) -> None:
    judge(api, ADA, pair, False, notes="no source")
    assert seen(api, who, pair) == []
    (item,) = [item for item in api.get("/annotations/queue", who).json()["queue"] if item["example_id"] == pair]
    assert "no source" not in str(item)
    judge(api, who, pair)
    assert [approved for _, approved in seen(api, who, pair)] == [False, True]


def test_the_database_hides_it_too(api: Api, pair: str) -> None:
    judge(api, ADA, pair, False)
    judge(api, BOB, examples(api)[0])
    organization = organization_id("default")

    def readable(name: str) -> int:
        with api.database.connect("api", autocommit=False) as connection:
            for key, value in (("organization_id", organization), ("user_id", user_id(organization, name)), ("role", "expert")):
                connection.execute("SELECT set_config(%s, %s, true)", [f"app.current_{key}", str(value)])
            found = one(connection, "SELECT count(*) FROM expert_annotations WHERE example_id = %s", pair)
            connection.rollback()
            return int(found)

    assert (readable("ada"), readable("bob")) == (1, 0)
    judge(api, BOB, pair, False)
    assert (readable("ada"), readable("bob"), readable("cyd")) == (2, 2, 2)  # decided: no opinion is open any more


def test_a_comment_does_not_open_the_verdicts_of_others(api: Api, pair: str) -> None:
    judge(api, ADA, pair, False)
    judge(api, BOB, pair, None, annotation_type="explanation", notes="see section 3")
    assert seen(api, BOB, pair) == [("bob", None)]


def test_a_disagreement_goes_to_a_third_expert_who_decides(api: Api, pair: str) -> None:
    judge(api, ADA, pair)
    assert judge(api, BOB, pair, False).json()["review_status"] == "in_review"
    assert count(api, "adjudications WHERE example_id = %s AND resolved_at IS NULL", pair) == 1
    agent = example_row(api, pair, "(SELECT slug FROM agents a WHERE a.id = agent_id)")
    assert (queue(api, ADA, agent=agent), queue(api, BOB, agent=agent)) == ([], [])
    (item,) = api.get("/annotations/queue", CYD, params={"agent": agent}).json()["queue"]
    assert (item["example_id"], item["worth"]["adjudicating"], item["reviews_needed"]) == (pair, True, 3)
    assert seen(api, CYD, pair) == []
    assert judge(api, CYD, pair, False).json()["review_status"] == "rejected"
    assert count(api, "adjudications WHERE example_id = %s AND resolved_by = %s", pair, user_id(organization_id("default"), "cyd")) == 1


def item_of(api: Api, who: str, example_id: str) -> dict[str, Any]:
    agent = example_row(api, example_id, "(SELECT slug FROM agents a WHERE a.id = agent_id)")
    (item,) = api.get("/annotations/queue", who, params={"agent": agent}).json()["queue"]
    return dict(item)


def test_an_adjudicator_sees_the_texts_that_stand_against_each_other_and_nothing_of_who_wrote_them(api: Api, pair: str) -> None:
    as_it_stands = example_row(api, pair, "expected_output")
    assert item_of(api, ADA, pair)["candidates"] == []
    judge(api, ADA, pair, notes="ada's secret notes", technical_accuracy=0.123)
    assert item_of(api, CYD, pair)["candidates"] == []
    judge(api, BOB, pair, corrected_output="Form 7.", notes="bob's secret notes", improvement_suggestions="ask bob")
    item = item_of(api, CYD, pair)
    assert sorted(item["candidates"]) == sorted([as_it_stands, "Form 7."])
    assert not any(told in str(item) for told in ("ada", "bob", "secret", "0.123"))
    assert seen(api, CYD, pair) == []
    judge(api, CYD, pair, corrected_output="Form 7.")
    assert example_row(api, pair, "review_status, expected_output") == ("approved", "Form 7.")


def test_a_rejection_adds_no_candidate_and_equal_texts_are_one(api: Api) -> None:
    (name,) = examples(api, agent=new_agent(api, reviewers=4))
    for who, verdict, said in ((ADA, True, {}), (BOB, True, {}), (CYD, False, {}), (expert("dan"), False, {"notes": "no"})):
        judge(api, who, name, verdict, **said)
    assert item_of(api, expert("eve"), name)["candidates"] == [example_row(api, name, "expected_output")]


def test_an_adjudicator_who_takes_a_verdict_back_leaves_no_candidate_behind(api: Api, pair: str) -> None:
    judge(api, ADA, pair)
    judge(api, BOB, pair, corrected_output="Form 7.")
    before = item_of(api, CYD, pair)["candidates"]
    done = judge(api, CYD, pair, corrected_output="Form 8.").json()
    assert api.post(f"/annotations/undo/{done['undo_id']}", {}, CYD).status_code == 200
    assert item_of(api, expert("dan"), pair)["candidates"] == before


def test_a_revision_opens_a_round_in_which_everyone_may_judge_again(api: Api) -> None:
    agent = new_agent(api)
    (name,) = examples(api, agent=agent)
    judge(api, ADA, name, None, needs_revision=True, notes="give the form's name")
    assert (queue(api, ADA, agent=agent), queue(api, ADA, agent=agent, status="needs_revision"), queue(api, BOB, agent=agent)) == ([], [name], [name])
    assert seen(api, BOB, name) == [("ada", None)]
    answer = judge(api, ADA, name, corrected_output="Form 1.")
    assert answer.json()["review_status"] == "approved"
    assert example_row(api, name, "expected_output, review_round") == ("Form 1.", 2)


def test_the_number_of_reviewers_is_set_per_agent_and_organization(api: Api) -> None:
    first, second = new_agent(api, reviewers=1), new_agent(api, reviewers=1)
    begun, new = examples(api, 2, agent=first)
    api.post(f"/annotations/queue/{begun}/lease", {}, BOB)
    answer = api.ask("PUT", "/annotations/settings", ADMIN, params={"agent": first}, json={"reviewers": 2})
    assert answer.status_code == 200, answer.text
    assert api.get("/annotations/settings", ADA, params={"agent": first}).json() == {"reviewers": 2, "lease_seconds": 900}
    assert api.get("/annotations/settings", ADA, params={"agent": second}).json()["reviewers"] == 1
    assert judge(api, ADA, new).json()["review_status"] == "in_review"
    assert judge(api, BOB, begun).json()["review_status"] == "approved"  # it keeps the number it began with
    assert api.ask("PUT", "/annotations/settings", ADA, params={"agent": first}, json={"reviewers": 1}).status_code == 403


def verify(api: Api, who: str, annotation: Any) -> Any:
    return api.post(f"/annotations/{annotation}/verify", {}, who)


def test_a_second_expert_verifies_an_annotation(api: Api) -> None:
    (name,) = examples(api)
    annotation = judge(api, ADA, name).json()["annotation_id"]
    answer = verify(api, BOB, annotation)
    assert (answer.status_code, answer.json()["is_verified"], answer.json()["verified_by"]) == (200, True, "bob")
    assert verify(api, BOB, annotation).status_code == 200
    assert verify(api, CYD, annotation).status_code == 409
    assert count(api, "audit_log WHERE subject_id = %s AND action = 'verified'", annotation) == 1


def test_nobody_verifies_their_own_annotation(api: Api) -> None:
    (name,) = examples(api)
    annotation = judge(api, ADA, name).json()["annotation_id"]
    assert verify(api, ADA, annotation).status_code == 403
    assert count(api, "expert_annotations WHERE id = %s AND NOT is_verified AND verified_by IS NULL", annotation) == 1


def test_what_one_may_not_see_one_cannot_verify(api: Api, pair: str) -> None:
    annotation = judge(api, ADA, pair).json()["annotation_id"]
    assert verify(api, BOB, annotation).status_code == 404
    assert verify(api, BOB, uuid4()).status_code == 404


def test_hints_come_after_the_verdict(api: Api) -> None:
    agent = new_agent(api)
    near, far = "When is the VAT return due?", "How do I close the month?"
    for text in (near, far):
        judge(api, BOB, examples(api, agent=agent, input_text=text)[0])
    (name,) = examples(api, agent=agent, input_text="When is the VAT return of March due?")
    assert api.get(f"/annotations/queue/{name}/hints", ADA).status_code == 409
    found = judge(api, ADA, name).json()["hints"]
    assert (found["nearest"]["input_text"], found["nearest"]["by"], found["judge"]) == (near, "words", None)
    assert found["nearest"]["similarity"] == pytest.approx(6 / 8)
    assert api.get(f"/annotations/queue/{name}/hints", ADA).json() == found
    assert api.get(f"/annotations/queue/{name}/hints", CYD).status_code == 409


def test_stored_vectors_find_the_nearest_approved_example(api: Api) -> None:
    agent = new_agent(api)
    near, far, name = examples(api, 3, agent=agent)
    for other in (near, far):
        judge(api, BOB, other)
    with api.database.connect("pipeline") as connection:
        for example, vector in ((near, "[1,0.1]"), (far, "[0,1]"), (name, "[1,0]")):
            connection.execute(
                "INSERT INTO example_embeddings (organization_id, encoder, example_id, agent_id, embedding) SELECT organization_id, 'e', id, agent_id, %s "
                "FROM learning_examples WHERE id = %s",
                [vector, example],
            )
    found = judge(api, ADA, name).json()["hints"]["nearest"]
    assert (found["example_id"], found["by"]) == (near, "embedding")
    assert found["similarity"] == pytest.approx(0.995, abs=0.001)
