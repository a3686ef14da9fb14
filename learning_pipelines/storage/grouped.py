"""Many small writes in one transaction: the group commit of the feedback service.

Belongs here: one statement per principal and kind, with audit entries, and what became of each row. Not here: queues and threads
(api/writer.py), validation (feedback/), the merges themselves (ingest_sql.py).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from uuid import UUID

import orjson

from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.ingest import Row, columns
from learning_pipelines.storage.ingest_sql import COMMON, FURTHER, KINDS, join_pending, lock_replaced
from learning_pipelines.storage.sessions import Acting, act_as

_ID, _HASH = 1, 2
_FIRST = {"agents": 0, "documents": 1, "executions": 2}
"""Kinds that others refer to are stored first within a group."""


@dataclass(frozen=True, slots=True)
class Write:
    """Rows of one kind by one principal; each row has the values of ingest.columns(kind) (its line is not used), `fields` the keys that were given."""

    kind: str
    who: Acting
    actor: str
    rows: Sequence[Row]
    fields: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of one row: stored, unchanged, or a problem of ingest.NotStored; `pending` where its execution is not known yet."""

    status: str
    pending: bool = False


def store_group(connection: Connection, writes: Sequence[Write]) -> list[list[Settled]]:
    """Stores everything in one transaction, durable on return; answers row by row. No id may occur twice for one organization and kind.

    Raises what the database raises; then nothing of the group is stored.
    """
    shared: defaultdict[tuple[str, Acting, str], list[tuple[int, int]]] = defaultdict(list)
    for number, write in enumerate(writes):
        shared[write.kind, write.who, write.actor].extend((number, position) for position in range(len(write.rows)))
    keys = sorted(shared, key=lambda key: (_FIRST.get(key[0], 9), key[0], str(key[1].organization_id)))
    cursors = []
    with connection.pipeline(), connection.transaction():  # one round trip: everything is sent before the first answer is read
        for key in keys:
            kind, who, actor = key
            act_as(connection, who)
            values = {"organization": who.organization_id, "actor": actor, "rows": _encoded(kind, writes, shared[key])}
            if kind == "demonstrations":
                replaced = [writes[number].rows[position][_REPLACES] for number, position in shared[key]]
                connection.execute(_LOCK_REPLACED, {"organization": who.organization_id, "ids": [one for one in replaced if one is not None]}, prepare=True)
            cursors.append(connection.execute(_merge(kind), values, prepare=True))
            if kind == "executions":
                ids = [writes[number].rows[position][_ID] for number, position in shared[key]]
                connection.execute(_JOIN_PENDING, {"organization": who.organization_id, "ids": ids}, prepare=True)
    settled = [[_STORED] * len(write.rows) for write in writes]
    seen: list[tuple[tuple[str, Acting, str], list[tuple[int, int]]]] = []
    for key, cursor in zip(keys, cursors, strict=True):
        places, known = shared[key], []
        for line, problem, _ in cursor.fetchall():
            number, position = places[line]
            if problem == "seen":
                known.append((number, position))
            else:
                settled[number][position] = _PENDING if problem == "pending" else Settled(problem)
        if known:
            seen.append((key, known))
    for (kind, who, _), known in seen:
        _judge(connection, kind, who, writes, known, settled)
    return settled


_STORED, _PENDING = Settled("stored"), Settled("stored", pending=True)
_LOCK_REPLACED = lock_replaced("%(ids)s::text[]")
_REPLACES = columns("demonstrations").index("replaces")
_JOIN_PENDING = join_pending("unnest(%(ids)s::text[]) AS w (id)")


def _judge(
    connection: Connection, kind: str, who: Acting, writes: Sequence[Write], known: Sequence[tuple[int, int]], settled: list[list[Settled]]
) -> None:
    """Unchanged or conflict, for ids that were known before: keys never change once they are there, so a later look is as good."""
    rows = {place: writes[place[0]].rows[place[1]] for place in known}
    if KINDS[kind].updates:
        for number, position in known:
            settled[number][position] = Settled("unchanged")
        return
    with connection.transaction():
        act_as(connection, who)
        hashes = _hashes(connection, who.organization_id, kind, [row[_ID] for row in rows.values()])
        executions: set[str] = set()
        if kind == "feedback":
            place_of_execution = columns(kind).index("execution_id")
            executions = set(_hashes(connection, who.organization_id, "executions", [row[place_of_execution] for row in rows.values()]))
    for (number, position), row in rows.items():
        pending = kind == "feedback" and row[columns(kind).index("execution_id")] not in executions
        same = hashes.get(row[_ID]) == row[_HASH]
        settled[number][position] = Settled("unchanged", pending) if same else Settled("conflict")


def _hashes(connection: Connection, organization_id: UUID, kind: str, ids: Sequence[str]) -> dict[str, bytes]:
    rows = connection.execute(
        "SELECT external_id, content_hash FROM ingest_keys WHERE organization_id = %s AND kind = %s AND external_id = ANY(%s)",
        [organization_id, kind, list(set(ids))],
    ).fetchall()
    return {str(name): bytes(content) for name, content in rows}


@lru_cache
def _merge(kind: str) -> str:
    """The kind's merge over rows that come as one JSON array instead of a staging table, with an audit entry per stored row."""
    declared = ", ".join(f"{name} {type_}" for name, type_ in (*COMMON, *KINDS[kind].columns, ("fields", "text[]")))
    staged = f"WITH staged_{kind} AS MATERIALIZED (SELECT * FROM jsonb_to_recordset(%(rows)s::jsonb) AS s ({declared})),"
    audited = f""", audited AS (
        INSERT INTO audit_log (organization_id, actor, action, subject_kind, subject_id, fields, after_hash)
        SELECT %(organization)s, %(actor)s, 'stored', '{kind}', s.id, s.fields, s.content_hash
        FROM accepted a JOIN staged_{kind} s ON s.line = a.line)"""
    merge = KINDS[kind].merge.strip()
    assert merge.startswith("WITH ") and merge.count(FURTHER) == 1
    statement = staged + merge.removeprefix("WITH").replace(FURTHER, audited)
    if kind == "feedback":
        statement += "\nUNION ALL SELECT line, 'pending', NULL FROM accepted WHERE pending"
    return statement


@lru_cache
def _encoders(kind: str) -> tuple[tuple[str, str], ...]:
    return tuple((name, type_) for name, type_ in COMMON + KINDS[kind].columns)


def _encoded(kind: str, writes: Sequence[Write], places: Sequence[tuple[int, int]]) -> str:
    """The rows as one JSON array; `line` is the place in this statement."""
    described = _encoders(kind)
    rows = []
    for line, (number, position) in enumerate(places):
        row = writes[number].rows[position]
        encoded: dict[str, Any] = {}
        for (name, type_), value in zip(described, row, strict=True):
            if value is None:
                continue
            encoded[name] = orjson.Fragment(value) if type_ == "jsonb" else f"\\x{value.hex()}" if type_ == "bytea" else value
        encoded["line"] = line
        encoded["fields"] = writes[number].fields[position]
        rows.append(encoded)
    return orjson.dumps(rows).decode()
