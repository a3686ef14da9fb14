"""Which span of a trace is the execution, what it says, whose it is.

Belongs here: decisions on spans without a server. Not here: what real exporters send (../../interop/).
"""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from learning_pipelines.feedback.kinds import ExecutionRecord
from learning_pipelines.feedback.peers.executions import agent_names, choose_agent, execution_record, outermost, whole
from learning_pipelines.feedback.peers.exports import any_value
from learning_pipelines.feedback.peers.otlp import Span, document_of, of_proto_json, proto_json, spans_of, spans_of_json, unpacked
from learning_pipelines.feedback.peers.shape import Malformed

TRACE = "0af7651916cd43dd8448eb211c80319c"
START = 1_795_638_814_000_000_000


def span(number: int, parent: int = 0, milliseconds: tuple[int, int] = (0, 100), resource: dict[str, Any] | None = None, **attributes: Any) -> Span:
    """Span `number` below span `parent` (0: a root); attribute names are written with `__` for the dot."""
    raw = {
        "traceId": TRACE, "spanId": f"{number:016x}", "parentSpanId": f"{parent:016x}" if parent else "", "name": f"span {number}",
        "startTimeUnixNano": str(START + milliseconds[0] * 1_000_000), "endTimeUnixNano": str(START + milliseconds[1] * 1_000_000),
        "attributes": [{"key": key.replace("__", "."), "value": any_value(value)} for key, value in attributes.items()],
    }  # fmt: skip
    made = {"attributes": [{"key": key, "value": any_value(value)} for key, value in (resource or {}).items()]}
    return Span(raw, {"resourceSpans": {"resource": made}, "scopeSpans": {"scope": {"name": "test"}}})


def kind(name: str) -> dict[str, str]:
    return {"openinference__span__kind": name}


def record(*spans: Span) -> dict[str, Any]:
    top = outermost(spans)
    assert top is not None
    made = execution_record(spans, top, "desk")
    ExecutionRecord.model_validate(made)
    return made


def number_of(found: Span | None) -> int | None:
    return None if found is None else int(found.span_id, 16)


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([span(1, **kind("AGENT")), span(2, 1, **kind("LLM"))], 1),
        ([span(1), span(2, 1, **kind("CHAIN")), span(3, 2, **kind("LLM")), span(4, 3, **kind("AGENT"))], 3),
        ([span(1, **kind("CHAIN")), span(2, 1, (0, 40), **kind("LLM")), span(3, 1, (40, 90), **kind("LLM"))], 3),  # the later one wrote the answer
        ([span(2, 9, **kind("LLM"))], 2),  # its parent is elsewhere
        ([span(1), span(2, 1, **kind("TOOL"))], None),
        ([span(1, gen_ai__operation__name="invoke_agent"), span(2, 1, gen_ai__operation__name="chat")], 1),
        ([span(1, langfuse__observation__type="span"), span(2, 1, langfuse__observation__type="generation")], 2),
        ([span(1, mlflow__spanType="CHAIN"), span(2, 1, mlflow__spanType="CHAT_MODEL")], 2),
        ([span(1, 2, **kind("LLM")), span(2, 1, **kind("LLM"))], None),  # a circle has no outermost
    ],
)
def test_the_execution_is_the_outermost_span_of_an_agent_or_a_model(spans: list[Span], expected: int | None) -> None:
    assert number_of(outermost(spans)) == number_of(outermost(spans[::-1])) == expected


def test_a_trace_is_whole_once_its_root_is_there() -> None:
    root, child = span(1, **kind("AGENT")), span(2, 1, **kind("LLM"))
    assert whole([root, child], has_info=False) and whole([root], has_info=False)
    assert not whole([child], has_info=False)
    assert whole([span(2, 1, langfuse__internal__is_app_root=True)], has_info=False)
    assert not whole([span(1, mlflow__traceRequestId="tr-1")], has_info=False) and whole([span(1, mlflow__traceRequestId="tr-1")], has_info=True)


def test_tokens_of_a_wrapper_and_the_call_it_wraps_count_once() -> None:
    agent = span(1, **kind("AGENT"))
    wrapper = span(2, 1, llm__token_count__prompt=10, llm__token_count__completion=2, **kind("LLM"))
    call = span(3, 2, llm__token_count__prompt=10, llm__token_count__completion=2, **kind("LLM"))
    other = span(4, 1, llm__token_count__prompt=5, llm__token_count__completion=1, **kind("LLM"))
    made = record(agent, wrapper, call, other)
    assert (made["input_tokens"], made["output_tokens"]) == (15, 3)
    assert "input_tokens" not in record(agent)


