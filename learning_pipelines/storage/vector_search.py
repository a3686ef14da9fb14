"""The vector leg: the chunks of a scope whose stored vectors are nearest to a query's, by HNSW or compared one by one.

Belongs here: reading chunk_embeddings for search. Not here: writing them (chunk_vectors.py), encoding queries, mixing with BM25 (retrieval/searcher.py).

All tenants, agents and encoders of one length share an index, so its scan goes on until enough rows of this scope are found (pgvector's iterative
scan): without that, a tenant with 5 % of the rows gets a fraction of its k. Few vectors are compared one by one, which is exact and faster.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any
from uuid import UUID

import numpy as np
import numpy.typing as npt

from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.lexical import Scope
from learning_pipelines.storage.vectors import register_vectors, set_for_search

EXACT_UP_TO = 8_000
"""Chunks of a scope up to which all vectors are compared whatever the table holds: 10 ms of a core (1.2 µs each)."""
_EXACT_OF_ROWS = 1_000
"""A visit of the index takes 12 µs, and it makes about k · rows / chunks of them: comparing all is faster while chunks² is below so many times rows."""
INDEXED_DIMENSIONS = (384, 512, 768, 1024)
SETTINGS = {"hnsw.iterative_scan": "relaxed_order", "hnsw.ef_search": "100", "hnsw.max_scan_tuples": "60000"}
"""PostgreSQL takes any name with a dot, also one that nothing reads: a test asks pgvector for these."""
_SPARE = 4
"""The index gives so many more than k in about their order, or a quarter of k if that is more, of which the nearest are taken. Of 100 among 2,280 in clusters
.970 of the exact ones are found in every graph that was built, with 4 spare .949 to .954: how good a graph is depends on its random levels."""
_PLAN = {"enable_sort": "off", "enable_seqscan": "off", "enable_bitmapscan": "off"}
_PORTION = 5_000
_SEEN = """c.is_active AND (
    c.edit_id IS NULL AND (%(agent)s::uuid IS NULL OR c.agent_id IS NULL OR c.agent_id = %(agent)s) AND c.id <> ALL(%(hidden)s)
    OR c.edit_id = %(edit)s AND c.id = ANY(%(added)s))"""


def compares_all(connection: Connection, chunks: int) -> bool:
    """Whether it is faster to compare every vector of a scope with so many chunks than to ask the index that it shares with others."""
    if chunks <= EXACT_UP_TO:
        return True
    row = connection.execute("SELECT reltuples FROM pg_class WHERE oid = 'learning.chunk_embeddings'::regclass").fetchone()
    rows = 0.0 if row is None else float(row[0])
    return chunks**2 <= _EXACT_OF_ROWS * rows


def nearest(
    connection: Connection, scope: Scope, encoder_id: UUID, vector: npt.NDArray[np.float32], k: int, *, exact: bool,
    hidden: Collection[str] = (), added: Collection[str] = (),
) -> list[str]:  # fmt: skip
    """The k chunks whose vectors have the highest inner product with `vector` (length 1), nearest first; fewer only where there are fewer.

    `exact`: compare with every vector of the scope (see compares_all), else by the index where there is one for this length. `hidden` and `added`: what a
    learnt edit leaves out, and its chunks that are in effect. The connection is in a transaction.
    """
    values = _values(scope, encoder_id, hidden, added) | {"k": k, "spare": k + max(_SPARE, k // 4), "vector": literal(vector)}
    length = len(vector)
    if not exact and length in INDEXED_DIMENSIONS:
        set_for_search(connection, SETTINGS | _PLAN)
        rows = connection.execute(_by_index(length), values).fetchall()
        set_for_search(connection, dict.fromkeys(SETTINGS | _PLAN))
        if len(rows) == k:
            return [str(chunk) for (chunk,) in rows]
    return [str(chunk) for (chunk,) in connection.execute(_exactly(length), values).fetchall()]


def vectors(
    connection: Connection, scope: Scope, encoder_id: UUID, *, hidden: Collection[str] = (), added: Collection[str] = ()
) -> Iterator[tuple[list[str], npt.NDArray[np.float16]]]:
    """Every vector of the scope in portions, by chunk id: (ids, (n, d)). They are halves, as they are compared."""
    register_vectors(connection)
    values, after = _values(scope, encoder_id, hidden, added), ""
    while True:
        with connection.cursor(binary=True) as cursor:
            rows = cursor.execute(
                f"""SELECT v.chunk_id, v.embedding FROM chunk_embeddings v
                JOIN knowledge_chunks c ON c.organization_id = v.organization_id AND c.id = v.chunk_id
                WHERE v.organization_id = %(organization)s AND v.encoder_id = %(encoder)s AND v.chunk_id > %(after)s AND {_SEEN}
                ORDER BY v.chunk_id LIMIT {_PORTION}""",
                values | {"after": after},
            ).fetchall()
        if not rows:
            return
        after = str(rows[-1][0])
        yield [str(chunk) for chunk, _ in rows], np.stack([embedding.to_numpy() for _, embedding in rows]).astype(np.float16)


def literal(vector: npt.NDArray[np.float32]) -> str:
    """As text: whoever searches need not teach its connection pgvector's types."""
    return "[" + ",".join(f"{number:.6g}" for number in vector.tolist()) + "]"


def _values(scope: Scope, encoder_id: UUID, hidden: Collection[str], added: Collection[str]) -> dict[str, Any]:
    return {
        "organization": scope.organization_id, "agent": scope.agent_id, "edit": scope.edit_id, "encoder": encoder_id,
        "hidden": list(hidden), "added": list(added),
    }  # fmt: skip


def _by_index(length: int) -> str:
    """The filter is a subplan and no join: it is asked of one candidate after the other, and the scan goes on until enough have passed. `length` and
    no parameter: the indexes are partial. `+ 0`: the planner would take the index's order, which is relaxed, for sorted."""
    return f"""WITH found AS MATERIALIZED (
        SELECT v.chunk_id, v.embedding::halfvec({length}) <#> %(vector)s::halfvec({length}) AS distance FROM chunk_embeddings v
        WHERE v.organization_id = %(organization)s AND v.encoder_id = %(encoder)s AND vector_dims(v.embedding) = {length}
            AND (SELECT {_SEEN} FROM knowledge_chunks c WHERE c.organization_id = v.organization_id AND c.id = v.chunk_id)
        ORDER BY v.embedding::halfvec({length}) <#> %(vector)s::halfvec({length}) LIMIT %(spare)s)
        SELECT chunk_id FROM found ORDER BY distance + 0, chunk_id COLLATE "C" LIMIT %(k)s"""


def _exactly(length: int) -> str:
    """The scope's ids as one array: the index gives their vectors in one pass, where a join looks each of them up (half the time for 5,000)."""
    return f"""SELECT v.chunk_id FROM chunk_embeddings v
        WHERE v.organization_id = %(organization)s AND v.encoder_id = %(encoder)s AND vector_dims(v.embedding) = {length}
            AND v.chunk_id = ANY(ARRAY(SELECT c.id FROM knowledge_chunks c WHERE c.organization_id = %(organization)s AND {_SEEN}))
        ORDER BY (v.embedding::halfvec({length}) <#> %(vector)s::halfvec({length})) + 0, v.chunk_id COLLATE "C" LIMIT %(k)s"""
