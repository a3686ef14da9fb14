"""Days, versions and weeks that a person was counted in: which they are, and that they are to be counted again.

Belongs here: SQL over the tables erased_* that finds what was counted. Not here: the counting (metrics.py, prompt_runs.py, examples/agreement_refresh.py),
months that are archived (erasure_archives.py).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from learning_pipelines.storage.database import Connection


@dataclass(frozen=True, slots=True)
class Window:
    """What is stored of an agent's prompt versions: the days it is about."""

    agent_id: UUID
    agent: str
    first: dt.date
    last: dt.date


def days(connection: Connection, organization_id: UUID, zone: str) -> dict[UUID, list[dt.date]]:
    """The days of each agent on which something of the person counts, or on which an execution happened that they said something about. Call while the
    rows are there."""
    rows = connection.execute(
        """SELECT agent_id, array_agg(DISTINCT (moment AT TIME ZONE %(zone)s)::date ORDER BY (moment AT TIME ZONE %(zone)s)::date) FROM (
            SELECT agent_id, happened_at AS moment FROM erased_executions UNION ALL SELECT agent_id, happened_at FROM erased_feedback
            UNION ALL SELECT x.agent_id, x.created_at FROM erased_again t
            JOIN agent_executions x ON x.organization_id = %(organization)s AND x.id = t.execution_id
        ) AS counted GROUP BY 1""",
        {"organization": organization_id, "zone": zone},
    ).fetchall()
    return {row[0]: row[1] for row in rows}


def tell(connection: Connection, organization_id: UUID, changed: Mapping[UUID, Sequence[dt.date]], zone: str) -> None:
    """Tells whoever reads the outbox that these days count differently, as when a rater's weight moves; the entries name no row."""
    pairs = [(agent, day) for agent, days_ in changed.items() for day in days_]
    connection.execute(
        """INSERT INTO outbox (organization_id, agent_id, kind, row_id, happened_at)
        SELECT %s, agent_id, 'rater_weights', 'erased', day::timestamp AT TIME ZONE %s FROM unnest(%s::uuid[], %s::date[]) AS d (agent_id, day)""",
        [organization_id, zone, [agent for agent, _ in pairs], [day for _, day in pairs]],
    )


def windows(connection: Connection, organization_id: UUID, agents: Sequence[UUID]) -> list[Window]:
    """What is stored of the prompt versions of these agents."""
    rows = connection.execute(
        """SELECT p.agent_id, a.slug, min(p.first_day), max(p.last_day) FROM prompt_performance p
        JOIN agents a ON a.organization_id = p.organization_id AND a.id = p.agent_id
        WHERE p.organization_id = %s AND p.agent_id = ANY(%s) GROUP BY 1, 2 ORDER BY 2""",
        [organization_id, list(agents)],
    ).fetchall()
    return [Window(row[0], str(row[1]), row[2], row[3]) for row in rows]


def forget_agreement(connection: Connection, organization_id: UUID, zone: str) -> int:
    """Forgets how far users agreed in the weeks of the person's executions and of those they said something about, and makes the next look begin there.
    Weeks of which rows are archived stand as they were counted. Call while the rows are there; returns how many."""
    values = {"organization": organization_id, "zone": zone}
    connection.execute(_LOOK_AGAIN, values)
    return connection.execute(_FORGET, values).rowcount


_LOOK_AGAIN = """
UPDATE curation_state c SET updated_at = least(c.updated_at, e.first_at) FROM (SELECT agent_id, min(happened_at) AS first_at FROM (
        SELECT agent_id, happened_at FROM erased_executions UNION ALL SELECT agent_id, happened_at FROM erased_feedback) AS gone GROUP BY 1) e
WHERE c.organization_id = %(organization)s AND c.name = 'thumbs' AND c.agent_id = e.agent_id"""
_FORGET = """
DELETE FROM annotation_agreement g USING (
    SELECT DISTINCT x.agent_id, date_trunc('week', x.created_at AT TIME ZONE %(zone)s)::date AS monday FROM (
        SELECT execution_id FROM erased_executions WHERE NOT archived UNION SELECT execution_id FROM erased_again) t
    JOIN agent_executions x ON x.organization_id = %(organization)s AND x.id = t.execution_id) w
WHERE g.organization_id = %(organization)s AND g.agent_id = w.agent_id AND g.pair = 'users' AND g.period = to_char(w.monday, 'IYYY-"W"IW')
    AND NOT EXISTS (SELECT FROM archived_metrics m WHERE m.organization_id = %(organization)s AND m.agent_id = w.agent_id AND m.executions > 0
        AND date_trunc('week', m.day::timestamp)::date = w.monday)"""
