"""Reading the outbox: what is new, up to where it is safe to read, and how far each reader has come.

Belongs here: order, safety and positions. Not here: what is done with the entries.

Safety. Transactions commit out of order, so a reader stops below pg_snapshot_xmin: everything below it has committed or never will.
Order is (xid, id). Transaction ids mean nothing in another cluster: `restore` moves entries and positions with their order
(outbox_moves.py). Rows that came by any other way: positions name their cluster and start over in a new one, and entries whose
transaction id lies in this cluster's future are adopted, that is given an id of this cluster.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.ingest_sql import NIL
from learning_pipelines.storage.tenants import AgentRef


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the outbox of one cluster; the start is (0, 0)."""

    cluster: str
    xid: int
    id: int


@dataclass(frozen=True, slots=True)
class Touched:
    """What new entries of one agent are about. `position` is where the reader stands after them; `more` says that there are further ones."""

    executions: list[str]
    demonstrations: list[str]
    entries: int
    position: Position
    more: bool


@dataclass(frozen=True, slots=True)
class NewForAgent:
    """New entries of one agent (agent None: entries that belong to no agent). `behind`: the examples have not taken them up yet."""

    organization: str
    agent: str | None
    days: list[dt.date]
    kinds: list[str]
    entries: int
    behind: bool


@dataclass(frozen=True, slots=True)
class News:
    """One bounded look at the outbox after a position."""

    agents: list[NewForAgent]
    position: Position
    entries: int
    full: bool


EXAMPLES_READER = "learning_examples"
METRICS_READER = "feedback_metrics"
WEIGHTS_READER = "rater_weights"
INDEX_READER = "knowledge_index"
"""Documents of no agent have a position of their own, of the nil agent."""
EXPERIMENTS_READER = "experiment_metrics"
ARCHIVE_READER = "archived_executions"
"""One reader for all agents: its position belongs to nobody (the nil organization and agent)."""


def cluster(connection: Connection) -> str:
    """Names the cluster these rows live in, and how often they moved: another name after every restore into another cluster.

    The database remembers the cluster it was written in. Where that is not the one it is in, it was restored: the name changes, so that
    every position and cursor starts over, also a cursor that this very cluster handed out before the restore.
    """
    while True:
        row = connection.execute(_HOME, _REMEMBERED).fetchone()
        assert row is not None
        if row[1] is not None:
            return f"{row[0]}.{row[1]}"
        connection.execute(_MOVED, _REMEMBERED)


_REMEMBERED = {"nil": NIL, "reader": "where these rows live"}
_HOME = """
SELECT c.system_identifier::text, p.id FROM pg_control_system() c LEFT JOIN outbox_positions p
    ON p.organization_id = %(nil)s AND p.reader = %(reader)s AND p.agent_id = %(nil)s AND p.cluster = c.system_identifier::text"""
_MOVED = """
INSERT INTO outbox_positions AS p (organization_id, reader, agent_id, cluster, xid, id)
SELECT %(nil)s, %(reader)s, %(nil)s, system_identifier::text, '0', 1 FROM pg_control_system()
ON CONFLICT (organization_id, reader, agent_id) DO UPDATE SET cluster = excluded.cluster, id = p.id + 1, updated_at = now()
    WHERE p.cluster <> excluded.cluster"""


def adopt_foreign_entries(connection: Connection) -> int:
    """Gives entries from another cluster a transaction id of this one; returns how many.

    A visible entry at or above this snapshot's xmax cannot have been written by this cluster. One index probe when there are none.
    """
    return connection.execute("UPDATE outbox SET xid = pg_current_xact_id() WHERE xid >= pg_snapshot_xmax(pg_current_snapshot())").rowcount


def news(connection: Connection, after: Position | None, limit: int, zone: str) -> News:
    """What committed after a position, oldest first, at most `limit` entries: one statement. A position of another cluster counts as none."""
    here = cluster(connection)
    start = after if after is not None and after.cluster == here else Position(here, 0, 0)
    if start is not after:
        adopt_foreign_entries(connection)
    rows = connection.execute(_NEWS, {"xid": str(start.xid), "id": start.id, "limit": limit, "zone": zone, "cluster": here}).fetchall()
    agents = [NewForAgent(organization, agent, sorted(days), sorted(kinds), entries, behind) for organization, agent, days, kinds, entries, behind, *_ in rows]
    last = max(((int(row[6]), int(row[7])) for row in rows), default=(start.xid, start.id))
    entries = sum(agent.entries for agent in agents)
    return News(agents, Position(here, *last), entries, entries >= limit)


