"""GET /agents/{agent_id}/next-action: what serves answers, with evidence and no words of others; approval and rollback are seen at once.

Belongs here: the route. Not here: reading a state (test_behavior_query.py), learning and suggesting (behavior/), how fast it is (make bench-next-action).
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from learning_pipelines.acceptance.behavior_proposing import propose
from learning_pipelines.api.warm import Warm
from learning_pipelines.behavior.demonstrations import as_text
from learning_pipelines.behavior.loaded import Policies
from learning_pipelines.behavior.policy import classifier, neighbours
from learning_pipelines.behavior.policy.files import load_policy, save
from learning_pipelines.behavior.policy.fitting import fit
from learning_pipelines.behavior.policy.policy import Policy
from learning_pipelines.behavior.task import Action, Shown
from learning_pipelines.client import Client, Options
from learning_pipelines.encoder import EncoderDown
from learning_pipelines.retrieval.artifacts import put_folder
from learning_pipelines.retrieval.index import Artifact
from learning_pipelines.storage import behavior_versions
from learning_pipelines.storage.experiment_rows import Arm
from learning_pipelines.storage.tenants import AgentRef, agents
from learning_pipelines_tests.api.experimenting import caller, carried, met, run
from learning_pipelines_tests.api.serving import Api, make_agents
from learning_pipelines_tests.behavior.tickets import task, tickets
from learning_pipelines_tests.feedback.rows import Row
from learning_pipelines_tests.retrieval.fake_encoders import WordEncoder

ENCODER = WordEncoder(dimensions=96)
LOOKED_UP = json.dumps([{"type": "look_up", "arguments": {"ticket": 1}}])


def shown(rows: list[Row]) -> list[Shown]:
    made = []
    for row in rows:
        actions = tuple(Action(one["type"], one.get("arguments")) for one in row["actions"])
        made.append(Shown(row["demonstration_id"], row["task_description"], actions, given=as_text(None)))
    return made


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a policy that read the tickets."""
    folder = tmp_path_factory.mktemp("learnt") / "policy"
    with pytest.MonkeyPatch.context() as quick:
        quick.setattr(neighbours, "GRID", neighbours.GRID[:1])  # what is chosen among is tested where it is learnt
        quick.setattr(classifier, "PENALTIES", (1.0,))
        save(fit(shown(tickets(90)), [], ENCODER, 1).learnt, folder)
    return folder


@pytest.fixture(autouse=True)
def encoding(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api.service.policies, "_encoder_of", lambda: ENCODER)


def proposed(api: Api, agent: AgentRef, folder: Path, **config: Any) -> tuple[int, str]:
    with api.database.connect("pipeline") as connection:
        number, proposal = propose(
            connection, agent, api.settings, kind="policy", subject_kind="policy", artifact=put_folder(api.settings, agent, folder),
            config=config, metrics={}, evidence={},
        )  # fmt: skip
    return number, str(proposal)


def an_agent(api: Api, name: str, organization: str = "default") -> AgentRef:
    make_agents(api, organization, name)
    with api.database.connect("pipeline") as connection:
        return agents(connection, organization, name)[0]


@pytest.fixture(scope="module")
def desk(api: Api, learnt: Path) -> AgentRef:
    """The agent desk, whose policy serves."""
    agent = an_agent(api, "desk")
    _, proposal = proposed(api, agent, learnt)
    assert api.post(f"/proposals/{proposal}/review", {"approve": True}, api.key("admin")).status_code == 200
    return agent


def ask(api: Api, agent: str = "desk", **params: Any) -> dict[str, Any]:
    answer = api.get(f"/agents/{agent}/next-action", api.key(), params={"task": task(), "history": LOOKED_UP, **params})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_the_policy_suggests_with_confidence_evidence_and_no_words_of_others(api: Api, desk: AgentRef) -> None:
    for name in ("desk", str(desk.agent_id)):
        found = ask(api, name, task=task("refund"))
        assert (found["agent_id"], found["policy"], found["abstained"], found["hint"]) == ("desk", 1, False, None)
        best, *others = found["suggestions"]
        assert best["type"] == "refund_order" and best["confidence"] > 0.5 and best["arguments"] == {"amount": 5, "ticket": 1}
        assert len(others) == 2 and all(one["confidence"] <= best["confidence"] for one in others)
        assert 1 <= len(best["evidence"]["demonstrations"]) <= 3 and 1 <= best["evidence"]["agreeing"] <= best["evidence"]["nearest"]
        assert "zalmon" not in json.dumps(found) and "bal" not in json.dumps(found)
    assert ask(api, task=task("cancel"))["suggestions"][0]["type"] == "cancel_order"
    done = [*json.loads(LOOKED_UP), {"type": "refund_order", "arguments": {"ticket": 1, "amount": 5}}, {"type": "send_mail"}]
    assert ask(api, history=json.dumps(done), k=1)["suggestions"][0]["type"] == "<end>"
    assert len(ask(api, k=20)["suggestions"]) == 8 and len(ask(api, k=1)["suggestions"]) == 1


