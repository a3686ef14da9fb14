"""GET /lineage/…: who may ask what, whose ids are shown, what a wrong name is answered.

Belongs here: the routes. Not here: what is followed (storage/test_lineage.py), other tenants (test_isolation.py).
"""

from __future__ import annotations

import pytest

from learning_pipelines.examples.datasets import refresh_dataset
from learning_pipelines.examples.refresh import refresh_examples
from learning_pipelines.prompts.registry import add_learnt
from learning_pipelines.storage import prompts, versions
from learning_pipelines.storage.tenants import agents
from learning_pipelines_tests.api.serving import Api, make_agents
from learning_pipelines_tests.api.test_authentication import bearer
from learning_pipelines_tests.examples.approved import SHARES, TEXT_ONLY, question

TENANT = "traced"


@pytest.fixture(scope="module")
def traced(api: Api) -> Api:
    """Six corrections by ada and bob, of which version 2 of the only agent's prompt was learnt."""
    make_agents(api, TENANT, "desk")
    key = api.key("user", TENANT)
    for number in range(6):
        about, who = f"t{number}", ("ada", "bob")[number % 2]
        asked = {"execution_id": about, "agent": "desk", "input": question(number), "output": "Wrong.", "user": "asker"}
        assert api.post("/executions", asked, key).status_code == 201
        said = {"feedback_id": f"f{number}", "execution_id": about, "feedback_type": "correction", "correction_text": f"Right {number}.", "user": who}
        assert api.post("/feedback", said, key).status_code == 201
    with api.database.connect("pipeline") as connection:
        agent = agents(connection, TENANT, "desk")[0]
        refresh_examples(connection, agent)
        connection.execute("UPDATE learning_examples SET review_status = 'approved' WHERE organization_id = %s", [agent.organization_id])
        refresh_dataset(connection, agent, rule=TEXT_ONLY, shares=SHARES)
        number = add_learnt(
            connection, agent, messages=[{"role": "system", "content": "You sort well."}], serving={}, parent=1, strategy="few_shot",
            dataset_id=versions.list_versions(connection, agent)[0]["id"], model=None, scores={}, training_run_id=None,
        )  # fmt: skip
        prompts.move_label(connection, agent, "production", number, None)
    return api


def test_a_prompt_is_followed_back_by_number_by_serving_and_by_label(traced: Api) -> None:
    key = traced.key("user", TENANT)
    found = traced.get("/lineage/prompt/2", key)
    assert found.status_code == 200, found.text
    assert found.json()["feedback"]["items"] == [f"f{number}" for number in range(6)] and found.json()["labels"] == ["production"]
    for version in ("serving", "production"):
        assert traced.get(f"/lineage/prompt/{version}", key, params={"agent": "desk"}).json() == found.json()
    assert traced.get("/lineage/prompt/2", key, params={"limit": 1}).json()["feedback"] == {
        "count": 6, "items": ["f0"], "more": True, "people": 2, "later": 0
    }  # fmt: skip


def test_a_person_with_role_user_gets_counts_of_all_and_what_is_their_own(traced: Api) -> None:
    ada = bearer(sub="ada", organization=TENANT)
    feedback = traced.get("/lineage/prompt/2", ada).json()["feedback"]
    assert (feedback["count"], feedback["items"], feedback["people"]) == (6, ["f0", "f2", "f4"], 2)
    mine = traced.get("/lineage/feedback/f0", ada).json()
    assert mine["used"] and [one["version"] for one in mine["prompts"]["items"]] == [2] and mine["user"] == "ada"
    assert traced.get("/lineage/feedback/f1", ada).status_code == 404
    assert traced.get("/lineage/user/ada", ada).status_code == 403


def test_an_admin_follows_a_user(traced: Api) -> None:
    found = traced.get("/lineage/user/bob", traced.key("admin", TENANT)).json()
    assert (found["feedback"], found["feedback_ids"], found["examples"]) == (3, ["f1", "f3", "f5"], 3)
    assert found["datasets"]["count"] == 1 and [one["version"] for one in found["prompts"]["items"]] == [2]
    nobody = traced.get("/lineage/user/nobody", traced.key("admin", TENANT)).json()
    assert (nobody["feedback"], nobody["datasets"]["count"], nobody["first_seen"]) == (0, 0, None)


@pytest.mark.parametrize(
    ("path", "params", "status", "field"),
    [
        ("/lineage/prompt/9", {}, 404, "version"), ("/lineage/prompt/99999999999", {}, 404, "version"), ("/lineage/prompt/previously", {}, 404, "version"),
        ("/lineage/prompt/A%20B", {}, 422, "version"), ("/lineage/prompt/1", {"agent": "nobody"}, 404, "agent"),
        ("/lineage/prompt/1", {"agent": "a\x00"}, 422, "agent"), ("/lineage/prompt/1", {"limit": -1}, 422, "limit"),
        ("/lineage/feedback/f0", {"limit": 10_001}, 422, "limit"), ("/lineage/feedback/nothing", {}, 404, "feedback_id"),
    ],
)  # fmt: skip
def test_bad_input_is_named(traced: Api, path: str, params: dict[str, object], status: int, field: str) -> None:
    answer = traced.get(path, traced.key("admin", TENANT), params=params)
    assert (answer.status_code, answer.json()["field"]) == (status, field)


def test_with_several_agents_one_has_to_be_named(traced: Api) -> None:
    answer = traced.get("/lineage/prompt/1", traced.key())
    assert (answer.status_code, answer.json()["field"]) == (422, "agent")
