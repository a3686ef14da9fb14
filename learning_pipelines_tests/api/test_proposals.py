"""Proposals, review, rollback, disable and enable over HTTP: who may, what is answered, which refusal is which status.

Belongs here: the routes of api/proposals.py. Not here: what approval checks (acceptance/test_approval.py).
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest

from learning_pipelines.feedback.importing import import_file, window_now
from learning_pipelines.storage.tenants import agents
from learning_pipelines_tests.acceptance import index_proposing
from learning_pipelines_tests.acceptance.proposing import learnt, proposed
from learning_pipelines_tests.api.serving import Api, make_agents
from learning_pipelines_tests.conftest import START

Propose = Callable[..., tuple[str, str]]
ROUTES = [
    ("GET", "/proposals", "trainer"), ("POST", f"/proposals/{UUID(int=7)}/review", "admin"), ("POST", "/agents/desk/rollback", "admin"),
    ("POST", "/agents/desk/disable", "admin"), ("POST", "/agents/desk/enable", "admin"),
]  # fmt: skip
_numbers = itertools.count(1)


@pytest.fixture
def propose(api: Api) -> Propose:
    """Makes an agent of its own whose version 1 serves, and a proposal to serve version 2. Returns the agent and the proposal's id."""

    def make(**more: Any) -> tuple[str, str]:
        name = f"agent-{next(_numbers)}"
        make_agents(api, "default", name)
        with api.database.connect("pipeline") as connection:
            agent = agents(connection, "default", name)[0]
            return name, str(proposed(connection, agent, learnt(connection, agent, f"{name} learnt"), **more))

    return make


def review(api: Api, proposal: str, **body: Any) -> Any:
    return api.post(f"/proposals/{proposal}/review", body, api.key("admin"))


def served(api: Api, agent: str) -> str:
    return str(api.get(f"/prompts/{agent}", api.key()).json()["version"])


@pytest.mark.parametrize(("method", "path", "role"), ROUTES)
def test_a_role_below_the_needed_one_is_refused(api: Api, method: str, path: str, role: str) -> None:
    for other in {"user", "expert", "experimenter", "trainer"} - {role}:
        assert api.ask(method, path, api.key(other), **({"json": {"approve": True}} if "review" in path else {})).status_code == 403
    assert api.ask(method, path, api.key(role), **({"json": {"approve": True}} if "review" in path else {})).status_code in (200, 404, 409)


def test_a_proposal_is_listed_and_approved_and_serves(api: Api, propose: Propose) -> None:
    agent, proposal = propose(dagster_run_id="d-1", evidence={"difference": 0.3})
    (listed,) = api.get("/proposals", api.key("trainer"), params={"state": "open", "agent": agent}).json()["proposals"]
    assert {**listed, "created_at": None} == {
        "id": proposal, "kind": "prompt", "agent": agent, "verdict": "better", "state": "open", "run_id": "d-1", "subject": {"version": 2},
        "incumbent": {"version": 1}, "evidence": {"difference": 0.3}, "training_run_id": None, "rollout": None, "notes": None, "created_at": None,
        "reviewed_at": None,
    }  # fmt: skip
    answer = review(api, proposal, approve=True, rollout="immediate", notes="reads well")
    assert answer.status_code == 200
    said = answer.json()
    assert said.pop("experiment") is None
    assert said == {"id": proposal, "state": "approved", "agent": agent, "kind": "prompt", "changed": True, "version": 2, "before": 1}
    assert served(api, agent) == "2"
    assert review(api, proposal, approve=True).json()["changed"] is False
    (listed,) = api.get("/proposals", api.key("admin"), params={"agent": agent, "state": "approved"}).json()["proposals"]
    assert (listed["rollout"], listed["notes"]) == ("immediate", "reads well")


def test_a_learnt_index_is_approved_and_rolled_back_by_an_admin(api: Api, propose: Propose, tmp_path: Path) -> None:
    agent, _ = propose()

    def load(kind: str, rows: list[dict[str, Any]], organization: str) -> Any:
        path = tmp_path / f"{kind}.jsonl"
        path.write_bytes(b"\n".join(orjson.dumps(row) for row in rows))
        return import_file(connection, organization, kind, path, window=window_now(START, dt.UTC))

    with api.database.connect("pipeline") as connection:
        reference = agents(connection, "default", agent)[0]
        index_proposing.corpus(connection, load, reference)
        proposal = str(index_proposing.proposed(connection, reference, index_proposing.learnt(connection, reference)))
        answer = review(api, proposal, approve=True)
        assert (answer.json()["kind"], answer.json()["version"], answer.json()["before"]) == ("index", 1, 0), answer.text
        assert index_proposing.labels(connection, reference) == (1, 1, 0)
        back = api.post(f"/agents/{agent}/rollback", {"kind": "index"}, api.key("admin")).json()
        assert (back["version"], back["before"], back["changed"]) == (0, 1, True)
        assert index_proposing.labels(connection, reference) == (0, 1, 0)
    assert served(api, agent) == "1"


