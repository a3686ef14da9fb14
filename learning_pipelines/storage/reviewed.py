"""Which agents' approved examples changed since their dataset was last made.

Belongs here: reading the outbox for reviews, the position of each dataset. Not here: making datasets, the outbox itself (outbox.py).

Approving, withdrawing and editing what is approved write an outbox entry of kind `reviews` (a trigger, migration 0012), importing examples
one of kind `examples`, both in the transaction of the change. Read up to the oldest running transaction they come in an order in which
nothing can appear later; reviewed_at, the clock of whoever reviewed, is no such order.
"""

from __future__ import annotations

from dataclasses import dataclass

from learning_pipelines.storage import outbox
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.outbox import Position
from learning_pipelines.storage.tenants import AgentRef

READER = "training_datasets"


@dataclass(frozen=True, slots=True)
class Reviewed:
    """An agent (by its partition) whose dataset is behind, and its newest entry."""

    partition: str
    position: Position


def agents_reviewed(connection: Connection, after: Position | None, limit: int) -> list[Reviewed]:
    """Agents with entries that their dataset has not taken up and the newest of which lies after `after`; in the order of those, at most `limit`.

    A position of another cluster counts as none. One index probe per agent.
    """
    outbox.adopt_foreign_entries(connection)
    here = outbox.cluster(connection)
    start = after if after is not None and after.cluster == here else Position(here, 0, 0)
    rows = connection.execute(_BEHIND, {"cluster": here, "xid": str(start.xid), "id": start.id, "reader": READER, "limit": limit}).fetchall()
    return [Reviewed(partition, Position(here, int(xid), int(id_))) for partition, xid, id_ in rows]


_BEHIND = """
SELECT o.slug || '/' || a.slug, newest.xid::text, newest.id
FROM agents a JOIN organizations o USING (organization_id)
CROSS JOIN LATERAL (SELECT b.xid, b.id FROM outbox b WHERE b.organization_id = a.organization_id AND b.agent_id = a.id
    AND b.kind IN ('examples', 'reviews') AND b.xid < pg_snapshot_xmin(pg_current_snapshot()) ORDER BY b.xid DESC, b.id DESC LIMIT 1) newest
LEFT JOIN outbox_positions p ON p.organization_id = a.organization_id AND p.reader = %(reader)s AND p.agent_id = a.id AND p.cluster = %(cluster)s
WHERE (newest.xid, newest.id) > (%(xid)s::xid8, %(id)s) AND (p.xid IS NULL OR (newest.xid, newest.id) > (p.xid, p.id))
ORDER BY newest.xid, newest.id LIMIT %(limit)s"""


def newest_review(connection: Connection, agent: AgentRef) -> Position | None:
    """The agent's newest safely committed entry. Whatever is read after this call in later statements includes what it is about."""
    here = outbox.cluster(connection)
    row = connection.execute(
        """SELECT xid::text, id FROM outbox WHERE organization_id = %s AND agent_id = %s AND kind IN ('examples', 'reviews')
        AND xid < pg_snapshot_xmin(pg_current_snapshot()) ORDER BY outbox.xid DESC, outbox.id DESC LIMIT 1""",
        [agent.organization_id, agent.agent_id],
    ).fetchone()
    return None if row is None else Position(here, int(row[0]), int(row[1]))


def taken_up(connection: Connection, agent: AgentRef, position: Position | None) -> None:
    """Remembers how far the dataset has come; part of the transaction that made it."""
    if position is not None:
        outbox.advance(connection, READER, agent, position)
