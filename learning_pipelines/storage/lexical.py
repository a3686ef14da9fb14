"""Postings of chunks in immutable segments: written portion by portion, merged, read for the terms of a query as bytes.

Belongs here: SQL of lexical_states, lexical_segments, lexical_postings, lexical_members and lexical_changes. Not here: terms and scores
(retrieval/analyzer.py, retrieval/bm25.py), what is merged when (retrieval/segments.py).

All of a search is read in one snapshot (database.snapshot): a refresh that merges segments meanwhile takes nothing away from it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import numpy as np
import numpy.typing as npt

from learning_pipelines.storage.database import Connection

MOST_CHUNKS = 65_536
"""Of a segment: its ordinals fit two bytes."""
_DETECTED_CHARS = 2_000
Integers = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose chunks are searched: an agent's own and the shared ones, or (None) all of the organization. `edit_id`: and those of this edit."""

    organization_id: UUID
    agent_id: UUID | None = None
    edit_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class State:
    """`analyzer` of the segments that are searched, `building` of those that take their place when every chunk is in them."""

    analyzer: str
    building: str | None
    told_by: int


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment without its bytes. `removed` of its `chunks` are gone. `made_at` tells segments of one number in two databases (or before and after
    a restore) apart."""

    number: int
    agent_id: UUID | None
    edit_id: UUID | None
    chunks: int
    removed: int
    made_at: dt.datetime


@dataclass(frozen=True, slots=True)
class Body:
    """What every query needs of a segment: the terms in each chunk, and the ordinals of chunks that are gone."""

    lengths: Integers
    removed: Integers


@dataclass(frozen=True, slots=True)
class Posting:
    """The chunks of one segment that hold a term: ordinals, ascending, and how often each does."""

    segment: int
    term: str
    ordinals: Integers
    counts: Integers


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk as it is indexed."""

    id: str
    agent_id: UUID | None
    edit_id: UUID | None
    heading: str | None
    text: str


def lock(connection: Connection, organization_id: UUID) -> None:
    """One writer of an organization's segments at a time, to the end of the transaction."""
    connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"lexical/{organization_id}"])


def state(connection: Connection, organization_id: UUID) -> State | None:
    """None before the first refresh."""
    row = connection.execute("SELECT analyzer, building, told_by FROM lexical_states WHERE organization_id = %s", [organization_id]).fetchone()
    return None if row is None else State(*row)


def put_state(connection: Connection, organization_id: UUID, put: State) -> None:
    connection.execute(
        """INSERT INTO lexical_states AS s (organization_id, analyzer, building, told_by) VALUES (%s, %s, %s, %s)
        ON CONFLICT (organization_id) DO UPDATE SET analyzer = excluded.analyzer, building = excluded.building, told_by = excluded.told_by""",
        [organization_id, put.analyzer, put.building, put.told_by],
    )


def sample(connection: Connection, organization_id: UUID, limit: int) -> list[str]:
    """Beginnings of texts of chunks, in the order of ids (which are hashes): what the language is told from."""
    rows = connection.execute(
        f"SELECT left(text, {_DETECTED_CHARS}) FROM knowledge_chunks WHERE organization_id = %s AND is_active ORDER BY id LIMIT %s", [organization_id, limit]
    ).fetchall()
    return [str(text) for (text,) in rows]


def language_of(connection: Connection, organization_id: UUID) -> str | None:
    """The language that the organization's settings name; None if they name none."""
    row = connection.execute("SELECT settings ->> 'language' FROM organizations WHERE organization_id = %s", [organization_id]).fetchone()
    return None if row is None or row[0] is None else str(row[0])


def count_chunks(connection: Connection, organization_id: UUID) -> int:
    row = connection.execute("SELECT count(*) FROM knowledge_chunks WHERE organization_id = %s AND is_active", [organization_id]).fetchone()
    assert row is not None
    return int(row[0])


def all_changed(connection: Connection, organization_id: UUID) -> None:
    """Every chunk counts as changed: another analyzer reads them all again."""
    connection.execute("DELETE FROM lexical_changes WHERE organization_id = %s", [organization_id])
    connection.execute(
        """INSERT INTO lexical_changes (organization_id, chunk_id)
        SELECT organization_id, id FROM knowledge_chunks WHERE organization_id = %s AND is_active ORDER BY id""",
        [organization_id],
    )


def pending(connection: Connection, organization_id: UUID) -> int:
    """Changes of chunks that no refresh has seen."""
    row = connection.execute("SELECT count(*) FROM lexical_changes WHERE organization_id = %s", [organization_id]).fetchone()
    assert row is not None
    return int(row[0])


