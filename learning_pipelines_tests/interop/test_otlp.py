"""Traces by OTLP/HTTP, from OpenInference's and the GenAI instrumentation of the openai client.

Belongs here: what becomes of a trace. Not here: reading single attributes without a server (../feedback/peers/).
"""

from __future__ import annotations

import datetime as dt
import time
from typing import Any

import httpx
import pytest

from learning_pipelines.api import peers_otlp
from learning_pipelines.feedback.peers.otlp import document_of, spans_of, spans_of_protobuf
from learning_pipelines.storage import peers
from learning_pipelines_tests.api.serving import make_agents
from learning_pipelines_tests.interop.conftest import Office

EXECUTION = """SELECT x.id, a.slug, u.external_id, x.session_id, x.input, x.output, x.messages, x.tags, x.retrieved, x.input_tokens,
    x.output_tokens, x.latency_ms, x.context FROM agent_executions x
    JOIN agents a ON a.organization_id = x.organization_id AND a.id = x.agent_id
    LEFT JOIN users u ON u.organization_id = x.organization_id AND u.id = x.user_id
    WHERE x.organization_id = learning.organization_id('default') AND x.id = %s"""
NAMES = ("id", "agent", "user", "session", "input", "output", "messages", "tags", "retrieved", "input_tokens", "output_tokens", "latency", "context")


@pytest.fixture(scope="module")
def received() -> list[bytes]:
    """The bodies that exporters sent, unpacked."""
    return []


