"""Training pairs: which questions lack theirs, what mining needs to read, storing them, counting new ones.

Belongs here: SQL of embedding_training_pairs. Not here: what makes a pair (retrieval/pairs.py), which negatives serve (retrieval/negatives.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np
import numpy.typing as npt

from learning_pipelines.storage.chunks import IN_SCOPE
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.live_passages import joined_by_hash
from learning_pipelines.storage.question_vectors import halves
from learning_pipelines.storage.retrieval_queries import mine
from learning_pipelines.storage.tenants import AgentRef

Floats = npt.NDArray[np.float32]

_CHUNKS = 10_000
"""Chunks of one block: 15 MB of vectors."""

COLUMNS = (
    ("query_id", "text"), ("chunk_id", "text"), ("document_id", "text"), ("query", "text"), ("document", "text"), ("label", "text"),
    ("weight", "float8"), ("origin", "text"), ("similarity", "float4"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Due:
    """A train question whose pairs are to be made. `mark`: what they are made from. `relevant`: documents that helped with it or with nearly the
    same questions. `origin`: which word of people it rests on. `encoder`: whose vector the question has, if any."""

    id: str
    mark: str
    relevant: frozenset[str]
    origin: str
    encoder: str | None


def lock_pairs(connection: Connection, agent: AgentRef) -> None:
    """One refresh of an agent's pairs at a time; released with the transaction."""
    # Tables that were filled a moment ago have no statistics: what looks like one row is joined row by row otherwise, which is quadratic.
    connection.execute("SET LOCAL enable_nestloop = off")
    connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"training_pairs/{agent.organization_id}/{agent.agent_id}"])


def withdraw(connection: Connection, agent: AgentRef) -> int:
    """Deletes pairs of questions that teach no more and of chunks that are gone (their questions are due again); returns how many."""
    values = mine(agent)
    gone = connection.execute(
        """DELETE FROM embedding_training_pairs p WHERE p.organization_id = %(organization)s AND p.agent_id = %(agent)s AND p.query_id IS NOT NULL
        AND NOT EXISTS (SELECT FROM retrieval_queries q WHERE q.organization_id = p.organization_id AND q.agent_id = p.agent_id AND q.id = p.query_id
            AND q.split = 'train')""",
        values,
    ).rowcount
    changed = connection.execute(
        """UPDATE retrieval_feedback_state SET pairs_of = corpus WHERE organization_id = %(organization)s AND agent_id = %(agent)s AND pairs_of <> corpus
        RETURNING 1""",
        values,
    ).fetchone()
    if changed is None:
        return gone
    dead = connection.execute(
        f"""WITH dead AS (
            DELETE FROM embedding_training_pairs p WHERE p.organization_id = %(organization)s AND p.agent_id = %(agent)s AND p.chunk_id IS NOT NULL
            AND NOT EXISTS (SELECT FROM knowledge_chunks c WHERE c.organization_id = p.organization_id AND c.id = p.chunk_id AND c.is_active
                AND {IN_SCOPE.format(alias="c")}) RETURNING p.query_id),
        due AS (UPDATE retrieval_queries q SET paired = NULL FROM dead WHERE q.organization_id = %(organization)s AND q.agent_id = %(agent)s
            AND q.id = dead.query_id)
        SELECT count(*) FROM dead""",
        values,
    ).fetchone()
    return gone + (int(dead[0]) if dead else 0)


def due(connection: Connection, agent: AgentRef, rules: str, limit: int) -> list[Due]:
    """Train questions that were never paired, or whose judgements, neighbours, vectors or rules changed since; oldest first."""
    rows = connection.execute(_DUE, mine(agent) | {"rules": rules, "limit": limit}).fetchall()
    return [Due(name, mark, frozenset(relevant or ()), origin, encoder) for name, mark, relevant, origin, encoder in rows]


_DUE = """
WITH marked AS (
    SELECT near, md5(%(rules)s || (SELECT coalesce(string_agg(v.name, ',' ORDER BY v.name), '') FROM encoder_versions v
            WHERE v.organization_id = %(organization)s AND EXISTS (
                SELECT FROM chunk_embeddings e WHERE e.organization_id = v.organization_id AND e.encoder_id = v.id)
            AND v.name IN (SELECT encoder FROM retrieval_queries WHERE organization_id = %(organization)s AND agent_id = %(agent)s))
        || string_agg(id || documents::text || chunks::text || coalesce(encoder, ''), ',' ORDER BY id COLLATE "C")) AS mark
    FROM retrieval_queries WHERE organization_id = %(organization)s AND agent_id = %(agent)s AND near IS NOT NULL GROUP BY near
),
wanted AS MATERIALIZED (
    SELECT q.id, q.place, q.near, m.mark, q.encoder, q.events > q.answers AS direct FROM retrieval_queries q JOIN marked m USING (near)
    WHERE q.organization_id = %(organization)s AND q.agent_id = %(agent)s AND q.split = 'train' AND q.documents <> '{}'
        AND q.paired IS DISTINCT FROM m.mark ORDER BY q.place LIMIT %(limit)s
),
helped AS (
    SELECT o.near, array_agg(DISTINCT gain.key) AS documents FROM retrieval_queries o, jsonb_each_text(o.documents) AS gain
    WHERE o.organization_id = %(organization)s AND o.agent_id = %(agent)s AND o.near IN (SELECT near FROM wanted) AND gain.value::float8 > 0 GROUP BY 1
)
SELECT w.id, w.mark, h.documents, CASE WHEN w.direct THEN 'feedback' WHEN EXISTS (SELECT FROM retrieval_answers a
        WHERE a.organization_id = %(organization)s AND a.agent_id = %(agent)s AND a.question_id = w.id AND a.origin = 'correction')
    THEN 'correction' ELSE 'rating' END, w.encoder
FROM wanted w LEFT JOIN helped h USING (near) ORDER BY w.place"""


