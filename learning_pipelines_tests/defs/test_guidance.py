"""Guidance as an asset: proposed where it helps, not where it is luck, and nothing is asked where there is too little to learn from.

Belongs here: the asset with a model of known behaviour. Not here: what is shown (behavior/), serving it (api/test_guidance.py), the gate (acceptance/).

The model is a fake, spoken to over the real protocol (test_prompts.answer): it answers with the label of the example that shares its subject with the
question, else always with the first label. So corrections help as far as they are near, and notes do nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from learning_pipelines.acceptance.approval import OPERATOR, approve
from learning_pipelines.defs import guidance as module
from learning_pipelines.defs import prompts as prompt_assets
from learning_pipelines.examples.refresh import refresh_examples
from learning_pipelines.prompts.prompt import content_hash
from learning_pipelines.settings import Settings
from learning_pipelines.storage import behavior_versions, prompts
from learning_pipelines.storage.database import Connection, Database
from learning_pipelines.storage.store import Store
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.defs.conftest import Materialize, checks_of, metadata_of
from learning_pipelines_tests.defs.test_prompts import DESK, LABELS, PLACES, SUBJECTS, answer, examples
from learning_pipelines_tests.examples.approved import refresh
from learning_pipelines_tests.fake_endpoint import FakeEndpoint, refuses, says
from learning_pipelines_tests.feedback.rows import agent_ref, table
from learning_pipelines_tests.storage.test_demonstrations import Letters

Run = Callable[..., dg.ExecuteInProcessResult]


@pytest.fixture
def model() -> Iterator[FakeEndpoint]:
    endpoint = FakeEndpoint()
    endpoint.always = answer
    with endpoint.running():
        yield endpoint


@contextmanager
def letters(settings: Settings) -> Iterator[Callable[[], Letters]]:
    """Vectors that follow from the letters of a text, and no process that has to start."""
    yield Letters


@pytest.fixture
def store(database: Database, tmp_path: Path, model: FakeEndpoint, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("OPENAI_BASE_URL", model.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    for assets in (module, prompt_assets):
        monkeypatch.setattr(assets, "encoder_at_need", letters)
    return Store(Settings(home=tmp_path, timezone="UTC", duplicate_cosine=None, task_model="fake", optimization_calls=90, min_executions=1), database)


@pytest.fixture
def run(instance: dg.DagsterInstance, store: Store) -> Run:
    def materialize(**more: Any) -> dg.ExecuteInProcessResult:
        instance.add_dynamic_partitions("agents", [DESK])
        return dg.materialize([module.guidance], instance=instance, partition_key=DESK, resources={"store": store}, **more)

    return materialize


def corrected(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same as people's corrections of a wrong answer."""
    wrong = {label: LABELS[(place + 1) % len(LABELS)] for place, label in enumerate(LABELS)}
    return [row | {"example_type": "correction", "original_output": wrong.get(row["expected_output"], "?")} for row in rows]


@pytest.fixture
def desk(load: Load, pipeline: Connection) -> None:
    """An agent with a poor prompt and 250 approved corrections."""
    load("agents", [{"agent": "desk", "system_prompt": "Sort the message.", "labels": LABELS, "metric": {"type": "exact_match"}}])
    load("examples", corrected(examples(250)))
    refresh(pipeline)


def reason_of(result: dg.ExecuteInProcessResult, instance: dg.DagsterInstance) -> str:
    run = instance.get_run_by_id(result.run_id)
    assert run is not None
    return run.tags.get("learning/reason", "")


def test_corrections_that_help_are_proposed_with_their_numbers_and_serve_once_approved(
    desk: None, run: Run, pipeline: Connection, instance: dg.DagsterInstance, model: FakeEndpoint
) -> None:
    result = run()
    assert checks_of(result)["guidance_beats_prompt_alone"] is True
    found = metadata_of(result, "guidance")
    assert (found["verdict"], found["available_corrections"] > 50, found["chosen"].split()[0]) == ("better", True, "corrections")
    assert found["with"] - found["without"] == pytest.approx(found["difference"]) and found["low"] > 0.3
    (proposal,) = table(pipeline, "proposals")
    assert (proposal["kind"], proposal["subject"]) == ("playbook", {"kind": "guidance", "topic": "", "version": 1})
    assert len(model.requests) <= found["calls"] and table(pipeline, "training_runs")[0]["status"] == "completed"
    shown = [repr(value) for value in found.values()]
    assert not any(text in one for one in shown for text in (*PLACES, *SUBJECTS.values()))
    agent = agent_ref(pipeline)
    assert behavior_versions.labelled(pipeline, agent.organization_id, agent.agent_id, "guidance") == []
    approve(pipeline, agent.organization_id, proposal["id"], "immediate", OPERATOR)
    (serving,) = behavior_versions.labelled(pipeline, agent.organization_id, agent.agent_id, "guidance")
    assert serving.config["sources"]["corrections"] > 0.2 and serving.config["prompt_version"] == 1
    asked = len(model.requests)
    again = run()  # it is measured against what serves now, and finds nothing better
    assert "no way to guide did better" in reason_of(again, instance) and len(table(pipeline, "proposals")) == 1
    assert len(model.requests) - asked <= 60 and "| what serves | " in metadata_of(again, "guidance")["validation"]
    assert "nothing changed since" in reason_of(run(), instance)


