"""Experts who work at the same moment, each on connections of their own: nothing is reviewed too often, too seldom or by accident.

Belongs here: races. Not here: one expert after another (test_blind_review.py, test_review_leases.py).
"""

from __future__ import annotations

import threading
import zlib
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from learning_pipelines.examples.review import State, Status, Verdict, Vote, outcome
from learning_pipelines_tests.api.reviewing import count, example_row, examples, expert, judge, new_agent, one
from learning_pipelines_tests.api.serving import BASE, Api

EXPERTS = [expert(f"expert-{number}") for number in range(6)]


def at_once(*works: Callable[[], Any]) -> list[Any]:
    """The answers of all, begun at the same moment."""
    barrier = threading.Barrier(len(works))

    def begin(work: Callable[[], Any]) -> Any:
        barrier.wait(timeout=20)
        return work()

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(begin, works))


def approves(name: str, example_id: str) -> bool:
    """An opinion that follows from who says it about what: about one item in four is contested."""
    return zlib.crc32(f"{name}/{example_id}".encode()) % 4 > 0


def work_until_done(api: Api, agent: str, name: str) -> list[str]:
    """One expert's day: take what is next, judge it, until every item is decided. Returns what they judged."""
    judged: list[str] = []
    with httpx.Client(base_url=api.url + BASE, headers={"Authorization": f"Bearer {expert(name)}"}, timeout=30) as http:
        for _ in range(400):
            page = http.post("/annotations/queue/next", json={"agent": agent, "limit": 3}).json()["queue"]
            for item in page:
                body = {"example_id": item["example_id"], "approved": approves(name, item["example_id"])}
                answer = http.post("/annotations", json=body)
                assert answer.status_code == 201, answer.text
                judged.append(item["example_id"])
            if not page and count(api, "learning_examples e JOIN agents a ON a.id = e.agent_id WHERE a.slug = %s AND reviewed_at IS NULL", agent) == 0:
                break
    return judged


def test_several_experts_review_every_item_exactly_as_often_as_wanted(api: Api) -> None:
    agent = new_agent(api, reviewers=2)
    ids = examples(api, 40, agent=agent)
    judged = at_once(*[lambda name=f"expert-{number}": work_until_done(api, agent, name) for number in range(6)])  # type: ignore[misc]
    assert all(max(Counter(of_one).values(), default=0) <= 1 for of_one in judged)
    times = Counter(one for of_one in judged for one in of_one)
    with api.database.connect("pipeline") as connection:
        stored = {
            name: (status, needed, verdicts)
            for name, status, needed, verdicts in connection.execute(
                """SELECT e.id, e.review_status, e.reviews_needed, array_agg(n.approved ORDER BY n.created_at) FROM learning_examples e
                JOIN expert_annotations n ON n.organization_id = e.organization_id AND n.example_id = e.id
                WHERE e.id = ANY(%s) GROUP BY 1, 2, 3, e.organization_id""",
                [ids],
            ).fetchall()
        }
    assert set(stored) == set(ids) == set(times)
    for name, (status, needed, verdicts) in stored.items():
        votes = [Vote(Verdict.APPROVE if approved else Verdict.REJECT) for approved in verdicts]
        assert len(votes) == needed == times[name] == (2 if votes[0] == votes[1] else 3)
        assert status == outcome(State(Status.IN_REVIEW, 1, needed, adjudicating=needed == 3), votes).state.status
    assert {needed for _, needed, _ in stored.values()} == {2, 3}


def test_experts_who_ask_at_once_get_different_items(api: Api) -> None:
    agent = new_agent(api)
    ids = examples(api, 24, agent=agent)
    asked = [lambda who=who: api.post("/annotations/queue/next", {"agent": agent, "limit": 4}, who).json()["queue"] for who in EXPERTS]  # type: ignore[misc]
    pages = [[item["example_id"] for item in page] for page in at_once(*asked)]
    given = [name for page in pages for name in page]
    assert len(given) == len(set(given))
    assert set(given) <= set(ids)
    assert all(pages)


def test_an_item_takes_no_more_verdicts_than_wanted(api: Api) -> None:
    for reviewers in (1, 3):
        (name,) = examples(api, agent=new_agent(api, reviewers=reviewers))
        answers = at_once(*[lambda who=who, name=name: judge(api, who, name).status_code for who in EXPERTS])  # type: ignore[misc]
        assert Counter(answers) == {201: reviewers, 409: len(EXPERTS) - reviewers}
        assert count(api, "expert_annotations WHERE example_id = %s", name) == reviewers
        assert example_row(api, name) == "approved"


def test_an_expert_who_sends_a_review_many_times_at_once_counts_once(api: Api) -> None:
    (name,) = examples(api, agent=new_agent(api, reviewers=3))
    answers = at_once(*[lambda: judge(api, EXPERTS[0], name).status_code] * 6)
    assert Counter(answers) == {201: 1, 409: 5}
    assert (count(api, "expert_annotations WHERE example_id = %s", name), example_row(api, name)) == (1, "in_review")


def test_bulk_verdicts_on_the_same_items_neither_wait_for_each_other_nor_mix(api: Api) -> None:
    ids = examples(api, 12, agent=new_agent(api))
    bodies = [{"example_ids": ids, "approved": True}, {"example_ids": ids[::-1], "approved": False}]
    answers = at_once(*[lambda who=who, body=body: api.post("/annotations/bulk", body, who) for who, body in zip(EXPERTS, bodies, strict=False)])  # type: ignore[misc]
    assert sorted(answer.status_code for answer in answers) == [201, 409]
    assert len({example_row(api, name) for name in ids}) == 1


def test_a_verdict_and_its_undo_never_leave_half_of_either(api: Api) -> None:
    (name,) = examples(api, agent=new_agent(api, reviewers=2))
    undo_id = judge(api, EXPERTS[0], name).json()["undo_id"]
    answers = at_once(lambda: api.post(f"/annotations/undo/{undo_id}", {}, EXPERTS[0]).status_code, lambda: judge(api, EXPERTS[1], name).status_code)
    counted = count(api, "expert_annotations WHERE example_id = %s AND withdrawn_at IS NULL", name)
    assert (answers, counted, example_row(api, name)) in [([200, 201], 1, "in_review"), ([409, 201], 2, "approved")]


def test_two_edits_to_the_same_text_make_no_two_examples_of_it(api: Api) -> None:
    first, second = examples(api, 2, agent=new_agent(api), input_text="Which form?", original_output="Form 9.")
    answers = at_once(*[
        lambda who=who, name=name: judge(api, who, name, corrected_output="Form 1.").status_code  # type: ignore[misc]
        for who, name in ((EXPERTS[0], first), (EXPERTS[1], second))
    ])  # fmt: skip
    assert sorted(answers) == [201, 409]


def test_a_run_out_lease_is_either_taken_over_or_renewed(api: Api) -> None:
    (name,) = examples(api, agent=new_agent(api))
    api.post(f"/annotations/queue/{name}/lease", {}, EXPERTS[0])
    with api.database.connect("pipeline") as connection:
        connection.execute("UPDATE review_seats SET leased_until = now() - interval '1 second' WHERE example_id = %s", [name])
    answers = at_once(*[lambda who=who: api.post(f"/annotations/queue/{name}/lease", {}, who).status_code for who in EXPERTS[:3]])  # type: ignore[misc]
    assert Counter(answers) == {200: 1, 409: 2}
    with api.database.connect("pipeline") as connection:
        assert one(connection, "SELECT count(*) FROM review_seats WHERE example_id = %s AND state = 'leased' AND leased_until > now()", name) == 1