def take_changes(connection: Connection, organization_id: UUID, limit: int) -> list[str]:
    """Ids of changed chunks, oldest change first, deleted with the caller's transaction; empty when there are no more."""
    rows = connection.execute(
        """DELETE FROM lexical_changes WHERE organization_id = %(organization)s AND id IN (
            SELECT id FROM lexical_changes WHERE organization_id = %(organization)s ORDER BY id LIMIT %(limit)s) RETURNING chunk_id""",
        {"organization": organization_id, "limit": limit},
    ).fetchall()
    return sorted({str(chunk) for (chunk,) in rows})


def chunks(connection: Connection, organization_id: UUID, ids: Sequence[str]) -> list[Chunk]:
    """Those of the named chunks that are there, by agent, edit and id."""
    rows = connection.execute(
        """SELECT id, agent_id, edit_id, heading, text FROM knowledge_chunks WHERE organization_id = %s AND id = ANY(%s) AND is_active
        ORDER BY agent_id, edit_id, id""",
        [organization_id, list(ids)],
    ).fetchall()
    return [Chunk(*row) for row in rows]


def remove(connection: Connection, organization_id: UUID, analyzer: str, ids: Sequence[str]) -> int:
    """The named chunks are no longer in the segments of this analyzer; how many were."""
    rows = connection.execute(
        """DELETE FROM lexical_members m USING lexical_segments s WHERE m.organization_id = %(organization)s AND m.chunk_id = ANY(%(ids)s)
        AND s.organization_id = m.organization_id AND s.number = m.segment AND s.analyzer = %(analyzer)s RETURNING m.segment, m.ordinal""",
        {"organization": organization_id, "ids": list(ids), "analyzer": analyzer},
    ).fetchall()
    gone: dict[int, list[int]] = {}
    for segment, ordinal in rows:
        gone.setdefault(int(segment), []).append(int(ordinal))
    for segment, ordinals in gone.items():
        connection.execute(
            "UPDATE lexical_segments SET removed = removed || %s WHERE organization_id = %s AND number = %s",
            [_packed(np.asarray(sorted(ordinals)), "<u2"), organization_id, segment],
        )
    return len(rows)


def add_segment(
    connection: Connection, organization_id: UUID, analyzer: str, agent_id: UUID | None, edit_id: UUID | None, chunk_ids: Sequence[str],
    lengths: Integers, postings: Iterable[tuple[str, Integers, Integers]],
) -> int:  # fmt: skip
    """Stores a segment: chunk number i of it is `chunk_ids[i]`; `postings` as (term, ordinals ascending, counts). Returns its number."""
    row = connection.execute(
        """INSERT INTO lexical_segments (organization_id, analyzer, agent_id, edit_id, chunks, lengths) VALUES (%s, %s, %s, %s, %s, %s) RETURNING number""",
        [organization_id, analyzer, agent_id, edit_id, len(chunk_ids), _packed(lengths, "<i4")],
    ).fetchone()
    assert row is not None
    number = int(row[0])
    connection.execute(
        """INSERT INTO lexical_members (organization_id, segment, ordinal, chunk_id)
        SELECT %s, %s, place - 1, chunk FROM unnest(%s::text[]) WITH ORDINALITY AS m (chunk, place)""",
        [organization_id, number, list(chunk_ids)],
    )
    _add_postings(connection, organization_id, number, postings)
    return number


