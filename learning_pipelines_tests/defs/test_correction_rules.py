"""Rules out of corrections, measured by asking a model: what people correct becomes a rule, the model is asked with and without it, what helps is proposed.

Belongs here: the two assets with feedback that was imported, the shared encoder and a model behind HTTP. Not here: making rules, the gate with scores
that tests give (behavior/test_rules.py), metadata and checks (test_corrections.py).

The model is a fake, spoken to over the real protocol: it takes thieves for lost cards unless a rule in what it is sent says otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from learning_pipelines.acceptance.approval import OPERATOR, approve
from learning_pipelines.defs.corrections import correction_patterns, correction_rules
from learning_pipelines.encoder import EncoderClient, Vectors
from learning_pipelines.settings import Settings
from learning_pipelines.storage import behavior_versions
from learning_pipelines.storage.database import Connection, Database
from learning_pipelines.storage.store import Store
from learning_pipelines_tests.behavior.corrected import LABELS
from learning_pipelines_tests.conftest import Load, ShareEncoder
from learning_pipelines_tests.defs.conftest import checks_of, metadata_of
from learning_pipelines_tests.fake_endpoint import FakeEndpoint, says
from learning_pipelines_tests.feedback.rows import agent_ref, execution, said, table

DESK = "default/desk"
RULE = "are «card_stolen», not «card_lost»"
PEOPLE, PINS, OTHERS = 48, 24, 24
PLACES = ("market", "station", "beach", "museum", "tram", "stadium", "hotel", "pier")
Run = Callable[..., dg.ExecuteInProcessResult]


def reply(label: str, handler: Any, body: dict[str, Any]) -> None:
    allowed = body["response_format"]["json_schema"]["schema"]["properties"]["answer"]["enum"]
    assert label in allowed
    says(json.dumps({"answer": label}))(handler, body)


def heeds(handler: Any, body: dict[str, Any]) -> None:
    """A model that does what a rule says about questions that it fits."""
    *before, question = body["messages"]
    ruled = any(RULE in message["content"] for message in before) and "thief" in question["content"]
    reply("card_stolen" if ruled else "card_lost", handler, body)


def ignores(handler: Any, body: dict[str, Any]) -> None:
    reply("card_lost", handler, body)


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeEndpoint]:
    endpoint = FakeEndpoint()
    endpoint.always = heeds
    monkeypatch.setenv("OPENAI_BASE_URL", endpoint.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    with endpoint.running():
        yield endpoint


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, share_encoder: ShareEncoder) -> Path:
    return share_encoder(tmp_path_factory.mktemp("rules"))


@pytest.fixture
def store(database: Database, home: Path, model: FakeEndpoint) -> Store:
    return Store(Settings(home=home, timezone="UTC", duplicate_cosine=None, task_model="fake", planned_effect=0.9), database)


@pytest.fixture
def run(instance: dg.DagsterInstance, store: Store) -> Run:
    def materialize(**settings: Any) -> dg.ExecuteInProcessResult:
        instance.add_dynamic_partitions("agents", [DESK])
        used = Store(store.settings.model_copy(update=settings), store.database)
        return dg.materialize([correction_patterns, correction_rules], instance=instance, partition_key=DESK, resources={"store": used})

    return materialize


@pytest.fixture
def desk(load: Load) -> None:
    """Many people say that thieves are no lost cards, two again and again that a typed number is none; and approved examples of lost cards."""
    load("agents", [{"agent": "desk", "system_prompt": "Sort the message.", "labels": LABELS, "metric": {"type": "exact_match"}}])
    thieves = [(f"a thief took my card at the {PLACES[number % 8]} {number}", "card_stolen") for number in range(PEOPLE)]
    asked = [*thieves, *((f"typed the wrong number {number} times", "pin_blocked") for number in range(PINS))]
    people = [*(f"u{number}" for number in range(PEOPLE)), *(("eve", "lee")[number % 2] for number in range(PINS))]  # whose corrections all teach
    load("executions", [execution(f"e{number}", input=text, output="card_lost") for number, (text, _) in enumerate(asked)])
    load("feedback", [
        said(f"f{number}", f"e{number}", "correction", correction_text=right, user=people[number]) for number, (_, right) in enumerate(asked)
    ])  # fmt: skip
    load("examples", [
        {"example_id": f"a{number}", "agent": "desk", "user": f"v{number}", "input_text": f"my card is gone since the trip {number}",
         "expected_output": "card_lost", "example_type": "positive", "review_status": "approved"}
        for number in range(OTHERS)
    ])  # fmt: skip


def reason_of(result: dg.ExecuteInProcessResult, instance: dg.DagsterInstance) -> str:
    run = instance.get_run_by_id(result.run_id)
    assert run is not None
    return run.tags.get("learning/reason", "")


def ruled(body: dict[str, Any]) -> list[str]:
    """Roles of the messages that hold the rule."""
    return [message["role"] for message in body["messages"] if RULE in message["content"]]


def test_a_rule_that_the_model_heeds_is_proposed_with_its_numbers_and_serves_once_approved(
    desk: None, run: Run, pipeline: Connection, model: FakeEndpoint, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded, encode = list[str](), EncoderClient.encode

    def watched(client: EncoderClient, texts: Sequence[str], **more: int) -> Vectors:
        encoded.extend(texts)
        return encode(client, texts, **more)

    monkeypatch.setattr(EncoderClient, "encode", watched)
    result = run()
    found = metadata_of(result, "correction_rules")
    assert (found["rules: proposed"], found["held-out corrections, score before"], found["held-out corrections, score after"]) == (1, 0.0, 1.0)
    assert checks_of(result)["rules_help_on_held_out_corrections"] is True
    (proposal,) = table(pipeline, "proposals")
    topic = proposal["subject"]["topic"]
    assert (proposal["verdict"], proposal["state"], proposal["subject"]) == ("better", "open", {"kind": "rules", "topic": topic, "version": 1})
    (test,) = table(pipeline, "acceptance_tests")
    held_out = test["evidence"]["n"]
    assert len(model.requests) == found["answers_asked_for"] == 2 * (held_out + OTHERS) <= store.settings.optimization_calls
    assert sum(row["answers"] for row in table(pipeline, "llm_usage")) == len(model.requests)
    assert encoded, "whether the questions tell what is due is seen by their vectors"
    agent = agent_ref(pipeline)
    assert not behavior_versions.label_target(pipeline, agent, "rules", "serving", topic), "nothing learnt serves before somebody approves it"
    approve(pipeline, agent.organization_id, proposal["id"], "immediate", OPERATOR, settings=store.settings)
    assert behavior_versions.label_target(pipeline, agent, "rules", "serving", topic) == 1


def test_the_model_is_sent_a_rule_as_a_turn_of_the_user_and_never_as_the_system(
    desk: None, run: Run, pipeline: Connection, model: FakeEndpoint
) -> None:
    run()
    without, having = ([body["messages"] for body in model.requests if bool(ruled(body)) is shown] for shown in (False, True))
    questions = [sorted(messages[-1]["content"] for messages in side) for side in (without, having)]
    assert questions[0] == questions[1], "both sides are asked the same"
    assert {tuple(message["role"] for message in messages) for messages in without} == {("system", "user")}
    assert {tuple(message["role"] for message in messages) for messages in having} == {("system", "user", "assistant", "user")}
    assert {tuple(ruled(body)) for body in model.requests} == {(), ("user",)}
    assert {messages[0]["content"] for messages in (*without, *having)} == {"Sort the message."}


def test_a_rule_that_the_model_ignores_is_not_proposed(desk: None, run: Run, pipeline: Connection, instance: dg.DagsterInstance, model: FakeEndpoint) -> None:
    model.always = ignores
    found = metadata_of(result := run(), "correction_rules")
    assert (found["rules: not better"], found["held-out corrections, score after"], table(pipeline, "proposals")) == (1, 0.0, [])
    assert "not better" in reason_of(result, instance)


def test_a_test_is_as_large_as_the_budget_of_calls_and_too_small_a_budget_asks_nothing(
    desk: None, run: Run, pipeline: Connection, instance: dg.DagsterInstance, model: FakeEndpoint
) -> None:
    assert "are left of LEARNING_OPTIMIZATION_CALLS" in reason_of(run(optimization_calls=2 * OTHERS + 10), instance)
    assert (model.requests, table(pipeline, "acceptance_tests")) == ([], [])
    found = metadata_of(run(optimization_calls=2 * OTHERS + 20), "correction_rules")
    assert len(model.requests) == found["answers_asked_for"] == 2 * OTHERS + 20
    (proposal,) = table(pipeline, "proposals")
    assert proposal["evidence"]["n"] == 10
