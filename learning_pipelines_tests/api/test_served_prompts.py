"""What serves as applications get it: with an input the very messages that were scored, a moved label at once, in a worker that stays light.

Belongs here: GET /prompts/{agent_id}. Not here: approving and rolling back (test_proposals.py), how fast it is (make bench-service).
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from learning_pipelines.acceptance import approval
from learning_pipelines.api import few_shot
from learning_pipelines.api import served as served_prompts
from learning_pipelines.encoder import EncoderClient, Serving
from learning_pipelines.encoder_service import Server
from learning_pipelines.examples.datasets import refresh_dataset
from learning_pipelines.feedback.importing import import_file, window_now
from learning_pipelines.llm import Message
from learning_pipelines.prompts.evaluation import Evaluator
from learning_pipelines.prompts.metrics import metric_of
from learning_pipelines.prompts.prompt import Prompt, Retrieval
from learning_pipelines.prompts.registry import add_learnt
from learning_pipelines.prompts.serving import stored_nearest
from learning_pipelines.prompts.task import Item
from learning_pipelines.storage import behavior_versions, prompts
from learning_pipelines.storage.tenants import AgentRef, agents
from learning_pipelines.storage.versions import list_versions
from learning_pipelines_tests.acceptance.proposing import learnt, proposed
from learning_pipelines_tests.api.serving import Api, make_agents
from learning_pipelines_tests.examples.approved import SHARES, TEXT_ONLY
from learning_pipelines_tests.storage.test_demonstrations import Letters, text

ADA = approval.Reviewer("user:ada")
Make = Callable[..., AgentRef]
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def encoding() -> Iterator[Serving]:
    """The encoder process's own server, over vectors that follow from letters."""
    server = Server(Letters(), "key", "token")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield Serving("key", server.url, "token", os.getpid(), Letters.name, Letters.dimensions)
    server.shutdown()
    server.server_close()


@pytest.fixture
def make(api: Api) -> Make:
    """An agent of its own, with `rows` approved examples."""

    def one(rows: int = 0) -> AgentRef:
        name = f"served-{next(_numbers)}"
        make_agents(api, "default", name)
        with api.database.connect("pipeline") as connection:
            agent = agents(connection, "default", name)[0]
            if rows:
                path = api.settings.home / f"{name}.jsonl"
                lines = [
                    {"example_id": f"{name}-{n}", "agent": name, "input_text": text(n), "expected_output": f"answer {n}", "review_status": "approved"}
                    for n in range(rows)
                ]
                path.write_text("".join(json.dumps(line) + "\n" for line in lines))
                window = window_now(api.settings.start_date, api.settings.zone)
                assert import_file(connection, "default", "examples", path, window=window).rejected == 0
                refresh_dataset(connection, agent, rule=TEXT_ONLY, shares=SHARES)
        return agent

    return one


def serve(api: Api, agent: AgentRef, prompt: Prompt) -> None:
    """Stores the prompt as a learnt version and lets it serve."""
    messages, serving = prompt.stored()
    with api.database.connect("pipeline") as connection:
        number = add_learnt(
            connection, agent, messages=messages, serving=serving, parent=1, strategy="few_shot", dataset_id=None, model=None, scores={}, training_run_id=None
        )
        prompts.move_label(connection, agent, "production", number, None)
    time.sleep(served_prompts.FRESH_SECONDS)


def sent(api: Api, agent: AgentRef, **params: Any) -> list[dict[str, str]]:
    answer = api.get(f"/prompts/{agent.agent}", api.key(), params=params)
    assert answer.status_code == 200, answer.text
    messages: list[dict[str, str]] = answer.json()["messages"]
    return messages


