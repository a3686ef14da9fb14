"""Traces as a collector gets them: a real OTLP receiver, the real service, a real run, a real endpoint; and collectors that are not there.

Belongs here: what is in the spans, what never is, what a bad collector does. Not here: the receiver (collector.py).
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from learning_pipelines import tracing
from learning_pipelines.llm_client import Endpoint, OpenAIModel, Retry
from learning_pipelines.llm_errors import ModelError
from learning_pipelines.llm_protocol import Message
from learning_pipelines.settings import Settings
from learning_pipelines_tests.api.serving import make_agents, serving
from learning_pipelines_tests.collector import Collector, collecting
from learning_pipelines_tests.conftest import Load, MakeDatabase
from learning_pipelines_tests.fake_endpoint import FakeEndpoint
from learning_pipelines_tests.feedback.rows import AGENT

SECRET = "Zanzibar-4711"
"""Stands for what a person wrote, wherever one can write."""
CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    with collecting() as one:
        yield one


@pytest.fixture(autouse=True)
def _ends() -> Iterator[None]:
    yield
    tracing.stop()


def settings(url: str, home: Path, **given: Any) -> Settings:
    return Settings(home=home, OTEL_EXPORTER_OTLP_ENDPOINT=url, token_secret="token secret of the tests, 32 bytes long", **given)


def test_a_stored_feedback_is_a_trace_from_the_callers_span_to_the_statements(collector: Collector, make_database: MakeDatabase, tmp_path: Path) -> None:
    with make_database() as database, serving(database, settings(collector.url, tmp_path)) as api:
        key = api.key()
        make_agents(api, "default", "desk")
        body = {"execution_id": "run-1", "agent": "desk", "feedback_type": "correction", "correction_text": SECRET, "user": SECRET}
        answer = api.post(f"/feedback?note={SECRET}", body, key, headers={"traceparent": CALLER})
        assert answer.status_code == 201
        assert api.get(f"/feedback/stats/desk?days={SECRET}", key).status_code == 422
        assert httpx.get(f"{api.url}/healthz").status_code == 200
        request = collector.named("POST /api/learning/feedback")
        refused = collector.named("GET /api/learning/feedback/stats/{agent_id}")
    assert (request.trace, request.parent) == (CALLER.split("-")[1], CALLER.split("-")[2])
    assert request.service == "learning-pipelines-api"
    assert request.attributes["http.response.status_code"] == 201
    assert request.attributes["learning.request_id"] == answer.headers["x-request-id"]
    assert len(request.attributes["learning.organization_id"]) == 36
    assert refused.attributes["http.response.status_code"] == 422 and refused.trace != request.trace
    group = collector.named("store group")
    assert group.parent == request.id and group.attributes["learning.rows"] == 1
    statements = [span for span in collector.spans if span.attributes.get("db.system.name") == "postgresql" and span.trace == request.trace]
    assert any("grouped." in span.name and span.parent == group.id for span in statements)
    assert not any(span.name.startswith("GET /healthz") for span in collector.spans)
    assert SECRET.encode() not in collector.raw and b"lp_default" not in collector.raw


def test_requests_that_share_a_commit_are_linked_to_it(collector: Collector, make_database: MakeDatabase, tmp_path: Path) -> None:
    with make_database() as database, serving(database, settings(collector.url, tmp_path)) as api:
        key = api.key()
        make_agents(api, "default", "desk")

        def send(number: int) -> None:
            assert api.post("/feedback", {"execution_id": f"e{number}", "agent": "desk", "feedback_type": "thumbs_up"}, key).status_code == 201

        threads = [threading.Thread(target=send, args=(number,)) for number in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        requests = collector.all_named("POST /api/learning/feedback", 40)
    groups = [span for span in collector.spans if span.name == "store group"]
    assert sum(span.attributes["learning.requests"] for span in groups) == 40
    assert {one for span in groups for one in [span.parent, *span.links]} == {span.id for span in requests}


def test_a_call_of_a_model_says_role_tokens_and_cost_and_hands_the_trace_on(collector: Collector, tmp_path: Path) -> None:
    tracing.start(settings(collector.url, tmp_path), "test")
    headers: list[str | None] = []
    with FakeEndpoint().running() as fake:
        model = OpenAIModel("small", Endpoint(fake.base_url, "key"), role="judge", retry=Retry(attempts=1))
        model._client._client.event_hooks = {"request": [lambda request: headers.append(request.headers.get("traceparent"))]}  # type: ignore[dict-item]
        with tracing.span("outer"):
            answers = list(model.complete_many([_ask(number) for number in range(3)]))
    assert len(answers) == 3
    outer = collector.named("outer")
    calls = collector.all_named("chat small", 3)
    assert {span.parent for span in calls} == {outer.id}  # made in threads
    assert {header and header.split("-")[2] for header in headers} == {span.id for span in calls}
    attributes = calls[0].attributes
    assert attributes["learning.llm.role"] == "judge" and attributes["gen_ai.usage.input_tokens"] > 0 and "learning.llm.cost_usd" not in attributes
    assert SECRET.encode() not in collector.raw


def test_the_public_endpoint_is_told_nothing_of_traces() -> None:
    assert not Endpoint("https://api.openai.com/v1", "key").joins_traces
    assert Endpoint("http://127.0.0.1:8080/v1", "key").joins_traces


def test_a_call_that_fails_is_marked_by_the_class_of_its_error_without_its_words(collector: Collector, tmp_path: Path) -> None:
    tracing.start(settings(collector.url, tmp_path), "test")
    model = OpenAIModel("small", Endpoint(f"http://127.0.0.1:9/{SECRET}", "key"), retry=Retry(attempts=1))
    with pytest.raises(ModelError):
        model.complete([Message("user", SECRET)], max_tokens=5)
    call = collector.named("chat small")
    assert call.failed and call.attributes["error.type"] == "_Failed"


def test_a_run_started_by_a_request_belongs_to_its_trace_with_steps_and_numbers(
    collector: Collector, load: Load, tmp_path: Path, database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a process of its own, as runs are: the location is assembled with traces, the run sends what it has before it ends."""
    load("agents", [AGENT])
    program = f"""
import dagster as dg
from learning_pipelines.definitions import defs
with dg.DagsterInstance.ephemeral() as instance:
    instance.add_dynamic_partitions("agents", ["default/desk"])
    tags = {{"learning/organization": "default", "learning/traceparent": "{CALLER}"}}
    assert defs().resolve_job_def("dataset_refresh").execute_in_process(instance=instance, partition_key="default/desk", tags=tags).success
"""
    environment = {
        **os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_SERVICE_NAME": "nightly", "LEARNING_HOME": str(tmp_path / "home"),
        "LEARNING_DATABASE_URL": database.admin_url, "LEARNING_DUPLICATE_COSINE": "off",
    }  # fmt: skip
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    run = collector.named("run dataset_refresh")
    assert (run.service, run.trace, run.parent) == ("nightly", CALLER.split("-")[1], CALLER.split("-")[2])
    assert run.attributes["dagster.job"] == "dataset_refresh" and len(run.attributes["dagster.run_id"]) == 36
    step = collector.named("step training_datasets")
    assert step.parent == run.id and step.attributes["learning.dagster/row_count"] == 0
    assert any(span.parent == step.id and span.attributes.get("db.system.name") for span in collector.spans)
    assert b"default/desk" not in collector.raw


