"""Documents that are behind, and their chunks written in step with them.

Belongs here: SQL of knowledge_chunks and document_chunkings. Not here: how texts are cut (retrieval/chunking.py), vectors (chunk_vectors.py), postings.

`agent_id` limits everything to what an agent's index holds: its own documents and the shared ones; None is the whole organization. Chunks that a learnt
edit added (edit_id) go with the chunks they were made of: when a document's chunks change, its edited ones are deleted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from learning_pipelines.storage.database import Connection

IN_SCOPE = "(%(agent)s::uuid IS NULL OR {alias}.agent_id IS NULL OR {alias}.agent_id = %(agent)s)"
IDS_AT_A_TIME = 5_000


class ChunkRow(Protocol):
    """A chunk as it is stored (retrieval/chunking.py makes them)."""

    @property
    def id(self) -> str: ...
    @property
    def position(self) -> int: ...
    @property
    def heading(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def content_hash(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Document:
    """What is chunked; `content_hash` is that of the record the text was read with."""

    id: str
    title: str | None
    text: str
    content_hash: bytes
    metadata: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Cut:
    """A document's new chunks, or the problem why there are none."""

    document: Document
    chunks: Sequence[ChunkRow]
    problem: str | None


@dataclass(frozen=True, slots=True)
class Written:
    """Chunks that came (`added`: new, or with another heading), stayed as they were, and went."""

    added: int = 0
    kept: int = 0
    removed: int = 0


@contextmanager
def locked(connection: Connection, organization_id: UUID, *, wait: bool = True) -> Iterator[bool]:
    """One builder of an organization's index at a time, over many transactions; whether this is the one. A killed builder's lock goes with its connection."""
    name = [f"knowledge/{organization_id}"]
    if wait:
        connection.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", name)
    row = (True,) if wait else connection.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", name).fetchone()
    taken = bool(row and row[0])
    try:
        yield taken
    finally:
        if taken and not connection.closed and not connection.broken:
            connection.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", name)


def behind(connection: Connection, organization_id: UUID, chunker: str, agent_id: UUID | None = None, after: str = "") -> list[tuple[str, int]]:
    """Active documents not chunked as they are now: ids after `after` in order, at most IDS_AT_A_TIME, with their stored size in bytes."""
    rows = connection.execute(
        f"""SELECT d.id, pg_column_size(d.text) FROM documents d
        LEFT JOIN document_chunkings k ON k.organization_id = d.organization_id AND k.document_id = d.id
        WHERE d.organization_id = %(organization)s AND d.is_active AND d.id > %(after)s AND {IN_SCOPE.format(alias="d")}
          AND (k.content_hash IS DISTINCT FROM d.content_hash OR k.chunker <> %(chunker)s)
        ORDER BY d.id LIMIT {IDS_AT_A_TIME}""",
        {"organization": organization_id, "after": after, "agent": agent_id, "chunker": chunker},
    ).fetchall()
    return [(str(name), int(size)) for name, size in rows]


def documents(connection: Connection, organization_id: UUID, ids: Sequence[str]) -> list[Document]:
    """The named documents as they are now."""
    rows = connection.execute(
        "SELECT id, title, text, content_hash, metadata FROM documents WHERE organization_id = %s AND id = ANY(%s) AND is_active ORDER BY id",
        [organization_id, list(ids)],
    ).fetchall()
    return [Document(*row) for row in rows]


def write(connection: Connection, organization_id: UUID, chunker: str, cuts: Sequence[Cut]) -> Written:
    """Puts the chunks of these documents in the place of those stored, in one transaction. Equal ones stay, with their vectors."""
    values = {"organization": organization_id, "chunker": chunker}
    with connection.transaction(), connection.cursor() as cursor:
        _stage(cursor, cuts)
        edited = cursor.execute(_EDITED, values).rowcount
        removed = cursor.execute(_REMOVED, values).rowcount
        row = cursor.execute(_ADDED, values).fetchone()
        cursor.execute(_CHUNKED, values)
    assert row is not None
    added = int(row[0])
    return Written(added, sum(len(cut.chunks) for cut in cuts) - added, removed + edited)


def drop_gone(connection: Connection, organization_id: UUID) -> int:
    """Deletes the chunks (with vectors) of documents that are not active; deleted documents took theirs along. Returns how many."""
    with connection.transaction():
        connection.execute(
            """DELETE FROM document_chunkings k USING documents d WHERE d.organization_id = %s AND NOT d.is_active
            AND k.organization_id = d.organization_id AND k.document_id = d.id""",
            [organization_id],
        )
        return connection.execute(
            """DELETE FROM knowledge_chunks c USING documents d WHERE d.organization_id = %s AND NOT d.is_active
            AND c.organization_id = d.organization_id AND c.document_id = d.id""",
            [organization_id],
        ).rowcount


@dataclass(frozen=True, slots=True)
class Holdings:
    """What a scope holds: active documents, those not chunked as they are, those with a problem, chunks."""

    documents: int
    behind: int
    problems: dict[str, int]
    chunks: int


