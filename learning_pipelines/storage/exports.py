"""Reading a dataset version for files, row by row, and remembering which files were written.

Belongs here: SQL behind exports, dataset_exports. Not here: formats and files (examples/exports.py, examples/export_files.py).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef
from learning_pipelines.storage.versions import stream


@dataclass(frozen=True, slots=True)
class MemberRow:
    """An example of a version. `content`: see learning.example_content (migration 0012)."""

    example_id: str
    split: str
    weight: float
    quality_score: float | None
    confidence_score: float | None
    content_hash: bytes
    content: dict[str, Any]


@dataclass(frozen=True, slots=True)
class PairContents:
    """A preference pair of a version with the contents it names."""

    pair_id: str
    source: str
    split: str
    weight: float
    strength: float | None
    chosen: dict[str, Any]
    rejected: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ExportRecord:
    """A file that was written of a version: `path` is what it can be read by, `rules` the privacy rules its rows were checked with."""

    format: str
    split: str
    path: str
    sha256: str
    rows: int
    bytes: int
    held_back: dict[str, int]
    rules: str


@dataclass(frozen=True, slots=True)
class OldExport:
    """A recorded file whose version is not among the newest. `made`: when it was recorded; one written anew since is another."""

    dataset_id: UUID
    format: str
    split: str
    path: str
    made: dt.datetime


def read_members(connection: Connection, agent: AgentRef, dataset_id: UUID, splits: Sequence[str]) -> Generator[MemberRow, None, None]:
    """The examples of these splits in the order of their ids; close it if it is not read to the end."""
    query = """SELECT d.example_id, d.split, d.weight, d.quality_score, d.confidence_score, d.content_hash, c.content
        FROM dataset_examples d JOIN example_contents c ON c.organization_id = d.organization_id AND c.content_hash = d.content_hash
        WHERE d.organization_id = %(organization)s AND d.dataset_id = %(dataset)s AND d.split = ANY(%(splits)s)
        ORDER BY d.example_id COLLATE "C\""""
    for row in stream(connection, "export", query, {"organization": agent.organization_id, "dataset": dataset_id, "splits": list(splits)}):
        yield MemberRow(*row)


def read_pairs(connection: Connection, agent: AgentRef, dataset_id: UUID, splits: Sequence[str], sources: Sequence[str]) -> Generator[PairContents, None, None]:
    """The preference pairs of these splits and sources in the order of their ids."""
    query = """SELECT p.pair_id, p.source, p.split, p.weight, p.strength, c.content,
            CASE WHEN p.rejected_content = p.chosen_content THEN c.content ELSE r.content END
        FROM dataset_pairs p
        JOIN example_contents c ON c.organization_id = p.organization_id AND c.content_hash = p.chosen_content
        JOIN example_contents r ON r.organization_id = p.organization_id AND r.content_hash = p.rejected_content
        WHERE p.organization_id = %(organization)s AND p.dataset_id = %(dataset)s AND p.split = ANY(%(splits)s) AND p.source = ANY(%(sources)s)
        ORDER BY p.pair_id COLLATE "C\""""
    values = {"organization": agent.organization_id, "dataset": dataset_id, "splits": list(splits), "sources": list(sources)}
    for row in stream(connection, "export", query, values):
        yield PairContents(*row)


def counts(connection: Connection, agent: AgentRef, dataset_id: UUID) -> dict[str, dict[str, int]]:
    """{examples: {split: n}, pairs: {split: n}} of a version."""
    found: dict[str, dict[str, int]] = {"examples": {}, "pairs": {}}
    for name, table in (("examples", "dataset_examples"), ("pairs", "dataset_pairs")):
        rows = connection.execute(
            f"SELECT split, count(*) FROM {table} WHERE organization_id = %s AND dataset_id = %s GROUP BY 1 ORDER BY 1", [agent.organization_id, dataset_id]
        ).fetchall()
        found[name] = {str(split): int(count) for split, count in rows}
    return found


def record_export(connection: Connection, agent: AgentRef, dataset_id: UUID, record: ExportRecord) -> None:
    """Remembers a file; a newer one of the same version, format and split replaces it."""
    connection.execute(
        """INSERT INTO dataset_exports (organization_id, dataset_id, format, split, path, sha256, rows, bytes, held_back, rules)
        VALUES (%(organization)s, %(dataset)s, %(format)s, %(split)s, %(path)s, %(sha256)s, %(rows)s, %(bytes)s, %(held_back)s, %(rules)s)
        ON CONFLICT (organization_id, dataset_id, format, split) DO UPDATE SET path = excluded.path, sha256 = excluded.sha256, rows = excluded.rows,
            bytes = excluded.bytes, held_back = excluded.held_back, rules = excluded.rules, created_at = now()""",
        {**asdict(record), "organization": agent.organization_id, "dataset": dataset_id, "held_back": Jsonb(record.held_back)},
    )


def recorded_exports(connection: Connection, agent: AgentRef, dataset_id: UUID) -> list[ExportRecord]:
    """The files of a version, by format and split."""
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(
            """SELECT format, split, path, sha256, rows, bytes, held_back, rules FROM dataset_exports
            WHERE organization_id = %s AND dataset_id = %s ORDER BY format, split""",
            [agent.organization_id, dataset_id],
        ).fetchall()
    return [ExportRecord(**row) for row in rows]


def old_exports(connection: Connection, agent: AgentRef, kept: int, age: dt.timedelta) -> list[OldExport]:
    """Recorded files of an agent's dataset older than `age`, but for those of the newest `kept` versions that have files of their format."""
    rows = connection.execute(
        """SELECT dataset_id, format, split, path, created_at FROM (
            SELECT x.dataset_id, x.format, x.split, x.path, x.created_at, d.version,
                dense_rank() OVER (PARTITION BY d.name, x.format ORDER BY d.version DESC) AS place
            FROM dataset_exports x JOIN training_datasets d ON d.organization_id = x.organization_id AND d.id = x.dataset_id
            WHERE x.organization_id = %s AND d.agent_ids @> ARRAY[%s]) r
        WHERE place > %s AND created_at < now() - %s ORDER BY version, format, split""",
        [agent.organization_id, agent.agent_id, kept, age],
    ).fetchall()
    return [OldExport(*row) for row in rows]


def forget_export(connection: Connection, agent: AgentRef, old: OldExport) -> int:
    """Forgets a file, unless it was recorded anew since; returns how many rows went (0 or 1)."""
    return connection.execute(
        "DELETE FROM dataset_exports WHERE organization_id = %s AND dataset_id = %s AND format = %s AND split = %s AND path = %s AND created_at = %s",
        [agent.organization_id, old.dataset_id, old.format, old.split, old.path, old.made],
    ).rowcount
