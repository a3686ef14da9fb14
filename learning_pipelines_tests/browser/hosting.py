"""A host page of another origin, as customers have them, and what is in the database for the execution that it shows.

Belongs here: what tests of the elements share. Not here: assertions, the service (api/serving.py), the browser (conftest.py).
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from playwright.sync_api import Page

from learning_pipelines_tests.api.serving import Api

ANSWER = "VAT returns are due on the 10th of the following month."
_numbers = itertools.count()


@dataclass
class Host:
    """A static server: `pages` by path, each with its content security policy."""

    url: str
    pages: dict[str, tuple[str, str]]


@contextmanager
def hosting() -> Iterator[Host]:
    """Runs the server on an origin of its own until the end of the block."""
    pages: dict[str, tuple[str, str]] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            text, policy = pages.get(self.path.split("?")[0], ("", ""))
            self.send_response(200 if text else 404)
            self.send_header("Content-Type", "text/javascript" if self.path.endswith(".js") else "text/html; charset=utf-8")
            if policy:
                self.send_header("Content-Security-Policy", policy)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: the test says what was wrong."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield Host(f"http://localhost:{server.server_port}", pages)  # by name: another host than the service's 127.0.0.1
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)


def ran(api: Api, output: str = ANSWER, agent: str = "desk") -> str:
    """A new execution; its id."""
    run = f"widget-{next(_numbers)}"
    body = {"execution_id": run, "agent": agent, "input": f"When is VAT return {run} due?", "output": output, "user": "asker"}
    assert api.post("/executions", body, api.key()).status_code == 201
    return run


def minted(api: Api, run: str, user: str | None = "ada", seconds: int = 900) -> str:
    """A token for feedback on the execution, as the application of the host page gets it."""
    answer = api.post("/tokens", {"execution_id": run, "user": user, "ttl_seconds": seconds}, api.key())
    assert answer.status_code == 201, answer.text
    return str(answer.json()["token"])


def in_force(api: Api, run: str) -> list[dict[str, Any]]:
    """What counts of the feedback on the execution, oldest first: of each the type and what it says."""
    with api.database.connect("pipeline") as connection:
        rows = connection.execute(
            """SELECT feedback_type, facets_in_force, rating, accuracy_rating, helpfulness_rating, clarity_rating, completeness_rating, issue_categories,
                feedback_text, correction_text FROM feedback_in_force
            WHERE execution_id = %s AND (facets = 0 OR facets_in_force <> 0) ORDER BY created_at, arrival""",
            [run],
        ).fetchall()
    names = ("type", "facets", "rating", "accuracy", "helpfulness", "clarity", "completeness", "issues", "comment", "correction")
    return [{name: value for name, value in zip(names, row, strict=True) if value not in (None, [])} for row in rows]


def stored(api: Api, run: str) -> int:
    """How many feedback rows there are on the execution, in force or not."""
    with api.database.connect("pipeline") as connection:
        row = connection.execute("SELECT count(*) FROM agent_feedback WHERE execution_id = %s", [run]).fetchone()
    assert row is not None
    return int(row[0])


def events(page: Page) -> list[str]:
    """Names of the events that the example page saw."""
    return [text.split(" ")[0] for text in page.locator("#events li").all_inner_texts()]
