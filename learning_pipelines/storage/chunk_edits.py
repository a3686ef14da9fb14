"""Edits of chunks: which chunks an index version hides and which it shows instead.

Belongs here: SQL of chunk_edits, chunk_edit_operations and of the knowledge_chunks they make. Not here: what is worth merging or splitting
(retrieval/chunk_edits.py), chunks of documents (chunks.py), vectors of chunks.

Replaced chunks are never touched: an edit acts only through the index versions that name it, and is gone when none does. An operation holds
while its document is active with the content it was learnt on, which is asked at every read, and until a chunk that it replaces or made is deleted,
which marks it (migration 0031). So a changed document takes its edits out of effect in the same transaction that changes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple
from uuid import UUID

from psycopg.types.json import Jsonb

from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef

Kind = Literal["merge", "split"]


class Edit(NamedTuple):
    """What an index version with this edit searches: every chunk without edit but `hidden`, and `added`. Ids of chunks, sorted."""

    hidden: tuple[str, ...]
    added: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BaseChunk:
    """A chunk as the document gave it. `document_hash`: documents.content_hash."""

    id: str
    document_id: str
    document_hash: bytes
    position: int
    heading: str | None
    text: str


@dataclass(frozen=True, slots=True)
class MadeChunk:
    """A chunk that an operation makes. `position`: the first replaced chunk's, so that it is listed where they were. `content_hash`: of heading and
    text, as of every chunk (retrieval/chunking.py)."""

    id: str
    position: int
    heading: str | None
    text: str
    content_hash: bytes


@dataclass(frozen=True, slots=True)
class Operation:
    """One merge or split in one document. `document_hash`: documents.content_hash as read with the chunks. `evidence`: numbers, no texts."""

    operation: Kind
    document_id: str
    document_hash: bytes
    replaced: tuple[str, ...]
    made: tuple[MadeChunk, ...]
    evidence: dict[str, Any]


@dataclass(frozen=True, slots=True)
class StoredOperation:
    """An operation as kept; `holds`: it is in effect wherever its edit serves."""

    number: int
    operation: Kind
    document_id: str
    replaced: tuple[str, ...]
    made: tuple[str, ...]
    evidence: dict[str, Any]
    holds: bool


_HOLDS = """(o.holds AND EXISTS (SELECT FROM documents d WHERE d.organization_id = o.organization_id AND d.id = o.document_id AND d.is_active
        AND d.content_hash = o.document_hash))"""


def edit_of(connection: Connection, organization_id: UUID, edit_id: UUID | str | None) -> Edit:
    """What the edit of an index version (IndexConfig.chunk_edit) hides and adds; nothing of either for None and for an edit that is gone."""
    found = replacements(connection, organization_id, edit_id)
    return Edit(tuple(sorted(found)), tuple(sorted({chunk for made in found.values() for chunk in made})))


def replacements(connection: Connection, organization_id: UUID, edit_id: UUID | str | None) -> dict[str, tuple[str, ...]]:
    """Every chunk that the edit hides, with the chunks it shows instead."""
    if edit_id is None:
        return {}
    rows = connection.execute(
        """SELECT o.replaced, o.made FROM chunk_edit_operations o
        JOIN documents d ON d.organization_id = o.organization_id AND d.id = o.document_id AND d.is_active AND d.content_hash = o.document_hash
        WHERE o.organization_id = %s AND o.edit_id = %s AND o.holds""",
        [organization_id, UUID(str(edit_id))],
    ).fetchall()
    return {chunk: tuple(made) for replaced, made in rows for chunk in replaced}


def base_chunks(connection: Connection, agent: AgentRef) -> tuple[BaseChunk, ...]:
    """The chunks of the agent's documents and the shared ones without any edit, by document and position. Documents that wait for being chunked again
    are left out: an edit of their chunks would not live."""
    rows = connection.execute(
        """SELECT c.id, c.document_id, d.content_hash, c.position, c.heading, c.text FROM knowledge_chunks c
        JOIN documents d ON d.organization_id = c.organization_id AND d.id = c.document_id
        JOIN document_chunkings k ON k.organization_id = d.organization_id AND k.document_id = d.id AND k.content_hash = d.content_hash
        WHERE c.organization_id = %s AND (c.agent_id IS NULL OR c.agent_id = %s) AND c.edit_id IS NULL AND c.is_active AND d.is_active
        ORDER BY c.document_id COLLATE "C", c.position, c.id COLLATE "C\"""",
        [agent.organization_id, agent.agent_id],
    ).fetchall()
    return tuple(BaseChunk(*row) for row in rows)