def encoder_id(connection: Connection, agent: AgentRef, name: str) -> UUID | None:
    """The encoder version of this name; None if no index uses it yet."""
    row = connection.execute("SELECT id FROM encoder_versions WHERE organization_id = %s AND name = %s", [agent.organization_id, name]).fetchone()
    return None if row is None else row[0]


def vectors_of_questions(connection: Connection, agent: AgentRef, ids: Sequence[str], encoder: str) -> dict[str, Floats]:
    """Question id to its stored vector of this encoder."""
    with connection.cursor(binary=True) as cursor:
        rows = cursor.execute(
            """SELECT id, halfvec_send(embedding) FROM retrieval_queries WHERE organization_id = %(organization)s AND agent_id = %(agent)s
            AND id = ANY(%(ids)s) AND encoder = %(encoder)s AND embedding IS NOT NULL""",
            mine(agent) | {"ids": list(ids), "encoder": encoder},
        ).fetchall()
    return {str(name): halves(bytes(value), 1)[0] for name, value in rows}


def vectors_of_chunks(connection: Connection, agent: AgentRef, encoder: UUID, ids: Sequence[str]) -> dict[str, Floats]:
    """Chunk id to its stored vector."""
    with connection.cursor(binary=True) as cursor:
        rows = cursor.execute(
            "SELECT chunk_id, halfvec_send(embedding) FROM chunk_embeddings WHERE organization_id = %s AND encoder_id = %s AND chunk_id = ANY(%s)",
            [agent.organization_id, encoder, list(ids)],
        ).fetchall()
    return {str(name): halves(bytes(value), 1)[0] for name, value in rows}


def blocks(connection: Connection, agent: AgentRef, encoder: UUID, names: list[tuple[str, str]]) -> Iterator[Floats]:
    """Vectors of every chunk of the agent's corpus, by ascending id in blocks; (chunk id, document id) of each go to `names` in the same order."""
    after = ""
    while True:
        with connection.cursor(binary=True) as cursor:
            block = cursor.execute(
                f"""WITH page AS MATERIALIZED (
                    SELECT c.id, c.document_id FROM knowledge_chunks c
                    WHERE c.organization_id = %(organization)s AND c.is_active AND c.edit_id IS NULL AND {IN_SCOPE.format(alias="c")} AND c.id > %(after)s
                    ORDER BY c.id LIMIT %(limit)s)
                SELECT (SELECT max(id) FROM page), array_agg(id ORDER BY id), array_agg(document_id ORDER BY id),
                    string_agg(halfvec_send(embedding), ''::bytea ORDER BY id)
                FROM page CROSS JOIN LATERAL (SELECT e.embedding FROM chunk_embeddings e
                    WHERE e.organization_id = %(organization)s AND e.encoder_id = %(encoder)s AND e.chunk_id = page.id LIMIT 1) AS one""",
                mine(agent) | {"encoder": encoder, "after": after, "limit": _CHUNKS},
            ).fetchone()
        if block is None or block[0] is None:
            return
        after = block[0]
        if block[1] is not None:
            names += zip(block[1], block[2], strict=True)
            yield halves(bytes(block[3]), len(block[1]))


def texts(connection: Connection, agent: AgentRef, ids: Sequence[str]) -> dict[str, tuple[str, str | None, str]]:
    """Chunk id to (document id, heading, text)."""
    rows = connection.execute(
        "SELECT id, document_id, heading, text FROM knowledge_chunks WHERE organization_id = %s AND id = ANY(%s)", [agent.organization_id, list(ids)]
    ).fetchall()
    return {str(name): (str(document), heading, str(text)) for name, document, heading, text in rows}


