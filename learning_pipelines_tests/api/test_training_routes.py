"""What the Training page reads: versions of prompts, what serves by kind, training runs with their numbers. Who may, and what is answered.

Belongs here: GET /prompts/{agent_id}/versions, /agents/{agent_id}/serving, /training-runs. Not here: the page (browser/test_training.py).
"""

from __future__ import annotations

import itertools
import json
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from learning_pipelines.acceptance.approval import approve
from learning_pipelines.acceptance.behavior_proposing import propose
from learning_pipelines.acceptance.reviewing import OPERATOR
from learning_pipelines.api.dagster import Dagster
from learning_pipelines.llm_budget import Usage
from learning_pipelines.prompts.registry import add_learnt
from learning_pipelines.storage import llm_cache, prompt_runs, training_runs
from learning_pipelines.storage.tenants import AgentRef, agents
from learning_pipelines_tests.acceptance.proposing import learnt, proposed
from learning_pipelines_tests.api.conftest import MakeSettings
from learning_pipelines_tests.api.serving import Api, make_agents

ROUTES = ["/prompts/desk/versions", "/prompts/desk/versions/1", "/agents/desk/serving", "/training-runs"]
_numbers = itertools.count(1)


@pytest.fixture
def agent(api: Api) -> AgentRef:
    """An agent of its own whose version 1 serves."""
    name = f"trained-{next(_numbers)}"
    make_agents(api, "default", name)
    with api.database.connect("pipeline") as connection:
        return agents(connection, "default", name)[0]


def parts(api: Api, agent: AgentRef) -> dict[tuple[str, str], dict[str, Any]]:
    found = api.get(f"/agents/{agent.agent}/serving", api.key("trainer"))
    assert found.status_code == 200, found.text
    return {(part["kind"], part["topic"]): part for part in found.json()["parts"]}


@pytest.mark.parametrize("path", ROUTES)
def test_they_are_for_trainers(api: Api, path: str) -> None:
    for other in ("user", "expert", "experimenter"):
        assert api.get(path, api.key(other)).status_code == 403
    assert api.get(path, api.key("trainer")).status_code == api.get(path, api.key("admin")).status_code == 200


def test_versions_are_listed_newest_first_with_what_points_at_them(api: Api, agent: AgentRef) -> None:
    with api.database.connect("pipeline") as connection:
        version = learnt(connection, agent, scores={"score": 0.75})
        proposed(connection, agent, version)
    found = api.get(f"/prompts/{agent.agent}/versions", api.key("trainer")).json()["versions"]
    assert [(one["version"], one["labels"], one["strategy"], one["score"], one["verdict"], one["origin"], one["parent"]) for one in found] == [
        (2, ["candidate"], "few_shot", 0.75, "better", "learnt", 1), (1, ["production"], None, None, None, "imported", None)
    ]  # fmt: skip


def test_one_version_shows_its_messages_its_demonstrations_and_what_is_done_per_input(api: Api, agent: AgentRef) -> None:
    messages = [
        {"role": "system", "content": "You sort for {{firm}}."}, {"role": "user", "content": "Where is it?"}, {"role": "assistant", "content": "status"},
    ]  # fmt: skip
    with api.database.connect("pipeline") as connection:
        version = add_learnt(
            connection, agent, messages=messages, serving={"retrieval": {"k": 3, "dataset_id": None}}, parent=1, strategy="retrieved", dataset_id=None,
            model="small", scores={}, training_run_id=None,
        )  # fmt: skip
    found = api.get(f"/prompts/{agent.agent}/versions/{version}", api.key("trainer")).json()
    assert found["messages"] == messages
    assert found["demonstrations"] == [{"input": "Where is it?", "output": "status"}]
    assert found["retrieval"] == {"k": 3, "dataset_id": None, "agreeing": False}
    assert (found["strategy"], found["parent"], found["model"], found["labels"]) == ("retrieved", 1, "small", [])


@pytest.mark.parametrize(("path", "status"), [("nobody/versions", 404), ("nobody/versions/1", 404), ("desk/versions/99", 404), ("desk/versions/first", 422),
                                              ("desk/versions/0", 422), ("desk/versions/2147483648", 422)])  # fmt: skip