@pytest.mark.parametrize("agreeing", [False, True])
def test_with_an_input_the_messages_are_the_very_ones_that_were_scored(
    api: Api, make: Make, encoding: Serving, monkeypatch: pytest.MonkeyPatch, agreeing: bool
) -> None:
    monkeypatch.setattr(few_shot, "open_encoder", lambda settings: EncoderClient(lambda: encoding))
    agent = make(rows=40)
    with api.database.connect("pipeline") as connection:
        dataset = list_versions(connection, agent)[0]["id"]
        prompt = Prompt((Message("system", "You sort."),), Retrieval(8 if agreeing else 3, str(dataset), agreeing))
        nearest = stored_nearest(connection, agent, dataset, lambda: EncoderClient(lambda: encoding))
        evaluator = Evaluator(None, metric_of({"type": "exact_match"}), max_tokens=9, nearest=nearest)  # type: ignore[arg-type]
        scored = evaluator.request(prompt, Item("new", text(77), "")).messages
    serve(api, agent, prompt)
    answer = api.get(f"/prompts/{agent.agent}", api.key(), params={"input": text(77)})
    assert answer.json()["messages"] == [{"role": message.role, "content": message.content} for message in scored]
    said = [message["content"] for message in answer.json()["messages"] if message["role"] == "assistant"]
    assert (1 <= len(said) < 8 and len(set(said)) == 1) if agreeing else len(said) == 3
    assert [message["role"] for message in answer.json()["messages"]] == ["system", *["user", "assistant"] * len(said), "user"]
    assert sent(api, agent) == [{"role": "system", "content": "You sort."}]
    again = api.get(f"/prompts/{agent.agent}", api.key(), params={"input": text(77)}, headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    other = api.get(f"/prompts/{agent.agent}", api.key(), params={"input": text(78)}, headers={"If-None-Match": answer.headers["etag"]})
    assert other.status_code == 200 and other.json()["messages"][-1]["content"] == text(78)


def test_the_model_is_the_fine_tuned_one_that_serves_else_the_agents_own_and_another_model_is_another_answer(api: Api, make: Make) -> None:
    agent = make()

    def answered(**params: Any) -> dict[str, Any]:
        time.sleep(served_prompts.FRESH_SECONDS)
        found: dict[str, Any] = api.get(f"/prompts/{agent.agent}", api.key(), params=params).json()
        return found

    with api.database.connect("pipeline") as connection:
        assert answered()["model"] is None
        connection.execute("UPDATE agents SET model = 'gpt-x' WHERE organization_id = %s AND id = %s", [agent.organization_id, agent.agent_id])
        own = answered()
        for method, config in (("sft", {"model": "ft:gpt-x:one"}), ("dpo", {"base": "tiny"}), ("rlhf", {"model": "a reward model answers nobody"})):
            number = behavior_versions.add(connection, agent, "fine_tune", topic=method, config=config, metrics={})
            behavior_versions.move_serving(connection, agent, "fine_tune", number, None, method)
        tuned, with_input = answered(), answered(input="hello")
        assert (own["model"], tuned["model"], with_input["model"]) == ("gpt-x", "tiny+dpo-2", "tiny+dpo-2")
        assert own["etag"] != tuned["etag"] and own["version"] == tuned["version"]
        behavior_versions.point(connection, agent, "fine_tune", "serving", 0, None, "dpo")
        assert answered()["model"] == "ft:gpt-x:one"


def test_an_input_enters_its_own_turn_and_nothing_else(api: Api, make: Make) -> None:
    agent = make()
    serve(api, agent, Prompt((Message("system", "Sort {{input}}."), Message("user", "Text: {{input}}!"))))
    assert sent(api, agent, input="{{firm}} \\1 {{input}}") == [
        {"role": "system", "content": "Sort {{input}}."}, {"role": "user", "content": "Text: {{firm}} \\1 {{input}}!"},
    ]  # fmt: skip
    serve(api, agent, Prompt((Message("system", "Sort."),)))
    assert sent(api, agent, input="hello\x00") == [{"role": "system", "content": "Sort."}, {"role": "user", "content": "hello\x00"}]


def test_examples_without_vectors_and_an_encoder_that_is_away_are_said_and_not_left_out(
    api: Api, make: Make, encoding: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api.service.served._few_shot, "_encoder", EncoderClient(lambda: encoding))
    agent = make(rows=40)
    with api.database.connect("pipeline") as connection:
        dataset = list_versions(connection, agent)[0]["id"]
    serve(api, agent, Prompt((Message("system", "You sort."),), Retrieval(3, str(dataset))))
    answer = api.get(f"/prompts/{agent.agent}", api.key(), params={"input": "a"})
    assert answer.status_code == 503 and "have no vector of the encoder letters@1" in answer.json()["detail"]
    gone = Serving("key", "http://127.0.0.1:9", "token", 1, Letters.name, Letters.dimensions)
    monkeypatch.setattr(api.service.served._few_shot, "_encoder", EncoderClient(lambda: gone))
    answer = api.get(f"/prompts/{agent.agent}", api.key(), params={"input": "b"})
    assert answer.status_code == 503 and "encoder process" in answer.json()["detail"]
    assert sent(api, agent) == [{"role": "system", "content": "You sort."}]


def test_the_encoder_is_kept_ready_while_inputs_come(encoding: Serving, monkeypatch: pytest.MonkeyPatch, api: Api, make: Make) -> None:
    """It ends after 15 idle minutes, and the next input would wait for it to start."""
    asked = threading.Event()

    class Watched(EncoderClient):
        def encode(self, texts: Any, *, batch_size: int = 64) -> Any:
            if len(texts) == 2:
                asked.set()
            return super().encode(texts, batch_size=batch_size)

    monkeypatch.setattr(few_shot, "open_encoder", lambda settings: Watched(lambda: encoding))
    monkeypatch.setattr(few_shot, "SWEEP_SECONDS", 0.05)
    picking = few_shot.FewShot(api.service.sessions, api.settings)
    agent = make(rows=40)
    with api.database.connect("pipeline") as connection:
        dataset = list_versions(connection, agent)[0]["id"]
        stored_nearest(connection, agent, dataset, Letters)("a", 1)
    assert len(picking.nearest(agent, Retrieval(2, str(dataset)), "hello")) == 2
    assert asked.wait(30)
    picking.close()


def test_a_prompt_whose_demonstrations_cannot_be_looked_up_is_not_approved(api: Api, make: Make) -> None:
    agent = make(rows=40)
    with api.database.connect("pipeline") as connection:
        dataset = list_versions(connection, agent)[0]["id"]
        serving = {"retrieval": {"k": 3, "dataset_id": str(dataset)}}
        proposal = proposed(connection, agent, learnt(connection, agent, serving=serving))
        refused = api.post(f"/proposals/{proposal}/review", {"approve": True}, api.key("admin"))
        assert refused.status_code == 409 and "have no vectors" in refused.json()["detail"]
        stored_nearest(connection, agent, dataset, Letters)("a", 1)
    assert api.post(f"/proposals/{proposal}/review", {"approve": True}, api.key("admin")).json()["changed"] is True


WORKER = """
import sys
from learning_pipelines.api import few_shot
from learning_pipelines.encoder import EncoderClient, Serving
from learning_pipelines.settings import Settings
from learning_pipelines.storage.database import Database
from learning_pipelines_tests.api.serving import serving
url, api_url, home, encoder = sys.argv[1:]
few_shot.open_encoder = lambda settings: EncoderClient(lambda: Serving("key", encoder, "token", 1, "letters@1", 384))
with serving(Database(url, url, {"api": api_url}, False), Settings(home=home, database_url=None)) as running:
    print(running.url, flush=True)
    sys.stdin.readline()
    print(",".join(sorted(name for name in ("torch", "sentence_transformers", "transformers", "dagster") if name in sys.modules)), flush=True)
"""


@pytest.fixture(scope="module")
def worker(api: Api, encoding: Serving) -> Iterator[Any]:
    """A second worker: a process of its own over the same database."""
    arguments = [api.database.admin_url, api.database.role_urls["api"], str(api.settings.home), encoding.url]
    with subprocess.Popen([sys.executable, "-c", WORKER, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        yield process, process.stdout.readline().strip()
        if process.poll() is None:
            process.stdin.close()
            process.wait(60)


def elsewhere(api: Api, worker: Any, agent: AgentRef, **params: Any) -> Any:
    """The answer of the second worker."""
    other = Api(worker[1], api.database, api.service, api.settings)
    return other.get(f"/prompts/{agent.agent}", api.key(), params=params)


def test_a_rollback_is_seen_by_another_worker_with_its_next_look(api: Api, make: Make, worker: Any) -> None:
    agent = make()
    with api.database.connect("pipeline") as connection:
        proposal = proposed(connection, agent, learnt(connection, agent))
    assert elsewhere(api, worker, agent).json()["version"] == "1"
    api.post(f"/proposals/{proposal}/review", {"approve": True}, api.key("admin"))
    time.sleep(served_prompts.FRESH_SECONDS)
    first = elsewhere(api, worker, agent)
    assert first.json()["version"] == "2"
    assert api.ask("POST", f"/agents/{agent.agent}/rollback", api.key("admin")).status_code == 200
    time.sleep(served_prompts.FRESH_SECONDS)
    second = elsewhere(api, worker, agent)
    assert second.json()["version"] == "1" and second.headers["etag"] != first.headers["etag"]


def test_a_worker_looks_again_well_within_a_second() -> None:
    assert served_prompts.FRESH_SECONDS <= 0.5


def test_a_worker_that_picks_demonstrations_loads_no_model(api: Api, make: Make, encoding: Serving, worker: Any) -> None:
    agent = make(rows=40)
    with api.database.connect("pipeline") as connection:
        dataset = list_versions(connection, agent)[0]["id"]
        stored_nearest(connection, agent, dataset, Letters)("a", 1)
    serve(api, agent, Prompt((Message("system", "You sort."),), Retrieval(3, str(dataset))))
    assert len(elsewhere(api, worker, agent, input=text(5)).json()["messages"]) == 8
    process = worker[0]
    process.stdin.write("\n")
    process.stdin.flush()
    assert process.stdout.readline().strip() == ""
