"""Near-duplicates as stored: sketches and vectors of inputs, the links between them, and the clusters these make.

Belongs here: SQL of example_sketches, example_embeddings, duplicate_links. Not here: what is alike (examples/), conflicts (curation.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef
from learning_pipelines.storage.vectors import register_vectors, to_half

_ROWS = 10_000
"""Rows of one answer: sketches come as one long value, since a million Python objects cost more than the search itself."""


@dataclass(frozen=True)
class Known:
    """What is stored of an agent's inputs, by ascending number: `sketches` is one row of bytes each, `nearest` -1 where it is not known."""

    numbers: npt.NDArray[np.int64]
    clusters: npt.NDArray[np.int64]
    nearest: npt.NDArray[np.float32]
    sketches: npt.NDArray[np.uint8]


def lock_duplicates(connection: Connection, agent: AgentRef) -> None:
    """One search for near-duplicates of an agent at a time; released with the transaction."""
    connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"duplicates/{agent.organization_id}/{agent.agent_id}"])


def forget_outdated(connection: Connection, agent: AgentRef, rule: str) -> int:
    """Forgets everything found under another rule, and inputs that have changed since; returns how many inputs are to be searched again."""
    mine = {"organization": agent.organization_id, "agent": agent.agent_id, "rule": rule}
    row = connection.execute(
        """SELECT EXISTS (SELECT FROM example_sketches WHERE organization_id = %(organization)s AND agent_id = %(agent)s AND rule <> %(rule)s)""", mine
    ).fetchone()
    if row is not None and row[0]:
        return forget_all(connection, agent)
    changed = [
        row[0]
        for row in connection.execute(
            # Who was touched is found without texts, which are read of those alone.
            """WITH touched AS MATERIALIZED (
                SELECT s.example_id, s.input_hash FROM example_sketches s
                JOIN learning_examples e ON e.organization_id = s.organization_id AND e.id = s.example_id
                WHERE s.organization_id = %(organization)s AND s.agent_id = %(agent)s AND e.updated_at > s.made_at)
            SELECT t.example_id FROM touched t JOIN learning_examples e ON e.organization_id = %(organization)s AND e.id = t.example_id
            WHERE t.input_hash <> sha256(convert_to(e.input_text, 'UTF8'))""",
            mine,
        ).fetchall()
    ]
    if changed:
        values = {"organization": agent.organization_id, "changed": changed}
        connection.execute("DELETE FROM duplicate_links WHERE organization_id = %(organization)s AND first_id = ANY(%(changed)s)", values)
        connection.execute("DELETE FROM duplicate_links WHERE organization_id = %(organization)s AND second_id = ANY(%(changed)s)", values)
        connection.execute("DELETE FROM example_embeddings WHERE organization_id = %(organization)s AND example_id = ANY(%(changed)s)", values)
        connection.execute("DELETE FROM example_sketches WHERE organization_id = %(organization)s AND example_id = ANY(%(changed)s)", values)
    return len(changed)


def forget_all(connection: Connection, agent: AgentRef) -> int:
    """Forgets the sketches and links of an agent; vectors stay, they belong to their encoder. Returns how many inputs are to be searched again."""
    connection.execute("DELETE FROM duplicate_links WHERE organization_id = %s AND agent_id = %s", [agent.organization_id, agent.agent_id])
    return connection.execute("DELETE FROM example_sketches WHERE organization_id = %s AND agent_id = %s", [agent.organization_id, agent.agent_id]).rowcount


def unsketched(connection: Connection, agent: AgentRef, limit: int) -> list[tuple[str, str]]:
    """(id, input) of examples not searched yet, oldest first: active and not rejected."""
    rows = connection.execute(
        """SELECT e.id, e.input_text FROM learning_examples e
        WHERE e.organization_id = %s AND e.agent_id = %s AND e.is_active AND e.review_status <> 'rejected' AND NOT EXISTS (
            SELECT FROM example_sketches s WHERE s.organization_id = e.organization_id AND s.example_id = e.id)
        ORDER BY e.created_at, e.id LIMIT %s""",
        [agent.organization_id, agent.agent_id, limit],
    ).fetchall()
    return [(str(name), str(text)) for name, text in rows]


