"""Fine-tuning at an endpoint as a job: the learnt model is scored through the client that everything else uses, proposed if better, cancelled on purpose only.

Belongs here: the asset with a fake endpoint over real HTTP. Not here: the protocol (behavior/fine_tuning/test_openai_jobs.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from learning_pipelines.acceptance.approval import OPERATOR, approve
from learning_pipelines.behavior.fine_tuning import openai_tuning
from learning_pipelines.behavior.fine_tuning.openai_jobs import Jobs
from learning_pipelines.behavior.fine_tuning.serving import serving_model
from learning_pipelines.defs import fine_tuning
from learning_pipelines.errors import LearningError
from learning_pipelines.settings import Settings
from learning_pipelines.storage.database import Connection, Database
from learning_pipelines.storage.store import Store
from learning_pipelines_tests.behavior.fine_tuning.tiny import LABELS, SUBJECTS
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.defs.conftest import Materialize, metadata_of
from learning_pipelines_tests.defs.test_fine_tuning import DESK, examples, reason_of
from learning_pipelines_tests.fake_tuning import FakeTuning
from learning_pipelines_tests.feedback.rows import agent_ref, table


def answer(body: dict[str, Any]) -> str:
    """The model that learnt the right answers knows them; its control and its base say the first label."""
    said = body["messages"][-1]["content"].split()
    known = next(label for label in LABELS if set(SUBJECTS[label]) & set(said))
    return json.dumps({"answer": known if body["model"].endswith("-learnt") else LABELS[0]})


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeTuning]:
    monkeypatch.setattr(openai_tuning, "Jobs", partial(Jobs, sleep=lambda _: None))
    with FakeTuning().running() as endpoint:
        endpoint.answer = answer
        yield endpoint


@pytest.fixture
def store(database: Database, tmp_path: Path, fake: FakeTuning) -> Store:
    settings = Settings(
        home=tmp_path / "home", timezone="UTC", duplicate_cosine=None, finetune_engine="openai", finetune_model="gpt-x", finetune_methods=("sft",),
        finetune_price=3.0, finetune_usd=10.0, OPENAI_BASE_URL=fake.base_url, OPENAI_API_KEY="key", task_model="gpt-x",
    )  # fmt: skip
    return Store(settings, database)


@pytest.fixture
def desk(load: Load) -> None:
    row = {"agent": "desk", "system_prompt": "sort the message", "labels": list(LABELS), "metric": {"type": "exact_match"}, "model": "gpt-x"}
    load("agents", [row])
    load("examples", examples(200))


def test_a_better_model_of_the_endpoint_is_proposed_and_named_once_approved(
    desk: None, run_job: Materialize, pipeline: Connection, fake: FakeTuning, store: Store
) -> None:
    found = metadata_of(run_job("fine_tuning", DESK), "fine_tuned_models")
    assert (found["sft: verdict"], found["sft: control verdict"], found["sft: score"]) == ("better", "no evidence", 1.0)
    assert found["sft: training_loss"] == pytest.approx(2 / 3) and fake.created == 2 and len(fake.deleted) == 4
    (proposal,), (run,), agent = table(pipeline, "proposals"), table(pipeline, "training_runs"), agent_ref(pipeline)
    assert run["metrics"]["learnt"]["numbers"]["usd"] == 3.0 and run["status"] == "completed"
    assert {body["model"] for body in fake.asked} == {"gpt-x", *(f"ft:gpt-x:lp-{run['id'].hex[:12]}-{side}" for side in ("learnt", "control"))}
    assert serving_model(pipeline, agent) == ("gpt-x", False)
    approve(pipeline, agent.organization_id, proposal["id"], "immediate", OPERATOR, settings=store.settings)
    assert serving_model(pipeline, agent) == (f"ft:gpt-x:lp-{run['id'].hex[:12]}-learnt", True)


def test_what_its_control_can_do_as_well_is_not_proposed(
    desk: None, run_job: Materialize, pipeline: Connection, fake: FakeTuning, instance: dg.DagsterInstance
) -> None:
    fake.answer = lambda body: answer({**body, "model": body["model"].replace("-control", "-learnt")})  # both better than the base: form, not answers
    result = run_job("fine_tuning", DESK)
    assert "better than its control with shuffled answers (1.000 against 1.000)" in reason_of(result, instance)
    assert table(pipeline, "proposals") == [] and table(pipeline, "behavior_versions") == []
    assert {row["kind"]: row["verdict"] for row in table(pipeline, "acceptance_tests")} == {"fine_tune": "better", "fine_tune_control": "better"}


def test_what_may_cost_more_than_is_allowed_creates_no_job(desk: None, run_job: Materialize, store: Store, fake: FakeTuning) -> None:
    object.__setattr__(store, "settings", store.settings.model_copy(update={"finetune_usd": 0.01}))
    with pytest.raises(LearningError, match=r"may cost 0\.\d\d USD, 0\.01 are allowed"):
        run_job("fine_tuning", DESK)
    assert fake.created == 0 and fake.files == {}


@pytest.mark.parametrize(("on_purpose", "status"), [(True, "cancelled"), (False, "failed")])
def test_only_a_run_that_is_cancelled_cancels_its_jobs(
    on_purpose: bool, status: str, desk: None, run_job: Materialize, pipeline: Connection, fake: FakeTuning, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.states = ("running",)

    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(openai_tuning, "Jobs", partial(Jobs, sleep=interrupted))
    monkeypatch.setattr(fine_tuning, "_cancelled", lambda context: on_purpose)
    with pytest.raises((KeyboardInterrupt, dg.DagsterExecutionInterruptedError)):
        run_job("fine_tuning", DESK)
    (run,) = table(pipeline, "training_runs")
    assert run["status"] == status and fake.cancelled == (["ftjob-1", "ftjob-2"] if on_purpose else [])
    fake.states = ("succeeded",)
    monkeypatch.setattr(openai_tuning, "Jobs", partial(Jobs, sleep=lambda _: None))
    run_job("fine_tuning", DESK)
    assert fake.created == (4 if on_purpose else 2)  # an attempt that was merely interrupted waits for the same jobs


def test_a_reward_model_is_not_asked_of_an_endpoint(
    desk: None, run_job: Materialize, store: Store, fake: FakeTuning, instance: dg.DagsterInstance
) -> None:
    object.__setattr__(store, "settings", store.settings.model_copy(update={"finetune_methods": ("rlhf",)}))
    assert "on this machine only" in reason_of(run_job("fine_tuning", DESK), instance) and fake.created == 0