_NEWS = """
WITH batch AS MATERIALIZED (
    SELECT * FROM outbox
    WHERE (xid, id) > (%(xid)s::xid8, %(id)s) AND xid < pg_snapshot_xmin(pg_current_snapshot())
    ORDER BY xid, id LIMIT %(limit)s
),
days AS (
    SELECT DISTINCT organization_id, agent_id, (moment AT TIME ZONE %(zone)s)::date AS day
    FROM batch, LATERAL (VALUES (happened_at), (execution_at)) AS moments (moment)
    WHERE moment IS NOT NULL AND kind IN ('executions', 'feedback', 'rater_weights')
),
found AS (
    SELECT b.organization_id, b.agent_id, array_agg(DISTINCT b.kind) AS kinds, count(*) AS entries,
        (array_agg(b.xid ORDER BY b.xid DESC, b.id DESC))[1] AS xid, (array_agg(b.id ORDER BY b.xid DESC, b.id DESC))[1] AS id,
        bool_or(b.kind IN ('executions', 'feedback', 'demonstrations')) AS concerns_examples
    FROM batch b GROUP BY 1, 2
)
SELECT o.slug, a.slug, coalesce((SELECT array_agg(d.day) FROM days d WHERE (d.organization_id, d.agent_id) = (f.organization_id, f.agent_id)), '{}'),
    f.kinds, f.entries,
    a.slug IS NOT NULL AND f.concerns_examples AND (p.xid IS NULL OR (f.xid, f.id) > (p.xid, p.id)), f.xid::text, f.id
FROM found f
JOIN organizations o USING (organization_id)
LEFT JOIN agents a ON a.organization_id = f.organization_id AND a.id = f.agent_id
LEFT JOIN outbox_positions p ON p.organization_id = f.organization_id AND p.reader = 'learning_examples' AND p.agent_id = f.agent_id
    AND p.cluster = %(cluster)s
ORDER BY o.slug, a.slug"""


@dataclass(frozen=True, slots=True)
class DocumentsNews:
    """One bounded look at the outbox after a position: partitions of agents whose index is behind, and where the reader stands then."""

    partitions: list[str]
    position: Position
    entries: int


def documents_news(connection: Connection, after: Position | None, limit: int) -> DocumentsNews:
    """Agents that got documents, in at most `limit` entries after a position; documents of no agent concern the first agent of their organization."""
    here = cluster(connection)
    start = after if after is not None and after.cluster == here else Position(here, 0, 0)
    if start is not after:
        adopt_foreign_entries(connection)
    row = connection.execute(_DOCUMENTS_NEWS, {"xid": str(start.xid), "id": start.id, "limit": limit, "nil": NIL}).fetchone()
    assert row is not None
    partitions, entries, xid, number = row
    return DocumentsNews(sorted(partitions or ()), Position(here, int(xid), int(number)) if entries else start, int(entries))


_DOCUMENTS_NEWS = """
WITH batch AS MATERIALIZED (
    SELECT * FROM outbox
    WHERE (xid, id) > (%(xid)s::xid8, %(id)s) AND xid < pg_snapshot_xmin(pg_current_snapshot())
    ORDER BY xid, id LIMIT %(limit)s
),
concerned AS (
    SELECT DISTINCT o.slug || '/' || coalesce(own.slug, (SELECT min(a.slug) FROM agents a WHERE a.organization_id = b.organization_id)) AS partition
    FROM (SELECT DISTINCT organization_id, agent_id FROM batch WHERE kind = 'documents') b
    JOIN organizations o USING (organization_id)
    LEFT JOIN agents own ON own.organization_id = b.organization_id AND own.id = b.agent_id AND b.agent_id <> %(nil)s
)
SELECT (SELECT array_agg(partition) FROM concerned WHERE partition IS NOT NULL), count(*),
    (array_agg(xid ORDER BY xid DESC, id DESC))[1]::text, (array_agg(id ORDER BY xid DESC, id DESC))[1] FROM batch"""


def lock_reader(connection: Connection, reader: str, agent: AgentRef) -> None:
    """Lets one reader of an agent work at a time; released with the transaction."""
    connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"{reader}/{agent.organization_id}/{agent.agent_id}"])


