"""A real OTLP/HTTP receiver that decodes what it is sent, or misbehaves as told.

Belongs here: the server, reading spans. Not here: what should be in them (test_tracing.py).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass
class Sent:
    """A span as it arrived: ids in hexadecimal digits, times left out."""

    name: str
    service: str
    kind: int
    trace: str
    id: str
    parent: str
    attributes: dict[str, Any]
    links: list[str]
    failed: bool


@dataclass
class Collector:
    url: str
    spans: list[Sent] = field(default_factory=list)
    raw: bytes = b""
    """Everything that was sent, for what must not be in it."""
    status: int = 200
    hangs: threading.Event | None = None
    requests: int = 0

    def named(self, name: str, seconds: float = 10.0) -> Sent:
        """The first span of that name; waits for it."""
        return self.all_named(name, 1, seconds)[0]

    def all_named(self, name: str, count: int, seconds: float = 10.0) -> list[Sent]:
        deadline = time.monotonic() + seconds
        while len(found := [span for span in self.spans if span.name == name]) < count:
            assert time.monotonic() < deadline, f"no {name} among {[span.name for span in self.spans]}"
            time.sleep(0.02)
        return found


@contextmanager
def collecting() -> Iterator[Collector]:
    """A receiver on a port of its own until the end of the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            collector.requests += 1
            if collector.hangs is not None:
                collector.hangs.wait(60)
            if collector.status == 200:
                assert self.path == "/v1/traces" and self.headers["Content-Type"] == "application/x-protobuf"
                collector.raw += body
                collector.spans.extend(_read(body))
            self.send_response(collector.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads, server.block_on_close = True, False
    collector = Collector(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield collector
    finally:
        if collector.hangs is not None:
            collector.hangs.set()
        server.shutdown()
        server.server_close()
        thread.join()


def _read(body: bytes) -> Iterator[Sent]:
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        service = _values(resource.resource.attributes)["service.name"]
        for scope in resource.scope_spans:
            for span in scope.spans:
                links = [link.span_id.hex() for link in span.links]
                yield Sent(
                    span.name, service, span.kind, span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex(), _values(span.attributes), links,
                    span.status.code == 2,
                )  # fmt: skip


def _values(attributes: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}