def store(connection: Connection, agent: AgentRef, wanted: Sequence[Due], rows: Iterable[tuple[object, ...]], rules: str) -> tuple[int, int]:
    """Makes the pairs of these questions exactly `rows` (COLUMNS). A pair that stays keeps its id and its time. Returns (new, withdrawn)."""
    values = mine(agent) | {"ids": [one.id for one in wanted], "marks": [one.mark for one in wanted], "rules": rules}
    declared, names = ", ".join(f"{name} {kind}" for name, kind in COLUMNS), ", ".join(name for name, _ in COLUMNS)
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TEMP TABLE IF NOT EXISTS staged_pairs ({declared}) ON COMMIT DELETE ROWS")
        cursor.execute("DELETE FROM staged_pairs")
        with cursor.copy(f"COPY staged_pairs ({names}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
        cursor.execute("ANALYZE staged_pairs")
    withdrawn = connection.execute(
        """DELETE FROM embedding_training_pairs p WHERE p.organization_id = %(organization)s AND p.agent_id = %(agent)s AND p.query_id = ANY(%(ids)s)
        AND NOT EXISTS (SELECT FROM staged_pairs s WHERE s.query_id = p.query_id AND s.chunk_id = p.chunk_id)""",
        values,
    ).rowcount
    connection.execute("DROP TABLE IF EXISTS pg_temp.pair_sources")
    with joined_by_hash(connection, len(wanted)):
        connection.execute(f"CREATE TEMP TABLE pair_sources ON COMMIT DROP AS {_SOURCES}", values)
    connection.execute("ANALYZE pair_sources")
    connection.execute("SET LOCAL enable_nestloop = off")
    stored = connection.execute(
        f"""WITH stored AS (
            INSERT INTO embedding_training_pairs AS p (organization_id, agent_id, {names}, rules, source_feedback_id)
            SELECT %(organization)s, %(agent)s, {names}, %(rules)s, e.id FROM staged_pairs LEFT JOIN pair_sources e USING (query_id, chunk_id)
            ON CONFLICT (organization_id, agent_id, query_id, chunk_id) DO UPDATE SET query = excluded.query, document = excluded.document,
                document_id = excluded.document_id, label = excluded.label, weight = excluded.weight, origin = excluded.origin,
                similarity = excluded.similarity, rules = excluded.rules, source_feedback_id = excluded.source_feedback_id, updated_at = now()
            RETURNING (xmax = 0)::integer AS is_new)
        SELECT coalesce(sum(is_new), 0) FROM stored""",
        values,
    ).fetchone()
    connection.execute(
        """UPDATE retrieval_queries q SET paired = m.mark FROM unnest(%(ids)s::text[], %(marks)s::text[]) AS m (id, mark)
        WHERE q.organization_id = %(organization)s AND q.agent_id = %(agent)s AND q.id = m.id""",
        values,
    )
    return int(stored[0]) if stored else 0, withdrawn


# The last event of a pair's question that named its chunk or document.
_SOURCES = """
WITH events AS MATERIALIZED (
    SELECT e.question_id, e.id, e.created_at, e.relevant || e.retrieved AS named FROM unnest(%(ids)s::text[]) AS q (id)
    JOIN retrieval_events e ON e.question_id = q.id WHERE e.organization_id = %(organization)s AND e.agent_id = %(agent)s
    UNION ALL SELECT e.question_id, e.id, e.created_at, e.relevant || e.retrieved FROM unnest(%(ids)s::text[]) AS q (id)
    JOIN retrieval_events e ON e.question_id = q.id WHERE e.organization_id = %(organization)s AND e.agent_id IS NULL
)
SELECT DISTINCT ON (s.query_id, s.chunk_id) s.query_id, s.chunk_id, e.id FROM staged_pairs s JOIN events e ON e.question_id = s.query_id
WHERE s.origin = 'feedback' AND e.named && ARRAY[s.chunk_id, s.document_id] ORDER BY s.query_id, s.chunk_id, e.created_at DESC, e.id"""


def new_pairs(connection: Connection, agent: AgentRef, days: int = 7) -> int:
    """Pairs of a question and a passage that people judged in the last days, helpful or not, whichever split the question is in: those of train teach,
    the others choose and test. Mined negatives are not counted, they follow from these."""
    row = connection.execute(
        """SELECT sum((SELECT count(*) FROM jsonb_object_keys(q.documents))) FROM retrieval_queries q WHERE q.organization_id = %(organization)s
        AND q.agent_id = %(agent)s AND q.split IS NOT NULL AND q.updated_at >= now() - make_interval(days => %(days)s)""",
        mine(agent) | {"days": days},
    ).fetchone()
    return int(row[0] or 0) if row else 0


def counts(connection: Connection, agent: AgentRef) -> dict[str, int]:
    """Pairs of an agent by label."""
    rows = connection.execute(
        "SELECT label, count(*) FROM embedding_training_pairs WHERE organization_id = %s AND agent_id = %s AND is_active GROUP BY 1 ORDER BY 1",
        [agent.organization_id, agent.agent_id],
    ).fetchall()
    return {str(label): int(count) for label, count in rows}


def mined_negatives(connection: Connection, agent: AgentRef) -> Mapping[str, tuple[str, ...]]:
    """Question id to its hard negatives' chunk ids, hardest first."""
    rows = connection.execute(
        """SELECT query_id, array_agg(chunk_id ORDER BY similarity DESC, chunk_id) FROM embedding_training_pairs
        WHERE organization_id = %s AND agent_id = %s AND label = 'hard_negative' AND is_active GROUP BY 1""",
        [agent.organization_id, agent.agent_id],
    ).fetchall()
    return {str(name): tuple(chunks) for name, chunks in rows}