def _add_postings(connection: Connection, organization_id: UUID, number: int, postings: Iterable[tuple[str, Integers, Integers]]) -> None:
    """By way of a table without row-level security, under which nothing can be copied."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE IF NOT EXISTS staged_postings (term text, ordinals bytea, counts bytea) ON COMMIT DELETE ROWS")
        with cursor.copy("COPY staged_postings FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(["text", "bytea", "bytea"])
            for term, ordinals, counts in postings:
                width = "<u1" if (most := int(counts.max())) < 2**8 else "<u2" if most < 2**16 else "<u4"
                copy.write_row((term, _packed(ordinals, "<u2"), _packed(counts, width)))
        cursor.execute(
            """INSERT INTO lexical_postings (organization_id, segment, term, ordinals, counts)
            SELECT %s, %s, term, ordinals, counts FROM staged_postings""",
            [organization_id, number],
        )
        cursor.execute("DELETE FROM staged_postings")


def segments(connection: Connection, organization_id: UUID, analyzer: str) -> list[Segment]:
    """Every segment of an analyzer, oldest first."""
    rows = connection.execute(
        """SELECT number, agent_id, edit_id, chunks, octet_length(removed) / 2, created_at FROM lexical_segments WHERE organization_id = %s AND analyzer = %s
        ORDER BY number""",
        [organization_id, analyzer],
    ).fetchall()
    return [Segment(*row) for row in rows]


def members(connection: Connection, organization_id: UUID, number: int) -> dict[int, str]:
    """Ordinal -> chunk id of the chunks of a segment that are not removed."""
    rows = connection.execute("SELECT ordinal, chunk_id FROM lexical_members WHERE organization_id = %s AND segment = %s", [organization_id, number]).fetchall()
    return {int(ordinal): str(chunk) for ordinal, chunk in rows}


def drop_segments(connection: Connection, organization_id: UUID, numbers: Sequence[int]) -> None:
    connection.execute("DELETE FROM lexical_segments WHERE organization_id = %s AND number = ANY(%s)", [organization_id, list(numbers)])


def drop_others(connection: Connection, organization_id: UUID, analyzers: Sequence[str]) -> None:
    """Deletes the segments of all analyzers but these."""
    connection.execute("DELETE FROM lexical_segments WHERE organization_id = %s AND analyzer <> ALL(%s)", [organization_id, list(analyzers)])


def in_scope(connection: Connection, scope: Scope, analyzer: str) -> list[Segment]:
    """The segments that a search reads, by number."""
    rows = connection.execute(
        """SELECT number, agent_id, edit_id, chunks, octet_length(removed) / 2, created_at FROM lexical_segments
        WHERE organization_id = %(organization)s AND analyzer = %(analyzer)s AND (
            edit_id IS NULL AND (%(agent)s::uuid IS NULL OR agent_id IS NULL OR agent_id = %(agent)s) OR edit_id = %(edit)s) ORDER BY number""",
        {"organization": scope.organization_id, "agent": scope.agent_id, "edit": scope.edit_id, "analyzer": analyzer},
    ).fetchall()
    return [Segment(*row) for row in rows]


def bodies(connection: Connection, organization_id: UUID, numbers: Sequence[int]) -> dict[int, Body]:
    """Lengths and removed ordinals by segment."""
    with connection.cursor(binary=True) as cursor:
        rows = cursor.execute(
            "SELECT number, lengths, removed FROM lexical_segments WHERE organization_id = %s AND number = ANY(%s)", [organization_id, list(numbers)]
        ).fetchall()
    return {int(number): Body(_unpacked(lengths, "<i4"), _unpacked(removed, "<u2")) for number, lengths, removed in rows}


def postings(connection: Connection, organization_id: UUID, numbers: Sequence[int], terms: Sequence[str] | None = None) -> list[Posting]:
    """Postings of the terms (None: of all) in these segments."""
    wanted: list[Any] = [organization_id, list(numbers)]
    named = "" if terms is None else " AND term = ANY(%s)"
    with connection.cursor(binary=True) as cursor:
        rows = cursor.execute(
            f"SELECT segment, term, ordinals, counts FROM lexical_postings WHERE organization_id = %s AND segment = ANY(%s){named}",
            [*wanted, *([] if terms is None else [list(terms)])],
        ).fetchall()
    return [_posting(*row) for row in rows]


def ordinals_of(connection: Connection, organization_id: UUID, numbers: Sequence[int], ids: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Chunk id -> segment and ordinal, of those of the named chunks that these segments hold."""
    rows = connection.execute(
        "SELECT chunk_id, segment, ordinal FROM lexical_members WHERE organization_id = %s AND chunk_id = ANY(%s) AND segment = ANY(%s)",
        [organization_id, list(ids), list(numbers)],
    ).fetchall()
    return {str(chunk): (int(segment), int(ordinal)) for chunk, segment, ordinal in rows}


def chunk_ids(connection: Connection, organization_id: UUID, places: Sequence[tuple[int, int]]) -> list[str]:
    """The chunks at (segment, ordinal), in this order."""
    rows = connection.execute(
        """SELECT m.chunk_id FROM unnest(%s::bigint[], %s::integer[]) WITH ORDINALITY AS p (segment, ordinal, place)
        JOIN lexical_members m ON m.organization_id = %s AND m.segment = p.segment AND m.ordinal = p.ordinal ORDER BY p.place""",
        [[segment for segment, _ in places], [ordinal for _, ordinal in places], organization_id],
    ).fetchall()
    return [str(chunk) for (chunk,) in rows]


def _posting(segment: int, term: str, ordinals: bytes, counts: bytes) -> Posting:
    width = 2 * len(counts) // len(ordinals)
    return Posting(segment, term, _unpacked(ordinals, "<u2"), _unpacked(counts, f"<u{width}"))


def _packed(values: npt.NDArray[Any], type_: str) -> bytes:
    return values.astype(type_).tobytes()


def _unpacked(packed: bytes, type_: str) -> Integers:
    return np.frombuffer(packed, dtype=type_).astype(np.int32)
