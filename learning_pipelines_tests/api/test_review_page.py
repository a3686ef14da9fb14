"""What the page for reviewing asks for beside verdicts: progress, one item by its name, the next item apart from those at hand, contradictions.

Belongs here: those answers. Not here: the page (browser/test_annotate.py), the queue and its rules (test_review.py).
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from learning_pipelines_tests.api.reviewing import examples, expert, judge, load, new_agent
from learning_pipelines_tests.api.serving import Api

ADA, BOB, CYD = expert("ada"), expert("bob"), expert("cyd")


def progress(api: Api, who: str, **query: Any) -> dict[str, Any]:
    answer = api.get("/annotations/progress", who, params=query)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_progress_counts_verdicts_of_one_and_of_all_without_what_was_taken_back(api: Api) -> None:
    before = progress(api, ADA)
    first, second, third, _ = examples(api, 4, agent=new_agent(api))
    judge(api, ADA, first)
    judge(api, ADA, second, None, annotation_type="explanation", notes="no verdict")
    judge(api, BOB, second, False)
    taken_back = judge(api, ADA, third).json()["undo_id"]
    assert api.post(f"/annotations/undo/{taken_back}", {}, ADA).status_code == 200
    after = progress(api, ADA)
    grown = {name: after[name] - before[name] for name in ("mine_today", "all_today", "mine", "all", "open", "open_to_me", "decided")}
    assert grown == {"mine_today": 1, "all_today": 2, "mine": 1, "all": 2, "open": 2, "open_to_me": 2, "decided": 2}


def test_progress_counts_what_others_said_about_open_items_and_who_they_were_not(api: Api) -> None:
    """Row-level security hides open verdicts from an expert; their number is no opinion."""
    (pair,) = examples(api, agent=new_agent(api, reviewers=2))
    before = progress(api, CYD)
    judge(api, ADA, pair)
    after = progress(api, CYD)
    assert after["all"] - before["all"] == 1
    assert set(after) == {"mine_today", "all_today", "mine", "all", "experts", "open", "open_to_me", "decided", "days", "since"}


def test_the_period_of_progress_ends_today(api: Api) -> None:
    judge(api, ADA, examples(api)[0])
    with api.database.connect("pipeline") as connection:
        connection.execute("UPDATE expert_annotations SET received_at = now() - interval '3 days'")
    assert (progress(api, ADA, days=1)["all"], progress(api, ADA, days=7)["all_today"]) == (0, 0)
    assert progress(api, ADA, days=7)["all"] == progress(api, ADA, days=30)["all"] > 0
    assert api.get("/annotations/progress", ADA, params={"days": 0}).status_code == 422


def test_an_item_is_shown_by_its_name_also_when_it_is_decided(api: Api) -> None:
    (name,) = examples(api)
    judge(api, ADA, name)
    found = api.get(f"/annotations/queue/{name}", BOB)
    assert (found.status_code, found.json()["example_id"], found.json()["review_status"], found.json()["lease_until"]) == (200, name, "approved", None)
    assert api.get("/annotations/queue/nothing", BOB).status_code == 404
    assert api.get(f"/annotations/queue/{name}", expert("uma", role="user")).status_code == 403


def test_an_item_whose_name_has_slashes_goes_through_the_whole_flow(api: Api) -> None:
    load(api, "examples", [{"example_id": "a/b c/d", "agent": new_agent(api), "input_text": "One?", "expected_output": "Two."}])
    name = "a%2Fb%20c%2Fd"
    assert [api.post(f"/annotations/queue/{name}/{verb}", {}, ADA).status_code for verb in ("lease", "release", "skip", "lease")] == [200] * 4
    assert api.get(f"/annotations/queue/{name}", ADA).json()["example_id"] == "a/b c/d"
    judge(api, ADA, "a/b c/d")
    assert api.get(f"/annotations/queue/{name}/hints", ADA).status_code == 200


def test_a_second_window_gets_another_item_and_the_time_it_is(api: Api) -> None:
    agent = new_agent(api)
    both = set(examples(api, 2, agent=agent))
    first = api.post("/annotations/queue/next", {"agent": agent, "limit": 1}, ADA).json()
    again = api.post("/annotations/queue/next", {"agent": agent, "limit": 1}, ADA).json()
    at_hand = first["queue"][0]["example_id"]
    other = api.post("/annotations/queue/next", {"agent": agent, "limit": 1, "exclude": [at_hand]}, ADA).json()
    assert again["queue"][0]["example_id"] == at_hand
    assert {at_hand, other["queue"][0]["example_id"]} == both
    lasts = dt.datetime.fromisoformat(first["queue"][0]["lease_until"]) - dt.datetime.fromisoformat(first["now"])
    assert 800 < lasts.total_seconds() <= 900


def test_what_contradicts_an_item_is_shown_after_the_verdict(api: Api) -> None:
    first, second = sorted(examples(api, 2, agent=new_agent(api)))
    with api.database.connect("pipeline") as connection:
        connection.execute(
            """INSERT INTO example_conflicts (organization_id, agent_id, first_id, second_id, reason, first_output, second_output)
            SELECT organization_id, agent_id, %s, %s, 'other answer', ''::bytea, ''::bytea FROM learning_examples WHERE id = %s""",
            [first, second, first],
        )
    assert api.get(f"/annotations/queue/{second}/hints", ADA).status_code == 409
    (other,) = judge(api, ADA, second, None, needs_revision=True).json()["hints"]["contradictions"]
    assert (other["example_id"], other["expected_output"], other["reason"]) == (first, f"Right {first}.", "other answer")
