"""What was shown where to questions of the train split, and the relevance of chunks that was fitted to it.

Belongs here: SQL of chunk_relevance and examination_curves. Not here: the model (retrieval/relevance.py), the loop (retrieval/relevance_refresh.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.live_passages import joined_by_hash, resolve
from learning_pipelines.storage.retrieval_queries import mine
from learning_pipelines.storage.tenants import AgentRef

COLUMNS = ("chunk_id", "shown", "examined", "helpful", "alpha", "beta", "mean", "low", "high")


def lock_relevance(connection: Connection, agent: AgentRef) -> None:
    """One fit of an agent at a time; released with the transaction."""
    connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"chunk_relevance/{agent.organization_id}/{agent.agent_id}"])


def changed(connection: Connection, agent: AgentRef, rules: str) -> bool:
    """Whether train questions, the corpus or the rules changed since the last fit; remembers them. False also where nothing was counted yet."""
    return (
        connection.execute(
            """UPDATE retrieval_feedback_state s SET relevance_of = now.stamp FROM (
                SELECT concat(%(rules)s::text, ' ', count(*), ' ', sum(events), ' ', max(updated_at), ' ', (SELECT corpus FROM retrieval_feedback_state
                    WHERE organization_id = %(organization)s AND agent_id = %(agent)s)) AS stamp
                FROM retrieval_queries WHERE organization_id = %(organization)s AND agent_id = %(agent)s AND split = 'train') AS now
            WHERE s.organization_id = %(organization)s AND s.agent_id = %(agent)s AND s.relevance_of <> now.stamp RETURNING 1""",
            mine(agent) | {"rules": rules},
        ).fetchone()
        is not None
    )


def exposures(connection: Connection, agent: AgentRef, deepest: int) -> list[tuple[str, int, float, float]]:
    """(chunk id, rank, times shown, times helpful) over events about train questions, deeper ranks counted as `deepest`.

    A document that was shown as such shows each of its n chunks for 1/n. What helped counts as far as its stars say. Events that say that
    something helped, and not what, are left out. Call it inside a transaction.
    """
    values = mine(agent) | {"deepest": deepest}
    connection.execute("DROP TABLE IF EXISTS pg_temp.seen_passages")
    with joined_by_hash(connection):
        connection.execute(f"CREATE TEMP TABLE seen_passages ON COMMIT DROP AS {_SEEN}", values)
    connection.execute("ANALYZE seen_passages")
    resolve(connection, values, "seen_passages")
    with joined_by_hash(connection):
        rows = connection.execute(_EXPOSURES, values).fetchall()
    return [(str(chunk), int(rank), float(shown), float(helpful)) for chunk, rank, shown, helpful in rows]


_SEEN = """
WITH events AS (
    SELECT e.retrieved, e.relevant, coalesce(e.rating, 5) / 5.0 AS level FROM retrieval_queries q JOIN retrieval_events e ON e.question_id = q.id
    WHERE q.organization_id = %(organization)s AND q.agent_id = %(agent)s AND q.split = 'train'
        AND e.organization_id = %(organization)s AND (e.agent_id = %(agent)s OR e.agent_id IS NULL)
        AND NOT (cardinality(e.relevant) = 0 AND coalesce(e.helped, false))
)
SELECT shown.passage, least(shown.at, %(deepest)s) AS rank, count(*) AS times,
    sum(CASE WHEN shown.passage = ANY (e.relevant) THEN e.level ELSE 0 END) AS helped
FROM events e, unnest(e.retrieved) WITH ORDINALITY AS shown (passage, at) GROUP BY 1, 2"""

_EXPOSURES = """
WITH found AS MATERIALIZED (SELECT * FROM seen_passages JOIN live_passages USING (passage))
SELECT chunk_id, rank, sum(times)::float8, sum(helped)::float8 FROM (
    SELECT chunk_id, rank, times::numeric, helped FROM found WHERE chunk_id IS NOT NULL
    UNION ALL SELECT parts.id, f.rank, f.times::numeric / parts.n, f.helped / parts.n FROM found f CROSS JOIN LATERAL (
        SELECT c.id, count(*) OVER () AS n FROM knowledge_chunks c WHERE c.organization_id = %(organization)s AND c.document_id = f.document_id
            AND c.is_active AND c.edit_id IS NULL) AS parts WHERE f.chunk_id IS NULL
) AS shown GROUP BY 1, 2 ORDER BY 1, 2"""


def store(connection: Connection, agent: AgentRef, rows: Iterable[Sequence[object]], curve: Sequence[tuple[int, float, float, float]]) -> None:
    """Replaces an agent's relevance (COLUMNS) and its curve (rank, examination, times shown, times helpful)."""
    values = mine(agent)
    for table in ("chunk_relevance", "examination_curves"):
        connection.execute(f"DELETE FROM {table} WHERE organization_id = %(organization)s AND agent_id = %(agent)s", values)
    names = ", ".join(COLUMNS)
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE IF NOT EXISTS staged_relevance (LIKE chunk_relevance) ON COMMIT DELETE ROWS")
        for name in ("organization_id", "agent_id", "fitted_at"):
            cursor.execute(f"ALTER TABLE staged_relevance ALTER COLUMN {name} DROP NOT NULL")
        with cursor.copy(f"COPY staged_relevance ({names}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
        cursor.execute(
            f"INSERT INTO chunk_relevance (organization_id, agent_id, {names}) SELECT %(organization)s, %(agent)s, {names} FROM staged_relevance", values
        )
        cursor.executemany(
            "INSERT INTO examination_curves (organization_id, agent_id, rank, examination, shown, helpful) VALUES (%s, %s, %s, %s, %s, %s)",
            [(agent.organization_id, agent.agent_id, *point) for point in curve],
        )


def relevance(connection: Connection, agent: AgentRef) -> dict[str, tuple[float, float, float]]:
    """Chunk id to (mean, low, high) of its relevance; chunks that were never shown are not in it."""
    rows = connection.execute(
        "SELECT chunk_id, mean, low, high FROM chunk_relevance WHERE organization_id = %(organization)s AND agent_id = %(agent)s", mine(agent)
    ).fetchall()
    return {str(chunk): (float(mean), float(low), float(high)) for chunk, mean, low, high in rows}


def out_of_range(connection: Connection, agent: AgentRef) -> int:
    """Posteriors that cannot be: a mean outside its interval, more looks than showings, more help than looks."""
    row = connection.execute(
        """SELECT count(*) FROM chunk_relevance WHERE organization_id = %(organization)s AND agent_id = %(agent)s
        AND NOT (low <= mean AND mean <= high AND examined <= shown + 1e-6 AND helpful <= examined + 1e-6)""",
        mine(agent),
    ).fetchone()
    return int(row[0]) if row else 0
