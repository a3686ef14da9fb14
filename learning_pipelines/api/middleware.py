"""What surrounds every request: size limit, security headers, request id, one structured log line, counters.

Belongs here: plain ASGI, cheap for each request. Not here: who may do what; message bodies (they are never logged).
"""

from __future__ import annotations

import logging
import time
import uuid
from typing import Any

import orjson
from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from learning_pipelines.api.problems import Problem, response

BODY_LIMIT = 32 * 1024 * 1024
PAGES = ("/docs",)
log = logging.getLogger("learning_pipelines.access")
_HEADERS = [
    (b"x-content-type-options", b"nosniff"), (b"x-frame-options", b"DENY"), (b"referrer-policy", b"no-referrer"),
    (b"permissions-policy", b"geolocation=(), camera=(), microphone=()"),
]  # fmt: skip
_SAME_ORIGIN = (b"cross-origin-resource-policy", b"same-origin")
_CLOSED = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")


class TooLarge(Exception):
    """The body exceeds the limit while it is read."""


class Metrics:
    """Counters of one application, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("learning_http_requests", "Answered requests.", ["method", "route", "status"], registry=self.registry)
        self.seconds = Histogram(
            "learning_http_seconds", "Time to answer.", ["route"], registry=self.registry, buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
        )
        self.stored = Counter("learning_records_stored", "Records stored, by kind.", ["kind"], registry=self.registry)


class Shell:
    """The outermost layer but that of traces (traced.py)."""

    def __init__(self, app: ASGIApp, metrics: Metrics, log_requests: bool = True) -> None:
        self._app = app
        self._metrics = metrics
        self._log = log_requests
        self._children: dict[tuple[str, str, int], Any] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = time.perf_counter()
        request_id = uuid.uuid4().hex
        status = 500
        closed = not scope["path"].startswith(PAGES)

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = message.setdefault("headers", [])
                names = {name for name, _ in headers}
                headers.extend(_HEADERS)
                headers.append((b"x-request-id", request_id.encode()))
                if _SAME_ORIGIN[0] not in names:
                    headers.append(_SAME_ORIGIN)
                if closed and b"content-security-policy" not in names:
                    headers.append(_CLOSED)
                if b"cache-control" not in names:
                    headers.append((b"cache-control", b"no-store"))
            await send(message)

        try:
            if _announced(scope) > BODY_LIMIT:
                await _too_large()(scope, receive, answer)
            else:
                await self._app(scope, _limited(receive), answer)
        except TooLarge:
            await _too_large()(scope, receive, answer)
        finally:
            self._note(scope, status, time.perf_counter() - begun, request_id)

    def _note(self, scope: Scope, status: int, seconds: float, request_id: str) -> None:
        route = scope.get("route")
        template = getattr(route, "path", "unmatched")
        key = (scope["method"] if template != "unmatched" else "ANY", template, status)
        children = self._children.get(key)
        if children is None:
            children = self._children[key] = (self._metrics.requests.labels(*map(str, key)), self._metrics.seconds.labels(template))
        children[0].inc()
        children[1].observe(seconds)
        if self._log:
            # The template, not the path: paths hold ids and names of persons, and a log is not looked through when somebody is erased.
            who = scope.get("state", {}).get("principal")
            line = {
                "at": time.time(), "request": request_id, "method": scope["method"], "path": template, "status": status, "ms": round(seconds * 1000, 2),
                "organization": getattr(who, "organization", None), "key": str(who.key_id) if who is not None and who.key_id else None,
            }  # fmt: skip
            log.info(orjson.dumps(line).decode())


def _announced(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value) if value.isdigit() else 0
    return 0


def _limited(receive: Receive) -> Receive:
    """Counts what really comes: a chunked body announces nothing."""
    received = 0

    async def limited() -> Message:
        nonlocal received
        message = await receive()
        if message["type"] == "http.request":
            received += len(message.get("body", b""))
            if received > BODY_LIMIT:
                raise TooLarge
        return message

    return limited


def _too_large() -> ASGIApp:
    limit = BODY_LIMIT // (1024 * 1024)
    return response(Problem(413, f"The body is larger than {limit} MiB. Send less, or in several requests.", headers={"Connection": "close"}))
