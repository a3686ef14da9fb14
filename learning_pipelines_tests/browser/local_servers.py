"""Small HTTP servers beside the service: a page of somebody else, and Dagster as far as a run is started and asked about.

Belongs here: servers that browser tests need. Not here: the service itself (api/serving.py).
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[[str, bytes], tuple[str, bytes]]


@contextlib.contextmanager
def answering(answer: Answer) -> Iterator[int]:
    """The port of a server that answers a path and a body with a content type and a body, until the end of the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            kind, content = answer(self.path, self.rfile.read(int(self.headers.get("Content-Length", "0"))))
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class DagsterRuns:
    """Dagster's GraphQL for one run at a time: it waits, makes two steps, and ends skipped. `asked` counts how often the run was asked about."""

    STATES = (("QUEUED", ()), ("STARTED", ("SUCCESS", "IN_PROGRESS")), ("STARTED", ("SUCCESS", "IN_PROGRESS")), ("SUCCESS", ("SUCCESS", "SUCCESS")))

    def __init__(self) -> None:
        self.asked = 0
        self.tags: list[dict[str, str]] = []

    def __call__(self, path: str, body: bytes) -> tuple[str, bytes]:
        asked = json.loads(body)
        if "addDynamicPartition" in asked["query"]:
            data: dict[str, Any] = {"addDynamicPartition": {"__typename": "AddDynamicPartitionSuccess"}}
        elif "launchRun" in asked["query"]:
            self.asked, self.tags = 0, asked["variables"]["params"]["executionMetadata"]["tags"]
            data = {"launchRun": {"__typename": "LaunchRunSuccess", "run": {"runId": "11111111-1111-1111-1111-111111111111"}}}
        else:
            data = {"runOrError": self._run()}
        return "application/json", json.dumps({"data": data}).encode()

    def _run(self) -> dict[str, Any]:
        status, steps = self.STATES[min(self.asked, len(self.STATES) - 1)]
        self.asked += 1
        ended = [{"key": "learning/status", "value": "skipped"}, {"key": "learning/reason", "value": "2 executions, 50 are needed"}]
        return {
            "__typename": "Run", "runId": "11111111-1111-1111-1111-111111111111", "jobName": "prompt_optimization", "status": status,
            "startTime": None, "endTime": None, "creationTime": 1_790_000_000.0, "tags": self.tags + (ended if status == "SUCCESS" else []),
            "stepStats": [{"status": one} for one in steps],
        }  # fmt: skip
