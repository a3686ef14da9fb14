"""GET /feedback/mine and feedback that takes back: what is in force of one's own, and what became of it.

Belongs here: the route, over real rows. Not here: what the widget shows of it (browser/test_feedback_collector.py), other tenants (test_isolation.py).
"""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from learning_pipelines.examples.datasets import refresh_dataset
from learning_pipelines.examples.refresh import refresh_examples
from learning_pipelines.prompts.registry import add_learnt
from learning_pipelines.storage import prompts, versions
from learning_pipelines.storage.tenants import agents
from learning_pipelines_tests.api.serving import Api, make_agents
from learning_pipelines_tests.examples.approved import SHARES, TEXT_ONLY, question

TENANT = "mine"
numbers = itertools.count()


@pytest.fixture(scope="module")
def mine(api: Api) -> Api:
    make_agents(api, TENANT, "desk")
    return api


@pytest.fixture
def run(mine: Api) -> str:
    """An execution of the asker."""
    return ran(mine, next(numbers))


def ran(api: Api, number: int) -> str:
    body = {"execution_id": f"m{number}", "agent": "desk", "input": question(number), "output": "Wrong.", "user": "asker"}
    assert api.post("/executions", body, api.key("user", TENANT)).status_code == 201
    return str(body["execution_id"])


def token(api: Api, run: str, user: str | None = "ada", seconds: int = 60) -> str:
    return api.service.tokens.for_execution(TENANT, run, user, seconds)[0]


def say(api: Api, run: str, kind: str, user: str | None = "ada", **more: Any) -> None:
    answer = api.post("/feedback", {"execution_id": run, "feedback_type": kind, **more}, token(api, run, user))
    assert answer.status_code == 201, answer.text


def seen(api: Api, run: str, user: str | None = "ada") -> dict[str, Any]:
    answer = api.get("/feedback/mine", token(api, run, user))
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def in_force(api: Api, run: str) -> list[tuple[str, int]]:
    with api.database.connect("pipeline") as connection:
        return connection.execute(
            "SELECT feedback_type, facets_in_force FROM feedback_in_force WHERE execution_id = %s AND facets_in_force <> 0 ORDER BY created_at", [run]
        ).fetchall()


def test_the_newest_of_each_facet_is_what_one_said(mine: Api, run: str) -> None:
    say(mine, run, "thumbs_up")
    say(mine, run, "star_rating", rating=2, dimensions={"accuracy": 1, "clarity": 4}, feedback_text="Hm.")
    say(mine, run, "report_issue", issue_categories=["incorrect", "tone"])
    say(mine, run, "thumbs_down")
    say(mine, run, "correction", correction_text="Right.")
    found = seen(mine, run)
    assert (found["thumb"], found["rating"], found["dimensions"]) == ("down", 2, {"accuracy": 1, "clarity": 4})
    assert (found["issue_categories"], found["correction_text"], found["comments"], found["used"]) == (["incorrect", "tone"], "Right.", 1, [])
    assert seen(mine, run, "bob") == {**seen(mine, run, None), "anonymous": False} and seen(mine, run, None)["thumb"] is None


def test_what_was_said_before_the_execution_came_is_seen_too(mine: Api) -> None:
    run = f"m{next(numbers)}"
    say(mine, run, "thumbs_down", agent="desk")
    assert seen(mine, run)["thumb"] == "down"


def test_what_is_taken_back_is_in_force_no_more_and_neither_is_the_taking_back(mine: Api, run: str) -> None:
    say(mine, run, "thumbs_down")
    say(mine, run, "report_issue", issue_categories=["tone"])
    say(mine, run, "correction", correction_text="Right.")
    assert in_force(mine, run) == [("thumbs_down", 1), ("report_issue", 8), ("correction", 16)]
    say(mine, run, "report_issue", withdrawn=True)
    say(mine, run, "correction", correction_text="Right.", withdrawn=True)
    assert in_force(mine, run) == [("thumbs_down", 1)]
    found = seen(mine, run)
    assert (found["thumb"], found["issue_categories"], found["correction_text"]) == ("down", [], None)
    say(mine, run, "thumbs_down", withdrawn=True)
    assert in_force(mine, run) == [] and seen(mine, run)["thumb"] is None
    say(mine, run, "correction", correction_text="Really right.")
    assert in_force(mine, run) == [("correction", 16)]