def test_versions_that_are_not_there_are_told_apart_from_names_that_are_none(api: Api, path: str, status: int) -> None:
    assert api.get(f"/prompts/{path}", api.key("trainer")).status_code == status


def test_a_version_that_the_clean_up_deleted_is_said_to_have_been_there(api: Api, agent: AgentRef) -> None:
    with api.database.connect("pipeline") as connection:
        gone = learnt(connection, agent, "One.")
        learnt(connection, agent, "Two.")
        connection.execute("DELETE FROM prompt_versions WHERE agent_id = %s AND version = %s", [agent.agent_id, gone])
    refused = api.get(f"/prompts/{agent.agent}/versions/{gone}", api.key("trainer"))
    assert (refused.status_code, "was deleted" in refused.json()["detail"]) == (404, True)


def test_a_version_written_by_hand_names_the_version_it_was_written_from(api: Api, agent: AgentRef) -> None:
    admin = api.key("admin")
    with api.database.connect("pipeline") as connection:
        learnt(connection, agent)
    body = {"messages": [{"role": "system", "content": "You sort, by hand."}], "parent": 1}
    assert api.post(f"/prompts/{agent.agent}", body, admin).json() == {"version": "3", "status": "stored"}
    assert api.get(f"/prompts/{agent.agent}/versions/3", admin).json()["parent"] == 1
    refused = api.post(f"/prompts/{agent.agent}", {**body, "parent": 9}, admin)
    assert (refused.status_code, refused.json()["field"]) == (404, "parent")


def test_what_serves_is_shown_for_every_kind_though_nothing_was_learnt(api: Api, agent: AgentRef) -> None:
    found = parts(api, agent)
    assert [kind for kind, _ in found] == ["prompt", "index", "policy", "playbook", "rules", "guidance", "fine_tune"]
    assert {kind: part["serves"] for (kind, _), part in found.items()} == {
        "prompt": 1, "index": 0, "policy": 0, "playbook": 0, "rules": 0, "guidance": 0, "fine_tune": 0
    }  # fmt: skip
    assert {part["rollback_to"] for part in found.values()} == {None}


def test_a_rollback_is_announced_where_there_is_one_and_does_what_was_announced(api: Api, agent: AgentRef) -> None:
    with api.database.connect("pipeline") as connection:
        proposal = proposed(connection, agent, learnt(connection, agent))
        for topic in ("refund", "return"):
            _, playbook = propose(
                connection, agent, api.settings, kind="playbook", subject_kind="playbook", topic=topic, config={"advice": topic}, metrics={}, evidence={}
            )  # fmt: skip
            approve(connection, agent.organization_id, playbook, "immediate", OPERATOR, settings=api.settings)
        approve(connection, agent.organization_id, proposal, "immediate", OPERATOR, settings=api.settings)
    found = parts(api, agent)
    assert (found["prompt", ""]["serves"], found["prompt", ""]["rollback_to"], found["prompt", ""]["moved_at"] is not None) == (2, 1, True)
    assert (found["playbook", "refund"]["serves"], found["playbook", "return"]["rollback_to"]) == (1, 0)
    back = api.post(f"/agents/{agent.agent}/rollback", {"kind": "playbook", "topic": "return"}, api.key("admin")).json()
    assert (back["version"], back["before"]) == (0, 2)
    api.post(f"/agents/{agent.agent}/rollback", {}, api.key("admin"))
    found = parts(api, agent)
    assert (found["prompt", ""]["serves"], found["prompt", ""]["rollback_to"]) == (1, None)
    assert (found["playbook", "return"]["serves"], found["playbook", "return"]["rollback_to"], found["playbook", "refund"]["serves"]) == (0, None, 1)


def test_with_learning_off_the_base_serves_and_what_will_serve_again_is_shown_beside_it(api: Api, agent: AgentRef) -> None:
    with api.database.connect("pipeline") as connection:
        approve(connection, agent.organization_id, proposed(connection, agent, learnt(connection, agent)), "immediate", OPERATOR, settings=api.settings)
    api.ask("POST", f"/agents/{agent.agent}/disable", api.key("admin"))
    shown = api.get(f"/agents/{agent.agent}/serving", api.key("trainer")).json()
    prompt = shown["parts"][0]
    assert (shown["learning_enabled"], prompt["serves"], prompt["labelled"]) == (False, 1, 2)
    assert api.get(f"/prompts/{agent.agent}", api.key()).json()["version"] == "1"


