"""Fine-tuning as a job: a better model is proposed with its control beside it, what cannot be done ends skipped, what fails serves nothing.

Belongs here: the asset with a tiny model. Not here: training itself (behavior/fine_tuning/).
"""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from learning_pipelines.acceptance.approval import OPERATOR, approve
from learning_pipelines.behavior.fine_tuning import preparation, running
from learning_pipelines.behavior.fine_tuning.outcome import Outcome, Side
from learning_pipelines.behavior.fine_tuning.serving import model_of, serving_version
from learning_pipelines.errors import LearningError, Unavailable
from learning_pipelines.llm_errors import WrongKey
from learning_pipelines.retrieval.artifacts import cache_folder, fetch
from learning_pipelines.retrieval.index import Artifact
from learning_pipelines.retrieval.learning.child import TrainingKilled
from learning_pipelines.settings import Settings
from learning_pipelines.storage import behavior_versions
from learning_pipelines.storage.database import Connection, Database
from learning_pipelines.storage.store import Store
from learning_pipelines_tests.behavior.fine_tuning.tiny import LABELS, QUICK, SUBJECTS, tiny_model
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.defs.conftest import Materialize, checks_of, metadata_of
from learning_pipelines_tests.feedback.rows import agent_ref, table

DESK = "default/desk"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture
def store(database: Database, tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(preparation, "recipe_for", lambda method, seconds: replace(QUICK, epochs=3))
    settings = Settings(home=tmp_path / "home", timezone="UTC", duplicate_cosine=None, finetune_model=str(model), finetune_methods=("sft",))
    return Store(settings, database)


def examples(count: int) -> list[dict[str, Any]]:
    """Approved examples of different people whose subject says the label; the words beside it are unlike in each (and unknown to the model)."""
    found = []
    for number in range(count):
        label = LABELS[number % 3]
        text = f"w{number}a {SUBJECTS[label][number // 3 % 2]} w{number}b w{number}c"
        found.append({"example_id": f"x{number:03}", "agent": "desk", "input_text": text, "expected_output": label, "user": f"u{number}",
                      "review_status": "approved", "example_type": "positive"})  # fmt: skip
    return found


@pytest.fixture
def desk(load: Load) -> None:
    load("agents", [{"agent": "desk", "system_prompt": "sort the message", "labels": list(LABELS), "metric": {"type": "exact_match"}}])


def reason_of(result: dg.ExecuteInProcessResult, instance: dg.DagsterInstance) -> str:
    run = instance.get_run_by_id(result.run_id)
    assert run is not None
    return run.tags.get("learning/reason", "")


def test_a_better_model_is_proposed_with_its_control_and_serves_once_approved(
    desk: None, load: Load, run_job: Materialize, pipeline: Connection, instance: dg.DagsterInstance, store: Store
) -> None:
    load("examples", examples(200))
    result = run_job("fine_tuning", DESK)
    assert checks_of(result) == {"artifacts_safe_and_whole": True}
    found = metadata_of(result, "fine_tuned_models")
    assert found["sft: verdict"] == "better" and found["sft: score"] > found["sft: incumbent score"] + 0.2
    assert found["sft: control verdict"] != "better" and found["sft: over control p_value"] < 0.05
    assert found["sft: training_loss"] < 1 and "sft: loss by step" in found and "sft: control validation_loss by step" in found
    (proposal,), (run,) = table(pipeline, "proposals"), table(pipeline, "training_runs")
    assert (proposal["kind"], proposal["verdict"], proposal["state"]) == ("fine_tune", "better", "open")
    assert proposal["subject"] == {"kind": "fine_tune", "topic": "sft", "version": 1}
    assert (run["training_type"], run["status"], run["progress"], run["review_status"]) == ("fine_tuning", "completed", 1, "pending")
    assert [point for point in run["metrics"]["learnt"]["curve"] if "loss" in point] and run["metrics"]["control"]["numbers"]["training_loss"] > 0
    kinds = {row["kind"]: row["verdict"] for row in table(pipeline, "acceptance_tests")}
    assert kinds == {"fine_tune": "better", "fine_tune_control": kinds["fine_tune_control"]} and kinds["fine_tune_control"] != "better"
    assert not any(example["input_text"] in repr(found) for example in examples(200))  # numbers and ids, no text of anybody
    assert not list((store.settings.home / "training").glob("*"))

    agent = agent_ref(pipeline)
    assert serving_version(pipeline, agent.organization_id, agent.agent_id) is None  # nothing learnt serves before somebody approves it
    approve(pipeline, agent.organization_id, proposal["id"], "immediate", OPERATOR, settings=store.settings)
    serving = serving_version(pipeline, agent.organization_id, agent.agent_id)
    assert serving is not None and model_of(serving) == "tiny+sft-1"
    folder = fetch(store.settings, Artifact(str(serving.artifact_path), str(serving.artifact_sha256)))
    assert {path.suffix for path in folder.iterdir()} == {".safetensors", ".json", ".gguf"}

    (folder / "adapter_config.json").write_text("{}")
    for file in Path(store.settings.artifacts.removeprefix("file://")).rglob("adapter_model.safetensors"):
        file.write_bytes(b"something else")
    object.__setattr__(store, "settings", store.settings.model_copy(update={"finetune_methods": ()}))
    again = run_job("fine_tuning", DESK)
    assert checks_of(again) == {"artifacts_safe_and_whole": False} and cache_folder(store.settings).exists()


def test_an_unchanged_dataset_is_not_learnt_from_again(
    desk: None, load: Load, run_job: Materialize, pipeline: Connection, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    load("examples", examples(200))
    numbers = {"start_validation_loss": 1.0}
    monkeypatch.setattr(running, "local_learner", lambda *_: lambda progress: Outcome(Side("", numbers=numbers)))
    first = run_job("fine_tuning", DESK)
    assert "validation loss never fell below where it began (1.0000)" in reason_of(first, instance) and table(pipeline, "acceptance_tests") == []
    second = run_job("fine_tuning", DESK)
    assert "nothing changed since training run" in reason_of(second, instance) and len(table(pipeline, "training_runs")) == 1


@pytest.mark.parametrize("error", [LearningError("Fine-tuning diverged at step 3.", "Nothing was kept."), TrainingKilled("Killed by signal 9.", "Again.")])
def test_what_fails_is_kept_with_the_run_tried_once_more_and_then_left(
    error: LearningError, desk: None, load: Load, run_job: Materialize, pipeline: Connection, instance: dg.DagsterInstance, store: Store,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    load("examples", examples(200))

    def failing(*_: object) -> Any:
        def learn(progress: object) -> None:
            raise error

        return learn

    monkeypatch.setattr(running, "local_learner", failing)
    for _ in range(2):
        with pytest.raises(type(error)):
            run_job("fine_tuning", DESK)
        (run,) = table(pipeline, "training_runs")
        assert run["status"] == "failed" and run["error"] == str(error)
    (kept := store.settings.home / "training" / str(run["id"])).mkdir(parents=True)
    third = run_job("fine_tuning", DESK)
    assert "failed 2 times on the same examples" in reason_of(third, instance)
    assert table(pipeline, "proposals") == [] and table(pipeline, "acceptance_tests") == []
    load("agents", [{"agent": "desk", "system_prompt": "sort every message", "labels": list(LABELS), "metric": {"type": "exact_match"}}])
    with pytest.raises(type(error)):
        run_job("fine_tuning", DESK)  # another prompt: other lessons
    assert {one["status"] for one in table(pipeline, "training_runs")} == {"cancelled", "failed"} and not kept.exists()


@pytest.mark.parametrize("error", [Unavailable("The disk is full.", "Free space."), WrongKey("The key is refused.", "Correct it.")])
def test_what_fails_for_want_of_something_else_is_tried_again_as_often_as_asked(
    error: LearningError, desk: None, load: Load, run_job: Materialize, pipeline: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    load("examples", examples(200))

    def learn(progress: object) -> Any:
        raise error

    monkeypatch.setattr(running, "local_learner", lambda *_: learn)
    for _ in range(3):
        with pytest.raises(type(error)):
            run_job("fine_tuning", DESK)


def _no_extra(name: str, found: Any = importlib.util.find_spec) -> Any:
    return None if name == "peft" else found(name)


@pytest.mark.parametrize(("count", "change", "reason"), [
    (200, "extra", "needs the extra [finetune] (peft not installed): pip install 'learning-pipelines[finetune]'"),
    (200, "disabled", "learning is disabled for this agent"),
    (200, "endpoint", "the packaged one is not what they would be compared with: set LEARNING_FINETUNE_ENGINE=openai"),
    (60, "", "in the split train, 50 are needed (LEARNING_FINETUNE_MIN_ROWS)"),
])  # fmt: skip
def test_what_cannot_be_done_ends_skipped_and_says_why(
    count: int, change: str, reason: str, desk: None, load: Load, run_job: Materialize, pipeline: Connection, instance: dg.DagsterInstance,
    store: Store, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    load("examples", examples(count))
    if change == "extra":
        monkeypatch.setattr(preparation.importlib.util, "find_spec", _no_extra)
    if change == "endpoint":
        object.__setattr__(store, "settings", store.settings.model_copy(update={"finetune_model": None, "openai_base_url": "http://127.0.0.1:9/v1"}))
    if change == "disabled":
        pipeline.execute("UPDATE agents SET learning_enabled = false")
    result = run_job("fine_tuning", DESK)
    run = instance.get_run_by_id(result.run_id)
    assert run is not None and run.tags["learning/status"] == "skipped" and reason in reason_of(result, instance)
    assert table(pipeline, "training_runs") == [] and behavior_versions.listed(pipeline, agent_ref(pipeline), "fine_tune") == []
