"""The judging model's assets: it runs where an agent asks for it, is measured against experts, and moves nothing that people said.

Belongs here: the job judge_sample and its schedule. Not here: rubric, agreement, sampling (prompts/).
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import dagster as dg
import pytest

from learning_pipelines.defs.schedules import judging_requests
from learning_pipelines.settings import Settings
from learning_pipelines.storage import judging
from learning_pipelines.storage.database import Connection, Database
from learning_pipelines.storage.store import Store
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.defs.conftest import Materialize, checks_of, metadata_of
from learning_pipelines_tests.fake_endpoint import FakeEndpoint, says
from learning_pipelines_tests.feedback.rows import AGENT, execution, said, table


@pytest.fixture
def model() -> Iterator[FakeEndpoint]:
    endpoint = FakeEndpoint()
    endpoint.always = says(json.dumps({"accuracy": 4, "clarity": 5, "completeness": 3}))
    with endpoint.running():
        yield endpoint


@pytest.fixture
def store(database: Database, tmp_path, model: FakeEndpoint, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("OPENAI_BASE_URL", model.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    return Store(Settings(home=tmp_path / "home", timezone="UTC", duplicate_cosine=None, judge_model="fake-judge"), database)


@pytest.fixture
def asking(load: Load) -> None:
    load("agents", [{**AGENT, "judge_sample": 1.0}])
    load("executions", [execution(f"e{number}") for number in range(3)])
    load("feedback", [said("f1", "e1", "thumbs_down", user="ada")])


def test_a_sample_of_live_executions_is_scored_and_a_second_run_scores_nothing_more(
    asking: None, run_job: Materialize, pipeline: Connection, model: FakeEndpoint
) -> None:
    result = run_job("judge_sample", "default/desk")
    found = metadata_of(result, "execution_scores")
    assert (found["new"], found["drawn"], found["judged"], found["faults"]) == (3, 3, 3, 0)
    assert {row["judge"].split("@")[0] for row in table(pipeline, "execution_scores")} == {"fake-judge"}
    asked = len(model.requests)
    assert metadata_of(run_job("judge_sample", "default/desk"), "execution_scores")["new"] == 0
    assert len(model.requests) == asked


def test_a_judge_that_nobody_compared_with_experts_fails_its_check_as_a_warning(asking: None, run_job: Materialize) -> None:
    result = run_job("judge_sample", "default/desk")
    assert result.success and checks_of(result)["judge_agrees_with_experts"] is False
    assert metadata_of(result, "judge_verdicts")["may_decide"] is False


def test_an_agent_that_asks_for_no_judge_is_skipped(load: Load, run_job: Materialize, instance: dg.DagsterInstance, model: FakeEndpoint) -> None:
    load("agents", [AGENT])
    load("executions", [execution("e1")])
    result = run_job("judge_sample", "default/desk")
    run = instance.get_run_by_id(result.run_id)
    assert run is not None and "asks for no judge" in run.tags["learning/reason"]
    assert model.requests == []


def test_the_schedule_asks_for_the_agents_that_want_it(asking: None, load: Load, pipeline: Connection) -> None:
    load("agents", [{**AGENT, "agent": "quiet"}, {**AGENT, "agent": "graded", "metric": {"type": "judge"}}])
    wanted = judging.agents_that_ask(pipeline)
    assert wanted == ["default/desk", "default/graded"]
    (request,) = judging_requests(wanted, {"default/desk", "default/quiet"}, "now")
    assert (request.partition_key, request.run_key) == ("default/desk", "now/default/desk")
    assert isinstance(judging_requests([], {"default/quiet"}, "now"), dg.SkipReason)
