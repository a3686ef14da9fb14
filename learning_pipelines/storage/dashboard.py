"""What the dashboard is made of: sums of stored days, which of them are behind and by how much, counts of examples and reviews.

Every statement is planned anew (`prepare=False`, some milliseconds): the one plan for all values that a prepared statement ends with does not know whether
an agent is named, and took minutes for what takes a quarter of a second.

Belongs here: SQL over many agents at once whose cost follows days and agents, never events. Not here: rates, intervals (reports/dashboard.py), one agent's
exact days (metrics.py).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.rows import dict_row

from learning_pipelines.storage import metrics, outbox
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef

AgentDays = tuple[AgentRef, dt.date, dt.date]
"""An agent and a stretch of days, both ends included."""


@dataclass(frozen=True, slots=True)
class Span:
    """The days that are asked for, both ends included, from `earlier` on: those before `first` are what they are compared with."""

    earlier: dt.date
    first: dt.date
    last: dt.date


@dataclass(frozen=True, slots=True)
class Behind:
    """An agent with entries that its stored days do not hold. `entries`: counted up to a bound; `all`: these are all. `taken_at`: brought up to date last."""

    agent_id: UUID
    agent: str
    entries: int
    all: bool
    taken_at: dt.datetime | None


_BEHIND = """
WITH here AS (SELECT system_identifier::text AS cluster FROM pg_control_system()),
waiting AS MATERIALIZED (
    SELECT a.id, a.slug, p.updated_at, coalesce(p.xid, '0'::xid8) AS xid, coalesce(p.id, 0) AS entry
    FROM agents a CROSS JOIN here LEFT JOIN outbox_positions p ON p.organization_id = a.organization_id AND p.reader = %(reader)s AND p.agent_id = a.id
        AND split_part(p.cluster, '.', 1) = here.cluster
    CROSS JOIN LATERAL (SELECT FROM outbox b WHERE b.organization_id = %(organization)s AND b.agent_id = a.id
        AND (b.xid, b.id) > (coalesce(p.xid, '0'::xid8), coalesce(p.id, 0)) ORDER BY b.xid, b.id LIMIT 1) AS newer  -- one probe, never a join of all
    WHERE a.organization_id = %(organization)s AND (%(agent)s::uuid IS NULL OR a.id = %(agent)s)
),
bound AS (SELECT greatest(1, %(bound)s / greatest(1, count(*))) AS each FROM waiting)
SELECT w.id, w.slug, n.relevant, n.seen < bound.each, w.updated_at
FROM bound, waiting w CROSS JOIN LATERAL (
    SELECT count(*) AS seen, count(*) FILTER (WHERE kind IN ('executions', 'feedback', 'rater_weights')) AS relevant FROM (
        SELECT b.kind FROM outbox b WHERE b.organization_id = %(organization)s AND b.agent_id = w.id AND (b.xid, b.id) > (w.xid, w.entry)
        ORDER BY b.xid, b.id LIMIT bound.each) AS entries) AS n
WHERE n.relevant > 0 OR n.seen = bound.each ORDER BY n.seen, w.slug"""


def behind(connection: Connection, organization_id: UUID, agent_id: UUID | None, bound: int) -> list[Behind]:
    """Agents whose stored days are behind, those with the fewest entries first: one index probe each, and about `bound` entries together."""
    values = {"organization": organization_id, "agent": agent_id, "reader": outbox.METRICS_READER, "bound": bound}
    return [Behind(*row) for row in connection.execute(_BEHIND, values, prepare=False).fetchall()]


def stored_sizes(connection: Connection, organization_id: UUID, stretches: Sequence[AgentDays]) -> list[int]:
    """Executions and feedback of each stretch as stored: about what it costs to compute it again."""
    rows = connection.execute(
        """SELECT coalesce(sum(m.executions + m.feedback), 0)::bigint
        FROM unnest(%s::uuid[], %s::date[], %s::date[]) WITH ORDINALITY AS asked (agent_id, first, last, place)
        LEFT JOIN feedback_metrics m ON m.organization_id = %s AND m.agent_id = asked.agent_id AND m.day BETWEEN asked.first AND asked.last
        GROUP BY asked.place ORDER BY asked.place""",
        [*_columns(stretches), organization_id],
    ).fetchall()
    return [int(row[0]) for row in rows]


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums of stored days (see metrics.SUMS): per day of the period, per agent in the period and in the days before it; issues of both."""

    days: list[dict[str, Any]]
    agents: list[dict[str, Any]]
    agents_before: list[dict[str, Any]]
    computed_at: dt.datetime | None


