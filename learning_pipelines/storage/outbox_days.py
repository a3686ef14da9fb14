"""Days whose metrics may have changed, by what stands in the outbox behind the place of the metrics.

Belongs here: which days. Not here: places and order (outbox.py), counting the days again (metrics.py).
"""

from __future__ import annotations

import datetime as dt

from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.outbox import METRICS_READER, Position, position
from learning_pipelines.storage.tenants import AgentRef

# Of `new`, entries of one agent. What someone said about the same execution before may count no longer on the day it was said; what others said of it
# counts as before. An entry whose feedback is not there any more was somebody's who was erased: all that is said of its execution may have changed.
_DAYS = """moments AS (
    SELECT unnest(ARRAY[happened_at, execution_at]) AS moment FROM new WHERE kind IN ('executions', 'feedback', 'rater_weights')
    UNION ALL
    SELECT f.created_at FROM (
        SELECT DISTINCT n.execution_id, s.user_id, s.id IS NULL AS gone
        FROM new n LEFT JOIN agent_feedback s ON s.organization_id = %(organization)s AND s.execution_id = n.execution_id AND s.id = n.row_id
        WHERE n.kind = 'feedback' AND (s.id IS NULL OR s.user_id IS NOT NULL)
    ) AS said JOIN agent_feedback f ON f.organization_id = %(organization)s AND f.execution_id = said.execution_id AND (said.gone OR f.user_id = said.user_id)
),
days AS (SELECT array_agg(DISTINCT (moment AT TIME ZONE %(zone)s)::date) AS days FROM moments WHERE moment IS NOT NULL)"""


def touched_days(connection: Connection, agent: AgentRef, zone: str) -> tuple[list[dt.date], Position]:
    """The days whose metrics changed since the metrics reader last looked at this agent, and where it stands then."""
    start = position(connection, METRICS_READER, agent)
    row = connection.execute(
        f"""WITH new AS MATERIALIZED (
            SELECT xid, id, happened_at, execution_at, execution_id, row_id, kind FROM outbox
            WHERE organization_id = %(organization)s AND agent_id = %(agent)s AND (xid, id) > (%(xid)s::xid8, %(id)s)
              AND xid < pg_snapshot_xmin(pg_current_snapshot())
        ),
        {_DAYS}
        SELECT days, (SELECT ARRAY[xid::text, id::text] FROM new ORDER BY xid DESC, id DESC LIMIT 1) FROM days""",
        {"organization": agent.organization_id, "agent": agent.agent_id, "xid": str(start.xid), "id": start.id, "zone": zone},
    ).fetchone()
    assert row is not None
    last = Position(start.cluster, int(row[1][0]), int(row[1][1])) if row[1] else start
    return sorted(row[0] or ()), last


def days_behind(connection: Connection, agent: AgentRef, zone: str) -> set[dt.date]:
    """The days whose stored metrics of this agent may be out of date now. Only reads: what it finds again later costs nothing but time."""
    row = connection.execute(
        f"""WITH new AS MATERIALIZED (
            SELECT o.happened_at, o.execution_at, o.execution_id, o.row_id, o.kind
            FROM (SELECT system_identifier::text AS cluster FROM pg_control_system()) here
            LEFT JOIN outbox_positions p ON p.organization_id = %(organization)s AND p.reader = %(reader)s AND p.agent_id = %(agent)s
                AND split_part(p.cluster, '.', 1) = here.cluster
            JOIN outbox o ON o.organization_id = %(organization)s AND o.agent_id = %(agent)s
                AND (o.xid, o.id) > (coalesce(p.xid, '0'::xid8), coalesce(p.id, 0))
        ),
        {_DAYS}
        SELECT days FROM days""",
        {"organization": agent.organization_id, "agent": agent.agent_id, "reader": METRICS_READER, "zone": zone},
    ).fetchone()
    return set(row[0] or ()) if row is not None else set()