def known(connection: Connection, agent: AgentRef, width: int) -> Known:
    """Every stored sketch of an agent, `width` bytes each. About 250 bytes a row, read in order: 3 s for a million."""
    kind = np.dtype([("number", ">i8"), ("cluster", ">i8"), ("nearest", ">f4"), ("sketch", np.uint8, (width,))])
    mine = [agent.organization_id, agent.agent_id]
    row = connection.execute("SELECT min(number), max(number) FROM example_sketches WHERE organization_id = %s AND agent_id = %s", mine).fetchone()
    parts = [np.zeros(0, dtype=kind)]
    if row is not None and row[0] is not None:
        with connection.cursor(binary=True) as cursor:
            for first in range(row[0], row[1] + 1, _ROWS):
                found = cursor.execute(
                    """SELECT string_agg(int8send(number) || int8send(cluster) || float4send(coalesce(nearest, -1)) || sketch, ''::bytea ORDER BY number)
                    FROM example_sketches WHERE organization_id = %s AND agent_id = %s AND number >= %s AND number < %s""",
                    [*mine, first, first + _ROWS],
                ).fetchone()
                if found is not None and found[0] is not None:
                    parts.append(np.frombuffer(found[0], dtype=kind))
    table = np.concatenate(parts)
    return Known(
        table["number"].astype(np.int64), table["cluster"].astype(np.int64), table["nearest"].astype(np.float32), np.ascontiguousarray(table["sketch"])
    )


def examples_numbered(connection: Connection, agent: AgentRef, numbers: Sequence[int]) -> dict[int, tuple[str, str]]:
    """Number to (id, input) of stored examples."""
    rows = connection.execute(
        """SELECT s.number, e.id, e.input_text FROM example_sketches s
        JOIN learning_examples e ON e.organization_id = s.organization_id AND e.id = s.example_id
        WHERE s.organization_id = %s AND s.agent_id = %s AND s.number = ANY(%s)""",
        [agent.organization_id, agent.agent_id, list(numbers)],
    ).fetchall()
    return {int(number): (str(name), str(text)) for number, name, text in rows}


def encoder_used(connection: Connection, agent: AgentRef) -> str | None:
    """Whose vectors the stored inputs were compared by; None if nothing is stored or no encoder was used."""
    row = connection.execute(
        "SELECT encoder FROM example_sketches WHERE organization_id = %s AND agent_id = %s LIMIT 1", [agent.organization_id, agent.agent_id]
    ).fetchone()
    return None if row is None or row[0] is None else str(row[0])


def vectors_of(connection: Connection, agent: AgentRef, encoder: str, examples: Sequence[str]) -> dict[str, npt.NDArray[np.float32]]:
    """The stored vectors of these examples, where there are any."""
    with connection.cursor(binary=True) as cursor:
        rows = cursor.execute(
            """SELECT example_id, halfvec_send(embedding) FROM example_embeddings
            WHERE organization_id = %s AND encoder = %s AND example_id = ANY(%s)""",
            [agent.organization_id, encoder, list(examples)],
        ).fetchall()
    return {str(name): _numbers(bytes(value), 1)[0] for name, value in rows}


def vector_blocks(connection: Connection, agent: AgentRef, encoder: str) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]]:
    """(numbers, vectors) of everything stored, in blocks by ascending number: memory does not grow with the agent."""
    mine = [agent.organization_id, agent.agent_id]
    row = connection.execute("SELECT min(number), max(number) FROM example_sketches WHERE organization_id = %s AND agent_id = %s", mine).fetchone()
    if row is None or row[0] is None:
        return
    with connection.cursor(binary=True) as cursor:
        for first in range(row[0], row[1] + 1, _ROWS):
            found = cursor.execute(
                """SELECT string_agg(int8send(s.number), ''::bytea ORDER BY s.number), string_agg(halfvec_send(v.embedding), ''::bytea ORDER BY s.number)
                FROM example_sketches s
                JOIN example_embeddings v ON v.organization_id = s.organization_id AND v.encoder = %s AND v.example_id = s.example_id
                WHERE s.organization_id = %s AND s.agent_id = %s AND s.number >= %s AND s.number < %s""",
                [encoder, *mine, first, first + _ROWS],
            ).fetchone()
            if found is not None and found[0] is not None:
                numbers = np.frombuffer(found[0], dtype=">i8").astype(np.int64)
                yield numbers, _numbers(found[1], len(numbers))


def _numbers(sent: bytes, count: int) -> npt.NDArray[np.float32]:
    """halfvec as PostgreSQL sends it: two bytes of dimensions, two unused, then the numbers, most significant byte first."""
    return np.frombuffer(sent, dtype=">f2").reshape(count, -1)[:, 2:].astype(np.float32)


def store_vectors(connection: Connection, agent: AgentRef, encoder: str, vectors: Sequence[tuple[str, npt.NDArray[np.float32]]]) -> None:
    """Stores (example id, vector), rounded to half precision."""
    if not vectors:
        return
    register_vectors(connection)
    _stage(connection, "staged_vectors", {"example_id": "text", "embedding": "halfvec"}, ((name, to_half(vector)) for name, vector in vectors))
    connection.execute(
        """INSERT INTO example_embeddings (organization_id, encoder, agent_id, example_id, embedding)
        SELECT %s, %s, %s, example_id, embedding FROM staged_vectors""",
        [agent.organization_id, encoder, agent.agent_id],
    )


