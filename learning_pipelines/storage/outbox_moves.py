"""After a restore: transaction ids of another cluster become ids of this one, and whoever had read up to somewhere goes on from exactly there.

Belongs here: renumbering the outbox, positions that move with it. Not here: reading (outbox.py), where Dagster keeps cursors (defs/restored.py).

Only the order (xid, id) means something. So every restored entry gets the transaction id of this step, and its place in the former order as
its id; a position gets the number of entries up to it. Entries written later have later transaction ids.
"""

from __future__ import annotations

from collections.abc import Sequence

from learning_pipelines.storage import outbox
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.outbox import Position


def settle(connection: Connection, cursors: Sequence[Position]) -> dict[Position, Position]:
    """Moves the outbox and every reader's position here, in one transaction, as the owner; answers where the given cursors stand now.

    Positions and cursors of any other cluster than the one these rows come from are left as they are: they start over, as they would have there.
    """
    with connection.transaction():
        former = connection.execute("SELECT cluster || '.' || id FROM outbox_positions WHERE reader = %(reader)s", _HOME).fetchone()
        if former is None:
            return {}  # nobody has read anything yet
        connection.execute("UPDATE outbox_positions SET cluster = '', updated_at = now() WHERE reader = %(reader)s", _HOME)
        here = outbox.cluster(connection)  # a new name, also where the rows come back into the cluster that they come from
        names = {**_HOME, "former": former[0], "here": here}
        connection.execute(_COPY)
        connection.execute("CREATE INDEX ON moved (xid, id)")
        connection.execute("ANALYZE moved")
        for statement in (_POSITIONS, _DATASETS):
            connection.execute(statement, names)
        connection.execute("TRUNCATE outbox")
        connection.execute(_ENTRIES)
        connection.execute("SELECT setval('learning.arrivals', greatest((SELECT last_value FROM arrivals), (SELECT count(*) FROM moved)))")
        return {cursor: _moved(connection, cursor, here) for cursor in cursors if cursor.cluster == former[0]}


_HOME = {"reader": "where these rows live"}
_COPY = "CREATE TEMP TABLE moved ON COMMIT DROP AS SELECT o.*, row_number() OVER (ORDER BY xid, id, organization_id, agent_id) AS place FROM outbox o"
_PLACE = "(SELECT m.place FROM moved m WHERE (m.xid, m.id) <= ({0}, {1}) ORDER BY m.xid DESC, m.id DESC, m.place DESC LIMIT 1)"
# (0, 0) is the start and (1, 0) a mark of a reader that found nothing: no transaction of anybody has these ids.
_THERE = "CASE WHEN {0} <= '1'::xid8 THEN {0} ELSE pg_current_xact_id() END"

_POSITIONS = f"""
UPDATE outbox_positions p SET cluster = %(here)s, xid = {_THERE.format("p.xid")}, id = coalesce({_PLACE.format("p.xid", "p.id")}, 0)
WHERE p.cluster = %(former)s AND p.reader <> %(reader)s"""

_DATASETS = f"""
UPDATE dataset_states s SET question = jsonb_set(question, '{{cluster}}', to_jsonb(%(here)s::text)), heard_xid = {_THERE.format("s.heard_xid")},
    heard_id = coalesce({_PLACE.format("s.heard_xid", "s.heard_id")}, 0)
WHERE question ->> 'cluster' = %(former)s"""

_ENTRIES = """
INSERT INTO outbox (organization_id, agent_id, xid, id, kind, row_id, execution_id, happened_at, execution_at, received_at)
SELECT organization_id, agent_id, pg_current_xact_id(), place, kind, row_id, execution_id, happened_at, execution_at, received_at FROM moved"""


def _moved(connection: Connection, cursor: Position, here: str) -> Position:
    row = connection.execute(
        f"""SELECT {_THERE.format("at.xid")}::text, coalesce({_PLACE.format("at.xid", "at.id")}, 0) FROM (SELECT %s::xid8 AS xid, %s::bigint AS id) AS at""",
        [str(cursor.xid), cursor.id],
    ).fetchone()
    assert row is not None
    return Position(here, int(row[0]), int(row[1]))
