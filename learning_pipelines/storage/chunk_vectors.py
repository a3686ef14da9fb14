"""Vectors of chunks, written portion by portion; which are missing; which belong to nothing.

Belongs here: writing chunk_embeddings, completeness, orphans. Not here: searching them (vector_search.py), making them (retrieval/knowledge.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from learning_pipelines.encoder_protocol import Vectors
from learning_pipelines.storage.chunks import IN_SCOPE
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.indexes import EncoderVersion
from learning_pipelines.storage.vectors import register_vectors, to_half

_C = IN_SCOPE.format(alias="c")
_WITHOUT = "NOT EXISTS (SELECT FROM chunk_embeddings e WHERE e.organization_id = c.organization_id AND e.encoder_id = %(encoder)s AND e.chunk_id = c.id)"

_WITHOUT_AFTER = _WITHOUT.replace("e.chunk_id = c.id", "e.chunk_id = c.id AND e.chunk_id > %(after)s")
"""The same, saying that vectors before this portion need not be looked at: without, every portion walked through all that were stored."""


@dataclass(frozen=True, slots=True)
class Unembedded:
    """A chunk without a vector of some encoder. `content_hash` says which heading and text it is."""

    id: str
    heading: str | None
    text: str
    content_hash: bytes


def unembedded(connection: Connection, organization_id: UUID, encoder_id: UUID, agent_id: UUID | None, after: str, limit: int) -> list[Unembedded]:
    """Chunks in scope without a vector of this encoder, by id after `after`: a pass over all portions reads every chunk once."""
    rows = connection.execute(
        f"""SELECT c.id, c.heading, c.text, c.content_hash FROM knowledge_chunks c
        WHERE c.organization_id = %(organization)s AND c.id > %(after)s AND {_C} AND {_WITHOUT_AFTER} ORDER BY c.id LIMIT %(limit)s""",
        {"organization": organization_id, "encoder": encoder_id, "agent": agent_id, "after": after, "limit": limit},
    ).fetchall()
    return [Unembedded(*row) for row in rows]


def count_unembedded(connection: Connection, organization_id: UUID, encoder_id: UUID, agent_id: UUID | None = None) -> int:
    """How many chunks in scope have no vector of this encoder."""
    row = connection.execute(
        f"SELECT count(*) FROM knowledge_chunks c WHERE c.organization_id = %(organization)s AND {_C} AND {_WITHOUT}",
        {"organization": organization_id, "encoder": encoder_id, "agent": agent_id},
    ).fetchone()
    return 0 if row is None else int(row[0])


def write(connection: Connection, organization_id: UUID, encoder_id: UUID, chunks: Sequence[Unembedded], vectors: Vectors) -> int:
    """Stores one vector (a row of `vectors`) per chunk that still is what was encoded; one transaction. Returns how many."""
    register_vectors(connection)
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE IF NOT EXISTS staged_vectors (chunk_id text, content_hash bytea, embedding halfvec) ON COMMIT DELETE ROWS")
        with cursor.copy("COPY staged_vectors FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(["text", "bytea", "halfvec"])
            for chunk, vector in zip(chunks, vectors, strict=True):
                copy.write_row((chunk.id, chunk.content_hash, to_half(vector)))
        return cursor.execute(
            """INSERT INTO chunk_embeddings (organization_id, encoder_id, chunk_id, embedding)
            SELECT c.organization_id, %s, c.id, s.embedding FROM staged_vectors s
            JOIN knowledge_chunks c ON c.organization_id = %s AND c.id = s.chunk_id AND c.content_hash = s.content_hash ON CONFLICT DO NOTHING""",
            [encoder_id, organization_id],
        ).rowcount


@dataclass(frozen=True, slots=True)
class Used:
    """An encoder whose vectors must be complete, for an agent's corpus or (agent None) for the whole organization."""

    encoder: EncoderVersion
    agent_id: UUID | None


def used(connection: Connection, organization_id: UUID, agent_id: UUID | None = None) -> list[Used]:
    """The encoders of the base index and of versions that serve, served before, are candidates or arms of an experiment that runs or is paused; of one
    agent or of all of the organization.

    Where the whole organization needs an encoder, it is not listed again for an agent.
    """
    rows = connection.execute(
        """SELECT DISTINCT e.id, e.name, e.model, e.dimensions, e.artifact_path, e.sha256, v.agent_id FROM index_versions v
        JOIN encoder_versions e ON e.organization_id = v.organization_id AND e.id = v.encoder_id
        WHERE v.organization_id = %(organization)s AND (v.agent_id IS NULL OR (%(agent)s::uuid IS NULL OR v.agent_id = %(agent)s) AND (
            EXISTS (SELECT FROM index_labels l WHERE l.organization_id = v.organization_id AND l.agent_id = v.agent_id AND l.number = v.number)
            OR EXISTS (SELECT FROM proposals p WHERE p.organization_id = v.organization_id AND p.agent_id = v.agent_id AND p.state = 'open'
                AND p.kind IN ('index', 'reranker', 'expansion', 'chunk_edit') AND v.number::text IN (p.subject->>'version', p.incumbent->>'version'))
            OR EXISTS (SELECT FROM learning_experiments x WHERE x.organization_id = v.organization_id AND x.agent_id = v.agent_id AND x.subject = 'index'
                AND x.status IN ('running', 'paused') AND x.arms @> jsonb_build_array(jsonb_build_object('version', v.number)))))
        ORDER BY v.agent_id NULLS FIRST, e.name""",
        {"organization": organization_id, "agent": agent_id},
    ).fetchall()
    found = [Used(EncoderVersion(*row[:6]), row[6]) for row in rows]
    whole = {one.encoder.id for one in found if one.agent_id is None}
    return [one for one in found if one.agent_id is None or one.encoder.id not in whole]


def counts(connection: Connection, organization_id: UUID) -> dict[str, int]:
    """Stored vectors by the name of their encoder."""
    rows = connection.execute(
        """SELECT v.name, count(*) FROM chunk_embeddings e JOIN encoder_versions v ON v.organization_id = e.organization_id AND v.id = e.encoder_id
        WHERE e.organization_id = %s GROUP BY 1 ORDER BY 1""",
        [organization_id],
    ).fetchall()
    return {str(name): int(count) for name, count in rows}


def orphans(connection: Connection, organization_id: UUID) -> int:
    """Vectors of chunks or encoders that are not there, of documents that are not active, or of another length than their encoder's."""
    row = connection.execute(
        """SELECT count(*) FROM chunk_embeddings e
        LEFT JOIN knowledge_chunks c ON c.organization_id = e.organization_id AND c.id = e.chunk_id
        LEFT JOIN documents d ON d.organization_id = c.organization_id AND d.id = c.document_id
        LEFT JOIN encoder_versions v ON v.organization_id = e.organization_id AND v.id = e.encoder_id
        WHERE e.organization_id = %s AND (d.is_active IS NOT TRUE OR v.id IS NULL OR vector_dims(e.embedding) <> v.dimensions)""",
        [organization_id],
    ).fetchone()
    return 0 if row is None else int(row[0])
