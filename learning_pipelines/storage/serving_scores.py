"""Frozen held-out sets and what serves scored on them, by week.

Belongs here: SQL of serving_sets and serving_scores. Not here: scoring (reports/serving_scores.py), which scores are drift (reports/drift.py).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from psycopg.types.json import Jsonb

from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef

Kind = Literal["prompt", "index"]


@dataclass(frozen=True, slots=True)
class FrozenSet:
    """`items`: ids in their order; `gains`: of an index {query: {document: gain}}; `content_hash`: of all that is scored, texts too."""

    number: int
    dataset_id: UUID | None
    items: tuple[str, ...]
    gains: Mapping[str, Mapping[str, float]]
    content_hash: bytes


@dataclass(frozen=True, slots=True)
class Score:
    """What a week's scoring found; `subject`: what answered (content, guidance, model). n = 0 with a reason: nothing could be measured."""

    set_number: int | None
    version: int | None
    subject: str
    metric: str
    model: str
    scores: tuple[float, ...]
    score: float | None
    interval: tuple[float, float] | None
    faults: int
    calls: int
    drift: Mapping[str, Any]
    reason: str = ""


def items_wanted(connection: Connection, agent: AgentRef, usual: int) -> int:
    """How many items a set may have: what the organization's settings say (report_items), else `usual`."""
    row = connection.execute("SELECT settings ->> 'report_items' FROM organizations WHERE organization_id = %s", [agent.organization_id]).fetchone()
    return usual if row is None or row[0] is None else int(row[0])


def newest_set(connection: Connection, agent: AgentRef, kind: Kind) -> FrozenSet | None:
    """The set that scores are measured on now; None before the first."""
    row = connection.execute(
        """SELECT number, dataset_id, items, gains, content_hash FROM serving_sets WHERE organization_id = %s AND agent_id = %s AND kind = %s
        ORDER BY number DESC LIMIT 1""",
        [agent.organization_id, agent.agent_id, kind],
    ).fetchone()
    return None if row is None else FrozenSet(int(row[0]), row[1], tuple(row[2]), row[3], bytes(row[4]))


def freeze(
    connection: Connection, agent: AgentRef, kind: Kind, items: Sequence[str], content_hash: bytes, reason: str, *, dataset_id: UUID | None = None,
    gains: Mapping[str, Mapping[str, float]] | None = None,
) -> FrozenSet:  # fmt: skip
    """The next set of an agent; `reason` says why it was needed."""
    row = connection.execute(
        """INSERT INTO serving_sets (organization_id, agent_id, kind, number, dataset_id, items, gains, content_hash, reason)
        SELECT %(organization)s, %(agent)s, %(kind)s, coalesce(max(number), 0) + 1, %(dataset)s, %(items)s, %(gains)s, %(hash)s, %(reason)s
        FROM serving_sets WHERE organization_id = %(organization)s AND agent_id = %(agent)s AND kind = %(kind)s RETURNING number""",
        {
            "organization": agent.organization_id, "agent": agent.agent_id, "kind": kind, "dataset": dataset_id, "items": list(items),
            "gains": Jsonb({query: dict(found) for query, found in (gains or {}).items()}), "hash": content_hash, "reason": reason,
        },
    ).fetchone()  # fmt: skip
    assert row is not None
    return FrozenSet(int(row[0]), dataset_id, tuple(items), gains or {}, content_hash)


def measured(connection: Connection, agent: AgentRef, kind: Kind, week: dt.date) -> bool:
    """Whether the week has a score: it is not measured again."""
    row = connection.execute(
        "SELECT n > 0 FROM serving_scores WHERE organization_id = %s AND agent_id = %s AND kind = %s AND week = %s",
        [agent.organization_id, agent.agent_id, kind, week],
    ).fetchone()
    return row is not None and bool(row[0])


def first_scores(connection: Connection, agent: AgentRef, kind: Kind, set_number: int, subject: str, before: dt.date) -> list[float] | None:
    """Scores of the items when this subject was first scored on this set, before a week; None if it never was."""
    row = connection.execute(
        """SELECT scores FROM serving_scores WHERE organization_id = %s AND agent_id = %s AND kind = %s AND set_number = %s AND subject = %s AND week < %s
        AND n > 0 ORDER BY week LIMIT 1""",
        [agent.organization_id, agent.agent_id, kind, set_number, subject, before],
    ).fetchone()
    return None if row is None else list(row[0])


def store(connection: Connection, agent: AgentRef, kind: Kind, week: dt.date, found: Score) -> None:
    """Keeps a week's score; one that is there already stays."""
    low, high = found.interval or (None, None)
    connection.execute(
        """INSERT INTO serving_scores AS s (organization_id, agent_id, kind, week, set_number, version, subject, metric, model, n, score, low, high, scores,
            faults, calls, drift, reason)
        VALUES (%(organization)s, %(agent)s, %(kind)s, %(week)s, %(set)s, %(version)s, %(subject)s, %(metric)s, %(model)s, %(n)s, %(score)s, %(low)s,
            %(high)s, %(scores)s, %(faults)s, %(calls)s, %(drift)s, %(reason)s)
        ON CONFLICT (organization_id, agent_id, kind, week) DO UPDATE SET set_number = excluded.set_number, version = excluded.version,
            subject = excluded.subject, metric = excluded.metric, model = excluded.model, n = excluded.n, score = excluded.score, low = excluded.low,
            high = excluded.high, scores = excluded.scores, faults = excluded.faults, calls = excluded.calls, drift = excluded.drift,
            reason = excluded.reason, measured_at = now() WHERE s.n = 0""",
        {
            "organization": agent.organization_id, "agent": agent.agent_id, "kind": kind, "week": week, "set": found.set_number, "version": found.version,
            "subject": found.subject, "metric": found.metric, "model": found.model, "n": len(found.scores), "score": found.score, "low": low, "high": high,
            "scores": list(found.scores), "faults": found.faults, "calls": found.calls, "drift": Jsonb(dict(found.drift)), "reason": found.reason,
        },
    )  # fmt: skip
