"""A small service on a real socket: the routes the client uses, idempotent as the real one, and able to misbehave on demand.

Belongs here: rows that can be counted, faults. Not here: assertions.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

BASE = "/api/learning"
KEYS = {"executions": "execution_id", "feedback": "feedback_id"}


@dataclass
class Fault:
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None
    drop: str = ""  # "before" or "after" the request has been carried out
    delay: float = 0.0


@dataclass
class Asked:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any
    at: float


class Service:
    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {"executions": {}, "feedback": {}, "retrieval_feedback": {}}
        self.arrivals: Counter[str] = Counter()
        self.order: list[str] = []
        self.asked: list[Asked] = []
        self.refuse: Callable[[dict[str, Any]], str | None] = lambda body: None
        self.fault: Callable[[Asked], Fault | None] = lambda asked: None
        self.prompts: dict[str, dict[str, Any]] = {}
        self.suggested: dict[str, Any] | None = None
        self.found: dict[str, Any] | None = None
        self.erasures: dict[str, tuple[int, dict[str, Any]]] = {}
        self.lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        self._server: ThreadingHTTPServer | None = None
        self.port = 0
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._server = _Server(("127.0.0.1", self.port), self._handler())
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        """As if killed: no new connections, open ones end in mid-answer."""
        if self._server is None:
            return
        self._server.shutdown()
        self._server.server_close()
        self._server = None
        with self.lock:
            for connection in self._connections:
                with _quietly():
                    connection.shutdown(socket.SHUT_RDWR)
            self._connections.clear()

    def total(self) -> int:
        return sum(len(rows) for rows in self.rows.values())

    def answer(self, asked: Asked) -> tuple[int, dict[str, str], Any]:
        path = asked.path.removeprefix(BASE)
        if asked.method == "GET" and path.startswith("/prompts/"):
            return self._prompt(asked, unquote(path.removeprefix("/prompts/")))
        if asked.method == "GET" and path.endswith("/next-action"):
            return (200, {}, self.suggested) if self.suggested is not None else (404, {}, {"title": "unknown agent", "field": "agent_id"})
        if asked.method == "GET" and path == "/search":
            return (200, {}, self.found) if self.found is not None else (404, {}, {"title": "unknown agent", "field": "agent"})
        if (asked.method, path.split("/")[1]) in (("DELETE", "users"), ("GET", "erasures")):
            status, body = self.erasures.get(unquote(path.split("/", 2)[2]), (404, {"title": "unknown", "field": "user_id"}))
            return status, {}, body
        if path in ("/executions/batch", "/feedback/batch"):
            kind = path.split("/")[1]
            with self.lock:
                results = [{"index": index, **self._store(kind, str(item[KEYS[kind]]), item)} for index, item in enumerate(asked.body["items"])]
            return 200, {}, {"results": results}
        if path == "/retrieval-feedback":
            with self.lock:
                result = self._store("retrieval_feedback", asked.headers.get("idempotency-key") or f"new {time.time_ns()}", asked.body)
            return (422, {}, {"title": "refused", "detail": result["error"]}) if result["status"] == "rejected" else (201, {}, result)
        return 404, {}, {"title": "no such route"}

    def _store(self, kind: str, name: str, body: dict[str, Any]) -> dict[str, Any]:
        self.arrivals[name] += 1
        if (reason := self.refuse(body)) is not None:
            return {"id": name, "status": "rejected", "error": reason}
        rows = self.rows[kind]
        if name in rows:
            same = rows[name] == body
            return {"id": name, "status": "unchanged" if same else "rejected", "error": None if same else "conflict"}
        rows[name] = body
        self.order.append(name)
        return {"id": name, "status": "stored", "error": None}

    def _prompt(self, asked: Asked, agent: str) -> tuple[int, dict[str, str], Any]:
        prompt = self.prompts.get(agent)
        if prompt is None:
            return 404, {}, {"title": "unknown agent", "field": "agent_id"}
        etag = f'"{hash(json.dumps(prompt, sort_keys=True))}"'
        if asked.headers.get("if-none-match") == etag:
            return 304, {"ETag": etag}, None
        return 200, {"ETag": etag}, {**prompt, "etag": etag}

    def _handler(service: Service) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with service.lock:
                    service._connections.add(self.connection)

            def do_GET(self) -> None:
                self._serve()

            def do_POST(self) -> None:
                self._serve()

            def do_DELETE(self) -> None:
                self._serve()

            def _serve(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                raw = self.rfile.read(length)
                if len(raw) < length:  # cut off in the middle: like any server, it takes no half request
                    self._hang_up()
                    return
                parts = urlsplit(self.path)
                query = {key: values[0] for key, values in parse_qs(parts.query).items()}
                headers = {key.lower(): value for key, value in self.headers.items()}
                asked = Asked(self.command, parts.path, query, headers, json.loads(raw) if raw else None, time.monotonic())
                with service.lock:
                    service.asked.append(asked)
                fault = service.fault(asked) or Fault()
                time.sleep(fault.delay)
                if fault.drop == "before":
                    self._hang_up()
                    return
                status, more, body = (fault.status, fault.headers, fault.body) if fault.status else service.answer(asked)
                if fault.drop == "after":
                    self._hang_up()
                    return
                content = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
                with _quietly():
                    self.send_response(status or 500)
                    for key, value in more.items():
                        self.send_header(key, value)
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)

            def _hang_up(self) -> None:
                self.close_connection = True
                with _quietly():
                    self.connection.shutdown(socket.SHUT_RDWR)

            def log_message(self, format: str, *args: Any) -> None:
                return

        return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        return  # a client that hangs up is part of the game


@contextmanager
def _quietly() -> Iterator[None]:
    try:
        yield
    except OSError:
        return
