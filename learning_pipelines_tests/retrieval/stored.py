"""Chunks put straight into the database, with made-up texts and vectors, for tests of search.

Belongs here: rows and texts. Not here: tests, chunking.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any
from uuid import UUID

import numpy as np
import numpy.typing as npt

from learning_pipelines.feedback.identity import organization_id
from learning_pipelines.storage import indexes
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef, ensure_organization
from learning_pipelines.storage.vectors import register_vectors, to_half


def organization(connection: Connection, slug: str = "default") -> UUID:
    return ensure_organization(connection, organization_id(slug), slug)


def agent(connection: Connection, slug: str, of: str = "default") -> AgentRef:
    tenant = organization(connection, of)
    row = connection.execute(
        "INSERT INTO agents (organization_id, slug) VALUES (%s, %s) ON CONFLICT (organization_id, slug) DO UPDATE SET slug = excluded.slug RETURNING id",
        [tenant, slug],
    ).fetchone()
    assert row is not None
    return AgentRef(tenant, of, row[0], slug)


def put_chunks(
    connection: Connection, tenant: UUID, texts: Mapping[str, str], *, agent_id: UUID | None = None, edit_id: UUID | None = None, document: str = ""
) -> None:
    """Chunk id -> text; each is the only one of a document of its own name ("c1" of document "d-c1") unless `document` names one for all."""
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE IF NOT EXISTS put (id text, document_id text, text text, content_hash bytea) ON COMMIT DELETE ROWS")
        with cursor.copy("COPY put FROM STDIN") as copy:
            for name, text in texts.items():
                copy.write_row((name, document or f"d-{name}", text, sha256(text.encode()).digest()))
        cursor.execute(
            """INSERT INTO documents (organization_id, id, agent_id, text, content_hash) SELECT DISTINCT ON (document_id) %s, document_id, %s::uuid, text,
            content_hash FROM put ON CONFLICT DO NOTHING""",
            [tenant, agent_id],
        )
        cursor.execute(
            """INSERT INTO knowledge_chunks AS c (organization_id, id, document_id, agent_id, edit_id, position, heading, text, content_hash)
            SELECT %s, id, document_id, %s::uuid, %s::uuid, 0, '', text, content_hash FROM put
            ON CONFLICT (organization_id, id) DO UPDATE SET text = excluded.text, content_hash = excluded.content_hash""",
            [tenant, agent_id, edit_id],
        )


def drop_chunks(connection: Connection, tenant: UUID, ids: Iterable[str]) -> None:
    connection.execute("DELETE FROM knowledge_chunks WHERE organization_id = %s AND id = ANY(%s)", [tenant, list(ids)])


def put_vectors(connection: Connection, tenant: UUID, encoder_id: UUID, ids: Sequence[str], vectors: npt.NDArray[np.float32]) -> None:
    register_vectors(connection)
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE IF NOT EXISTS put_vectors (chunk_id text, embedding halfvec) ON COMMIT DELETE ROWS")
        with cursor.copy("COPY put_vectors FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(["text", "halfvec"])
            for name, vector in zip(ids, vectors, strict=True):
                copy.write_row((name, to_half(vector)))
        cursor.execute(
            "INSERT INTO chunk_embeddings (organization_id, encoder_id, chunk_id, embedding) SELECT %s, %s, chunk_id, embedding FROM put_vectors",
            [tenant, encoder_id],
        )


def put_base(connection: Connection, tenant: UUID, encoder: Any, config: dict[str, Any] | None = None) -> UUID:
    """A base index that serves, of an encoder; the encoder's id."""
    identity = indexes.add_encoder(connection, tenant, name=encoder.name, model="test", dimensions=encoder.dimensions)
    indexes.put_base(connection, tenant, identity, config or {"lexical_weight": 0.5})
    return identity


def texts(count: int, seed: int = 7, words: int = 40, vocabulary: int = 3_000) -> list[str]:
    """Texts of made-up words whose frequencies follow Zipf's law."""
    random = np.random.default_rng(seed)
    known = ["".join(random.choice(list("abcdefghiklmnoprstu"), size=random.integers(3, 10))) for _ in range(vocabulary)]
    weights = 1 / np.arange(2, vocabulary + 2)
    lengths = random.integers(words // 2, words * 2, size=count)
    drawn = random.choice(vocabulary, size=int(lengths.sum()), p=weights / weights.sum())
    ends = np.cumsum(lengths)
    return [" ".join(known[word] for word in drawn[end - length : end]) for end, length in zip(ends.tolist(), lengths.tolist(), strict=True)]


def clustered(count: int, dimensions: int, seed: int = 7, clusters: int = 50) -> npt.NDArray[np.float32]:
    """(count, dimensions) vectors of length 1 around so many centres."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(clusters, dimensions)).astype(np.float32)
    vectors = centres[random.integers(clusters, size=count)] + 0.8 * random.normal(size=(count, dimensions)).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)
