"""GET /agents/{agent_id}/playbooks: those that serve for everybody, those that are proposed for trainers."""

from __future__ import annotations

import itertools

import pytest

from learning_pipelines.storage.tenants import agents
from learning_pipelines_tests.api.serving import Api, make_agents
from learning_pipelines_tests.behavior.playbooks.stored import stored_playbook

_numbers = itertools.count(1)


@pytest.fixture
def organization(api: Api) -> str:
    slug = f"books-{next(_numbers)}"
    make_agents(api, slug, "desk")
    with api.database.connect("pipeline") as connection:
        (agent,) = agents(connection, slug, "desk")
        for task_type in ("refund", "complaint"):
            stored_playbook(connection, agent, task_type)
        stored_playbook(connection, agent, "new", "candidate")
    return slug


def test_those_that_serve_are_told_in_words_numbers_and_as_a_flow(api: Api, organization: str) -> None:
    answer = api.get("/agents/desk/playbooks", api.key("user", organization))
    assert answer.status_code == 200
    found = answer.json()["playbooks"]
    assert [(one["task_type"], one["version"]) for one in found] == [("complaint", 2), ("refund", 1)]
    assert found[1]["text"].startswith("Playbook: refund") and found[1]["mermaid"].startswith("flowchart TD")
    assert found[1]["accuracy"] == {"playbook": 0.8, "before": 0.3, "held_out": 60}
    assert found[1]["steps"][1]["branches"][0]["ways"][0]["count"] == 8
    only = api.get("/agents/desk/playbooks", api.key("user", organization), params={"task_type": "refund"}).json()["playbooks"]
    assert [one["task_type"] for one in only] == ["refund"]


def test_those_that_are_proposed_are_for_trainers(api: Api, organization: str) -> None:
    wanted = {"version": "candidate"}
    assert api.get("/agents/desk/playbooks", api.key("user", organization), params=wanted).status_code == 403
    found = api.get("/agents/desk/playbooks", api.key("trainer", organization), params=wanted).json()["playbooks"]
    assert [one["task_type"] for one in found] == ["new"]


def test_an_unknown_agent_is_not_found_and_an_unknown_version_is_bad_input(api: Api, organization: str) -> None:
    assert api.get("/agents/nobody/playbooks", api.key("user", organization)).status_code == 404
    assert api.get("/agents/desk/playbooks", api.key("user", organization), params={"version": "7"}).status_code == 422


def test_odd_values_are_answered_and_never_an_error_of_the_service(api: Api, organization: str) -> None:
    key = api.key("user", organization)
    for odd in ("\x00", "’; DROP TABLE", "送金", "x" * 255):
        assert api.get("/agents/desk/playbooks", key, params={"task_type": odd}).json()["playbooks"] == []
    assert api.get("/agents/%00/playbooks", key).status_code in (404, 422)
    assert api.get("/agents/desk/playbooks", key, params={"task_type": "x" * 256}).status_code == 422
