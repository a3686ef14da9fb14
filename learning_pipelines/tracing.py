"""Traces for OpenTelemetry: what a request or a run spends its time on, sent by OTLP over HTTP to the collector that the settings name.

Belongs here: whether traces are wanted, starting and ending what sends them, spans as the other parts make them. Not here: what a span of a
request (api/traced.py), of a statement (storage/traced.py) or of a run (defs/traced.py) says.

A span holds names, numbers and ids; never what people wrote, no prompts, no values of statements, no words of errors (they quote rows).
Unless an endpoint is set nothing of OpenTelemetry is imported, and `span` costs a look at a variable. A collector that is away or hangs delays
nobody: spans wait in a bounded queue that a thread of its own empties, the oldest are dropped, and the log says it once.
"""

from __future__ import annotations

import contextvars
import functools
import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar
from urllib.parse import urlsplit

from learning_pipelines.errors import BadInput
from learning_pipelines.outbound import permitted_url
from learning_pipelines.settings import Settings

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, Tracer

P = ParamSpec("P")
T = TypeVar("T")
Value = str | int | float | bool
Kind = Literal["internal", "server", "client"]
log = logging.getLogger("learning_pipelines.tracing")
FLUSH_SECONDS = 2.0
"""What a process waits at its end for spans to leave: a collector that hangs must not keep it."""
TRACEPARENT = "traceparent"
"""The header; a run of Dagster carries it in a tag (run_tags.py)."""
_provider: TracerProvider | None = None
_tracer: Tracer | None = None
_starting = threading.Lock()


def wanted(settings: Settings) -> bool:
    """Whether the settings name a collector and do not switch traces off."""
    return _endpoint(settings) is not None and not settings.otel_sdk_disabled and settings.otel_traces_exporter != "none"


def active() -> bool:
    """Whether this process makes spans."""
    return _tracer is not None


def start(settings: Settings, name: str) -> None:
    """Begins to make spans as the service `name` (OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say another), unless that was begun or is not wanted.

    Raises nothing for settings that cannot be used: what they trace goes on, and the log says why there are no traces.
    """
    global _provider, _tracer
    if not wanted(settings):
        return
    with _starting:
        if _tracer is None:
            try:
                _provider = _made(settings, name)
            except (BadInput, ValueError, OSError) as error:
                log.warning("No traces are sent: %s", error)
                return
            _tracer = _provider.get_tracer("learning_pipelines")


def flush(seconds: float = FLUSH_SECONDS) -> None:
    """Sends what waits; comes back after `seconds` at the latest."""
    if _provider is not None:
        _at_most(seconds, _provider.force_flush)


def stop(seconds: float = FLUSH_SECONDS) -> None:
    """Sends what waits and ends; comes back after `seconds` at the latest."""
    global _provider, _tracer
    with _starting:
        ending, _provider, _tracer = _provider, None, None
    if ending is not None:
        _at_most(seconds, ending.shutdown)


@contextmanager
def span(
    name: str, attributes: Mapping[str, Value] | None = None, *, kind: Kind = "internal", parent: Context | None = None, links: Sequence[Context] = ()
) -> Iterator[Span | None]:
    """A span around the block, the present one for what the block does; None where there are no traces.

    An error that leaves the block is noted by its class. `parent`: instead of the present one; `links`: others that it stands for as well.
    """
    if _tracer is None:
        yield None
        return
    from opentelemetry import trace

    linked = [trace.Link(found) for context in links if (found := trace.get_current_span(context).get_span_context()).is_valid]
    with _tracer.start_as_current_span(
        name, parent, trace.SpanKind[kind.upper()], dict(attributes or {}), linked, record_exception=False, set_status_on_exception=False
    ) as made:
        try:
            yield made
        except BaseException as error:
            failed(made, error)
            raise


def failed(made: Span, error: BaseException | str) -> None:
    """Marks a span as failed, by the class of the error alone: its words may be a person's."""
    from opentelemetry.trace import Status, StatusCode

    made.set_attribute("error.type", error if isinstance(error, str) else type(error).__qualname__)
    made.set_status(Status(StatusCode.ERROR))