def test_the_python_client_gets_the_same(api: Api, desk: AgentRef, tmp_path: Path) -> None:
    with Client(api.url, api.key(), queue_dir=tmp_path, options=Options(prompt_timeout=60)) as client:
        found = client.next_action("desk", task("refund"), history=[{"type": "look_up", "arguments": {"ticket": 1}}])
        assert (found.type, found.policy, dict(found.suggestions[0].arguments), client.stats().errors) == ("refund_order", 1, {"amount": 5, "ticket": 1}, {})
        nothing = client.next_action("helper", task())
        assert (bool(nothing), nothing.policy) == (False, 0) and "behavior_learning" in str(nothing.reason)


def test_in_an_experiment_the_policy_of_the_unit_s_variant_answers_and_executions_carry_it(api: Api, learnt: Path, tmp_path: Path) -> None:
    agent = an_agent(api, "trial")
    with api.database.connect("pipeline") as connection:
        number = behavior_versions.add(
            connection, agent, "policy", config={}, metrics={}, artifact=(lambda one: (one.path, one.sha256))(put_folder(api.settings, agent, learnt))
        )
        lost = behavior_versions.add(connection, agent, "policy", config={}, metrics={}, artifact=("artifacts/none/gone", "0" * 64))
    one = run(api, agent, (Arm("control", 0, 0.4), Arm("treatment", number, 0.3), Arm("lost", lost, 0.3)), subject="policy")
    of = {"task": task(), "history": LOOKED_UP}
    one_after_the_other = caller(api.url, api.key())
    answers = {unit: one_after_the_other.get("/agents/trial/next-action", params={**of, "unit": unit}).json() for unit in (f"user-{at}" for at in range(36))}
    assert {(found["variant"], found["policy"], found["experiment"]) for found in answers.values()} == {
        ("control", 0, str(one)), ("treatment", number, str(one)), (None, 0, None),
    }  # fmt: skip
    assert all((f"Version {lost}" in (found["experiment_problem"] or "")) is (found["variant"] is None) for found in answers.values())
    counted = {unit: found["variant"] for unit, found in answers.items() if found["variant"] is not None}
    assert {unit: variant for unit, (variant, _) in met(api, one, len(counted)).items()} == counted
    assert (ask(api, "trial")["policy"], ask(api, "trial")["experiment"]) == (0, None)
    treated = next(unit for unit, variant in counted.items() if variant == "treatment")
    with Client(api.url, api.key(), queue_dir=tmp_path, options=Options(prompt_timeout=60)) as client:
        found = client.next_action("trial", task("refund"), history=[{"type": "look_up", "arguments": {"ticket": 1}}], unit=treated)
        assert (found.type, found.policy) == ("refund_order", number)
        name = client.log_execution(agent="trial", input="q", output="a", user=treated)
        assert client.flush(60)
    with api.database.connect("pipeline") as connection:
        row = connection.execute("SELECT context FROM agent_executions WHERE id = %s", [name]).fetchone()
    assert row is not None and carried(row[0]) == {(str(one), "treatment", treated)}


def test_a_situation_that_nobody_demonstrated_is_abstained_from(api: Api, desk: AgentRef) -> None:
    found = ask(api, history=json.dumps([{"type": "dance"}]))
    assert (found["suggestions"], found["abstained"], found["policy"]) == ([], True, 1) and "'dance'" in found["reason"]


def test_without_a_policy_there_is_a_hint_and_no_error(api: Api) -> None:
    found = ask(api, "helper")
    assert (found["suggestions"], found["policy"], found["abstained"], found["reason"]) == ([], 0, False, None)
    assert "run behavior_learning --agent helper" in found["hint"]


@pytest.mark.parametrize(
    ("params", "status", "field"),
    [
        ({"task": None}, 422, "task"), ({"task": ""}, 422, "task"), ({"task": "x" * 16_001}, 422, "task"), ({"k": 0}, 422, "k"), ({"k": 21}, 422, "k"),
        ({"history": "[{}]"}, 422, "history"), ({"history": "look_up"}, 422, "history"), ({"history": None, "action": "a\x00"}, 422, "action"),
        ({"state": '{"a"'}, 422, "state"), ({"task_type": "x" * 256}, 422, "task_type"),
    ],
)  # fmt: skip
def test_bad_input_is_named(api: Api, desk: AgentRef, params: dict[str, Any], status: int, field: str) -> None:
    given = {name: value for name, value in ({"task": task(), "history": LOOKED_UP} | params).items() if value is not None}
    answer = api.get("/agents/desk/next-action", api.key(), params=given)
    assert (answer.status_code, answer.json()["field"]) == (status, field)


