"""Leases: who holds an item, for how long, and what happens when the time is over.

Belongs here: leasing, releasing, skipping, running out. Not here: verdicts (test_review.py), experts at once (test_experts_at_once.py).
"""

from __future__ import annotations

import datetime as dt

from learning_pipelines_tests.api.reviewing import count, example_row, examples, expert, judge, new_agent, queue
from learning_pipelines_tests.api.serving import Api

ADA, BOB = expert("ada"), expert("bob")


def lease(api: Api, who: str, example_id: str, verb: str = "lease") -> int:
    return api.post(f"/annotations/queue/{example_id}/{verb}", {}, who).status_code


def run_out(api: Api, example_id: str) -> None:
    with api.database.connect("pipeline") as connection:
        connection.execute("UPDATE review_seats SET leased_until = now() - interval '1 second' WHERE example_id = %s", [example_id])


def test_a_leased_item_is_in_no_other_queue_and_taken_from_nobody(api: Api) -> None:
    agent = new_agent(api, lease_seconds=600)
    (name,) = examples(api, agent=agent)
    before = dt.datetime.now(dt.UTC)
    answer = api.post(f"/annotations/queue/{name}/lease", {}, ADA).json()
    assert 590 < (dt.datetime.fromisoformat(answer["lease_until"]) - before).total_seconds() < 630
    assert (queue(api, ADA, agent=agent), queue(api, BOB, agent=agent)) == ([name], [])
    assert api.get("/annotations/queue", BOB, params={"agent": agent}).json()["total"] == 0
    assert (lease(api, BOB, name), judge(api, BOB, name).status_code) == (409, 409)
    assert judge(api, ADA, name).status_code == 201


def test_an_item_for_two_can_be_leased_by_two_but_not_by_three(api: Api) -> None:
    (name,) = examples(api, agent=new_agent(api, reviewers=2))
    assert [lease(api, expert(who), name) for who in ("ada", "bob", "cyd")] == [200, 200, 409]


def test_a_released_item_is_there_for_others(api: Api) -> None:
    (name,) = examples(api)
    assert (lease(api, ADA, name), lease(api, ADA, name, "release"), lease(api, BOB, name)) == (200, 200, 200)


def test_a_skipped_lease_is_there_for_others(api: Api) -> None:
    (name,) = examples(api)
    assert (lease(api, ADA, name), lease(api, ADA, name, "skip"), lease(api, BOB, name)) == (200, 200, 200)


def test_a_lease_can_be_prolonged(api: Api) -> None:
    (name,) = examples(api)
    first, second = (api.post(f"/annotations/queue/{name}/lease", {}, ADA).json()["lease_until"] for _ in range(2))
    assert first < second


def test_a_review_after_the_lease_ran_out_is_refused_and_changes_nothing(api: Api) -> None:
    (name,) = examples(api)
    lease(api, ADA, name)
    run_out(api, name)
    answer = judge(api, ADA, name)
    assert (answer.status_code, "ran out" in answer.json()["detail"], "Lease it again" in answer.json()["detail"]) == (409, True, True)
    assert example_row(api, name, "review_status, reviewed_by") == ("pending", None)
    assert count(api, "expert_annotations WHERE example_id = %s", name) == 0
    assert (lease(api, ADA, name), judge(api, ADA, name).status_code) == (200, 201)


def test_when_a_lease_has_run_out_another_expert_gets_the_item_and_the_first_is_refused(api: Api) -> None:
    agent = new_agent(api, reviewers=2)
    (name,) = examples(api, agent=agent)
    lease(api, ADA, name)
    run_out(api, name)
    assert lease(api, BOB, name) == 200
    answer = judge(api, ADA, name)
    assert (answer.status_code, "ran out" in answer.json()["detail"]) == (409, True)
    assert judge(api, BOB, name).status_code == 201


def test_the_next_items_come_leased_best_first_and_not_twice(api: Api) -> None:
    agent = new_agent(api)
    good, fault = examples(api, agent=agent, example_type="positive")[0], examples(api, agent=agent, example_type="failure")[0]
    first = api.post("/annotations/queue/next", {"agent": agent, "limit": 1}, ADA).json()["queue"]
    second = api.post("/annotations/queue/next", {"agent": agent, "limit": 5}, BOB).json()["queue"]
    assert ([item["example_id"] for item in first], [item["example_id"] for item in second]) == ([fault], [good])
    assert all(item["lease_until"] for item in first + second)


def test_leases_are_audited(api: Api) -> None:
    (name,) = examples(api)
    for verb in ("lease", "release", "skip"):
        lease(api, ADA, name, verb)
    assert count(api, "audit_log WHERE subject_id = %s AND action IN ('leased', 'released', 'skipped')", name) == 3