def test_what_was_taken_back_makes_no_example_and_no_statistic(mine: Api, run: str) -> None:
    say(mine, run, "correction", correction_text="Taken back later.")
    say(mine, run, "correction", correction_text="Taken back later.", withdrawn=True)
    before = mine.get("/feedback/stats/desk", mine.key("user", TENANT)).json()
    with mine.database.connect("pipeline") as connection:
        refresh_examples(connection, agents(connection, TENANT, "desk")[0])
        assert connection.execute("SELECT count(*) FROM example_sources WHERE execution_id = %s", [run]).fetchone() == (0,)
    say(mine, run, "thumbs_up")
    after = mine.get("/feedback/stats/desk", mine.key("user", TENANT)).json()
    assert (after["total_feedback"], after["corrections"]) == (before["total_feedback"] + 1, before["corrections"])


def test_nobody_in_particular_takes_nothing_back(mine: Api, run: str) -> None:
    answer = mine.post("/feedback", {"execution_id": run, "feedback_type": "thumbs_up", "withdrawn": True}, token(mine, run, None))
    assert (answer.status_code, answer.json()["field"]) == (422, "withdrawn")


def test_a_token_reads_about_its_own_execution_alone_and_others_must_name_one(mine: Api, run: str) -> None:
    assert mine.get("/feedback/mine", token(mine, run), params={"execution_id": "other"}).status_code == 403
    assert mine.get("/feedback/mine", token(mine, run), params={"execution_id": run}).status_code == 200
    key = mine.key("user", TENANT, "ada")
    say(mine, run, "thumbs_up")
    assert mine.get("/feedback/mine", key, params={"execution_id": run}).json()["thumb"] == "up"
    assert mine.get("/feedback/mine", key).status_code == 422
    assert mine.get("/feedback/mine", key, params={"execution_id": "a\x00b"}).status_code == 422
    assert mine.get("/feedback/mine").status_code == 401
    assert mine.get("/feedback/mine", mine.key("admin", TENANT), params={"execution_id": run}).json()["thumb"] is None


def test_a_correction_that_was_used_says_how_far_it_came(mine: Api) -> None:
    runs = [ran(mine, next(numbers)) for _ in range(6)]
    for place, run in enumerate(runs):
        say(mine, run, "correction", correction_text=f"Right {place}.")
        say(mine, run, "thumbs_down")
    assert seen(mine, runs[0])["used"] == []
    with mine.database.connect("pipeline") as connection:
        agent = agents(connection, TENANT, "desk")[0]
        refresh_examples(connection, agent)
        connection.execute("UPDATE learning_examples SET review_status = 'approved' WHERE organization_id = %s", [agent.organization_id])
    (use,) = seen(mine, runs[0])["used"]
    assert (use["facets"], use["dataset_version"], use["prompt_version"]) == (["correction"], None, None)
    with mine.database.connect("pipeline") as connection:
        refresh_dataset(connection, agent, rule=TEXT_ONLY, shares=SHARES)
        number = add_learnt(
            connection, agent, messages=[{"role": "system", "content": "You sort well."}], serving={}, parent=1, strategy="few_shot",
            dataset_id=versions.list_versions(connection, agent)[0]["id"], model=None, scores={}, training_run_id=None,
        )  # fmt: skip
    assert {(one["dataset_version"], one["prompt_version"]) for run in runs for one in seen(mine, run)["used"]} == {(1, None)}
    with mine.database.connect("pipeline") as connection:
        prompts.move_label(connection, agent, "production", number, None)
    assert {one["prompt_version"] for run in runs for one in seen(mine, run)["used"]} == {number}
    assert seen(mine, runs[0], "bob")["used"] == []