def test_a_rollout_is_shown_and_is_what_a_rollback_would_take_back(api: Api, agent: AgentRef) -> None:
    with api.database.connect("pipeline") as connection:
        proposal = proposed(connection, agent, learnt(connection, agent))
    begun = api.post(f"/proposals/{proposal}/review", {"approve": True, "rollout": "canary"}, api.key("admin")).json()
    shown = api.get(f"/agents/{agent.agent}/serving", api.key("trainer")).json()
    (rollout,) = shown["experiments"]
    assert (rollout["id"], rollout["kind"], rollout["percent"], [arm["version"] for arm in rollout["arms"]]) == (begun["experiment"], "rollout", 1.0, [1, 2])
    assert (shown["parts"][0]["serves"], shown["parts"][0]["rollback_to"]) == (1, 1)


def test_a_proposal_shows_what_both_sides_hold_and_by_which_metric(api: Api, agent: AgentRef) -> None:
    trainer = api.key("trainer")
    with api.database.connect("pipeline") as connection:
        prompt = proposed(connection, agent, learnt(connection, agent, "You sort well."))
        _, playbook = propose(
            connection, agent, api.settings, kind="playbook", subject_kind="rules", topic="tone", config={"rules": ["Be brief."]}, metrics={}, evidence={}
        )  # fmt: skip
    shown = api.get(f"/proposals/{prompt}", trainer).json()
    assert (shown["subject"], shown["incumbent"], shown["contents"]["metric"]) == ({"version": 2}, {"version": 1}, "similarity")
    sides = [shown["contents"][side]["messages"][0]["content"] for side in ("incumbent", "candidate")]
    assert sides == [f"You are {agent.agent}.", "You sort well."]
    rules = api.get(f"/proposals/{playbook}", trainer).json()["contents"]
    assert (rules["candidate"], rules["incumbent"]) == ({"rules": ["Be brief."]}, None)
    assert api.get(f"/proposals/{uuid4()}", trainer).status_code == 404
    assert api.get(f"/proposals/{prompt}", api.key("expert")).status_code == 403
    listed = api.get("/proposals", trainer, params={"agent": agent.agent, "limit": 1}).json()["proposals"]
    assert [one["id"] for one in listed] == [str(playbook)]


def a_run(api: Api, agent: AgentRef, dagster_run_id: str) -> UUID:
    """A training run that is half done, with two candidates, an evaluation and what it asked for."""
    candidate = {
        "strategy": "few_shot", "parent": "", "note": "4 shown", "content_hash": None, "messages": None, "serving": None, "shown": [], "items": 20,
        "input_tokens": 100.0, "seconds": 0.5, "on_front": False,
    }  # fmt: skip
    evaluation = {
        "content_hash": b"1" * 32, "version": 1, "dataset_id": None, "split": "test", "metric": "exact_match", "model": "small", "items": 40,
        "mean_score": 0.5, "low": 0.35, "high": 0.65, "faults": 1, "input_tokens": 400, "output_tokens": 40, "seconds": 3.0,
    }  # fmt: skip
    with api.database.connect("pipeline") as connection:
        run = training_runs.begin(
            connection, agent, "prompt_optimization", dataset_id=None, config={"fingerprint": dagster_run_id}, dagster_run_id=dagster_run_id
        )  # fmt: skip
        training_runs.progressed(connection, agent, run.id, 0.5)
        training_runs.measured(connection, agent, run.id, {"search": {"compared": 2}})
        prompt_runs.store_candidates(connection, agent, run.id, [
            {**candidate, "name": "worse", "mean_score": 0.4, "outcome": "lost", "is_winner": False},
            {**candidate, "name": "best", "mean_score": 0.6, "outcome": "finished", "is_winner": True},
        ])  # fmt: skip
        prompt_runs.store_evaluation(connection, agent, run.id, evaluation)
        for role, unpriced in (("task", 0), ("reflection", 0)):
            usage = Usage(role, "small", requests=10, answers=9, cache_hits=3, input_tokens=500, output_tokens=50, unpriced=unpriced)
            llm_cache.record_usage(connection, agent.organization_id, str(run.id), [usage])
    return run.id


