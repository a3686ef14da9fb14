"""Which agents have retrieval feedback that was not counted yet, and which have new training pairs enough to learn from.

Belongs here: what the sensor training_pairs_ready asks. Not here: making pairs (training_pairs.py), the sensor (defs/).
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from learning_pipelines.storage import outbox
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.ingest_sql import NIL
from learning_pipelines.storage.outbox import Position


@dataclass(frozen=True, slots=True)
class Ready:
    """An agent with enough new judged pairs (training_pairs.new_pairs); `newest`: when the last of them was counted."""

    partition: str
    pairs: int
    newest: dt.datetime


def ready(connection: Connection, least: int, days: int = 7) -> list[Ready]:
    """Agents that may learn and have `least` new pairs or more (their organization's setting rag_min_pairs, where it has one) that no training
    of retrieval has begun with yet."""
    rows = connection.execute(
        """SELECT o.slug || '/' || a.slug, sum((SELECT count(*) FROM jsonb_object_keys(q.documents))), max(q.updated_at) FROM retrieval_queries q
        JOIN agents a ON a.organization_id = q.organization_id AND a.id = q.agent_id JOIN organizations o ON o.organization_id = a.organization_id
        WHERE q.updated_at >= now() - make_interval(days => %(days)s) AND q.split IS NOT NULL AND a.is_active AND a.learning_enabled
            AND q.updated_at > coalesce((SELECT max(r.created_at) FROM training_runs r WHERE r.organization_id = a.organization_id AND r.agent_id = a.id
                AND r.training_type = 'rag_tuning'), '-infinity')
        GROUP BY o.slug, a.slug, o.settings
        HAVING sum((SELECT count(*) FROM jsonb_object_keys(q.documents))) >= coalesce((o.settings ->> 'rag_min_pairs')::bigint, %(least)s) ORDER BY 1""",
        {"days": days, "least": least},
    ).fetchall()
    return [Ready(partition, int(pairs), newest) for partition, pairs, newest in rows]


def behind(connection: Connection, after: Position | None, limit: int) -> tuple[list[str], Position, int]:
    """Partitions of agents with new retrieval feedback among at most `limit` entries of the outbox after a position; where that ends; how many were
    read. Feedback of no agent concerns every agent of its organization."""
    here = outbox.cluster(connection)
    start = after if after is not None and after.cluster == here else Position(here, 0, 0)
    if start is not after:
        outbox.adopt_foreign_entries(connection)
    row = connection.execute(_BEHIND, {"xid": str(start.xid), "id": start.id, "limit": limit, "nil": NIL}).fetchone()
    assert row is not None
    partitions, entries, xid, number = row
    return sorted(partitions or ()), Position(here, int(xid), int(number)) if entries else start, int(entries)


_BEHIND = """
WITH batch AS MATERIALIZED (
    SELECT * FROM outbox WHERE (xid, id) > (%(xid)s::xid8, %(id)s) AND xid < pg_snapshot_xmin(pg_current_snapshot()) ORDER BY xid, id LIMIT %(limit)s
)
SELECT (SELECT array_agg(DISTINCT o.slug || '/' || a.slug) FROM (SELECT DISTINCT organization_id, agent_id FROM batch WHERE kind = 'retrieval_feedback') b
        JOIN organizations o USING (organization_id) JOIN agents a ON a.organization_id = b.organization_id AND (a.id = b.agent_id OR b.agent_id = %(nil)s)),
    count(*), (array_agg(xid ORDER BY xid DESC, id DESC))[1]::text, (array_agg(id ORDER BY xid DESC, id DESC))[1] FROM batch"""
