"""Archived executions in the answers of the executions' routes.

Belongs here: reading the archive for a principal, names of people. Not here: the routes (executions.py), files (feedback/archive/).

No connection is held while files are read: a store that is slow keeps nobody else waiting for one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from learning_pipelines.api.principals import Principal
from learning_pipelines.api.service import Service
from learning_pipelines.errors import LearningError, Unavailable
from learning_pipelines.feedback.archive import reading
from learning_pipelines.storage import archive
from learning_pipelines.storage.executions import Sought


def one(service: Service, who: Principal, execution_id: str) -> dict[str, Any] | None:
    """An archived execution with its feedback; None where the caller would have seen none in the tables either."""
    with service.acting(who) as connection:
        shelf = archive.shelf(connection, who.organization_id, execution_id)
    if not shelf.entries:
        return None
    with _in_words():
        found = reading.one(service.settings.artifacts, shelf, execution_id)
    if found is None:
        return None
    return {**_named(service, who, [found, *found["feedback"]])[0], "archived": True}


def page(service: Service, who: Principal, sought: Sought, limit: int, excerpt: int | None) -> list[dict[str, Any]]:
    """A page of archived executions."""
    with service.acting(who) as connection:
        shelf = archive.shelf(connection, who.organization_id)
    with _in_words():
        return _named(service, who, reading.page(service.settings.artifacts, shelf, sought, limit, excerpt))


@contextmanager
def _in_words() -> Iterator[None]:
    """A file that is damaged or gone is no fault of the request: 503, as for a database that is away."""
    try:
        yield
    except LearningError as error:
        raise Unavailable("The archive cannot be read right now.", "Whoever runs this finds what is wrong with `learning-pipelines verify`.") from error


def _named(service: Service, who: Principal, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with the users' names in place of their ids, in place."""
    ids = sorted({row["user_id"] for row in rows if row["user_id"] is not None})
    with service.acting(who) as connection:
        names = archive.people(connection, who.organization_id, ids) if ids else {}
    for row in rows:
        row["user"] = names.get(row.pop("user_id") or "")
    return rows