def test_a_model_in_genai_terms() -> None:
    asked = orjson.dumps([{"role": "user", "parts": [{"type": "text", "content": "When?"}, {"type": "blob", "content": "…"}]}]).decode()
    said = orjson.dumps([{"role": "assistant", "parts": [{"type": "text", "content": "At nine."}], "finish_reason": "stop"}]).decode()
    made = record(
        span(1, gen_ai__operation__name="chat", gen_ai__input__messages=asked, gen_ai__output__messages=said, gen_ai__conversation__id="c-1",
             gen_ai__system_instructions='[{"type": "text", "content": "Be brief."}]', gen_ai__usage__input_tokens=7, gen_ai__response__model="m-1")
    )  # fmt: skip
    assert (made["input"], made["output"], made["session_id"], made["input_tokens"], made["context"]["model"]) == ("When?", "At nine.", "c-1", 7, "m-1")
    assert made["messages"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "When?"}]


def test_what_was_not_captured_is_empty_and_not_invented() -> None:
    made = record(span(1, gen_ai__operation__name="chat"))
    assert (made["input"], made["output"]) == ("", "")
    assert not {"user", "session_id", "input_tokens", "cost_usd", "messages", "retrieved"} & set(made)


def test_documents_without_an_id_are_no_retrieved_documents() -> None:
    found = span(
        2, 1, retrieval__documents__0__document__content="no id", retrieval__documents__1__document__id="d-2", retrieval__documents__1__document__score=0.5,
        **kind("RETRIEVER"),
    )  # fmt: skip
    assert record(span(1, **kind("AGENT")), found)["retrieved"] == [{"document_id": "d-2", "rank": 2, "score": 0.5}]


@pytest.mark.parametrize(
    ("names", "agents", "expected"),
    [
        (["help", "desk"], ["desk"], "desk"), (["desk", "helper"], ["helper", "desk"], "desk"), ([], ["desk"], "desk"),
        ([], ["desk", "helper"], None), (["reception"], ["desk"], None), ([], [], None),
    ],
)  # fmt: skip
def test_an_agent_is_chosen_by_name_and_guessed_only_where_there_is_but_one(names: list[str], agents: list[str], expected: str | None) -> None:
    assert choose_agent(names, agents) == expected


def test_names_of_the_agent_come_from_the_most_explicit_to_the_least() -> None:
    resource = {"service.name": "service", "openinference.project.name": "project"}
    top = span(1, resource=resource, learning__agent="mine", gen_ai__agent__name="its", **kind("AGENT"))
    assert agent_names([top], top, "header") == ["header", "mine", "its", "project", "service"]
    unnamed = span(1, resource={"service.name": "unknown_service:python"}, **kind("AGENT"))
    assert agent_names([unnamed], unnamed, None) == []


def test_a_document_is_rebuilt_from_its_spans() -> None:
    document = {
        "resourceSpans": [
            {"resource": {"attributes": []}, "schemaUrl": "s", "scopeSpans": [{"scope": {"name": "a"}, "spans": [dict(span(1).raw), dict(span(2).raw)]}]},
            {"resource": {"attributes": [{"key": "k", "value": {"intValue": "1"}}]}, "scopeSpans": [{"scope": {"name": "b"}, "spans": [dict(span(3).raw)]}]},
        ]
    }
    assert document_of(spans_of(document)) == document


def test_a_span_survives_the_json_of_its_protobuf_message() -> None:
    raw = dict(span(2, 1, text="a", count=7, share=0.5, flag=True, listed=["a", 1], nested={"b": {"c": 1}}).raw)
    assert of_proto_json(proto_json(raw)) == raw


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"{", "The body"), (b"[]", "The body"), (b'{"resourceSpans": {}}', None), (b'{"resourceSpans": {"a": 1}}', "resourceSpans"),
        (b'{"resourceSpans": [{"scopeSpans": [{"spans": [{}]}]}]}', "traceId"),
    ],
)  # fmt: skip
def test_what_is_no_otlp_names_what_is_wrong(body: bytes, field: str | None) -> None:
    if field is None:
        assert spans_of_json(body) == []
        return
    with pytest.raises(Malformed) as refused:
        spans_of_json(body)
    assert refused.value.field == field


def test_a_body_that_is_packed_wrongly_or_cut_off_is_refused() -> None:
    for body, encoding in ((b"plain", "gzip"), (b"", "gzip"), (b"x", "br")):
        with pytest.raises(Malformed):
            unpacked(body, encoding)
