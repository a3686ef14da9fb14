"""What was written a while ago and is not taken up, by the job that takes it up: from the positions of the readers, whatever became of any run.

Belongs here: these looks. Not here: whether a run is on its way (defs/left_behind.py), reading the outbox for work (outbox.py and who reads it).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from learning_pipelines.storage import outbox, retrieval_queries, reviewed
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.ingest_sql import NIL
from learning_pipelines.storage.outbox import Position

_NEWEST = 1_000
"""Entries behind a position that are looked at, the newest: who has so many to come is asked for by what comes."""


@dataclass(frozen=True, slots=True)
class LeftBehind:
    """Rows that wait for a job, over a partition or over all, since the oldest of them came."""

    job: str
    partition: str | None
    since: dt.datetime


@dataclass(frozen=True, slots=True)
class _Reader:
    job: str
    name: str
    kinds: tuple[str, ...]
    whole: bool = False


_READERS = (
    _Reader("examples_refresh", outbox.EXAMPLES_READER, ("executions", "feedback", "demonstrations")),
    _Reader("dataset_refresh", reviewed.READER, ("examples", "reviews")),
    _Reader("weights_refresh", outbox.WEIGHTS_READER, ("feedback",), whole=True),
    _Reader("metrics_refresh", outbox.METRICS_READER, ("executions", "feedback", "rater_weights"), whole=True),
)


def of_readers(connection: Connection, age: dt.timedelta) -> list[LeftBehind]:
    """What readers with a position per agent have not taken up and came longer ago than `age`: a few index probes per agent."""
    outbox.adopt_foreign_entries(connection)
    here = outbox.cluster(connection)
    found: list[LeftBehind] = []
    for reader in _READERS:
        rows = connection.execute(_behind(reader), {"reader": reader.name, "cluster": here, "age": age}).fetchall()
        if reader.whole:
            found += [LeftBehind(reader.job, None, min(since for _, since in rows))] if rows else []
        else:
            found += [LeftBehind(reader.job, str(partition), since) for partition, since in rows]
    return found


def _behind(reader: _Reader) -> str:
    kinds = ", ".join(f"'{kind}'" for kind in reader.kinds)
    within = f"AND b.kind IN ({kinds})" if reader.name == reviewed.READER else ""  # it has an index of its own, and leaves the rest unread
    return f"""SELECT o.slug || '/' || a.slug, min(new.received_at) FROM agents a JOIN organizations o USING (organization_id)
LEFT JOIN outbox_positions p ON p.organization_id = a.organization_id AND p.reader = %(reader)s AND p.agent_id = a.id AND p.cluster = %(cluster)s
CROSS JOIN LATERAL (SELECT b.kind, b.received_at FROM outbox b WHERE b.organization_id = a.organization_id AND b.agent_id = a.id {within}
    AND (b.xid, b.id) > (coalesce(p.xid, '0'::xid8), coalesce(p.id, 0)) AND b.xid < pg_snapshot_xmin(pg_current_snapshot())
    ORDER BY b.xid DESC, b.id DESC LIMIT {_NEWEST}) new
WHERE new.kind IN ({kinds}) GROUP BY 1 HAVING min(new.received_at) < now() - %(age)s ORDER BY 2"""


def of_retrieval(connection: Connection, after: Position | None, age: dt.timedelta, limit: int) -> tuple[list[LeftBehind], Position]:
    """The same of documents and of retrieval feedback, among at most `limit` entries of the outbox after a position; and the position before the first
    that is not taken up: from there the next look goes on. These kinds are few among others, so no look per agent would be cheap."""
    here = outbox.cluster(connection)
    start = after if after is not None and after.cluster == here else Position(here, 0, 0)
    if start is not after:
        outbox.adopt_foreign_entries(connection)
    rows = connection.execute(_OF_RETRIEVAL, {"xid": str(start.xid), "id": start.id, "limit": limit, "cluster": here, "age": age}).fetchall()
    found = [LeftBehind(str(job), str(partition), since) for job, partition, since, old, *_ in rows if old]
    firsts = [Position(here, int(xid), int(number) - 1) for job, _, _, _, xid, number in rows if job is not None]
    ends = [Position(here, int(xid), int(number)) for job, _, _, _, xid, number in rows if job is None and xid is not None]
    return found, _least(firsts) or _least(ends) or start


def _least(positions: Sequence[Position]) -> Position | None:
    return min(positions, key=lambda one: (one.xid, one.id), default=None)


_OF_RETRIEVAL = f"""
WITH batch AS MATERIALIZED (
    SELECT * FROM outbox WHERE (xid, id) > (%(xid)s::xid8, %(id)s) AND xid < pg_snapshot_xmin(pg_current_snapshot()) ORDER BY xid, id LIMIT %(limit)s
),
waiting AS (
    SELECT 'index_refresh' AS job, o.slug || '/' || coalesce(own.slug, (SELECT min(a.slug) FROM agents a WHERE a.organization_id = b.organization_id))
        AS partition, b.received_at, b.xid, b.id
    FROM batch b JOIN organizations o USING (organization_id)
    LEFT JOIN agents own ON own.organization_id = b.organization_id AND own.id = b.agent_id
    LEFT JOIN outbox_positions p ON p.organization_id = b.organization_id AND p.reader = '{outbox.INDEX_READER}' AND p.agent_id = b.agent_id
        AND p.cluster = %(cluster)s
    WHERE b.kind = 'documents' AND (p.xid IS NULL OR (b.xid, b.id) > (p.xid, p.id))
    UNION ALL
    SELECT 'pairs_refresh', o.slug || '/' || a.slug, b.received_at, b.xid, b.id
    FROM batch b JOIN organizations o USING (organization_id)
    JOIN agents a ON a.organization_id = b.organization_id AND (a.id = b.agent_id OR b.agent_id = '{NIL}')
    LEFT JOIN outbox_positions p ON p.organization_id = b.organization_id AND p.agent_id = a.id AND p.cluster = %(cluster)s
        AND p.reader = CASE WHEN b.agent_id = '{NIL}' THEN '{retrieval_queries.SHARED_READER}' ELSE '{retrieval_queries.READER}' END
    WHERE b.kind = 'retrieval_feedback' AND (p.xid IS NULL OR (b.xid, b.id) > (p.xid, p.id))
)
SELECT job, partition, min(received_at), min(received_at) < now() - %(age)s, (array_agg(xid ORDER BY xid, id))[1]::text, (array_agg(id ORDER BY xid, id))[1]
FROM waiting WHERE partition IS NOT NULL GROUP BY 1, 2
UNION ALL
SELECT NULL, NULL, NULL, false, (array_agg(xid ORDER BY xid DESC, id DESC))[1]::text, (array_agg(id ORDER BY xid DESC, id DESC))[1] FROM batch"""
