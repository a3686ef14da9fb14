"""A real HTTP server that speaks the protocol of a language model's endpoint and misbehaves as told.

Belongs here: the server and its ways to answer. Not here: what a client should make of them (test_llm.py).
"""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

Reply = Callable[["_Handler", dict[str, Any]], None]


class FakeServer:
    """A server on a port of its own, whose handlers find the fake that they speak for as `server.fake`."""

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.fake = self  # type: ignore[attr-defined]
        self._server.daemon_threads = True
        self.base_url = f"http://127.0.0.1:{self._server.server_port}/v1"

    @contextmanager
    def running(self) -> Iterator[Self]:
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()


class FakeEndpoint(FakeServer):
    """Answers with what `replies` holds, one per request, then with `always`. `requests` is what it was asked."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.replies: deque[Reply] = deque()
        self.always: Reply = says("fine")
        self.most_at_once = self._at_once = 0
        self._lock = threading.Lock()
        super().__init__(_Handler)

    @contextmanager
    def _next(self, body: dict[str, Any], key: str | None) -> Iterator[Reply]:
        with self._lock:
            self.requests.append(body)
            self.keys.append(key)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            reply = self.replies.popleft() if self.replies else self.always
        try:
            yield reply
        finally:
            with self._lock:
                self._at_once -= 1


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are two packets: else 40 ms an answer

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.fake._next(body, self.headers.get("Authorization")) as reply:  # type: ignore[attr-defined]
            reply(self, body)

    def send(self, status: int, text: str, kind: str = "application/json", **headers: str) -> None:
        payload = text.encode()
        self.send_response(status)
        for name, value in {
            "Content-Type": kind,
            "Content-Length": str(len(payload)),
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def completion(text: Any, *, tokens: tuple[int, int, int] | None = (10, 2, 0), finish: str = "stop") -> dict[str, Any]:
    body: dict[str, Any] = {
        "id": "x",
        "object": "chat.completion",
        "choices": [{"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": text}}],
    }
    if tokens is not None:
        body["usage"] = {"prompt_tokens": tokens[0], "completion_tokens": tokens[1], "prompt_tokens_details": {"cached_tokens": tokens[2]}}
    return body


def says(text: Any, **options: Any) -> Reply:
    return lambda handler, _: handler.send(200, json.dumps(completion(text, **options)))


def echoes(handler: _Handler, body: dict[str, Any]) -> None:
    """Answers with the last message."""
    says(body["messages"][-1]["content"])(handler, body)


def raw(text: str, kind: str = "application/json", status: int = 200) -> Reply:
    return lambda handler, _: handler.send(status, text, kind)


def refuses(status: int, message: str = "no", *, code: Any = None, kind: str | None = None, param: str | None = None, **headers: str) -> Reply:
    error = {"error": {"message": message, "code": code, "type": kind, "param": param}}
    return lambda handler, _: handler.send(status, json.dumps(error), **headers)


def waits_for(event: threading.Event, then: Reply) -> Reply:
    def reply(handler: _Handler, body: dict[str, Any]) -> None:
        event.wait(20)
        with suppress(OSError):  # the client no longer listens
            then(handler, body)

    return reply


def drops(handler: _Handler, body: dict[str, Any]) -> None:
    """Closes the connection without a word."""
    handler.close_connection = True