def test_a_training_run_shows_its_progress_its_candidates_and_what_it_asked_models_for(api: Api, agent: AgentRef) -> None:
    of_dagster = str(uuid4())
    run = a_run(api, agent, of_dagster)
    (listed,) = api.get("/training-runs", api.key("trainer"), params={"run_id": of_dagster}).json()["training_runs"]
    assert (listed["id"], listed["agent"], listed["status"], listed["progress"]) == (str(run), agent.agent, "running", 0.5)
    assert (listed["requests"], listed["answers"], listed["cache_hits"], listed["input_tokens"], listed["cost_usd"]) == (20, 18, 6, 1000, 0.0)
    whole = api.get(f"/training-runs/{run}", api.key("trainer")).json()
    assert [(one["name"], one["score"], one["winner"], one["outcome"]) for one in whole["candidates"]] == [
        ("best", 0.6, True, "finished"), ("worse", 0.4, False, "lost")
    ]  # fmt: skip
    assert [(one["version"], one["items"], one["score"], one["low"], one["high"]) for one in whole["evaluations"]] == [(1, 40, 0.5, 0.35, 0.65)]
    assert [(one["role"], one["requests"]) for one in whole["usage"]] == [("reflection", 10), ("task", 10)]
    assert whole["metrics"] == {"search": {"compared": 2}} and whole["proposals"] == []
    with api.database.connect("pipeline") as connection:
        proposal = proposed(connection, agent, learnt(connection, agent), training_run_id=run)
    whole = api.get(f"/training-runs/{run}", api.key("trainer")).json()
    assert (whole["proposals"], whole["review_status"]) == ([str(proposal)], "pending")


def test_runs_of_one_agent_are_asked_of_dagster_by_its_partition(make_settings: MakeSettings) -> None:
    asked: list[dict[str, Any]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(json.loads(request.content)["variables"]["filter"])
        return httpx.Response(200, json={"data": {"runsOrError": {"results": []}}})

    dagster = Dagster(make_settings())
    dagster._http = httpx.Client(base_url="http://dagster", transport=httpx.MockTransport(answer))
    assert dagster.runs("default", None, 5, None, "desk") == dagster.runs("default", None, 5, None) == []
    dagster.close()
    of_organization = {"key": "learning/organization", "value": "default"}
    assert [one["tags"] for one in asked] == [[of_organization, {"key": "dagster/partition", "value": "default/desk"}], [of_organization]]


def test_runs_of_an_agent_that_is_not_there_are_not_asked_for(api: Api) -> None:
    assert api.get("/runs", api.key("trainer"), params={"agent": "nobody"}).status_code == 404


def test_the_list_of_training_runs_goes_on_where_a_page_ended(api: Api, agent: AgentRef) -> None:
    made = [str(a_run(api, agent, str(uuid4()))) for _ in range(5)]
    trainer, seen, cursor = api.key("trainer"), list[str](), None
    while True:
        page = api.get("/training-runs", trainer, params={"agent": agent.agent, "limit": 2, **({"cursor": cursor} if cursor else {})}).json()
        seen += [one["id"] for one in page["training_runs"]]
        cursor = page["cursor"]
        if cursor is None:
            break
    assert seen == made[::-1]


@pytest.mark.parametrize("params", [{"cursor": "x"}, {"cursor": "W10="}, {"limit": 0}, {"run_id": "no id"}])
def test_a_question_that_cannot_be_read_names_the_field(api: Api, params: dict[str, Any]) -> None:
    answer = api.get("/training-runs", api.key("trainer"), params=params)
    assert answer.status_code == 422 and answer.json()["field"].split(".")[0] in ("cursor", "limit", "run_id")


def test_a_training_run_that_is_not_there_is_said_to_be_none(api: Api) -> None:
    assert api.get(f"/training-runs/{uuid4()}", api.key("trainer")).status_code == 404
