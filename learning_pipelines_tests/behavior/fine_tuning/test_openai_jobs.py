"""Fine-tuning jobs of an endpoint: begun once whatever happens, waited for, cancelled on purpose only, and every refusal in words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from learning_pipelines.behavior.fine_tuning.openai_jobs import JobEnded, Jobs, NoSuchApi, StillRunning, Wanted
from learning_pipelines.errors import LearningError
from learning_pipelines.llm_client import Endpoint
from learning_pipelines.llm_errors import EndpointDown, WrongKey
from learning_pipelines_tests.behavior.fine_tuning.tiny import lessons
from learning_pipelines_tests.fake_tuning import FakeTuning


class Memory:
    """Ids as the training run keeps them."""

    def __init__(self) -> None:
        self.kept: dict[str, Any] = {}

    def read(self) -> Mapping[str, Any]:
        return dict(self.kept)

    def write(self, values: Mapping[str, Any]) -> None:
        self.kept |= values


@pytest.fixture
def fake() -> Iterator[FakeTuning]:
    with FakeTuning().running() as endpoint:
        yield endpoint


def jobs(fake: FakeTuning, seconds: float = 3600, **more: Any) -> Jobs:
    return Jobs(Endpoint(fake.base_url, "key"), seconds, more.pop("told", lambda line: None), sleep=more.pop("sleep", lambda _: None), **more)


def wanted(method: str = "sft", suffix: str = "lp-1-learnt") -> Wanted:
    given = lessons("sft" if method == "sft" else "dpo", rows=12)
    return Wanted("gpt-x", method, [row.openai() for row in given.train], [row.openai() for row in given.validation], suffix, 7, 3)


@pytest.mark.parametrize(("method", "kind"), [("sft", "supervised"), ("dpo", "dpo")])
def test_a_job_is_created_waited_for_and_gives_its_model_and_losses(fake: FakeTuning, method: str, kind: str) -> None:
    said = list[str]()
    done = jobs(fake, told=said.append).run(wanted(method), Memory())
    assert (done.model, done.trained_tokens) == ("ft:gpt-x:lp-1-learnt", 1_000_000)
    assert done.curve == tuple({"step": float(step), "loss": 2.0 / step, "validation_loss": 3.0 / step} for step in (1, 2, 3))
    created = fake.jobs["ftjob-1"]["method"]
    assert created["type"] == kind and created[kind]["hyperparameters"]["n_epochs"] == 3 and ("beta" in created[kind]["hyperparameters"]) == (kind == "dpo")
    rows = [json.loads(line) for line in fake.files["file-1"].splitlines()]
    assert len(rows) == 12 and set(rows[0]) == ({"messages"} if method == "sft" else {"input", "preferred_output", "non_preferred_output"})
    assert [line.rsplit(" ", 1)[-1] for line in said[1:]] == ["validating_files", "running", "succeeded"]
    assert sorted(fake.deleted) == ["file-1", "file-2"]  # nobody's words stay there


def test_after_a_restart_the_same_job_is_waited_for(fake: FakeTuning) -> None:
    fake.states, kept = ("running",), Memory()
    ticks = iter(range(0, 100_000, 100))
    with pytest.raises(StillRunning, match="ftjob-1 is still running"):
        jobs(fake, 150, clock=lambda: next(ticks)).run(wanted(), kept)
    fake.states = ("succeeded",)
    assert jobs(fake).run(wanted(), kept).id == "ftjob-1" and fake.created == 1 and len(fake.files) == 2


def test_a_job_whose_creation_was_not_heard_of_is_found_and_not_created_again(fake: FakeTuning) -> None:
    fake.silent_create, kept = True, Memory()
    with pytest.raises(EndpointDown):
        jobs(fake).begin(wanted(), kept)
    assert fake.created == 1 and kept.kept["training_file"] == "file-1" and "id" not in kept.kept
    assert jobs(fake).run(wanted(), kept).id == "ftjob-1" and fake.created == 1


def test_an_endpoint_that_is_busy_for_a_while_is_asked_again(fake: FakeTuning) -> None:
    fake.refuse = [("jobs/ftjob-1", 503), ("jobs/ftjob-1", 429)]
    assert jobs(fake).run(wanted(), Memory()).id == "ftjob-1"


def test_cancelling_ends_the_job_there_deletes_its_files_and_the_next_attempt_is_another_job(fake: FakeTuning) -> None:
    kept, there = Memory(), jobs(fake)
    there.begin(wanted(), kept)
    there.cancel(wanted(), kept)
    assert fake.cancelled == ["ftjob-1"] and sorted(fake.deleted) == ["file-1", "file-2"]
    assert jobs(fake).run(wanted(suffix="lp-2-learnt"), kept).id == "ftjob-2"


@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_a_job_that_ends_without_a_model_says_how_and_never_what_a_user_wrote(fake: FakeTuning, state: str) -> None:
    fake.states, kept = ("running", state), Memory()
    with pytest.raises(JobEnded, match=f"ftjob-1 ended as {state}") as caught:
        jobs(fake).run(wanted(), kept)
    assert "secret" not in str(caught.value) and kept.kept["id"] is None
    assert ("invalid_training_file" in str(caught.value)) == (state == "failed")


@pytest.mark.parametrize(
    ("part", "status", "error", "says"),
    [
        ("/files", 401, WrongKey, "refuses the key"),
        ("/files", 404, NoSuchApi, "does not know this part of the fine-tuning API"),
        ("/fine_tuning/jobs", 404, NoSuchApi, "LEARNING_FINETUNE_ENGINE=local"),
        ("/fine_tuning/jobs", 400, LearningError, "refuses the request"),
    ],
)
def test_a_refusal_names_its_cause_and_creates_nothing(fake: FakeTuning, part: str, status: int, error: type[LearningError], says: str) -> None:
    fake.refuse = [(part, status)]
    with pytest.raises(error, match=says):
        jobs(fake).run(wanted(), Memory())
    assert fake.created == 0