_STORED = """
WITH stored AS (
    SELECT m.*, m.day >= %(first)s AS now FROM feedback_metrics m WHERE m.organization_id = %(organization)s AND m.day BETWEEN %(earlier)s AND %(last)s
        AND (%(agent)s::uuid IS NULL OR m.agent_id = %(agent)s)
        AND NOT EXISTS (SELECT FROM unnest(%(agents)s::uuid[], %(firsts)s::date[], %(lasts)s::date[]) AS live (agent_id, first, last)
            WHERE live.agent_id = m.agent_id AND m.day BETWEEN live.first AND live.last)
)"""
_SUMS = f"""{_STORED}
SELECT now, day, agent_id, {", ".join(f"sum({name}) AS {name}" for name in metrics.SUMS)}, '{{}}'::jsonb AS issues, max(computed_at) AS computed_at
FROM stored GROUP BY GROUPING SETS ((now, day), (now, agent_id))"""
_ISSUES = f"""{_STORED}
SELECT now, agent_id, jsonb_object_agg(category, n) FROM (
    SELECT now, agent_id, category, sum(said::bigint) AS n FROM stored, jsonb_each_text(issues) AS issue (category, said) GROUP BY 1, 2, 3
) AS counted GROUP BY 1, 2"""


def sums(connection: Connection, organization_id: UUID, agent_id: UUID | None, span: Span, live: Sequence[AgentDays]) -> Sums:
    """The stored sums, without those of the days that are computed `live`."""
    values = {
        "organization": organization_id, "agent": agent_id, "earlier": span.earlier, "first": span.first, "last": span.last,
        **dict(zip(("agents", "firsts", "lasts"), _columns(live), strict=True)),
    }  # fmt: skip
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(_SUMS, values, prepare=False).fetchall()
    issues = {(now, agent): counts for now, agent, counts in connection.execute(_ISSUES, values, prepare=False).fetchall()}
    of_agents = [{**row, "issues": issues.get((row["now"], row["agent_id"]), {})} for row in rows if row["agent_id"] is not None]
    moments = [row["computed_at"] for row in of_agents]
    return Sums(
        [row for row in rows if row["agent_id"] is None and row["now"]], [row for row in of_agents if row["now"]], [row for row in of_agents if not row["now"]],
        max(moments, default=None),
    )  # fmt: skip


def live(connection: Connection, stretches: Sequence[AgentDays], zone: str) -> list[dict[str, Any]]:
    """The sums of agents' days as their rows are now: one statement for all agents of the same stretch, since planning it costs more than running it."""
    together: dict[tuple[dt.date, dt.date], list[AgentRef]] = {}
    for agent, first, last in stretches:
        together.setdefault((first, last), []).append(agent)
    rows = [row for (first, last), agents in together.items() for row in metrics.computed(connection, agents, first, last, zone)]
    return [{"agent_id": row["agent_id"], "day": row["day"], **metrics.added_up([row])} for row in rows]


def _columns(stretches: Sequence[AgentDays]) -> tuple[list[UUID], list[dt.date], list[dt.date]]:
    return [agent.agent_id for agent, _, _ in stretches], [first for _, first, _ in stretches], [last for _, _, last in stretches]


_EXAMPLES = """
WITH counted AS MATERIALIZED (
    SELECT agent_id, review_status, count(*) AS n FROM learning_examples
    WHERE organization_id = %(organization)s AND is_active AND review_status IN ('pending', 'in_review', 'needs_revision', 'approved')
        AND (%(agent)s::uuid IS NULL OR agent_id = %(agent)s) GROUP BY 1, 2
)
SELECT a.id, a.slug, a.is_active, coalesce(sum(e.n) FILTER (WHERE e.review_status IN ('pending', 'in_review', 'needs_revision')), 0)::bigint,
    coalesce(sum(e.n) FILTER (WHERE e.review_status = 'approved'), 0)::bigint
FROM agents a LEFT JOIN counted AS e ON e.agent_id = a.id
WHERE a.organization_id = %(organization)s AND (%(agent)s::uuid IS NULL OR a.id = %(agent)s) GROUP BY 1, 2, 3 ORDER BY 2"""


@dataclass(frozen=True, slots=True)
class Examples:
    """Active examples of an agent that wait for a review, and approved ones."""

    agent_id: UUID
    agent: str
    is_active: bool
    pending: int
    approved: int


def examples(connection: Connection, organization_id: UUID, agent_id: UUID | None) -> list[Examples]:
    """Of every agent, also one that has none. Answered from an index alone."""
    rows = connection.execute(_EXAMPLES, {"organization": organization_id, "agent": agent_id}, prepare=False).fetchall()
    return [Examples(*row) for row in rows]


_TODAY = """
SELECT
    (SELECT count(*) FROM learning_examples WHERE organization_id = %(organization)s AND received_at >= %(today)s
        AND (%(agent)s::uuid IS NULL OR agent_id = %(agent)s)),
    (SELECT count(*) FROM expert_annotations n WHERE organization_id = %(organization)s AND received_at >= %(today)s AND withdrawn_at IS NULL
        AND (%(agent)s::uuid IS NULL OR EXISTS (SELECT FROM learning_examples e WHERE e.organization_id = n.organization_id AND e.id = n.example_id
            AND e.agent_id = %(agent)s)))"""


def today(connection: Connection, organization_id: UUID, agent_id: UUID | None, since: dt.datetime) -> tuple[int, int]:
    """Examples that arrived and annotations that were given since a moment."""
    row = connection.execute(_TODAY, {"organization": organization_id, "agent": agent_id, "today": since}, prepare=False).fetchone()
    assert row is not None
    return int(row[0]), int(row[1])