def test_a_canary_serves_nobody_else_until_its_steps_are_taken_and_a_rollback_ends_it(api: Api, propose: Propose) -> None:
    agent, proposal = propose()
    begun = review(api, proposal, approve=True, rollout="canary").json()
    assert (begun["state"], begun["changed"], begun["version"]) == ("approved", True, None) and begun["experiment"] is not None
    assert served(api, agent) == "1"
    moved = api.ask("PUT", f"/prompts/{agent}/labels/production", api.key("admin"), json={"version": 2})
    assert moved.status_code == 409 and begun["experiment"] in moved.json()["detail"]
    back = api.post(f"/agents/{agent}/rollback", {}, api.key("admin")).json()
    assert (back["experiment"], back["version"], back["before"], back["changed"]) == (begun["experiment"], 1, 2, True)
    assert api.ask("PUT", f"/prompts/{agent}/labels/production", api.key("admin"), json={"version": 2}).status_code == 200


def test_refusals_have_their_own_status(api: Api, propose: Propose) -> None:
    agent, proposal = propose(verdict="no evidence", evidence={"reason": "12 items are too few."})
    refused = review(api, proposal, approve=True)
    assert refused.status_code == 409 and "12 items are too few" in refused.json()["detail"]
    assert review(api, proposal, approve=True, rollout="canary").status_code == 409
    assert review(api, str(uuid4()), approve=True).status_code == 404
    assert review(api, proposal, approve=False, notes="too few").json()["state"] == "rejected"
    assert review(api, proposal, approve=False).json()["changed"] is False
    assert served(api, agent) == "1"


@pytest.mark.parametrize("body", [{}, {"approve": None}, {"approve": "perhaps"}, {"approve": True, "rollout": "slowly"}, {"approve": True, "notes": "\x00"}])
def test_a_review_that_cannot_be_read_names_the_field(api: Api, propose: Propose, body: dict[str, Any]) -> None:
    _, proposal = propose()
    answer = review(api, proposal, **body)
    assert answer.status_code == 422 and answer.json()["field"] in ("approve", "rollout", "notes")


def test_a_rollback_serves_what_served_before_and_can_be_repeated(api: Api, propose: Propose) -> None:
    agent, proposal = propose()
    admin = api.key("admin")
    assert api.ask("POST", f"/agents/{agent}/rollback", admin).status_code == 409  # nothing served before
    review(api, proposal, approve=True)
    first, second = (api.post(f"/agents/{agent}/rollback", {"kind": "prompt"}, admin).json() for _ in range(2))
    assert (first["state"], first["version"], first["before"], first["changed"]) == ("rolled_back", 1, 2, True)
    assert (second["state"], second["version"], second["changed"]) == ("rolled_back", 1, False)
    assert served(api, agent) == "1"
    for kind in ("index", "policy"):
        answer = api.post(f"/agents/{agent}/rollback", {"kind": kind}, admin)
        assert answer.status_code == 409 and "nothing to roll back" in answer.json()["detail"]
    assert api.post(f"/agents/{agent}/rollback", {"kind": "weights"}, admin).status_code == 422
    assert api.post("/agents/nobody/rollback", {}, admin).status_code == 404


def test_a_disabled_agent_serves_on_and_approves_nothing(api: Api, propose: Propose) -> None:
    agent, proposal = propose()
    admin = api.key("admin")
    first, second = (api.ask("POST", f"/agents/{agent}/disable", admin).json() for _ in range(2))
    assert (first["state"], first["agents"]) == ("disabled", [agent]) and second["agents"] == []
    assert review(api, proposal, approve=True).status_code == 409 and served(api, agent) == "1"
    assert api.ask("POST", f"/agents/{agent}/enable", admin).json()["state"] == "enabled"
    assert review(api, proposal, approve=True).status_code == 200


def test_a_review_says_who_decided(api: Api, propose: Propose) -> None:
    _, proposal = propose()
    review(api, proposal, approve=True, user="grace")
    with api.database.connect("pipeline") as connection:
        rows = connection.execute("SELECT actor FROM audit_log WHERE subject_id = %s AND action = 'approved'", [proposal]).fetchall()
    assert [str(actor).split(" for ")[1] for (actor,) in rows] == ["user:grace"]