def holdings(connection: Connection, organization_id: UUID, chunker: str, agent_id: UUID | None = None) -> Holdings:
    """Counts; problems by their kind (what stands before the colon), never by their text."""
    values = {"organization": organization_id, "agent": agent_id, "chunker": chunker}
    row = connection.execute(
        f"""SELECT count(*), count(*) FILTER (WHERE k.content_hash IS DISTINCT FROM d.content_hash OR k.chunker <> %(chunker)s) FROM documents d
        LEFT JOIN document_chunkings k ON k.organization_id = d.organization_id AND k.document_id = d.id
        WHERE d.organization_id = %(organization)s AND d.is_active AND {IN_SCOPE.format(alias="d")}""",
        values,
    ).fetchone()
    problems = connection.execute(
        f"""SELECT split_part(k.problem, ':', 1), count(*) FROM document_chunkings k
        JOIN documents d ON d.organization_id = k.organization_id AND d.id = k.document_id
        WHERE k.organization_id = %(organization)s AND k.problem IS NOT NULL AND {IN_SCOPE.format(alias="d")} GROUP BY 1 ORDER BY 1""",
        values,
    ).fetchall()
    chunks = connection.execute(
        f"SELECT count(*) FROM knowledge_chunks c WHERE c.organization_id = %(organization)s AND c.edit_id IS NULL AND {IN_SCOPE.format(alias='c')}", values
    ).fetchone()
    assert row is not None and chunks is not None
    return Holdings(int(row[0]), int(row[1]), {str(kind): int(count) for kind, count in problems}, int(chunks[0]))


def problems(connection: Connection, organization_id: UUID, limit: int = 100) -> list[tuple[str, str]]:
    """Documents that have no chunks, with the reason."""
    rows = connection.execute(
        "SELECT document_id, problem FROM document_chunkings WHERE organization_id = %s AND problem IS NOT NULL ORDER BY document_id LIMIT %s",
        [organization_id, limit],
    ).fetchall()
    return [(str(name), str(problem)) for name, problem in rows]


def _stage(cursor: Any, cuts: Sequence[Cut]) -> None:
    cursor.execute("CREATE TEMP TABLE IF NOT EXISTS staged_cuts (document_id text, content_hash bytea, chunks integer, problem text) ON COMMIT DELETE ROWS")
    cursor.execute(
        """CREATE TEMP TABLE IF NOT EXISTS staged_chunks (document_id text, id text, position integer, heading text, text text, content_hash bytea)
        ON COMMIT DELETE ROWS"""
    )
    with cursor.copy("COPY staged_cuts FROM STDIN") as copy:
        for cut in cuts:
            copy.write_row((cut.document.id, cut.document.content_hash, len(cut.chunks), cut.problem))
    with cursor.copy("COPY staged_chunks FROM STDIN") as copy:
        for cut in cuts:
            for one in cut.chunks:
                copy.write_row((cut.document.id, one.id, one.position, one.heading, one.text, one.content_hash))
    cursor.execute("ANALYZE staged_cuts (document_id)")
    cursor.execute("ANALYZE staged_chunks (id)")


_CHANGED = """c.organization_id = %(organization)s AND c.document_id = s.document_id AND c.edit_id IS NULL AND NOT EXISTS (
    SELECT FROM staged_chunks n WHERE n.id = c.id AND n.content_hash = c.content_hash)"""
_REMOVED = f"DELETE FROM knowledge_chunks c USING staged_cuts s WHERE {_CHANGED}"
_EDITED = f"""
DELETE FROM knowledge_chunks e USING staged_cuts s WHERE e.organization_id = %(organization)s AND e.document_id = s.document_id AND e.edit_id IS NOT NULL
    AND EXISTS (SELECT FROM knowledge_chunks c WHERE {_CHANGED})"""
_ADDED = """
WITH stored AS (
    INSERT INTO knowledge_chunks AS c (organization_id, id, document_id, agent_id, position, heading, text, content_hash)
    SELECT %(organization)s, n.id, n.document_id, d.agent_id, n.position, n.heading, n.text, n.content_hash
    FROM staged_chunks n JOIN documents d ON d.organization_id = %(organization)s AND d.id = n.document_id
    ON CONFLICT (organization_id, id) DO UPDATE SET position = excluded.position, agent_id = excluded.agent_id, is_active = true, edit_id = NULL
        WHERE (c.position, c.agent_id, c.is_active, c.edit_id) IS DISTINCT FROM (excluded.position, excluded.agent_id, true, NULL::uuid)
    RETURNING xmax = 0 AS fresh
)
SELECT count(*) FILTER (WHERE fresh) FROM stored"""
_CHUNKED = """
INSERT INTO document_chunkings AS k (organization_id, document_id, content_hash, chunker, chunks, problem)
SELECT %(organization)s, s.document_id, s.content_hash, %(chunker)s, s.chunks, s.problem
FROM staged_cuts s JOIN documents d ON d.organization_id = %(organization)s AND d.id = s.document_id
ON CONFLICT (organization_id, document_id) DO UPDATE SET content_hash = excluded.content_hash, chunker = excluded.chunker, chunks = excluded.chunks,
    problem = excluded.problem, chunked_at = now()"""
