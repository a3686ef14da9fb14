"""How the whole installation stands, in numbers for `status` and for Prometheus: totals over all organizations, no name of any.

Belongs here: SQL that counts within bounds, and the one row that keeps what was counted. Not here: Dagster's numbers (defs/operating.py), exposition
(api/operating.py).

Nothing here reads a table from end to end: rates come from the sums of feedback_metrics, the queue from its own index, and what could grow without end
is counted up to a limit.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from uuid import UUID

from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from learning_pipelines.storage.database import Connection

NOBODY = UUID(int=0)
MOST_COUNTED = 100_000
"""Up to here waiting examples and outbox entries are counted; more is as bad."""
MOST_PER_AGENT = 10_000
WINDOWS = (1, 7)
"""Days of the rates, today included."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of a metric; `labels` tell values of the same metric apart, and never name a person or an organization."""

    name: str
    value: float
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits: examples for experts, outbox entries for the examples' reader; ages in seconds, 0 where nothing waits."""

    annotations: int
    annotations_oldest: float
    outbox: int
    outbox_oldest: float


def waiting(connection: Connection, organization: str | None = None) -> Waiting:
    """Of one organization, or of all."""
    row = connection.execute(_WAITING, {"organization": organization, "most": MOST_COUNTED, "per_agent": MOST_PER_AGENT}).fetchone()
    assert row is not None
    return Waiting(int(row[0]), float(row[1]), int(row[2]), float(row[3]))


_WAITING = """
WITH queue AS (
    SELECT e.created_at FROM learning_examples e
    WHERE e.is_active AND e.review_status IN ('pending', 'in_review', 'needs_revision')
      AND (%(organization)s::text IS NULL OR e.organization_id = learning.organization_id(%(organization)s)) LIMIT %(most)s
),
behind AS (
    SELECT found.n, found.oldest FROM agents a
    LEFT JOIN outbox_positions p ON p.organization_id = a.organization_id AND p.reader = 'learning_examples' AND p.agent_id = a.id
    CROSS JOIN LATERAL (
        SELECT count(*) AS n, min(received_at) AS oldest FROM (
            SELECT o.kind, o.received_at FROM outbox o WHERE o.organization_id = a.organization_id AND o.agent_id = a.id
                AND (o.xid, o.id) > (coalesce(p.xid, '0'::xid8), coalesce(p.id, 0)) ORDER BY o.xid, o.id LIMIT %(per_agent)s) AS next
        WHERE kind IN ('executions', 'feedback', 'demonstrations')
    ) AS found
    WHERE %(organization)s::text IS NULL OR a.organization_id = learning.organization_id(%(organization)s)
)
SELECT (SELECT count(*) FROM queue), (SELECT coalesce(extract(epoch FROM now() - min(created_at)), 0) FROM queue),
    coalesce(sum(n), 0), coalesce(extract(epoch FROM now() - min(oldest)), 0) FROM behind"""


def samples(connection: Connection, today: dt.date) -> list[Sample]:
    """What the database knows. A rate without anything to take it of is left out: no evidence is not nought. `today`: in the zone of the days."""
    now = waiting(connection)
    found = [
        Sample("annotation_queue", now.annotations), Sample("annotation_oldest_seconds", now.annotations_oldest),
        Sample("outbox_entries", now.outbox), Sample("outbox_oldest_seconds", now.outbox_oldest),
    ]  # fmt: skip
    for days in WINDOWS:
        with connection.cursor(row_factory=dict_row) as cursor:
            row = cursor.execute(_RATES, {"first": today - dt.timedelta(days=days - 1), "last": today}).fetchone()
        assert row is not None
        found += [Sample(name, float(value), {"days": str(days)}) for name, value in row.items() if value is not None]
    failed = connection.execute("SELECT count(*) FROM report_deliveries WHERE state IN ('failed', 'unknown') AND week >= %s", [today - dt.timedelta(days=14)])
    row = failed.fetchone()
    return [*found, Sample("report_deliveries_failed", float(row[0]) if row else 0.0)]


_RATES = """
WITH m AS (
    SELECT coalesce(sum(d.executions), 0) AS executions, coalesce(sum(d.executions_with_feedback), 0) AS answered, coalesce(sum(d.feedback), 0) AS feedback,
        coalesce(sum(d.thumbs_up), 0) AS up, coalesce(sum(d.thumbs_down), 0) AS down, coalesce(sum(d.corrections), 0) AS corrections,
        coalesce(sum(d.rating_count), 0) AS ratings, coalesce(sum(d.rating_sum), 0) AS stars
    FROM organizations o JOIN feedback_metrics d ON d.organization_id = o.organization_id AND d.day BETWEEN %(first)s AND %(last)s
),
u AS (
    SELECT coalesce(sum(requests), 0) AS requests, coalesce(sum(cost_usd), 0) AS cost, coalesce(sum(unpriced), 0) AS unpriced
    FROM organizations o JOIN llm_usage l ON l.organization_id = o.organization_id AND l.day BETWEEN %(first)s AND %(last)s
)
SELECT executions, feedback, answered::float / nullif(executions, 0) AS feedback_rate, up::float / nullif(up + down, 0) AS satisfaction,
    stars::float / nullif(ratings, 0) AS rating_mean, corrections::float / nullif(feedback, 0) AS correction_rate,
    requests AS llm_requests, cost AS llm_cost_usd, unpriced AS llm_unpriced_requests FROM m, u"""


def write(connection: Connection, measured: Sequence[Sample]) -> None:
    """Keeps the newest samples in place of those before."""
    connection.execute(
        """INSERT INTO operating_numbers (organization_id, samples) VALUES (%s, %s)
        ON CONFLICT (organization_id) DO UPDATE SET samples = excluded.samples, measured_at = now()""",
        [NOBODY, Jsonb([asdict(one) for one in measured])],
    )


def read(connection: Connection) -> tuple[list[Sample], float] | None:
    """The newest samples and their age in seconds; None before the first. One index probe."""
    row = connection.execute(
        "SELECT samples, extract(epoch FROM now() - measured_at) FROM operating_numbers WHERE organization_id = %s", [NOBODY]
    ).fetchone()
    return None if row is None else ([Sample(**one) for one in row[0]], float(row[1]))