@pytest.fixture(scope="module")
def story(office: Office, model_url: str, received: list[bytes]) -> dict[str, Any]:
    """Three traces: by OpenInference in one batch, the same span by span, by the GenAI conventions."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(peers_otlp.otlp, "spans_of_protobuf", lambda data: received.append(data) or spans_of_protobuf(data))  # type: ignore[func-returns-value]
        found: dict[str, Any] = office.run("otlp_traces", f"model={model_url}", "openinference", "one_by_one", "genai").json
    return found


def execution(office: Office, trace_id: str) -> dict[str, Any] | None:
    rows = office.rows(EXECUTION, trace_id)
    assert len(rows) <= 1
    return dict(zip(NAMES, rows[0], strict=True)) if rows else None


def names(found: dict[str, Any] | None) -> set[str]:
    assert found is not None
    return {span.raw["name"] for span in spans_of(found["context"]["otlp"])}


def send(office: Office, *spans: dict[str, Any], key: str | None = None, service: str = "desk") -> httpx.Response:
    """Spans that no exporter can be made to send like this: late, without their root, for nobody."""
    body = {"resourceSpans": [{"resource": {"attributes": [text("service.name", service)]}, "scopeSpans": [{"spans": list(spans)}]}]}
    return httpx.post(f"{office.api.url}/v1/traces", json=body, headers={"Authorization": f"Bearer {key or office.key}"})


def test_a_trace_of_openinference_is_one_execution_of_its_agent_span_with_every_other_span_beside(office: Office, story: dict[str, Any]) -> None:
    trace_id, span_id = story["openinference"]
    found = execution(office, trace_id)
    assert found is not None
    assert (found["agent"], found["user"], found["session"]) == ("desk", "maria", "session-7")
    assert (found["input"], found["output"]) == ("When does the office open?", "At nine.")
    assert (found["input_tokens"], found["output_tokens"], found["tags"]) == (31, 4, ["office"])
    assert found["retrieved"] == [{"document_id": "doc-1", "rank": 1, "score": 0.9}]
    assert found["latency"] > 0
    assert found["context"]["span_id"] == span_id
    assert found["context"]["metadata"] == {"channel": "chat"}
    assert names(found) == {"answer", "find", "ChatCompletion"}


def test_spans_that_come_one_by_one_and_children_first_make_the_same_execution(office: Office, story: dict[str, Any]) -> None:
    trace_id, _ = story["one_by_one"]
    assert names(execution(office, trace_id)) == {"answer", "find", "ChatCompletion"}
    assert office.rows("SELECT DISTINCT state, content FROM peer_spans WHERE trace_id = %s", trace_id) == [("used", None)]


def test_a_model_call_of_the_genai_conventions_inside_a_web_request_is_an_execution(office: Office, story: dict[str, Any]) -> None:
    found = execution(office, story["genai"][0])
    assert found is not None
    assert (found["input"], found["output"]) == ("When does the office open?", "At nine.")
    assert found["messages"] == [{"role": "system", "content": "Answer briefly."}, {"role": "user", "content": "When does the office open?"}]
    assert (found["input_tokens"], found["output_tokens"]) == (31, 4)
    assert found["context"]["model"] == "small-model"
    assert names(found) == {"GET /help", "chat small-model"}


def test_what_an_exporter_sent_can_be_rebuilt_from_the_execution(office: Office, story: dict[str, Any], received: list[bytes]) -> None:
    for trace_id, _ in (story["openinference"], story["one_by_one"], story["genai"]):
        sent = [span for data in received for span in spans_of_protobuf(data) if span.trace_id == trace_id]
        found = execution(office, trace_id)
        assert found is not None and len(sent) >= 2
        assert found["context"]["otlp"] == document_of(sorted(sent, key=lambda span: (span.start, span.span_id)))


def test_the_same_spans_again_change_nothing(office: Office, story: dict[str, Any], received: list[bytes]) -> None:
    before = [execution(office, story[name][0]) for name in ("openinference", "one_by_one", "genai")]
    headers = {"Authorization": f"Bearer {office.key}", "Content-Type": "application/x-protobuf"}
    for data in received:
        assert httpx.post(f"{office.api.url}/v1/traces", content=data, headers=headers).status_code == 200
    assert [execution(office, story[name][0]) for name in ("openinference", "one_by_one", "genai")] == before


def test_an_unknown_agent_and_a_wrong_key_are_errors_that_the_exporter_logs(office: Office, model_url: str) -> None:
    before = office.one("SELECT count(*) FROM peer_spans")
    ran = office.run("otlp_traces", f"model={model_url}", "openinference", env={"OTEL_SERVICE_NAME": "reception"})
    assert "400" in ran.err
    assert "401" in office.run("otlp_traces", f"model={model_url}", "openinference", key="lp_default_wrongwrongwrongwrongwrong").err
    assert office.one("SELECT count(*) FROM peer_spans") == before
    answer = send(office, span("a" * 16), service="reception")
    assert (answer.status_code, answer.json()["code"]) == (400, 3)
    assert "'reception'" in answer.json()["message"] and "learning-pipelines import agents" in answer.json()["message"]


def test_a_trace_whose_root_reports_elsewhere_becomes_an_execution_once_it_has_rested(office: Office, monkeypatch: Any) -> None:
    monkeypatch.setattr(peers_otlp, "SETTLE_SECONDS", 0.6)
    send(office, span("a" * 16, parent="b" * 16, trace="2" * 32)).raise_for_status()
    assert execution(office, "2" * 32) is None
    deadline = time.monotonic() + 20
    while (found := execution(office, "2" * 32)) is None and time.monotonic() < deadline:
        time.sleep(0.1)
    assert found is not None and found["output"] == "At nine."


def test_a_trace_without_a_model_is_set_aside_until_another_span_of_it_comes(office: Office, monkeypatch: Any) -> None:
    monkeypatch.setattr(peers_otlp, "SETTLE_SECONDS", 0.6)
    web = {**span("a" * 16, trace="5" * 32), "attributes": []}
    send(office, web).raise_for_status()
    state = "SELECT DISTINCT state FROM peer_spans WHERE trace_id = %s"
    deadline = time.monotonic() + 20
    while office.rows(state, "5" * 32) != [("late",)] and time.monotonic() < deadline:
        time.sleep(0.1)
    assert office.rows(state, "5" * 32) == [("late",)] and execution(office, "5" * 32) is None
    send(office, span("c" * 16, parent="a" * 16, trace="5" * 32)).raise_for_status()
    assert execution(office, "5" * 32) is not None
    assert office.rows(state, "5" * 32) == [("used",)]


def test_spans_that_became_no_execution_are_deleted_in_time_and_no_others(office: Office, story: dict[str, Any]) -> None:
    web = {**span("d" * 16, parent="e" * 16, trace="6" * 32), "attributes": []}
    send(office, web).raise_for_status()
    with office.api.database.connect("pipeline") as connection:
        before = office.one("SELECT count(*) FROM peer_spans WHERE state = 'used'")
        assert peers.prune(connection, dt.timedelta(days=1)) == 0
        assert peers.prune(connection, dt.timedelta(0)) >= 1
    assert office.rows("SELECT count(*) FILTER (WHERE trace_id = %s), count(*) FILTER (WHERE state = 'used') FROM peer_spans", "6" * 32) == [(0, before)]


def test_a_span_that_comes_after_its_execution_is_kept(office: Office) -> None:
    send(office, span("a" * 16, trace="3" * 32)).raise_for_status()
    send(office, span("c" * 16, parent="a" * 16, trace="3" * 32)).raise_for_status()
    kept = "SELECT span_id, state, content -> 'raw' ->> 'name' FROM peer_spans WHERE trace_id = %s ORDER BY 1"
    assert office.rows(kept, "3" * 32) == [("a" * 16, "used", None), ("c" * 16, "late", "answer")]


def test_the_same_trace_id_of_another_organization_is_another_execution(office: Office, story: dict[str, Any]) -> None:
    trace_id, _ = story["openinference"]
    before = execution(office, trace_id)
    other = office.api.key(organization="other")
    make_agents(office.api, "other", "desk")
    send(office, span("a" * 16, trace=trace_id), key=other).raise_for_status()
    assert execution(office, trace_id) == before
    assert office.one("SELECT count(*) FROM agent_executions WHERE id = %s", trace_id) == 2


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/traces", b"\xff\xff"), ("/v1/traces", b"[]"), ("/v1/traces", b'{"resourceSpans": [1]}'),
        ("/v1/traces", b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "x"}]}]}]}'),
        ("/v1/traces", b'{"resourceSpans": [{"resource": 5, "scopeSpans": [{"spans": [{"traceId": "' + b"4" * 32 + b'", "spanId": "' + b"4" * 16
         + b'", "startTimeUnixNano": "1", "endTimeUnixNano": "99999999999999999999999999", "attributes": [{"key": "openinference.span.kind", "value": '
         b'{"stringValue": "LLM"}}, {"key": "llm.token_count.prompt", "value": {"intValue": "-1"}}, 7]}]}]}]}'),
        ("/api/public/scores", b'[{"name": 1}]'), ("/api/public/scores", b'{"name": "a", "value": "NaN", "traceId": "t"}'), ("/api/public/scores", b"7"),
        ("/api/public/scores", b'{"name": "a", "value": 1, "traceId": "\\u0000"}'),
        ("/api/public/scores", b'{"name": "\\u0000", "value": 1, "sessionId": "s"}'),
        ("/api/public/scores", b'{"name": "a", "value": 1e999, "traceId": "t", "timestamp": 1e300}'),
        ("/api/public/scores", b'{"name": "a", "value": 1, "traceId": "t", "metadata": ' + b'{"a":' * 400 + b"1" + b"}" * 400 + b"}"),
        ("/v1/traces", b'{"resourceSpans": [{"scopeSpans": [{"spans": [' + b'{"a":' * 400 + b"1" + b"}" * 400 + b"]}]}]}"),
        ("/v1/span_annotations", b'{"data": 1}'), ("/v1/span_annotations", b'{"data": [{"name": "a", "span_id": "\\u0000", "result": {"score": 1}}]}'),
        ("/v1/span_notes", b'{"data": {"span_id": {}}}'), ("/v1/no_annotations", b'{"data": []}'),
        ("/api/3.0/mlflow/traces", b'{"trace": {"trace_info": {"trace_id": "tr-1", "trace_location": 5}}}'),
        ("/api/3.0/mlflow/traces/search", b'{"locations": [3]}'),
        ("/api/3.0/mlflow/traces/search", b'{"locations": [], "max_results": "many"}'),
        ("/api/3.0/mlflow/traces/tr-1/assessments", b'{"assessment": {"assessment_name": "a", "feedback": {"value": [1]}, "source": 3}}'),
        ("/api/3.0/mlflow/traces/tr-1/assessments", b'{"assessment": {"assessment_name": "\\u0000", "feedback": {"value": 1}}}'),
    ],
)  # fmt: skip
def test_no_body_breaks_a_peers_route(office: Office, path: str, body: bytes) -> None:
    headers = {"Authorization": f"Bearer {office.key}", "Content-Type": "application/json"}
    assert httpx.post(office.api.url + path, content=body, headers=headers).status_code < 500


def text(key: str, value: str) -> dict[str, Any]:
    return {"key": key, "value": {"stringValue": value}}


def span(span_id: str, parent: str = "", trace: str = "1" * 32) -> dict[str, Any]:
    return {
        "traceId": trace, "spanId": span_id, "parentSpanId": parent, "name": "answer", "startTimeUnixNano": "1795638814038051901",
        "endTimeUnixNano": "1795638814138051901",
        "attributes": [text("openinference.span.kind", "AGENT"), text("input.value", "When?"), text("output.value", "At nine.")],
    }  # fmt: skip