def touched(connection: Connection, reader: str, agent: AgentRef, limit: int) -> Touched:
    """What the agent's entries after the reader's position are about, at most `limit` of them. Call inside a transaction, after lock_reader."""
    start = position(connection, reader, agent)
    rows = connection.execute(
        """SELECT xid::text, id, kind, row_id, execution_id FROM outbox
        WHERE organization_id = %s AND agent_id = %s AND (xid, id) > (%s::xid8, %s) AND xid < pg_snapshot_xmin(pg_current_snapshot())
        ORDER BY outbox.xid, outbox.id LIMIT %s""",
        [agent.organization_id, agent.agent_id, str(start.xid), start.id, limit],
    ).fetchall()
    executions = dict.fromkeys(str(row[4]) for row in rows if row[2] in ("executions", "feedback"))
    demonstrations = dict.fromkeys(str(row[3]) for row in rows if row[2] == "demonstrations")
    last = Position(start.cluster, int(rows[-1][0]), int(rows[-1][1])) if rows else start
    return Touched(list(executions), list(demonstrations), len(rows), last, len(rows) == limit)


def advance(connection: Connection, reader: str, agent: AgentRef, position: Position) -> None:
    """Remembers how far the reader has come; part of the transaction that stored the effect. Never goes back: of two readers at once the one that has
    come further may be the first to say so."""
    connection.execute(
        """INSERT INTO outbox_positions AS p (organization_id, reader, agent_id, cluster, xid, id) VALUES (%s, %s, %s, %s, %s::xid8, %s)
        ON CONFLICT (organization_id, reader, agent_id) DO UPDATE
            SET cluster = excluded.cluster, xid = excluded.xid, id = excluded.id, updated_at = now()
            WHERE p.cluster <> excluded.cluster OR (excluded.xid, excluded.id) >= (p.xid, p.id)""",
        [agent.organization_id, reader, agent.agent_id, position.cluster, str(position.xid), position.id],
    )


def newest(connection: Connection, agent: AgentRef) -> Position | None:
    """The agent's newest safely committed entry. Whatever is read after this call in later statements includes what it is about."""
    here = cluster(connection)
    row = connection.execute(
        """SELECT xid::text, id FROM outbox WHERE organization_id = %s AND agent_id = %s AND xid < pg_snapshot_xmin(pg_current_snapshot())
        ORDER BY outbox.xid DESC, outbox.id DESC LIMIT 1""",
        [agent.organization_id, agent.agent_id],
    ).fetchone()
    return None if row is None else Position(here, int(row[0]), int(row[1]))


def lag(connection: Connection, after: Position | None, limit: int = 1_000_000) -> int:
    """Entries after a position, counted up to `limit`."""
    here = cluster(connection)
    start = after if after is not None and after.cluster == here else Position(here, 0, 0)
    row = connection.execute(
        "SELECT count(*) FROM (SELECT FROM outbox WHERE (xid, id) > (%s::xid8, %s) LIMIT %s) AS waiting", [str(start.xid), start.id, limit]
    ).fetchone()
    return int(row[0]) if row else 0


def position(connection: Connection, reader: str, agent: AgentRef) -> Position:
    """Where a reader of an agent stands."""
    here = cluster(connection)
    adopt_foreign_entries(connection)
    row = connection.execute(
        "SELECT xid::text, id FROM outbox_positions WHERE organization_id = %s AND reader = %s AND agent_id = %s AND cluster = %s",
        [agent.organization_id, reader, agent.agent_id, here],
    ).fetchone()
    return Position(here, int(row[0]), int(row[1])) if row else Position(here, 0, 0)


def agents_behind(connection: Connection, reader: str, organization: str | None = None, agent: str | None = None) -> list[AgentRef]:
    """Agents with entries that the reader has not taken up: one index probe each."""
    rows = connection.execute(
        """SELECT o.organization_id, o.slug, a.id, a.slug FROM agents a JOIN organizations o USING (organization_id)
        LEFT JOIN outbox_positions p ON p.organization_id = a.organization_id AND p.reader = %(reader)s AND p.agent_id = a.id AND p.cluster = %(cluster)s
        WHERE (%(organization)s::text IS NULL OR o.slug = %(organization)s) AND (%(agent)s::text IS NULL OR a.slug = %(agent)s)
          AND EXISTS (SELECT FROM outbox b WHERE b.organization_id = a.organization_id AND b.agent_id = a.id
              AND (b.xid, b.id) > (coalesce(p.xid, '0'::xid8), coalesce(p.id, 0)))
        ORDER BY o.slug, a.slug""",
        {"reader": reader, "cluster": cluster(connection), "organization": organization, "agent": agent},
    ).fetchall()
    return [AgentRef(*row) for row in rows]
