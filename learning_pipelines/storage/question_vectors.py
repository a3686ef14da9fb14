"""What is stored of judged questions so that newcomers can be compared with all earlier ones: sketches, vectors, which are nearly the same.

Belongs here: SQL of the columns near, rule, sketch, encoder, embedding of retrieval_queries. Not here: what is alike (examples/similarity.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.retrieval_queries import mine
from learning_pipelines.storage.tenants import AgentRef
from learning_pipelines.storage.vectors import register_vectors, to_half

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

_ROWS = 10_000
"""Rows of one answer: they come as one long value, since a million Python objects cost more than the search itself."""


@dataclass(frozen=True)
class Known:
    """Questions that were searched, by ascending place: `near` (n,), `sketches` one row of bytes each."""

    places: Ints
    near: Ints
    sketches: npt.NDArray[np.uint8]


def forget_outdated(connection: Connection, agent: AgentRef, rule: str, encoder: str | None) -> int:
    """Forgets what was found under another rule or by another encoder's vectors; returns how many questions are to be searched again."""
    return connection.execute(
        """UPDATE retrieval_queries SET near = NULL, rule = NULL, sketch = NULL, encoder = NULL, embedding = NULL
        WHERE organization_id = %(organization)s AND agent_id = %(agent)s AND near IS NOT NULL AND EXISTS (
            SELECT FROM retrieval_queries o WHERE o.organization_id = %(organization)s AND o.agent_id = %(agent)s AND o.near IS NOT NULL
            AND (o.rule <> %(rule)s OR %(encoder)s::text IS NOT NULL AND o.encoder IS DISTINCT FROM %(encoder)s))""",
        mine(agent) | {"rule": rule, "encoder": encoder},
    ).rowcount


def unsearched(connection: Connection, agent: AgentRef, limit: int) -> list[tuple[int, str]]:
    """(place, text) of questions that were not compared with the others yet, oldest first."""
    rows = connection.execute(
        """SELECT place, text FROM retrieval_queries WHERE organization_id = %(organization)s AND agent_id = %(agent)s AND near IS NULL
        AND place IS NOT NULL ORDER BY place LIMIT %(limit)s""",
        mine(agent) | {"limit": limit},
    ).fetchall()
    return [(int(place), str(text)) for place, text in rows]


def known(connection: Connection, agent: AgentRef, width: int) -> Known:
    """Every question that was searched; sketches are `width` bytes."""
    kind = np.dtype([("place", ">i8"), ("near", ">i8"), ("sketch", np.uint8, (width,))])
    parts = [np.zeros(0, dtype=kind)]
    for first in _steps(connection, agent):
        with connection.cursor(binary=True) as cursor:
            found = cursor.execute(
                """SELECT string_agg(int8send(place) || int8send(near) || sketch, ''::bytea ORDER BY place) FROM retrieval_queries
                WHERE organization_id = %(organization)s AND agent_id = %(agent)s AND near IS NOT NULL AND place >= %(first)s AND place < %(end)s""",
                mine(agent) | {"first": first, "end": first + _ROWS},
            ).fetchone()
        if found is not None and found[0] is not None:
            parts.append(np.frombuffer(found[0], dtype=kind))
    table = np.concatenate(parts)
    return Known(table["place"].astype(np.int64), table["near"].astype(np.int64), np.ascontiguousarray(table["sketch"]))


def texts_at(connection: Connection, agent: AgentRef, places: Sequence[int]) -> dict[int, str]:
    """Place to text."""
    rows = connection.execute(
        "SELECT place, text FROM retrieval_queries WHERE organization_id = %(organization)s AND agent_id = %(agent)s AND place = ANY(%(places)s)",
        mine(agent) | {"places": list(places)},
    ).fetchall()
    return {int(place): str(text) for place, text in rows}


def blocks(connection: Connection, agent: AgentRef, encoder: str, where: str = "true") -> Iterator[tuple[Ints, Floats]]:
    """(places, vectors) of everything stored by this encoder, in blocks by ascending place: memory does not grow with the agent."""
    for first in _steps(connection, agent):
        with connection.cursor(binary=True) as cursor:
            found = cursor.execute(
                f"""SELECT string_agg(int8send(place), ''::bytea ORDER BY place), string_agg(halfvec_send(embedding), ''::bytea ORDER BY place)
                FROM retrieval_queries WHERE organization_id = %(organization)s AND agent_id = %(agent)s AND encoder = %(encoder)s
                AND embedding IS NOT NULL AND place >= %(first)s AND place < %(end)s AND {where}""",
                mine(agent) | {"first": first, "end": first + _ROWS, "encoder": encoder},
            ).fetchone()
        if found is not None and found[0] is not None:
            places = np.frombuffer(found[0], dtype=">i8").astype(np.int64)
            yield places, halves(found[1], len(places))


def halves(sent: bytes, count: int) -> Floats:
    """halfvec values as PostgreSQL sends them: two bytes of dimensions, two unused, then the numbers, most significant byte first."""
    return np.frombuffer(sent, dtype=">f2").reshape(count, -1)[:, 2:].astype(np.float32)


def store(
    connection: Connection, agent: AgentRef, rule: str, encoder: str | None, rows: Iterable[tuple[int, int, bytes, Floats | None]]
) -> None:
    """Stores (place, near, sketch, vector) of questions that were searched now."""
    register_vectors(connection)
    connection.execute("CREATE TEMP TABLE IF NOT EXISTS staged_near (place int8, near int8, sketch bytea, embedding halfvec) ON COMMIT DELETE ROWS")
    connection.execute("DELETE FROM staged_near")
    with connection.cursor() as cursor, cursor.copy("COPY staged_near FROM STDIN (FORMAT BINARY)") as copy:
        copy.set_types(["int8", "int8", "bytea", "halfvec"])
        for place, near, sketch, vector in rows:
            copy.write_row((place, near, sketch, None if vector is None else to_half(vector)))
    connection.execute(
        """UPDATE retrieval_queries q SET near = s.near, sketch = s.sketch, rule = %(rule)s, embedding = s.embedding,
            encoder = CASE WHEN s.embedding IS NOT NULL THEN %(encoder)s END
        FROM staged_near s WHERE q.organization_id = %(organization)s AND q.agent_id = %(agent)s AND q.place = s.place""",
        mine(agent) | {"rule": rule, "encoder": encoder},
    )


def merge(connection: Connection, agent: AgentRef, merged: Sequence[tuple[int, int]]) -> None:
    """Makes groups (old, new) of nearly the same questions one."""
    if merged:
        connection.execute(
            """UPDATE retrieval_queries q SET near = m.new FROM unnest(%(old)s::bigint[], %(new)s::bigint[]) AS m (old, new)
            WHERE q.organization_id = %(organization)s AND q.agent_id = %(agent)s AND q.near = m.old""",
            mine(agent) | {"old": [old for old, _ in merged], "new": [new for _, new in merged]},
        )


def _steps(connection: Connection, agent: AgentRef) -> range:
    row = connection.execute(
        "SELECT min(place), max(place) FROM retrieval_queries WHERE organization_id = %(organization)s AND agent_id = %(agent)s", mine(agent)
    ).fetchone()
    return range(0) if row is None or row[0] is None else range(row[0], row[1] + 1, _ROWS)
