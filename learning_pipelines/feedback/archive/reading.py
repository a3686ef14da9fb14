"""Archived executions for people: one with what was said about it, and lists.

Belongs here: from files to the rows that the service answers with; a reader sees what the tables would have shown. Not here: routes, SQL, the ledger.
"""

from __future__ import annotations

import datetime as dt
import heapq
from collections.abc import Sequence
from typing import Any

import orjson

from learning_pipelines.feedback.archive import files
from learning_pipelines.storage.archive import EXECUTIONS, FEEDBACK, Shelf
from learning_pipelines.storage.archive_export import COLUMNS
from learning_pipelines.storage.execution_details import FACETS
from learning_pipelines.storage.executions import Sought

_SHOWN = ("agent", "session_id", "parent_id", "input", "output", "tags", "environment", "prompt_version", "latency_ms", "input_tokens", "output_tokens",
          "cost_usd", "created_at")  # fmt: skip
_DIMENSIONS = ("accuracy", "helpfulness", "clarity", "completeness")


def one(artifacts: str, shelf: Shelf, execution_id: str) -> dict[str, Any] | None:
    """An archived execution (`user_id` instead of the user's name) with its feedback; None where there is none that the reader may see.

    Raises LearningError, Unavailable: the file that should hold it cannot be read.
    """
    if shelf.nobody:
        return None
    for entry in reversed(shelf.of(EXECUTIONS)):
        if (execution_id, entry.month) in shelf.gone:
            continue
        found = _records(artifacts, entry, "id", [execution_id])
        if not found:
            continue
        (row,) = found
        if shelf.only is not None and row["user_id"] != shelf.only:
            return None
        said = [one for file in shelf.of(FEEDBACK) if file.month == entry.month for one in _records(artifacts, file, "execution_id", [execution_id])]
        said = [one for one in said if shelf.only is None or one["user_id"] == shelf.only]
        more = {name: None if row[name] is None else orjson.loads(row[name]) for name in ("messages", "retrieved", "context")}
        return {**_shown(row), **more, "feedback": [_said(one) for one in sorted(said, key=lambda one: (one["created_at"], one["arrival"]))]}
    return None


def page(artifacts: str, shelf: Shelf, sought: Sought, limit: int, excerpt: int | None = None) -> list[dict[str, Any]]:
    """Archived executions, newest first. Months are looked into from the newest on, as long as one may hold a newer row than those found.

    Of a file only the columns that are filtered by are read; whole rows only of what is shown.
    """
    best: list[tuple[dt.datetime, str, int]] = []
    entries = sorted(shelf.of(EXECUTIONS), key=lambda one: one.last_at or dt.datetime.max.replace(tzinfo=dt.UTC), reverse=True)
    for place, entry in enumerate([] if shelf.nobody else entries):
        if len(best) == limit and entry.last_at is not None and entry.last_at < best[0][0]:
            break
        if _misses(sought, entry.first_at, entry.last_at):
            continue
        for at, identity in _matching(artifacts, entry.path, shelf, sought):
            if (identity, entry.month) in shelf.gone:
                continue
            if len(best) < limit:
                heapq.heappush(best, (at, identity, place))
            elif (at, identity, place) > best[0]:
                heapq.heapreplace(best, (at, identity, place))
    rows = {}
    for place in {place for _, _, place in best}:
        for row in _records(artifacts, entries[place], "id", [identity for _, identity, of in best if of == place]):
            rows[row["id"], place] = _shown(row)
    shown = [rows[identity, place] for _, identity, place in sorted(best, reverse=True)]
    return shown if excerpt is None else [{**row, "input": row["input"][:excerpt], "output": row["output"][:excerpt]} for row in shown]


def _misses(sought: Sought, first: dt.datetime | None, last: dt.datetime | None) -> bool:
    early = [moment for moment in (sought.before, sought.position and sought.position[0]) if moment is not None]
    return bool((sought.after and last and last < sought.after) or (early and first and first > min(early)))


def _matching(artifacts: str, path: str, shelf: Shelf, sought: Sought) -> list[tuple[dt.datetime, str]]:
    """(created_at, id) of a file's rows that are looked for."""
    import pyarrow.compute as pc

    equal = {
        "agent_id": sought.agent_id and str(sought.agent_id), "user_id": shelf.only or (sought.user_id and str(sought.user_id)),
        "session_id": sought.session_id, "environment": sought.environment, "prompt_version": sought.prompt_version,
    }  # fmt: skip
    equal = {name: value for name, value in equal.items() if value is not None}
    if shelf.only and sought.user_id and shelf.only != str(sought.user_id):
        return []
    columns = ["id", "created_at", *equal, *(["tags"] if sought.tag is not None else [])]
    found: list[tuple[dt.datetime, str]] = []
    for batch in files.batches(artifacts, path, columns):
        for name, value in equal.items():
            batch = batch.filter(pc.equal(batch.column(name), value))
        if sought.after is not None:
            batch = batch.filter(pc.greater_equal(batch.column("created_at"), sought.after))
        if sought.before is not None:
            batch = batch.filter(pc.less(batch.column("created_at"), sought.before))
        if sought.position is not None:
            batch = batch.filter(pc.less_equal(batch.column("created_at"), sought.position[0]))
        tags = batch.column("tags").to_pylist() if sought.tag is not None else [()] * batch.num_rows
        pairs = zip(batch.column("created_at").to_pylist(), batch.column("id").to_pylist(), tags, strict=True)
        found += [(at, identity) for at, identity, own in pairs
                  if (sought.position is None or (at, identity) < sought.position) and (sought.tag is None or sought.tag in own)]  # fmt: skip
    return found


def _records(artifacts: str, entry: Any, column: str, values: Sequence[str]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = files.lookup(artifacts, entry, column, values, [*(one.name for one in COLUMNS[entry.table]), "agent"]).to_pylist()
    return rows


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    return {"execution_id": row["id"], "user_id": row["user_id"], **{name: row[name] for name in _SHOWN}}


def _said(row: dict[str, Any]) -> dict[str, Any]:
    gone = 0 if row["withdrawn"] else row["facets"] & ~row["facets_in_force"]
    names = ("user_id", "feedback_type", "rating", "issue_categories", "feedback_text", "correction_text", "withdrawn", "created_at")
    return {
        "feedback_id": row["id"], **{name: row[name] for name in names}, "dimensions": {name: row[f"{name}_rating"] for name in _DIMENSIONS},
        "superseded": [name for bit, name in FACETS.items() if gone & bit],
    }  # fmt: skip
