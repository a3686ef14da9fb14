"""What peers' clients said and which spans they sent: the ledger that makes their ids, changes and reads work.

Belongs here: SQL of peer_records and peer_spans. Not here: what a payload means (feedback/peers/), feedback rows (ingest_sql.py).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from psycopg.rows import class_row, dict_row

from learning_pipelines.storage.database import Connection

HeldSpan = tuple[str, str, str | None, UUID | None, Mapping[str, Any]]
"""Trace, span, agent that the request named, user, content."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is stored of a statement: its state, the version it has, the hash of its content."""

    id: str
    state: str
    version: int
    content_hash: bytes


@dataclass(frozen=True, slots=True)
class Entry:
    """One statement to note."""

    peer: str
    id: str
    state: str
    version: int
    content_hash: bytes
    name: str
    payload: Mapping[str, Any] | None
    execution_id: str | None = None
    span_id: str | None = None
    session_id: str | None = None
    feedback_id: str | None = None
    person: str | None = None
    user_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement as it is read back."""

    peer: str
    id: str
    arrival: int
    state: str
    name: str
    execution_id: str | None
    span_id: str | None
    session_id: str | None
    person: str | None
    payload: dict[str, Any]
    created_at: dt.datetime
    updated_at: dt.datetime


def known(connection: Connection, organization_id: UUID, peer: str, ids: Sequence[str]) -> dict[str, Known]:
    """The statements of these ids that are stored, by id."""
    with connection.cursor(row_factory=class_row(Known)) as cursor:
        rows = cursor.execute(
            "SELECT id, state, version, content_hash FROM peer_records WHERE organization_id = %s AND peer = %s AND id = ANY(%s)",
            [organization_id, peer, list(ids)],
        ).fetchall()
    return {row.id: row for row in rows}


def note(connection: Connection, organization_id: UUID, entries: Iterable[Entry]) -> None:
    """Stores statements, or their new content. An older version never replaces a newer one; the same version may leave `held`."""
    ordered = sorted(entries, key=lambda entry: (entry.peer, entry.id))
    with connection.cursor() as cursor:
        cursor.executemany(
            """INSERT INTO peer_records AS r (organization_id, peer, id, state, version, content_hash, name, execution_id, span_id, session_id,
                feedback_id, person, user_id, payload)
            VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
            ON CONFLICT (organization_id, peer, id) DO UPDATE SET state = excluded.state, version = excluded.version,
                content_hash = excluded.content_hash, name = excluded.name, execution_id = excluded.execution_id, span_id = excluded.span_id,
                session_id = excluded.session_id, feedback_id = excluded.feedback_id, person = excluded.person, user_id = excluded.user_id,
                payload = excluded.payload, updated_at = CASE WHEN excluded.version > r.version THEN now() ELSE r.updated_at END
            WHERE excluded.version > r.version OR (excluded.version = r.version AND r.state = 'held')""",
            [
                (organization_id, one.peer, one.id, one.state, one.version, one.content_hash, one.name, one.execution_id, one.span_id, one.session_id,
                 one.feedback_id, one.person, one.user_id, None if one.payload is None else orjson.dumps(one.payload).decode())
                for one in ordered
            ],
        )  # fmt: skip


def statements(
    connection: Connection, organization_id: UUID, peer: str | None = None, *, executions: Sequence[str] | None = None, spans: Sequence[str] | None = None,
    sessions: Sequence[str] | None = None, ids: Sequence[str] | None = None, names: Sequence[str] | None = None, without: Sequence[str] = (),
    state: str | None = None, before: int | None = None, limit: int = 1000,
) -> list[Statement]:  # fmt: skip
    """Statements, the newest first, with the payload wherever it lies. Every condition that is given must hold; `executions` or `spans`
    together mean either. `before` is the arrival of the last one read."""
    with connection.cursor(row_factory=class_row(Statement)) as cursor:
        return cursor.execute(
            """SELECT r.peer, r.id, r.arrival, r.state, r.name, r.execution_id, r.span_id, r.session_id, r.person,
                coalesce(r.payload, f.payload, '{}') AS payload, r.created_at, r.updated_at
            FROM peer_records r LEFT JOIN LATERAL (
                SELECT context -> 'peer' -> 'payload' AS payload FROM agent_feedback f
                WHERE f.organization_id = r.organization_id AND f.id = r.feedback_id LIMIT 1
            ) f ON true
            WHERE r.organization_id = %(organization)s AND (%(peer)s::text IS NULL OR r.peer = %(peer)s)
              AND (%(executions)s::text[] IS NULL AND %(spans)s::text[] IS NULL OR r.execution_id = ANY(%(executions)s) OR r.span_id = ANY(%(spans)s))
              AND (%(sessions)s::text[] IS NULL OR r.session_id = ANY(%(sessions)s))
              AND (%(ids)s::text[] IS NULL OR r.id = ANY(%(ids)s)) AND (%(names)s::text[] IS NULL OR r.name = ANY(%(names)s))
              AND r.name <> ALL(%(without)s) AND (%(state)s::text IS NULL OR r.state = %(state)s)
              AND (%(before)s::bigint IS NULL OR r.arrival < %(before)s)
            ORDER BY r.arrival DESC LIMIT %(limit)s""",
            {
                "organization": organization_id, "peer": peer, "executions": _list(executions), "spans": _list(spans), "sessions": _list(sessions),
                "ids": _list(ids), "names": _list(names), "without": list(without), "state": state, "before": before, "limit": limit,
            },
        ).fetchall()  # fmt: skip


def _list(items: Sequence[str] | None) -> list[str] | None:
    return None if items is None else list(items)


def hold_spans(connection: Connection, organization_id: UUID, spans: Iterable[HeldSpan]) -> None:
    """Stores spans of traces that are not whole; known ones stay as they are, unless they are still held or were set aside.
    A span of a trace that is an execution already is `late`."""
    ordered = sorted(spans, key=lambda span: span[:2])
    with connection.cursor() as cursor:
        cursor.executemany(
            """INSERT INTO peer_spans AS s (organization_id, trace_id, span_id, agent, user_id, content, state)
            SELECT %(organization)s, %(trace)s, %(span)s, %(agent)s, %(user)s, %(content)s::jsonb, CASE WHEN EXISTS (
                SELECT FROM peer_spans o WHERE o.organization_id = %(organization)s AND o.trace_id = %(trace)s AND o.state = 'used') THEN 'late' ELSE 'held' END
            ON CONFLICT (organization_id, trace_id, span_id) DO UPDATE SET content = excluded.content, state = excluded.state, received_at = now()
                WHERE s.state <> excluded.state AND excluded.state = 'held' AND s.state = 'late'
                    OR s.state = 'held' AND s.content IS DISTINCT FROM excluded.content""",
            [
                {"organization": organization_id, "trace": trace, "span": span, "agent": agent, "user": user, "content": orjson.dumps(content).decode()}
                for trace, span, agent, user, content in ordered
            ],
        )


def held_traces(connection: Connection, organization_id: UUID, traces: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """What there is of these traces, as far as they are no execution yet, per trace in order of arrival: {span_id, agent, content}."""
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(
            """SELECT trace_id, span_id, agent, content FROM peer_spans s
            WHERE organization_id = %s AND trace_id = ANY(%s) AND NOT EXISTS (SELECT FROM peer_spans o
                WHERE o.organization_id = s.organization_id AND o.trace_id = s.trace_id AND o.state = 'used') ORDER BY received_at, span_id""",
            [organization_id, list(traces)],
        ).fetchall()
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["trace_id"], []).append(row)
    return found


def rested_traces(connection: Connection, organization_id: UUID, seconds: float, limit: int = 100) -> list[str]:
    """Traces with held spans and nothing new for that long, the oldest first."""
    rows = connection.execute(
        """SELECT trace_id FROM peer_spans WHERE organization_id = %s AND state = 'held'
        GROUP BY trace_id HAVING max(received_at) < now() - make_interval(secs => %s) ORDER BY max(received_at) LIMIT %s""",
        [organization_id, seconds, limit],
    ).fetchall()
    return [str(row[0]) for row in rows]


def use_spans(connection: Connection, organization_id: UUID, trace_id: str, span_ids: Sequence[str]) -> None:
    """Marks spans as standing in their execution, where their content lies from now on; what came meanwhile is late."""
    connection.execute(
        "UPDATE peer_spans SET state = 'used', content = NULL WHERE organization_id = %s AND trace_id = %s AND span_id = ANY(%s)",
        [organization_id, trace_id, list(span_ids)],
    )
    connection.execute(
        "UPDATE peer_spans SET state = 'late' WHERE organization_id = %s AND trace_id = %s AND state = 'held'", [organization_id, trace_id]
    )


def set_aside(connection: Connection, organization_id: UUID, traces: Sequence[str]) -> None:
    """Rested traces that are no execution (no model, no agent of ours) are not looked at again until another span of them comes."""
    connection.execute(
        "UPDATE peer_spans SET state = 'late' WHERE organization_id = %s AND trace_id = ANY(%s) AND state = 'held'", [organization_id, list(traces)]
    )


def traces_of_spans(connection: Connection, organization_id: UUID, span_ids: Sequence[str]) -> dict[str, str]:
    """The trace of each span that is known, by span id."""
    rows = connection.execute(
        "SELECT span_id, max(trace_id) FROM peer_spans WHERE organization_id = %s AND span_id = ANY(%s) GROUP BY 1", [organization_id, list(set(span_ids))]
    ).fetchall()
    return {str(span): str(trace) for span, trace in rows}


def executions(
    connection: Connection, organization_id: UUID, ids: Sequence[str] | None, agent_id: UUID | None = None, limit: int = 100
) -> list[dict[str, Any]]:
    """Executions {id, agent_id, context, created_at} by id, or the newest of an agent."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            """SELECT id, agent_id, context, created_at FROM agent_executions WHERE organization_id = %(organization)s
              AND (%(ids)s::text[] IS NULL OR id = ANY(%(ids)s)) AND (%(agent)s::uuid IS NULL OR agent_id = %(agent)s)
            ORDER BY created_at DESC LIMIT %(limit)s""",
            {"organization": organization_id, "ids": _list(ids), "agent": agent_id, "limit": limit},
        ).fetchall()


def prune(connection: Connection, older_than: dt.timedelta) -> int:
    """Deletes spans that came before `older_than` and whose trace is no execution; returns how many. What people said stays. Role pipeline."""
    return connection.execute(
        """DELETE FROM peer_spans s WHERE state <> 'used' AND received_at < now() - %s AND NOT EXISTS (SELECT FROM peer_spans o
            WHERE o.organization_id = s.organization_id AND o.trace_id = s.trace_id AND o.state = 'used')""",
        [older_than],
    ).rowcount
