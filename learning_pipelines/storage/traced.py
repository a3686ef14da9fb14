"""A span for every statement within a traced request or run: the function of the storage that asked, and the statement's verb; no text, no values.

Belongs here: the cursor that makes them. Not here: how spans are made and sent (tracing.py).
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, Self

import psycopg

from learning_pipelines import tracing

_OURS = "learning_pipelines."
_NOT_THE_ASKER = frozenset({__name__, "learning_pipelines.storage.database"})


def trace(connection: psycopg.Connection[Any]) -> None:
    """Makes the connection's statements spans, if this process makes any."""
    if tracing.active():
        connection.cursor_factory = TracedCursor


class TracedCursor(psycopg.Cursor[Any]):
    """A cursor whose statements are spans. Copying is one span from its beginning to the end of the statement, not of the rows."""

    def execute(self, query: Any, params: Any = None, **options: Any) -> Self:
        if not query or not tracing.has_parent():  # the pool asks whether a connection lives with an empty one
            return super().execute(query, params, **options)
        with _statement(query):
            return super().execute(query, params, **options)

    def executemany(self, query: Any, params_seq: Iterable[Any], **options: Any) -> None:
        if not tracing.has_parent():
            super().executemany(query, params_seq, **options)
            return
        with _statement(query):
            super().executemany(query, params_seq, **options)


def _statement(query: Any) -> Any:
    verb = query.split(None, 1)[0].upper() if isinstance(query, str) else "SQL"
    return tracing.span(f"{verb} {_asker()}", {"db.system.name": "postgresql", "db.operation.name": verb}, kind="client")


def _asker() -> str:
    """module.function of the innermost function of this package that is not about connections themselves."""
    frame = sys._getframe(2)
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        if module.startswith(_OURS) and module not in _NOT_THE_ASKER:
            return f"{module.rpartition('.')[2]}.{frame.f_code.co_name}"
        frame = frame.f_back  # type: ignore[assignment]
    return "statement"