def note(made: Span | None, attributes: Mapping[str, Value | None]) -> None:
    """Adds attributes; those that are None are left out."""
    if made is not None:
        made.set_attributes({name: value for name, value in attributes.items() if value is not None})


def has_parent() -> bool:
    """Whether a span is under way that is to be sent: statements outside of one are not worth one of their own."""
    if _tracer is None:
        return False
    from opentelemetry import trace

    return trace.get_current_span().is_recording()


def present() -> Context | None:
    """The present context, to be a parent or a link in another thread or later; None where there are no traces."""
    if _tracer is None:
        return None
    from opentelemetry import context

    return context.get_current()


def carried(function: Callable[P, T]) -> Callable[P, T]:
    """The function as another thread is to call it, once: its spans belong to the present one. Without traces the function itself."""
    if _tracer is None:
        return function
    here = contextvars.copy_context()

    @functools.wraps(function)
    def within(*arguments: P.args, **named: P.kwargs) -> T:
        return here.run(function, *arguments, **named)

    return within


def incoming(headers: Mapping[str, str]) -> Context | None:
    """The caller's context by W3C `traceparent` and `tracestate` (names in lower case); None if there is none, or one that cannot be read."""
    if _tracer is None or not headers.get(TRACEPARENT):
        return None
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract(dict(headers))


def outgoing() -> dict[str, str]:
    """`traceparent` of the present span, which holds two random ids and nothing else; empty where there are no traces."""
    if _tracer is None:
        return {}
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return {name: value for name, value in carrier.items() if name == TRACEPARENT}


def _endpoint(settings: Settings) -> str | None:
    if settings.otel_traces_endpoint:
        return settings.otel_traces_endpoint
    return f"{settings.otel_endpoint.rstrip('/')}/v1/traces" if settings.otel_endpoint else None


def _made(settings: Settings, name: str) -> TracerProvider:
    endpoint = permitted_url(_endpoint(settings) or "", "OTEL_EXPORTER_OTLP_ENDPOINT")
    if settings.otel_protocol not in (None, "http/protobuf"):
        raise BadInput(f"OTEL_EXPORTER_OTLP_PROTOCOL is {settings.otel_protocol}.", "Only http/protobuf is spoken: name the collector's port for it (4318).")
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    for library in ("opentelemetry.sdk", "opentelemetry.exporter"):
        logging.getLogger(library).setLevel(logging.CRITICAL + 1)  # they say it with every batch; _SaysOnce says it once
    resource = Resource.create()  # of the variables
    if str(resource.attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: name}))
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(_says_once(OTLPSpanExporter(endpoint=endpoint), endpoint)))
    return provider


def _says_once(exporter: Any, endpoint: str) -> Any:
    """The exporter, which says when spans begin to be lost and when they arrive again, not with every batch. Built here: its base is imported late."""
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

    parts = urlsplit(endpoint)
    where = f"{parts.hostname}{f':{parts.port}' if parts.port else ''}"  # an address may hold a password

    class SaysOnce(SpanExporter):
        lost = False

        def export(self, spans: Sequence[Any]) -> SpanExportResult:
            try:
                result: SpanExportResult = exporter.export(spans)
            except Exception as error:  # noqa: BLE001  whatever it is, it is the collector's matter and not the traced one's
                log.debug("traces: %s", type(error).__name__)
                result = SpanExportResult.FAILURE
            if result is not SpanExportResult.SUCCESS and not self.lost:
                log.warning("The collector of traces at %s does not take them: they are dropped until it does. Nothing else is affected.", where)
            elif result is SpanExportResult.SUCCESS and self.lost:
                log.warning("The collector of traces at %s takes them again.", where)
            self.lost = result is not SpanExportResult.SUCCESS
            return result

        def shutdown(self) -> None:
            exporter.shutdown()

    return SaysOnce()


def _at_most(seconds: float, doing: Callable[[], Any]) -> None:
    """Not the library's own time limits: one request of its exporter outlives them."""
    thread = threading.Thread(target=doing, name="traces-leave", daemon=True)
    thread.start()
    thread.join(seconds)