def test_without_an_endpoint_nothing_of_opentelemetry_is_loaded(tmp_path: Path) -> None:
    program = """
import json, sys
import learning_pipelines.api.app, learning_pipelines.defs.resources, learning_pipelines.llm_client
print(json.dumps([name for name in sys.modules if name.startswith("opentelemetry.sdk") or name.startswith("opentelemetry.exporter")]))
from learning_pipelines.api.traced import Traced
print(json.dumps([one.cls is Traced for one in learning_pipelines.api.app.app.user_middleware]))
"""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")} | {"LEARNING_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    modules, layers = map(json.loads, done.stdout.splitlines()[-2:])
    assert modules == [] and not any(layers)


@pytest.mark.parametrize("how", ["down", "refuses", "hangs"])
def test_a_bad_collector_delays_nobody_and_is_said_once(
    how: str, collector: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "64")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "16")
    if how == "hangs":
        collector.hangs = threading.Event()
    collector.status = 400 if how == "refuses" else 200
    caplog.set_level(logging.WARNING)
    tracing.start(settings("http://127.0.0.1:9" if how == "down" else collector.url, tmp_path), "test")
    begun = time.monotonic()
    for _ in range(1_000):
        with tracing.span("made"):
            pass
    made = time.monotonic() - begun
    deadline = time.monotonic() + 20
    while not caplog.messages:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    for _ in range(3):
        with tracing.span("made"):
            pass
        time.sleep(0.2)
    begun = time.monotonic()
    tracing.stop(seconds=0.5)
    assert time.monotonic() - begun < 0.9 + made  # the library itself would wait for its request
    (message,) = caplog.messages
    assert "does not take them" in message and "127.0.0.1" in message


def test_a_collector_that_comes_back_gets_spans_again(collector: Collector, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    collector.status = 400
    tracing.start(settings(collector.url, tmp_path), "test")
    with tracing.span("lost"):
        pass
    while not caplog.messages:
        time.sleep(0.02)
    collector.status = 200
    with tracing.span("kept"):
        pass
    collector.named("kept")
    assert "takes them again" in "".join(_until(caplog, 2))


@pytest.mark.parametrize(
    "given",
    [{"OTEL_SDK_DISABLED": True}, {"OTEL_TRACES_EXPORTER": "none"}, {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, {"OTEL_EXPORTER_OTLP_ENDPOINT": "nowhere"}],
)
def test_settings_that_switch_traces_off_or_cannot_be_used_leave_everything_else_going(given: dict[str, Any], tmp_path: Path) -> None:
    chosen = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", **given}
    tracing.start(Settings(home=tmp_path, **chosen), "test")
    assert not tracing.active()
    with tracing.span("nothing") as made:
        assert made is None


def _ask(number: int) -> Any:
    from learning_pipelines.llm_protocol import Request

    return Request((Message("user", f"{SECRET} {number}"),), 5)


def _until(caplog: pytest.LogCaptureFixture, count: int) -> list[str]:
    deadline = time.monotonic() + 10
    while len(caplog.messages) < count and time.monotonic() < deadline:
        time.sleep(0.02)
    return caplog.messages
