"""The list of agents, which every filter of the pages offers.

Belongs here: GET /agents, filters by agent of other routes. Not here: what one agent is served (test_served_prompts.py), the filters (browser/test_filters.py).
"""

from __future__ import annotations

import pytest

from learning_pipelines_tests.api.serving import Api


def test_every_agent_is_listed_by_name_with_the_prompt_that_serves(api: Api) -> None:
    admin = api.key("admin")
    written = api.post("/prompts/desk", {"messages": [{"role": "system", "content": "Better."}]}, admin).json()["version"]
    moved = api.ask("PUT", "/prompts/desk/labels/production", admin, json={"version": written})
    assert moved.status_code == 200, moved.text
    listed = api.get("/agents", api.key("user")).json()["agents"]
    assert [(one["agent"], one["serving_prompt_version"], one["learning_enabled"]) for one in listed] == [("desk", 2, True), ("helper", 1, True)]
    assert api.get(f"/prompts/{listed[0]['agent_id']}", admin).json()["version"] == "2"


def test_an_agent_whose_learning_is_switched_off_shows_its_base_prompt(api: Api) -> None:
    admin = api.key("admin")
    api.post("/prompts/helper", {"messages": [{"role": "system", "content": "Better."}]}, admin)
    api.ask("PUT", "/prompts/helper/labels/production", admin, json={"version": 2})
    api.post("/agents/helper/disable", {}, admin)
    helper = api.get("/agents", admin).json()["agents"][1]
    assert (helper["learning_enabled"], helper["serving_prompt_version"]) == (False, 1)
    api.post("/agents/helper/enable", {}, admin)
    assert api.get("/agents", admin).json()["agents"][1]["serving_prompt_version"] == 2


def test_an_organization_without_agents_has_an_empty_list(api: Api) -> None:
    assert api.get("/agents", api.key("user", "nobody")).json() == {"agents": []}


@pytest.mark.parametrize("path", ["/executions", "/dashboard", "/proposals", "/experiments", "/training-runs", "/runs", "/search?q=vat", "/annotations/queue"])
def test_a_filter_that_names_no_agent_is_refused_by_its_own_name(api: Api, path: str) -> None:
    path, _, query = path.partition("?")
    asked = dict(part.split("=") for part in query.split("&") if part)
    for name, status in (("nobody", 404), ("de\x00sk", 422)):
        answer = api.get(path, api.key("admin"), params={**asked, "agent": name})
        assert (answer.status_code, answer.json()["field"]) == (status, "agent"), answer.text
