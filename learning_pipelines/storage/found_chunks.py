"""What is read of chunks that a search has found: documents, texts, cosines, how often they helped.

Belongs here: lookups by chunk id. Not here: finding them (lexical.py, vector_search.py), making chunks (chunks.py).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

import numpy as np
import numpy.typing as npt

from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.vector_search import literal


@dataclass(frozen=True, slots=True)
class FoundChunk:
    id: str
    document_id: str
    heading: str | None
    text: str


@dataclass(frozen=True, slots=True)
class ScoredChunk:
    """`cosine` None: it has no vector of this encoder yet."""

    id: str
    document_id: str
    cosine: float | None


def scored(connection: Connection, organization_id: UUID, encoder_id: UUID, vector: npt.NDArray[np.float32], ids: Collection[str]) -> list[ScoredChunk]:
    """Those of the named chunks that are there, with their inner products with `vector`."""
    length = len(vector)
    rows = connection.execute(
        f"""SELECT c.id, c.document_id, -(v.embedding::halfvec({length}) <#> %(vector)s::halfvec({length})) FROM knowledge_chunks c
        LEFT JOIN chunk_embeddings v ON v.organization_id = c.organization_id AND v.encoder_id = %(encoder)s AND v.chunk_id = c.id
        WHERE c.organization_id = %(organization)s AND c.id = ANY(%(ids)s) AND c.is_active""",
        {"organization": organization_id, "encoder": encoder_id, "ids": list(ids), "vector": literal(vector)},
    ).fetchall()
    return [ScoredChunk(str(name), str(document), None if cosine is None else float(cosine)) for name, document, cosine in rows]


def documents(connection: Connection, organization_id: UUID, agent_id: UUID | None) -> dict[str, str]:
    """Chunk id -> document id of every chunk that an agent's index may hold, those of edits too."""
    rows = connection.execute(
        """SELECT id, document_id FROM knowledge_chunks WHERE organization_id = %(organization)s AND is_active
        AND (%(agent)s::uuid IS NULL OR agent_id IS NULL OR agent_id = %(agent)s)""",
        {"organization": organization_id, "agent": agent_id},
    ).fetchall()
    return {str(name): str(document) for name, document in rows}


def any_document(connection: Connection, organization_id: UUID, agent_id: UUID | None) -> bool:
    """Whether an agent (None: anybody of the organization) has a document, shared ones counted."""
    row = connection.execute(
        """SELECT EXISTS (SELECT FROM documents WHERE organization_id = %(organization)s AND is_active
        AND (%(agent)s::uuid IS NULL OR agent_id IS NULL OR agent_id = %(agent)s))""",
        {"organization": organization_id, "agent": agent_id},
    ).fetchone()
    return row is not None and bool(row[0])


def texts(connection: Connection, organization_id: UUID, ids: Collection[str]) -> dict[str, FoundChunk]:
    """By id, those of the named chunks that are there."""
    rows = connection.execute(
        "SELECT id, document_id, heading, text FROM knowledge_chunks WHERE organization_id = %s AND id = ANY(%s)", [organization_id, list(ids)]
    ).fetchall()
    return {str(row[0]): FoundChunk(*row) for row in rows}


def relevance(connection: Connection, organization_id: UUID, agent_id: UUID | None, ids: Collection[str]) -> dict[str, tuple[float, float, float]]:
    """Posterior mean and 95 % interval of how often each chunk helped; only of chunks that anybody judged, and for whom may read it."""
    if agent_id is None:
        return {}
    rows = connection.execute(
        "SELECT chunk_id, mean, low, high FROM chunk_relevance WHERE organization_id = %s AND agent_id = %s AND chunk_id = ANY(%s)",
        [organization_id, agent_id, list(ids)],
    ).fetchall()
    return {str(name): (float(mean), float(low), float(high)) for name, mean, low, high in rows}