def store_sketches(
    connection: Connection, agent: AgentRef, rule: str, encoder: str | None, rows: Iterable[tuple[str, int, int, bool, bytes, bytes, float | None]]
) -> None:
    """Stores (example id, number, cluster, whether its pairs are listed, hash of the input, sketch, cosine to the nearest other input)."""
    columns = {
        "example_id": "text", "number": "int8", "cluster": "int8", "is_listed": "bool", "input_hash": "bytea", "sketch": "bytea", "nearest": "float4"
    }  # fmt: skip
    _stage(connection, "staged_sketches", columns, rows)
    names = ", ".join(columns)
    connection.execute(
        f"INSERT INTO example_sketches (organization_id, agent_id, rule, encoder, {names}) SELECT %s, %s, %s, %s, {names} FROM staged_sketches",
        [agent.organization_id, agent.agent_id, rule, encoder],
    )


def _stage(connection: Connection, table: str, columns: dict[str, str], rows: Iterable[tuple[Any, ...]]) -> None:
    """Copies rows into a temporary table (COPY into a table with row-level security is refused), empty again at the end of the transaction."""
    with connection.cursor() as cursor:
        declared = ", ".join(f"{name} {kind}" for name, kind in columns.items())
        cursor.execute(f"CREATE TEMP TABLE IF NOT EXISTS {table} ({declared}) ON COMMIT DELETE ROWS")
        cursor.execute(f"DELETE FROM {table}")
        with cursor.copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(list(columns.values()))
            for row in rows:
                copy.write_row(row)


def merge_clusters(connection: Connection, agent: AgentRef, merged: Sequence[tuple[int, int]]) -> None:
    """Makes clusters (old, new) one."""
    if merged:
        connection.execute(
            """UPDATE example_sketches s SET cluster = m.new FROM unnest(%s::bigint[], %s::bigint[]) AS m (old, new)
            WHERE s.organization_id = %s AND s.agent_id = %s AND s.cluster = m.old""",
            [[old for old, _ in merged], [new for _, new in merged], agent.organization_id, agent.agent_id],
        )


def raise_nearest(connection: Connection, agent: AgentRef, nearer: Sequence[tuple[int, float]]) -> None:
    """Writes (number, cosine) where a newcomer is nearer than whatever was nearest before."""
    if nearer:
        connection.execute(
            """UPDATE example_sketches s SET nearest = n.cosine FROM unnest(%s::bigint[], %s::real[]) AS n (number, cosine)
            WHERE s.organization_id = %s AND s.agent_id = %s AND s.number = n.number AND n.cosine > coalesce(s.nearest, -2)""",
            [[number for number, _ in nearer], [cosine for _, cosine in nearer], agent.organization_id, agent.agent_id],
        )


def store_links(connection: Connection, agent: AgentRef, links: Sequence[tuple[str, str, float, str]]) -> None:
    """Stores (first id, second id, similarity, leg), ids ascending in each. A link that is there already stays as it is."""
    if links:
        _stage(connection, "staged_links", {"first_id": "text", "second_id": "text", "similarity": "float4", "leg": "text"}, links)
        connection.execute(
            """INSERT INTO duplicate_links (organization_id, agent_id, first_id, second_id, similarity, leg)
            SELECT %s, %s, first_id, second_id, similarity, leg FROM staged_links ON CONFLICT DO NOTHING""",
            [agent.organization_id, agent.agent_id],
        )


def cluster_numbers(connection: Connection, agent: AgentRef) -> dict[str, Any]:
    """Active, unrejected examples of an agent: how many there are, in how many clusters, how large these are, how many hang together how."""
    row = connection.execute(
        """WITH sizes AS (
            SELECT count(*) AS size FROM example_sketches s JOIN learning_examples e ON e.organization_id = s.organization_id AND e.id = s.example_id
            WHERE s.organization_id = %(organization)s AND s.agent_id = %(agent)s AND e.is_active AND e.review_status <> 'rejected' GROUP BY s.cluster
        ) SELECT coalesce(sum(size), 0), count(*) FILTER (WHERE size > 1), coalesce(sum(size - 1), 0), coalesce(max(size), 0),
            count(*) FILTER (WHERE size = 1), count(*) FILTER (WHERE size = 2), count(*) FILTER (WHERE size BETWEEN 3 AND 10),
            count(*) FILTER (WHERE size > 10) FROM sizes""",
        {"organization": agent.organization_id, "agent": agent.agent_id},
    ).fetchone()
    assert row is not None
    names = ("examples", "clusters", "repeated", "largest", "size_1", "size_2", "size_3_to_10", "size_above_10")
    return {name: int(value) for name, value in zip(names, row, strict=True)}
