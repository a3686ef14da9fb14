"""Who still waits for entries of the outbox: what nobody waits for goes after its retention, and archiving waits for who waits.

Belongs here: who waits for which entries. Not here: reading them (outbox.py), taking them to another cluster (outbox_moves.py).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.ingest_sql import NIL
from learning_pipelines.storage.outbox import ARCHIVE_READER, EXAMPLES_READER, EXPERIMENTS_READER, METRICS_READER, WEIGHTS_READER, cluster


def prune(connection: Connection, older_than: dt.timedelta, readers: Sequence[str] = (EXAMPLES_READER, METRICS_READER, WEIGHTS_READER)) -> int:
    """Deletes entries that arrived before `older_than` and that every reader of their agent has taken up.

    Judged questions are counted anew where nobody has counted them yet: their readers hold back only what is behind a position of theirs. The reader
    of experiments holds back what it has not taken up of organizations that started one, and the one of the archive what was said about executions
    that are not here: nobody else would ever bring them back.
    """
    values = {"age": older_than, "archive": ARCHIVE_READER, **_readers(connection, readers)}
    return connection.execute(f"DELETE FROM outbox o WHERE o.received_at < now() - %(age)s AND {_TAKEN_UP} AND NOT {_WANTS_ARCHIVED}", values).rowcount


_TAKEN_UP = f"""NOT EXISTS (
    SELECT FROM unnest(%(readers)s::text[]) AS wanted (reader)
    LEFT JOIN outbox_positions p ON p.organization_id = o.organization_id AND p.agent_id = o.agent_id AND p.reader = wanted.reader
    WHERE o.agent_id <> '{NIL}' AND (p.xid IS NULL OR p.cluster <> %(cluster)s OR (o.xid, o.id) > (p.xid, p.id)))
AND NOT EXISTS (
    SELECT FROM outbox_positions q WHERE q.organization_id = o.organization_id AND q.cluster = %(cluster)s AND (o.xid, o.id) > (q.xid, q.id) AND CASE
        WHEN o.agent_id = '{NIL}' THEN o.kind = 'retrieval_feedback' AND q.reader = 'retrieval_queries_shared'
        ELSE o.kind IN ('retrieval_feedback', 'feedback') AND q.reader = 'retrieval_queries' AND q.agent_id = o.agent_id END)
AND NOT (o.kind IN ('executions', 'feedback')
    AND o.organization_id IN (SELECT e.organization_id FROM learning_experiments e WHERE e.started_at IS NOT NULL)
    AND NOT EXISTS (SELECT FROM outbox_positions r WHERE r.organization_id = '{NIL}' AND r.agent_id = '{NIL}' AND r.reader = %(experiments)s
        AND r.cluster = %(cluster)s AND (o.xid, o.id) <= (r.xid, r.id)))"""

# Not of `unconsumed`: archiving does not wait for what waits for the archive.
_WANTS_ARCHIVED = f"""(o.kind = 'feedback'
    AND EXISTS (SELECT FROM outbox_positions r WHERE r.organization_id = '{NIL}' AND r.agent_id = '{NIL}' AND r.reader = %(archive)s
        AND r.cluster = %(cluster)s AND (o.xid, o.id) > (r.xid, r.id))
    AND EXISTS (SELECT FROM agent_feedback f WHERE f.organization_id = o.organization_id AND f.id = o.row_id)
    AND NOT EXISTS (SELECT FROM agent_executions x WHERE x.organization_id = o.organization_id AND x.id = o.execution_id))"""


def _readers(connection: Connection, readers: Sequence[str]) -> dict[str, object]:
    return {"readers": list(readers), "cluster": cluster(connection), "experiments": EXPERIMENTS_READER}


def unconsumed(
    connection: Connection, before: dt.datetime, readers: Sequence[str] = (EXAMPLES_READER, METRICS_READER, WEIGHTS_READER)
) -> list[tuple[str, int]]:
    """Agents (`organization/agent`) with entries of executions and feedback from before a moment that some reader has not taken up, and how many."""
    rows = connection.execute(
        f"""SELECT s.slug || '/' || coalesce(a.slug, '-'), count(*) FROM outbox o JOIN organizations s USING (organization_id)
        LEFT JOIN agents a ON a.organization_id = o.organization_id AND a.id = o.agent_id
        WHERE o.kind IN ('executions', 'feedback') AND o.received_at < %(before)s AND NOT ({_TAKEN_UP}) GROUP BY 1 ORDER BY 1""",
        {"before": before, **_readers(connection, readers)},
    ).fetchall()
    return [(str(partition), int(entries)) for partition, entries in rows]
