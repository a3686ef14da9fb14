"""Dagster that answers but cannot do anything now: its database is away, its code is not loaded. That is a 503 and neither a 500 nor an empty list.

Belongs here: what the webserver's error answers mean. Not here: a webserver that does not answer (test_hardening.py), runs that run (test_end_to_end.py).
"""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from learning_pipelines.api.dagster import Dagster
from learning_pipelines.errors import LearningError, Unavailable
from learning_pipelines.settings import Settings


def answering(launched: str, others: str = "AddDynamicPartitionSuccess") -> Dagster:
    """A webserver that answers a launch with one type, and everything else with another."""

    def answer(request: httpx.Request) -> httpx.Response:
        query = json.loads(request.content)["query"]
        if "launchRun" in query:
            return httpx.Response(200, json={"data": {"launchRun": {"__typename": launched}}})
        return httpx.Response(200, json={"data": {"anything": {"__typename": others, "results": []}}})

    made = Dagster(Settings(home=Path("/nowhere"), database_url=None))
    made._http = httpx.Client(base_url="http://dagster", transport=httpx.MockTransport(answer))
    return made


@pytest.mark.parametrize("kind", ["PythonError", "PipelineNotFoundError"])
def test_a_run_that_cannot_be_taken_now_is_unavailable(kind: str) -> None:
    with pytest.raises(Unavailable):
        answering(kind).launch("prompt_optimization", "default", "desk", {})


def test_a_run_that_is_refused_for_good_is_an_error() -> None:
    with pytest.raises(LearningError) as refused:
        answering("RunConfigValidationInvalid").launch("prompt_optimization", "default", "desk", {})
    assert not isinstance(refused.value, Unavailable)


def test_runs_that_cannot_be_read_now_are_not_none() -> None:
    away = answering("PythonError", "PythonError")
    with pytest.raises(Unavailable):
        away.runs("default", None, 10, None)
    with pytest.raises(Unavailable):
        away.run("default", "r1")
