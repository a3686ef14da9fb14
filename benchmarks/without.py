"""The feedback service with one thing switched off, to see what that thing costs: the benchmark's application, never the product's.

Belongs here: what can be left out, and how. Not here: measuring (service.py).

`LEARNING_BENCHMARK_WITHOUT=audit uvicorn benchmarks.without:app`
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any

from learning_pipelines.api import direct, service, writer
from learning_pipelines.api.authentication import Authenticator
from learning_pipelines.api.capture import Capture, Prepared
from learning_pipelines.api.limits import Limits
from learning_pipelines.api.middleware import Shell
from learning_pipelines.api.principals import Principal
from learning_pipelines.feedback.identity import user_id
from learning_pipelines.storage import grouped, sessions


def _statement(pattern: str, replacement: str) -> Callable[[], None]:
    """The merge of a group without one of its steps."""

    def apply() -> None:
        whole = grouped._merge

        def merge(kind: str) -> str:
            text, found = re.subn(pattern, replacement, whole(kind), count=1, flags=re.DOTALL)
            assert found, f"the merge of {kind} has no such step any more"
            return text

        grouped._merge = merge  # type: ignore[assignment]

    return apply


def _row_level_security() -> None:
    """A superuser: no policy is asked."""
    sessions._url = lambda database: database.admin_url
    sessions._take_role = lambda database, connection: None


def _authentication() -> None:
    """Whoever came first is everybody."""
    whole, known = Authenticator.__call__, []

    async def first(self: Authenticator, request: Any) -> Principal:
        if not known:
            known.append(await whole(self, request))
        return known[0]

    Authenticator.__call__ = first  # type: ignore[method-assign]


def _rate_limiter() -> None:
    Limits.principal = lambda self, who, address: None  # type: ignore[method-assign]


def _validation() -> None:
    """The row as it comes, neither checked nor hashed."""

    def prepare(self: Capture, who: Principal, kind: str, body: Any, key: str | None = None, *_: Any) -> Prepared:
        name = body["feedback_id"]
        person = user_id(who.organization_id, body["user"])
        common = (0, name, b"", None, person, body["user"], None, "{}")
        return Prepared(name, (*common, body["execution_id"], body["feedback_type"], *[None] * 5, [], None, None, None), tuple(body))

    Capture.prepare = prepare  # type: ignore[method-assign, assignment]


def _log_and_metrics() -> None:
    Shell._note = lambda *_: None  # type: ignore[method-assign]


def _waiting_for_the_disk() -> None:
    whole = sessions.connection_options
    sessions.connection_options = lambda *given: f"{whole(*given)} -c synchronous_commit=off"


def _group_commit() -> None:
    writer.GROUP_ROWS = 1


def _second_connection() -> None:
    whole = writer.Writer
    service.Writer = lambda connect: whole(connect, lanes=1)  # type: ignore[assignment, misc]


def _short_way() -> None:
    direct.HANDLERS.clear()


FEATURES: dict[str, Callable[[], None]] = {
    "group commit": _group_commit,
    "the second connection": _second_connection,
    "the way around FastAPI's dependencies": _short_way,
    "waiting for the disk": _waiting_for_the_disk,
    "row-level security": _row_level_security,
    "idempotency keys": _statement(r"fresh AS \(.*?RETURNING external_id\)", "fresh AS (SELECT id AS external_id FROM acceptable)"),
    "outbox": _statement(r"noted AS \(.*?ORDER BY s\.line\)", "noted AS (SELECT 1)"),
    "audit": _statement(r", audited AS \(.*?ON a\.line = s\.line\)|, audited AS \(.*?ON s\.line = a\.line\)", ""),
    "persons": _statement(r"met AS \(.*?DO NOTHING\)", "met AS (SELECT 1)"),
    "authentication": _authentication,
    "rate limiter": _rate_limiter,
    "validation and hashes": _validation,
    "log line and metrics": _log_and_metrics,
}

if chosen := os.environ.get("LEARNING_BENCHMARK_WITHOUT"):
    FEATURES[chosen]()

from learning_pipelines.api.app import app  # noqa: E402

__all__ = ["FEATURES", "app"]
