"""Experiments over HTTP: who may, what is answered, which refusal is which status and names which field.

Belongs here: the routes of api/experiments.py. Not here: what may be done when (experiments/test_lifecycle.py), serving variants.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from learning_pipelines.storage.tenants import agents
from learning_pipelines_tests.acceptance.proposing import learnt
from learning_pipelines_tests.api.serving import Api, make_agents
from learning_pipelines_tests.experiments.seen import exposed, thumbs

Make = Callable[..., dict[str, Any]]
_numbers = itertools.count(1)
SOME = UUID(int=7)
ROUTES = [
    ("GET", "/experiments"), ("POST", "/experiments"), ("GET", f"/experiments/{SOME}"), ("POST", f"/experiments/{SOME}/weights"),
    *(("POST", f"/experiments/{SOME}/{name}") for name in ("start", "pause", "resume", "abort", "analyze", "conclude")),
]  # fmt: skip


@pytest.fixture
def agent(api: Api) -> str:
    """An agent of its own whose version 1 serves, with versions 2 and 3."""
    name = f"agent-{next(_numbers)}"
    make_agents(api, "default", name)
    with api.database.connect("pipeline") as connection:
        for number in (2, 3):
            learnt(connection, agents(connection, "default", name)[0], f"{name} {number}")
    return name


@pytest.fixture
def make(api: Api, agent: str) -> Make:
    """Makes an experiment of version 2 against what serves."""

    def made(**more: Any) -> dict[str, Any]:
        body = {"agent": agent, "name": "shorter", "arms": [{}, {"version": 2}], **more}
        answer = api.post("/experiments", body, api.key("experimenter"))
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    return made


def act(api: Api, made: dict[str, Any], name: str, body: Any = None, role: str = "experimenter") -> Any:
    return api.ask("POST", f"/experiments/{made['id']}/{name}", api.key(role), **({} if body is None else {"json": body}))


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_a_role_that_does_not_include_experimenter_is_refused(api: Api, method: str, path: str) -> None:
    for role in ("user", "expert", "trainer"):
        assert api.ask(method, path, api.key(role), **({"json": {}} if method == "POST" else {})).status_code == 403
    for role in ("experimenter", "admin"):
        assert api.ask(method, path, api.key(role), **({"json": {}} if method == "POST" else {})).status_code in (200, 404, 422)


def test_an_experiment_is_made_started_paused_resumed_and_ended(api: Api, agent: str, make: Make) -> None:
    made = make(description="why not", options={"alpha": 0.01}, guardrails=["latency_ms"])
    assert {name: made[name] for name in ("state", "decision", "agent", "kind", "unit", "primary_metric", "guardrails", "config", "epochs")} == {
        "state": "draft", "decision": None, "agent": agent, "kind": "experiment", "unit": "user", "primary_metric": "thumbs",
        "guardrails": ["latency_ms"], "config": {"alpha": 0.01}, "epochs": [],
    }  # fmt: skip
    assert made["arms"] == [
        {"variant": "control", "version": 1, "weight": 0.5, "units": 0, "mean": None},
        {"variant": "treatment", "version": 2, "weight": 0.5, "units": 0, "mean": None},
    ]  # fmt: skip
    states = [act(api, made, name).json() for name in ("start", "start", "pause", "resume", "abort")]
    assert [(one["state"], one["changed"]) for one in states] == [
        ("running", True), ("running", False), ("paused", True), ("running", True), ("cancelled", True),
    ]  # fmt: skip
    shown = api.get(f"/experiments/{made['id']}", api.key("experimenter")).json()
    assert [(epoch["number"], epoch["shares"], epoch["ended_at"] is None) for epoch in shown["epochs"]] == [
        (number, {"control": 0.5, "treatment": 0.5}, False) for number in (1, 2)
    ]
    assert shown["started_at"] is not None and shown["ended_at"] is not None
    with api.database.connect("pipeline") as connection:
        rows = connection.execute("SELECT action, actor FROM audit_log WHERE subject_id = %s ORDER BY id", [f"{agent}/{made['id']}"]).fetchall()
    assert [row[0] for row in rows] == ["created", "started", "paused", "resumed", "aborted"] and all(row[1].startswith("key:") for row in rows)


def test_started_at_once_units_are_assigned_from_the_first_answer_on(make: Make) -> None:
    made = make(start=True, arms=[{"weight": 90}, {"variant": "shorter", "version": 3, "weight": 10}])
    assert made["state"] == "running" and made["epochs"][0]["shares"] == {"control": 0.9, "shorter": 0.1}


def test_what_cannot_be_started_at_once_is_not_made_either(api: Api, agent: str, make: Make) -> None:
    make(start=True)
    body = {"agent": agent, "name": "other", "arms": [{}, {"version": 3}], "start": True}
    answer = api.post("/experiments", body, api.key("experimenter"))
    assert (answer.status_code, answer.json()["field"]) == (409, "exclusion_group") and "runs already" in answer.json()["detail"]
    assert len(api.get("/experiments", api.key("experimenter"), params={"agent": agent}).json()["experiments"]) == 1


def test_experiments_are_listed_by_agent_and_state_newest_first(api: Api, agent: str, make: Make) -> None:
    first, second = make(), make(name="longer")
    act(api, first, "start")
    listed = api.get("/experiments", api.key("admin"), params={"agent": agent}).json()["experiments"]
    assert [one["id"] for one in listed] == [second["id"], first["id"]]
    assert [one["id"] for one in api.get("/experiments", api.key("admin"), params={"agent": agent, "state": "running"}).json()["experiments"]] == [first["id"]]
    assert api.get("/experiments", api.key("admin"), params={"agent": "nobody"}).status_code == 404


def test_weights_are_changed_for_units_to_come(api: Api, make: Make) -> None:
    made = make(start=True)
    changed = act(api, made, "weights", {"weights": {"control": 80, "treatment": 20}}).json()
    assert [arm["weight"] for arm in changed["arms"]] == [0.8, 0.2] and [epoch["number"] for epoch in changed["epochs"]] == [1, 2]
    refused = act(api, made, "weights", {"weights": {"control": 0.8, "treatment": 0.3}})
    assert (refused.status_code, refused.json()["field"]) == (422, "weights") and "sum to 1.1" in refused.json()["detail"]


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"arms": [{}]}, "arms"), ({"arms": [{}, {"version": 99}]}, "arms"), ({"arms": [{}, {"version": 1}]}, "arms"),
        ({"arms": [{"weight": 0.6}, {"version": 2, "weight": 0.6}]}, "arms"), ({"arms": [{"weight": 0}, {"version": 2}]}, "arms.0.weight"),
        ({"arms": [{}, {"version": 2, "variant": "a b"}]}, "arms"), ({"primary_metric": "speed"}, "primary_metric"), ({"name": ""}, "name"),
        ({"guardrails": ["speed"]}, "guardrails"), ({"exclusion_group": "A"}, "exclusion_group"), ({"unit": "day"}, "unit"),
        ({"options": {"alpha": 7}}, "options.alpha"), ({"options": {"traffic": 0.5}}, "options.traffic"), ({"min_sample_size": -1}, "min_sample_size"),
        ({"options": {"slice": [[0, 1]]}}, "options.slice"), ({"subject": "model"}, "subject"), ({"surprise": 1}, "surprise"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_by_its_field_and_not_stored(api: Api, agent: str, more: dict[str, Any], field: str) -> None:
    body = {"agent": agent, "name": "shorter", "arms": [{}, {"version": 2}], **more}
    answer = api.post("/experiments", body, api.key("experimenter"))
    assert (answer.status_code, answer.json()["field"]) == (422, field), answer.text
    assert api.get("/experiments", api.key("experimenter"), params={"agent": agent}).json()["experiments"] == []


def test_states_that_do_not_follow_are_conflicts_and_unknown_ids_are_not_there(api: Api, make: Make) -> None:
    made = make()
    assert act(api, made, "pause").status_code == 409
    assert act(api, made, "abort", {"notes": "not now"}).json()["state"] == "cancelled"
    again = act(api, made, "start")
    assert again.status_code == 409 and "create a new experiment" in again.json()["detail"]
    unknown = act(api, {"id": SOME}, "start")
    assert (unknown.status_code, unknown.json()["field"]) == (404, "experiment_id")


def test_only_an_administrator_lets_a_winner_serve_by_itself(api: Api, agent: str) -> None:
    body = {"agent": agent, "name": "shorter", "arms": [{}, {"version": 2}], "options": {"auto_adopt": True}}
    refused = api.post("/experiments", body, api.key("experimenter"))
    assert (refused.status_code, refused.json()["field"]) == (403, "options.auto_adopt")
    assert api.post("/experiments", body, api.key("admin")).json()["config"] == {"auto_adopt": True}


def test_an_agent_that_may_not_learn_starts_nothing(api: Api, agent: str, make: Make) -> None:
    made = make()
    assert api.post(f"/agents/{agent}/disable", {}, api.key("admin")).status_code == 200
    refused = act(api, made, "start")
    assert refused.status_code == 409 and f"enable --agent {agent}" in refused.json()["detail"]


def test_a_winner_is_seen_by_experimenters_and_made_to_serve_by_an_administrator(api: Api, agent: str, make: Make) -> None:
    made = make(start=True, min_duration_hours=0, min_sample_size=10)
    with api.database.connect("pipeline") as connection:
        reference = agents(connection, "default", agent)[0]
        exposed(connection, reference, UUID(made["id"]), control=200, treatment=200)
        thumbs(connection, reference, UUID(made["id"]), control=(200, 60), treatment=(200, 160))
    looked = act(api, made, "analyze").json()
    assert (looked["changed"], looked["state"], looked["decision"], looked["verdict"]["winner"]) == (True, "running", "adopt_treatment", "treatment")
    assert looked["comparisons"][0]["low"] > 0 and [look["decision"] for look in looked["looks"]] == ["adopt_treatment"]
    assert act(api, made, "analyze").json()["changed"] is False
    refused = act(api, made, "conclude")
    assert (refused.status_code, refused.json()["field"]) == (403, "decision")
    assert api.get(f"/prompts/{agent}", api.key()).json()["version"] == "1"
    concluded = act(api, made, "conclude", {"notes": "as it says"}, "admin").json()
    assert (concluded["state"], concluded["decision"], concluded["winner"]) == ("completed", "adopt_treatment", "treatment")
    assert api.get(f"/prompts/{agent}", api.key()).json()["version"] == "2"
    assert act(api, made, "conclude", {"decision": "adopt_treatment"}, "admin").json()["changed"] is False
    assert act(api, made, "conclude", {"decision": "keep_control"}, "admin").status_code == 409


def test_an_experimenter_ends_what_leads_to_nothing(api: Api, make: Make) -> None:
    made = make(start=True)
    ended = act(api, made, "conclude", {"decision": "inconclusive", "notes": "nobody uses it"}).json()
    assert (ended["state"], ended["decision"], ended["winner"]) == ("completed", "inconclusive", None)
    assert act(api, make(), "conclude").status_code == 409