def test_a_prompt_has_to_beat_the_one_that_serves_with_the_guidance_that_it_would_lose(
    desk: None, load: Load, run: Run, run_job: Materialize, pipeline: Connection
) -> None:
    run()
    agent = agent_ref(pipeline)
    approve(pipeline, agent.organization_id, table(pipeline, "proposals")[0]["id"], "immediate", OPERATOR)
    load("executions", [{"execution_id": "e", "agent": "desk", "input": "hello", "output": "invoice"}])
    messages = [{"role": "system", "content": "Sort the message well."}]
    version, _ = prompts.add_written(pipeline, agent, messages, None, content_hash(messages, {}), None)
    run_job("prompt_optimization", DESK, tags={"learning/candidate": str(version)})
    (test,) = table(pipeline, "acceptance_tests", "kind = 'prompt'")
    assert (test["incumbent"]["guidance"], test["verdict"]) == (1, "worse")  # alone both prompts do the same
    assert test["evidence"]["incumbent_mean"] > test["evidence"]["candidate_mean"] + 0.3


def test_what_the_model_does_not_follow_is_not_proposed_and_spends_no_test(
    desk: None, run: Run, pipeline: Connection, instance: dg.DagsterInstance, model: FakeEndpoint
) -> None:
    model.always = says('{"answer": "vat"}')
    result = run()
    assert "no way to guide did better" in reason_of(result, instance)
    assert table(pipeline, "proposals") == [] and table(pipeline, "acceptance_tests") == []


def test_nothing_to_show_or_too_little_to_test_on_is_said_and_asks_nothing(
    load: Load, run: Run, pipeline: Connection, instance: dg.DagsterInstance, model: FakeEndpoint, store: Store
) -> None:
    load("agents", [{"agent": "desk", "system_prompt": "Sort the message.", "labels": LABELS, "metric": {"type": "exact_match"}}])
    assert "no dataset yet" in reason_of(run(), instance)
    rows = examples(60)
    load("examples", rows)
    refresh(pipeline)
    assert "nothing to show" in reason_of(run(), instance)
    load("examples", corrected([row | {"example_id": f"c{number}"} for number, row in enumerate(examples(90)[60:])]))
    refresh(pipeline)
    assert "test examples" in reason_of(run(), instance) and "approve about" in reason_of(run(), instance)
    object.__setattr__(store, "settings", store.settings.model_copy(update={"optimization_calls": 20, "planned_effect": 0.9}))
    assert "LEARNING_OPTIMIZATION_CALLS (20) covers 6 validation examples for each of 3 ways" in reason_of(run(), instance)
    object.__setattr__(store, "settings", store.settings.model_copy(update={"task_model": None}))
    assert "LEARNING_TASK_MODEL is not set" in reason_of(run(), instance)
    assert model.requests == [] and table(pipeline, "training_runs") == []


def test_a_run_that_the_endpoint_ended_is_resumed_with_the_answers_it_has(
    desk: None, run: Run, pipeline: Connection, model: FakeEndpoint
) -> None:
    def dies(handler: Any, body: dict[str, Any]) -> None:
        (answer if len(model.requests) < 40 else refuses(401))(handler, body)

    model.always = dies
    assert not run(raise_on_error=False).success
    (failed,) = table(pipeline, "training_runs")
    assert failed["status"] == "failed" and failed["error"]
    model.always = answer
    asked = len(model.requests)
    result = run()
    found = metadata_of(result, "guidance")
    assert found["resumed"] is True and found["verdict"] == "better" and len(model.requests) - asked < found["calls"]
    assert [row["id"] for row in table(pipeline, "training_runs")] == [failed["id"]]


def test_what_users_correct_today_is_in_what_the_next_run_learns_from(desk: None, load: Load, run: Run, pipeline: Connection) -> None:
    before = metadata_of(run(), "guidance")["available_corrections"]
    texts = [f"the {SUBJECTS[label]} {number} of my sister" for number in range(8) for label in LABELS]
    load("executions", [{"execution_id": f"n{number}", "agent": "desk", "input": text, "output": "audit"} for number, text in enumerate(texts)])
    load("feedback", [
        {"execution_id": f"n{number}", "feedback_type": "correction", "correction_text": LABELS[number % 5], "user": f"p{number}"}
        for number in range(len(texts)) if LABELS[number % 5] != "audit"
    ])  # fmt: skip
    refresh_examples(pipeline, agent_ref(pipeline))
    pipeline.execute("UPDATE learning_examples SET review_status = 'approved' WHERE review_status = 'pending'")
    assert metadata_of(run(), "guidance")["available_corrections"] > before
