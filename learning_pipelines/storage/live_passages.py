"""What passages that people named are in an agent's corpus today, and plans that hold where nothing is known of the tables.

Belongs here: looking up named passages, the choice between lookups and hash joins. Not here: what is said of passages (retrieval_queries.py).

A database that was filled a moment ago has no statistics. What then looks like one row is joined by reading the whole corpus, or all events of an
agent, once per row of the other side. So every passage is looked up by its primary key (LIMIT 1 keeps the planner from turning that round), each
once however often it was named, and what is large is joined by hash.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from learning_pipelines.storage.database import Connection

FEW = 200
"""Up to so many questions their events are looked up one by one; more are joined by hash, which reads the agent's events once."""

LIVE = """
    LEFT JOIN LATERAL (SELECT d.id, d.text FROM documents d WHERE d.organization_id = %(organization)s AND d.id = {passage} AND d.is_active
        AND (d.agent_id = %(agent)s OR d.agent_id IS NULL) LIMIT 1) d ON true
    LEFT JOIN LATERAL (SELECT c.id, c.document_id, c.text FROM knowledge_chunks c WHERE d.id IS NULL AND c.organization_id = %(organization)s
        AND c.id = {passage} AND c.is_active AND (SELECT p.is_active AND (p.agent_id = %(agent)s OR p.agent_id IS NULL) FROM documents p
            WHERE p.organization_id = c.organization_id AND p.id = c.document_id) LIMIT 1) c ON true"""
"""What a named passage is in the agent's corpus: d a live document, else c a live chunk of one, else nothing."""


def resolve(connection: Connection, values: Mapping[str, Any], table: str) -> None:
    """Makes live_passages (passage, document_id, chunk_id or NULL) of what the column `passage` of a temporary table names and is live."""
    connection.execute("DROP TABLE IF EXISTS pg_temp.live_passages")
    connection.execute(
        f"""CREATE TEMP TABLE live_passages ON COMMIT DROP AS
        SELECT n.passage, coalesce(d.id, c.document_id) AS document_id, c.id AS chunk_id FROM (SELECT DISTINCT passage FROM {table}) AS n
        {LIVE.format(passage="n.passage")} WHERE d.id IS NOT NULL OR c.id IS NOT NULL""",
        values,
    )
    connection.execute("ANALYZE live_passages")


@contextmanager
def joined_by_hash(connection: Connection, rows: int = FEW + 1) -> Iterator[None]:
    """Inside a transaction: no join of more than FEW rows goes row by row."""
    connection.execute(f"SET LOCAL enable_nestloop = {'on' if rows <= FEW else 'off'}")
    yield
    connection.execute("SET LOCAL enable_nestloop = on")
