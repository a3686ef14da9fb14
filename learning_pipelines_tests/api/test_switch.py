"""The kill switch through a running service: nothing learnt serves within a second, and everything is back to the byte when it is switched on.

Belongs here: what answers while learning is switched off. Not here: who may switch (test_proposals.py), what jobs do then (defs/), the rows
(storage/test_switched_off.py).
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import httpx
import pytest

from learning_pipelines.acceptance import approval
from learning_pipelines.api import guided
from learning_pipelines.api import served as served_prompts
from learning_pipelines.behavior.guidance import Guidance
from learning_pipelines.behavior.guidance_lookup import StoredGuide
from learning_pipelines.behavior.policy.policy import Suggestion, Suggestions
from learning_pipelines.examples.datasets import refresh_dataset
from learning_pipelines.feedback.importing import import_file, window_now
from learning_pipelines.llm import Message
from learning_pipelines.prompts.prompt import Prompt, Retrieval
from learning_pipelines.prompts.registry import add_learnt
from learning_pipelines.retrieval.index import IndexConfig
from learning_pipelines.retrieval.lexical import refresh_lexical
from learning_pipelines.storage import behavior_versions, experiments, indexes, prompts
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.experiment_rows import Arm
from learning_pipelines.storage.tenants import AgentRef, agents
from learning_pipelines.storage.versions import list_versions
from learning_pipelines_tests.api.serving import Api, make_agents
from learning_pipelines_tests.behavior.playbooks.stored import stored_playbook
from learning_pipelines_tests.examples.approved import SHARES, TEXT_ONLY
from learning_pipelines_tests.retrieval.fake_encoders import WordEncoder
from learning_pipelines_tests.retrieval.stored import put_base, put_chunks, put_vectors, texts
from learning_pipelines_tests.storage.test_demonstrations import Letters, text

ENCODER = WordEncoder(dimensions=24)
CHUNKS = {f"c{number:02}": said for number, said in enumerate(texts(20, words=12, vocabulary=300))}
ADA = approval.Reviewer("user:ada")


class _Policy:
    """Suggests the same to everybody."""

    def suggest(self, state: Any, k: int) -> Suggestions:
        return Suggestions((Suggestion("refund_order", 0.9, ("demo-1",), 3),), 0.9, False, "", 8)


@pytest.fixture(scope="module")
def desk(api: Api) -> AgentRef:
    """An agent of which everything is learnt: prompt with demonstrations and guidance, model, index, policy, playbook."""
    make_agents(api, "default", "desk")
    with api.database.connect("pipeline") as connection:
        agent = agents(connection, "default", "desk")[0]
        _examples(api, connection)
        refresh_dataset(connection, agent, rule=TEXT_ONLY, shares=SHARES)
        dataset = str(list_versions(connection, agent)[0]["id"])
        messages, serving = Prompt((Message("system", "You sort well."),), Retrieval(2, dataset)).stored()
        number = add_learnt(
            connection, agent, messages=messages, serving=serving, parent=1, strategy="few_shot", dataset_id=None, model=None, scores={}, training_run_id=None
        )
        prompts.move_label(connection, agent, "production", number, None)
        _guidance(connection, agent, dataset)
        number = behavior_versions.add(connection, agent, "fine_tune", topic="sft", config={"model": "ft:one"}, metrics={})
        behavior_versions.move_serving(connection, agent, "fine_tune", number, None, "sft")
        number = behavior_versions.add(connection, agent, "policy", config={}, metrics={}, artifact=("policy", "0" * 64))
        behavior_versions.move_serving(connection, agent, "policy", number, None)
        stored_playbook(connection, agent, "refund")
        _index(connection, agent)
    return agent


@pytest.fixture
def trying(api: Api, desk: AgentRef) -> Iterator[UUID]:
    """A running experiment on the prompt whose treatment everybody gets."""
    with api.database.connect("pipeline") as connection:
        made = experiments.add(connection, desk, name="tried", arms=(Arm("control", 1, 0.0), Arm("treatment", 2, 1.0)))
        experiments.begin_epoch(connection, desk.organization_id, made, {"treatment": [(0.0, 1.0)]})
        experiments.set_status(connection, desk.organization_id, made, "running")
        yield made
        experiments.set_status(connection, desk.organization_id, made, "cancelled")


@pytest.fixture(autouse=True)
def fakes(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api.service.served._few_shot, "_encoder", Letters())
    monkeypatch.setattr(api.service.loaded, "_encoder_of", lambda version: ENCODER)
    monkeypatch.setattr(api.service.policies, "policy", lambda artifact: _Policy())


def _examples(api: Api, connection: Connection) -> None:
    path = api.settings.home / "examples.jsonl"
    rows = [
        {"example_id": f"e{n}", "agent": "desk", "input_text": text(n), "expected_output": f"answer {n}", "review_status": "approved",
         **({"original_output": "wrong"} if n % 2 else {})} for n in range(40)
    ]  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert import_file(connection, "default", "examples", path, window=window_now(api.settings.start_date, api.settings.zone)).rejected == 0


def _guidance(connection: Connection, agent: AgentRef, dataset: str) -> None:
    prompt = prompts.labelled(connection, agent)
    assert prompt is not None
    made = Guidance(
        dataset_id=dataset, prompt=prompt.content_hash.hex(), prompt_version=prompt.version, encoder=Letters.name, sources={"corrections": 0.2}, tokens=1_500,
        playbooks=(), rules=(),
    )  # fmt: skip
    StoredGuide(connection, agent, made, Letters())  # gives the examples their vectors
    number = behavior_versions.add(connection, agent, "guidance", config=made.as_json(), metrics={})
    behavior_versions.move_serving(connection, agent, "guidance", number, None)


def _index(connection: Connection, agent: AgentRef) -> None:
    put_chunks(connection, agent.organization_id, CHUNKS)
    refresh_lexical(connection, agent.organization_id, "english")
    base = put_base(connection, agent.organization_id, ENCODER)
    put_vectors(connection, agent.organization_id, base, list(CHUNKS), ENCODER.encode(list(CHUNKS.values())))
    found = indexes.base(connection, agent.organization_id)
    assert found is not None
    number = indexes.add(
        connection, agent, encoder_id=found.encoder.id, kind="index", parent=0, config=IndexConfig(lexical_weight=1.0).as_json(), metrics={},
        training_run_id=None,
    )  # fmt: skip
    indexes.move_serving(connection, agent, number, None)


def asked(api: Api, key: str) -> dict[str, httpx.Response]:
    """Everything that may serve something learnt."""
    return {
        "prompt": api.get("/prompts/desk", key),
        "for a unit": api.get("/prompts/desk", key, params={"unit": "ann"}),
        "for input": api.get("/prompts/desk", key, params={"input": text(77)}),
        "label": api.get("/prompts/desk", key, params={"label": "previous"}),
        "search": api.get("/search", key, params={"q": CHUNKS["c05"], "agent": "desk", "k": 3}),
        "next action": api.get("/agents/desk/next-action", key, params={"task": "A client wants money back."}),
        "playbooks": api.get("/agents/desk/playbooks", key),
    }


def switched(api: Api, enabled: bool) -> None:
    """By another process than the worker that answers, which is told nothing."""
    with api.database.connect("pipeline") as connection:
        assert approval.set_learning(connection, agents(connection, "default", "desk")[0].organization_id, None, ADA, enabled=enabled)


def test_within_a_second_nothing_learnt_serves_and_afterwards_everything_is_as_it_was_to_the_byte(api: Api, desk: AgentRef, trying: UUID) -> None:
    key = api.key()
    time.sleep(max(served_prompts.FRESH_SECONDS, guided.FRESH_SECONDS))
    before = asked(api, key)
    assert all(answer.status_code == 200 for answer in before.values()), {name: answer.text for name, answer in before.items()}
    said = {name: answer.json() for name, answer in before.items()}
    assert (said["prompt"]["version"], said["prompt"]["model"], said["prompt"]["disabled"]) == ("2", "ft:one", False)
    assert (said["for a unit"]["experiment"], said["for a unit"]["variant"]) == (str(trying), "treatment")
    assert said["for input"]["guidance"] == "1" and len(said["for input"]["messages"]) > 4
    assert (said["search"]["index"], said["next action"]["policy"], len(said["playbooks"]["playbooks"])) == (1, 1, 1)

    switched(api, enabled=False)
    time.sleep(1 - 0.3)  # the rest of the second is for the answers
    off = asked(api, key)
    assert all(answer.status_code == 200 and answer.json()["disabled"] is True for answer in off.values())
    said = {name: answer.json() for name, answer in off.items()}
    base = [{"role": "system", "content": "You are desk."}]
    for name in ("prompt", "label", "for a unit"):
        assert (said[name]["version"], said[name]["messages"], said[name]["model"]) == ("1", base, None)
    assert (said["for a unit"]["experiment"], said["for a unit"]["variant"]) == (None, None)
    assert said["for input"]["messages"] == [*base, {"role": "user", "content": text(77)}]
    assert (said["for input"]["guidance"], said["for input"]["guidance_problem"]) == (None, None)
    assert said["search"]["index"] == 0 and said["search"]["results"]
    assert (said["next action"]["policy"], said["next action"]["suggestions"]) == (0, []) and "enable --agent desk" in said["next action"]["hint"]
    assert said["playbooks"]["playbooks"] == []
    assert off["label"].headers["etag"] != before["label"].headers["etag"]  # version 1 as well, but whoever has it must hear that it is switched off

    switched(api, enabled=True)
    time.sleep(served_prompts.FRESH_SECONDS)
    after = asked(api, key)
    for name, answer in after.items():
        assert answer.content == before[name].content and answer.headers.get("etag") == before[name].headers.get("etag"), name


def test_the_worker_that_switches_answers_by_it_at_once_and_the_audit_log_keeps_who_did(api: Api, desk: AgentRef) -> None:
    admin = api.key("admin", user="root")
    versions = [api.get("/prompts/desk", admin).json()["version"]]
    for verb in ("disable", "enable"):
        assert api.post(f"/agents/desk/{verb}", {}, admin).json()["agents"] == ["desk"]
        versions.append(api.get("/prompts/desk", admin).json()["version"])
    assert versions == ["2", "1", "2"]
    with api.database.connect("pipeline") as connection:
        rows = connection.execute(
            "SELECT action, actor FROM audit_log WHERE subject_kind = 'agent' AND subject_id = 'desk' ORDER BY id DESC LIMIT 2"
        ).fetchall()
    assert [action for action, _ in rows] == ["enabled", "disabled"] and all(actor not in ("", "operator", "pipeline") for _, actor in rows)


def test_another_agent_of_the_organization_is_served_as_before(api: Api, desk: AgentRef) -> None:
    key = api.key("admin")
    before = api.get("/prompts/helper", key)
    api.post("/agents/desk/disable", {}, key)
    try:
        after = api.get("/prompts/helper", key)
        assert (after.content, after.json()["disabled"]) == (before.content, False)
        assert api.get("/search", key, params={"q": CHUNKS["c05"]}).json()["disabled"] is False
    finally:
        api.post("/agents/desk/enable", {}, key)
