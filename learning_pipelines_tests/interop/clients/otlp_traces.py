"""Drives OpenTelemetry: the openai client against an endpoint, seen through OpenInference's or the GenAI instrumentation, exported by OTLP/HTTP.

Belongs here: what a user of the libraries would write. Not here: what our service makes of it (the tests).
"""

from acting import Found, act
from openai import OpenAI
from openinference.instrumentation import OITracer, TraceConfig, using_attributes
from openinference.instrumentation.openai import OpenAIInstrumentor as OpenInferenceInstrumentor
from openinference.semconv.trace import DocumentAttributes, OpenInferenceSpanKindValues, SpanAttributes
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor as GenAIInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor

QUESTION = [{"role": "system", "content": "Answer briefly."}, {"role": "user", "content": "When does the office open?"}]


def provider(one_by_one: bool) -> TracerProvider:
    """`one_by_one` exports every span by itself as it ends: children before their parents, one request each."""
    made = TracerProvider()  # its service.name is OTEL_SERVICE_NAME
    exporter = OTLPSpanExporter(compression=Compression.Gzip)
    made.add_span_processor(SimpleSpanProcessor(exporter) if one_by_one else BatchSpanProcessor(exporter))
    return made


def ask(model: str) -> str:
    client = OpenAI(base_url=model, api_key="none")
    return client.chat.completions.create(model="small-model", messages=QUESTION, temperature=0).choices[0].message.content or ""


def openinference(found: Found, one_by_one: bool = False) -> list[str]:
    made = provider(one_by_one)
    instrumentor = OpenInferenceInstrumentor()
    instrumentor.instrument(tracer_provider=made)
    tracer = OITracer(made.get_tracer("office"), TraceConfig())
    with (
        using_attributes(session_id="session-7", user_id="maria", metadata={"channel": "chat"}, tags=["office"]),
        tracer.start_as_current_span("answer", openinference_span_kind="agent") as agent,
    ):
        agent.set_input("When does the office open?")
        with tracer.start_as_current_span("find", openinference_span_kind=OpenInferenceSpanKindValues.RETRIEVER.value.lower()) as retriever:
            prefix = f"{SpanAttributes.RETRIEVAL_DOCUMENTS}.0."
            retriever.set_attribute(prefix + DocumentAttributes.DOCUMENT_ID, "doc-1")
            retriever.set_attribute(prefix + DocumentAttributes.DOCUMENT_CONTENT, "Open from nine to five.")
            retriever.set_attribute(prefix + DocumentAttributes.DOCUMENT_SCORE, 0.9)
        agent.set_output(ask(found["model"]))
    instrumentor.uninstrument()
    made.shutdown()
    return ids(agent)


def genai(found: Found) -> list[str]:
    made = provider(False)
    instrumentor = GenAIInstrumentor()
    instrumentor.instrument(tracer_provider=made)
    with made.get_tracer("office").start_as_current_span("GET /help") as request:
        ask(found["model"])
    instrumentor.uninstrument()
    made.shutdown()
    return ids(request)


def ids(span: trace.Span) -> list[str]:
    context = span.get_span_context()
    return [trace.format_trace_id(context.trace_id), trace.format_span_id(context.span_id)]


if __name__ == "__main__":
    act({"openinference": openinference, "one_by_one": lambda found: openinference(found, one_by_one=True), "genai": genai})
