"""What is due to be learnt anew is learnt by the next run, although its thresholds would let it wait.

Belongs here: how each part's preparation takes a mark up. Not here: who sets marks (test_learnt_versions.py).
"""

from __future__ import annotations

from pathlib import Path
from uuid import UUID, uuid4

import pytest

from learning_pipelines.behavior import guidance_learning
from learning_pipelines.behavior import preparation as policies
from learning_pipelines.behavior.corrections import rules_making
from learning_pipelines.behavior.fine_tuning import preparation as fine_tuning
from learning_pipelines.behavior.task import Action, Shown
from learning_pipelines.prompts import preparation as prompts
from learning_pipelines.retrieval import preparation as retrieval
from learning_pipelines.settings import Settings
from learning_pipelines.storage import found_chunks, indexes, retraining, training_runs
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.examples.approved import correction, refresh
from learning_pipelines_tests.feedback.erasure.learnt_from import person_of
from learning_pipelines_tests.feedback.rows import AGENT, agent_ref, execution


@pytest.fixture
def desk(load: Load, pipeline: Connection) -> AgentRef:
    load("agents", [AGENT])
    load("executions", [execution("e1", user="ada@example.org")])
    load("examples", [correction(number) for number in range(40)])
    refresh(pipeline)
    return agent_ref(pipeline)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, finetune_engine="openai", openai_api_key="k", task_model="m")


def mark(connection: Connection, agent: AgentRef, part: str) -> None:
    retraining.mark(connection, agent, part, "a person was erased", person_of(connection).erasure_id)


def reason(found: object) -> str:
    return str(getattr(found, "reason", ""))


def test_prompts_are_optimized_with_few_executions_and_examples(desk: AgentRef, pipeline: Connection, settings: Settings) -> None:
    def prepared() -> str:
        return reason(prompts.prepare(pipeline, desk, settings, model="m", issues={}))

    assert "1 executions in the last 30 days, 50 are needed" in prepared()
    mark(pipeline, desk, "prompt_optimization")
    assert "executions in the last" not in prepared()


def test_a_model_is_fine_tuned_with_few_rows(desk: AgentRef, pipeline: Connection, settings: Settings) -> None:
    def prepared() -> str:
        return reason(fine_tuning.prepare(pipeline, desk, settings, "sft", lambda: pytest.fail("no encoder is needed")))

    assert "LEARNING_FINETUNE_MIN_ROWS" in prepared()
    mark(pipeline, desk, "fine_tuning")
    assert "LEARNING_FINETUNE_MIN_ROWS" not in prepared()


def test_retrieval_trains_without_new_pairs(desk: AgentRef, pipeline: Connection, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(found_chunks, "any_document", lambda *given: True)
    encoder = indexes.add_encoder(pipeline, desk.organization_id, name="e", model="e", dimensions=3)
    indexes.put_base(pipeline, desk.organization_id, encoder, {})

    def prepared() -> str:
        return reason(retrieval.prepare(pipeline, desk, settings))

    assert "0 new training pairs in the last 7 days" in prepared()
    mark(pipeline, desk, "rag_tuning")
    assert "no judged query is in the split" in prepared()


@pytest.fixture
def unchanged(monkeypatch: pytest.MonkeyPatch) -> UUID:
    """Every part finds that it has learnt the very same before."""
    before = uuid4()
    monkeypatch.setattr(training_runs, "completed_with", lambda *given: before)
    return before


def test_guidance_is_measured_again_although_nothing_changed(desk: AgentRef, pipeline: Connection, settings: Settings, unchanged: UUID) -> None:
    def prepared() -> str:
        return reason(guidance_learning.prepare(pipeline, desk, settings, model="m"))

    assert f"nothing changed since training run {unchanged}" in prepared()
    mark(pipeline, desk, "guidance")
    assert "nothing changed" not in prepared()


def test_a_policy_is_learnt_again_although_nothing_changed(
    desk: AgentRef, pipeline: Connection, settings: Settings, unchanged: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policies, "teachers", lambda *given: [Shown("d1", "a task", (Action("open"),), split="train")])

    def prepared() -> str:
        return reason(policies.prepare(pipeline, desk, settings, lambda: "encoder"))

    assert f"nothing changed since training run {unchanged}" in prepared()
    mark(pipeline, desk, "behavior_policy")
    assert "nothing changed" not in prepared()


def test_rules_are_tested_again_although_nothing_changed(desk: AgentRef, pipeline: Connection, unchanged: UUID) -> None:
    assert rules_making._attempt(pipeline, desk, "f")[1] == unchanged
    mark(pipeline, desk, "rules")
    assert rules_making._attempt(pipeline, desk, "f") == ("f", None)
