"""Reading judged questions of one split, each with the chunk that a document named without one stands for.

Belongs here: SQL that reads for learners, choice and the gate. Not here: counting and deciding
(retrieval_queries.py), chunks without vectors (retrieval/judged.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.retrieval_queries import mine
from learning_pipelines.storage.tenants import AgentRef

_ROWS = 5_000


@dataclass(frozen=True, slots=True)
class Judged:
    """A question as stored. `best`: document -> its only chunk, or the chunk whose vector is nearest to the question's. `unclear`: documents
    of several chunks of which not all have a vector of the question's encoder."""

    id: str
    text: str
    cluster: str
    documents: dict[str, float]
    chunks: dict[str, float]
    best: dict[str, str]
    unclear: tuple[str, ...]


def judged(connection: Connection, agent: AgentRef, split: str) -> Iterator[Judged]:
    """The split's questions with something that helped, in the order of their places."""
    yield from _read(connection, "q.split = %(which)s AND jsonb_path_exists(q.documents, '$.* ? (@ > 0)')", mine(agent) | {"which": split})


def by_id(connection: Connection, agent: AgentRef, ids: Sequence[str]) -> Iterator[Judged]:
    """These questions, in the order of their places."""
    yield from _read(connection, "q.id = ANY(%(which)s)", mine(agent) | {"which": list(ids)})


def _read(connection: Connection, which: str, values: dict[str, Any]) -> Iterator[Judged]:
    with connection.transaction(), connection.cursor(name="judged_questions") as cursor:
        cursor.itersize = _ROWS
        cursor.execute(_JUDGED.replace("WHICH", which), values)
        for name, text, cluster, documents, chunks, best, unclear in cursor:
            yield Judged(name, text, cluster, documents, chunks, best, tuple(unclear))


# Of every document of a question that none of its named chunks belongs to: how many live chunks it has, how many of these have a vector, the nearest.
# LIMIT and OFFSET keep each lookup a lookup: without statistics the whole corpus would be read for every question.
_JUDGED = """
SELECT q.id, q.text, q.cluster, q.documents, q.chunks, coalesce(f.best, '{}'), coalesce(f.unclear, '{}')
FROM retrieval_queries q
LEFT JOIN encoder_versions v ON v.organization_id = q.organization_id AND v.name = q.encoder
CROSS JOIN LATERAL (
    SELECT coalesce(array_agg(o.document_id), '{}') AS documents FROM jsonb_object_keys(q.chunks) AS named (id) CROSS JOIN LATERAL (
        SELECT o.document_id FROM knowledge_chunks o WHERE o.organization_id = %(organization)s AND o.id = named.id LIMIT 1) AS o
) AS direct
CROSS JOIN LATERAL (
    SELECT jsonb_object_agg(document_id, nearest) FILTER (WHERE nearest IS NOT NULL AND (parts = 1 OR parts = vectors)) AS best,
        array_agg(document_id ORDER BY document_id) FILTER (WHERE parts > 1 AND parts <> vectors) AS unclear
    FROM (
        SELECT named.key AS document_id, count(*) AS parts, count(e.chunk_id) AS vectors,
            (array_agg(c.id ORDER BY e.embedding <#> q.embedding, c.position, c.id))[1] AS nearest
        FROM jsonb_each_text(q.documents) AS named
        CROSS JOIN LATERAL (SELECT c.id, c.position FROM knowledge_chunks c WHERE c.organization_id = %(organization)s AND c.document_id = named.key
            AND c.is_active AND c.edit_id IS NULL OFFSET 0) AS c
        LEFT JOIN LATERAL (SELECT e.chunk_id, e.embedding FROM chunk_embeddings e WHERE e.organization_id = %(organization)s AND e.encoder_id = v.id
            AND e.chunk_id = c.id LIMIT 1) AS e ON true
        WHERE named.key <> ALL (direct.documents)
        GROUP BY 1
    ) AS parts
) AS f
WHERE q.organization_id = %(organization)s AND q.agent_id = %(agent)s AND WHICH
ORDER BY q.place"""


def chunks_of(connection: Connection, agent: AgentRef, documents: Sequence[str]) -> dict[str, list[tuple[str, str]]]:
    """Document to (chunk id, text) of its live chunks, in their order."""
    found: dict[str, list[tuple[str, str]]] = {}
    rows = connection.execute(
        """SELECT document_id, id, text FROM knowledge_chunks WHERE organization_id = %(organization)s AND document_id = ANY(%(documents)s) AND is_active
        AND edit_id IS NULL ORDER BY document_id, position, id""",
        mine(agent) | {"documents": list(documents)},
    )
    for document, chunk, text in rows:
        found.setdefault(str(document), []).append((str(chunk), str(text)))
    return found