def test_who_asks_has_to_be_known_and_so_has_the_agent(api: Api) -> None:
    assert api.get("/agents/desk/next-action", params={"task": "a"}).status_code == 401
    answer = api.get("/agents/nobody/next-action", api.key(), params={"task": "a"})
    assert (answer.status_code, answer.json()["field"]) == (404, "agent_id")


def test_approval_and_rollback_are_seen_at_once_and_under_load_no_answer_fails(api: Api, learnt: Path) -> None:
    agent, admin, key = an_agent(api, "swapped"), api.key("admin"), api.key()
    one, two = proposed(api, agent, learnt, turn=1), None
    wrong: list[Any] = []
    done = threading.Event()

    def hammer() -> None:
        while not done.is_set():
            answer = api.get("/agents/swapped/next-action", key, params={"task": task(), "history": LOOKED_UP})
            if answer.status_code != 200 or (answer.json()["policy"] == 0) != (answer.json()["suggestions"] == []):
                wrong.append(answer.text)

    threads = [threading.Thread(target=hammer) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        assert ask(api, "swapped")["policy"] == 0
        api.post(f"/proposals/{one[1]}/review", {"approve": True}, admin)
        assert ask(api, "swapped")["policy"] == one[0]
        two = proposed(api, agent, learnt, turn=2)
        api.post(f"/proposals/{two[1]}/review", {"approve": True}, admin)
        assert ask(api, "swapped")["policy"] == two[0]
        for _ in range(2):
            assert api.post("/agents/swapped/rollback", {"kind": "policy"}, admin).json()["version"] == one[0]
            assert ask(api, "swapped")["policy"] == one[0]
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert wrong == []


def test_nothing_of_another_tenant_suggests(api: Api, desk: AgentRef) -> None:
    an_agent(api, "desk", "others")
    key = api.key(organization="others")
    answer = api.get("/agents/desk/next-action", key, params={"task": task()}).json()
    assert (answer["policy"], answer["suggestions"]) == (0, [])
    assert api.get(f"/agents/{desk.agent_id}/next-action", key, params={"task": task()}).status_code == 404


def test_an_encoder_that_is_away_or_another_one_is_said(api: Api, desk: AgentRef, monkeypatch: pytest.MonkeyPatch) -> None:
    class Away(WordEncoder):
        def encode(self, texts: object, *, batch_size: int = 0) -> object:  # type: ignore[override]
            raise EncoderDown("The encoder process (1) cannot be used: gone.", "Try again.")

    for encoder, said in ((Away(dimensions=96), "encoder process"), (WordEncoder("other@1", 96), "LEARNING_EMBEDDING_MODEL")):
        monkeypatch.setattr(api.service, "policies", Policies(api.settings, lambda encoder=encoder: encoder))  # type: ignore[misc]
        answer = api.get("/agents/desk/next-action", api.key(), params={"task": task()})
        assert answer.status_code == 503 and said in answer.json()["detail"]


def test_a_policy_is_loaded_once_however_many_ask_at_once_and_is_let_go_when_there_are_too_many(
    api: Api, desk: AgentRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    with api.database.connect("pipeline") as connection:
        (version,) = behavior_versions.labelled(connection, desk.organization_id, desk.agent_id, "policy")
    artifact = Artifact(version.artifact_path or "", version.artifact_sha256 or "")
    loaded: list[Path] = []

    def counted(folder: Path, encoder: Any) -> Policy:
        loaded.append(folder)
        return load_policy(folder, encoder)

    monkeypatch.setattr("learning_pipelines.behavior.loaded.load_policy", counted)
    policies = Policies(api.settings, lambda: ENCODER)
    threads = [threading.Thread(target=policies.policy, args=(artifact,)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(loaded) == 1
    monkeypatch.setattr("learning_pipelines.behavior.loaded.KEPT_BYTES", 0)
    small = Policies(api.settings, lambda: ENCODER)
    kept = small.policy(artifact), 1
    assert small.policy(artifact) is kept[0] and len(loaded) == 2
    small._kept.of("another", lambda: kept)
    small.policy(artifact)
    assert len(loaded) == 3


def test_the_encoder_is_kept_from_going_to_sleep_while_suggestions_are_asked_for(api: Api, desk: AgentRef) -> None:
    ask(api)
    asked = len(ENCODER.texts)
    api.service.policies.stay_ready(3600)
    assert ENCODER.texts[asked:] == ["still", "there"]
    api.service.policies.stay_ready(-1)
    assert len(ENCODER.texts) == asked + 2
    assert api.service.policies in Warm(api.service.policies)._asking and api.service.policies in api.service._warm._asking


def test_a_worker_loads_no_torch_for_it() -> None:
    code = "import sys, learning_pipelines.api.app, learning_pipelines.behavior.policy.files\nsys.exit('torch' in sys.modules or 'scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=120, check=False).returncode == 0