def operations_in(connection: Connection, organization_id: UUID, edit_id: UUID | str) -> list[Operation]:
    """The operations of an edit that hold, with their chunks: what an edit that goes on from it takes over."""
    kept = [each for each in operations_of(connection, organization_id, edit_id) if each.holds]
    rows = connection.execute(
        "SELECT id, position, heading, text, content_hash FROM knowledge_chunks WHERE organization_id = %s AND edit_id = %s",
        [organization_id, UUID(str(edit_id))],
    ).fetchall()
    hashes = connection.execute(
        "SELECT number, document_hash FROM chunk_edit_operations WHERE organization_id = %s AND edit_id = %s", [organization_id, UUID(str(edit_id))]
    ).fetchall()
    made, hash_of = {row[0]: MadeChunk(*row) for row in rows}, dict(hashes)
    return [
        Operation(each.operation, each.document_id, hash_of[each.number], each.replaced, tuple(made[name] for name in each.made), each.evidence)
        for each in kept
    ]  # fmt: skip


def operations_of(connection: Connection, organization_id: UUID, edit_id: UUID | str) -> list[StoredOperation]:
    """Every operation of an edit in its order, in effect or not."""
    rows = connection.execute(
        f"""SELECT o.number, o.operation, o.document_id, o.replaced, o.made, o.evidence, {_HOLDS} FROM chunk_edit_operations o
        WHERE o.organization_id = %s AND o.edit_id = %s ORDER BY o.number""",
        [organization_id, UUID(str(edit_id))],
    ).fetchall()
    return [StoredOperation(row[0], row[1], row[2], tuple(row[3]), tuple(row[4]), row[5], row[6]) for row in rows]


def add_edit(connection: Connection, agent: AgentRef, edit_id: UUID, operations: Sequence[Operation], training_run_id: UUID | None) -> bool:
    """Stores an edit with the chunks it makes, in one transaction; False where it is there already. An edit is never changed afterwards."""
    with connection.transaction():
        new = connection.execute(
            "INSERT INTO chunk_edits (organization_id, id, agent_id, training_run_id) VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING",
            [agent.organization_id, edit_id, agent.agent_id, training_run_id],
        ).rowcount
        if new:
            with connection.cursor() as cursor:
                cursor.executemany(
                    """INSERT INTO chunk_edit_operations (organization_id, edit_id, number, operation, document_id, document_hash, replaced, made, evidence)
                    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)""",
                    [
                        (agent.organization_id, edit_id, number, each.operation, each.document_id, each.document_hash, list(each.replaced),
                         [chunk.id for chunk in each.made], Jsonb(each.evidence))
                        for number, each in enumerate(operations, start=1)
                    ],
                )  # fmt: skip
                cursor.executemany(
                    """INSERT INTO knowledge_chunks (organization_id, id, document_id, agent_id, position, heading, text, content_hash, edit_id)
                    SELECT d.organization_id, %s, d.id, d.agent_id, %s, %s, %s, %s, %s FROM documents d WHERE d.organization_id = %s AND d.id = %s""",
                    [
                        (chunk.id, chunk.position, chunk.heading, chunk.text, chunk.content_hash, edit_id, agent.organization_id,
                         each.document_id)
                        for each in operations for chunk in each.made
                    ],
                )  # fmt: skip
    return bool(new)


def drop_void(connection: Connection, organization_id: UUID) -> int:
    """Deletes operations that no longer hold, with the chunks they made; how many. Nothing that any version shows changes by it."""
    row = connection.execute(
        f"""WITH void AS (DELETE FROM chunk_edit_operations o WHERE o.organization_id = %(organization)s AND NOT {_HOLDS} RETURNING o.edit_id, o.made),
        gone AS (DELETE FROM knowledge_chunks c USING void v WHERE c.organization_id = %(organization)s AND c.edit_id = v.edit_id AND c.id = ANY(v.made))
        SELECT count(*) FROM void""",
        {"organization": organization_id},
    ).fetchone()
    assert row is not None
    return int(row[0])


def drop_unnamed(connection: Connection, organization_id: UUID, days: int) -> int:
    """Deletes edits, with their chunks, that no index version names and that are older than so many days (a proposal may still be on its way)."""
    return connection.execute(
        """DELETE FROM chunk_edits e WHERE e.organization_id = %s AND e.created_at < now() - make_interval(days => %s) AND NOT EXISTS (
            SELECT FROM index_versions v WHERE v.organization_id = e.organization_id AND v.config ->> 'chunk_edit' = e.id::text)""",
        [organization_id, days],
    ).rowcount


def drop_edit(connection: Connection, organization_id: UUID, edit_id: UUID | str) -> bool:
    """Deletes one edit with its chunks, if no index version names it."""
    return bool(
        connection.execute(
            """DELETE FROM chunk_edits e WHERE e.organization_id = %s AND e.id = %s AND NOT EXISTS (
                SELECT FROM index_versions v WHERE v.organization_id = e.organization_id AND v.config ->> 'chunk_edit' = e.id::text)""",
            [organization_id, UUID(str(edit_id))],
        ).rowcount
    )
