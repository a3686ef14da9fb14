"""Looking for texts in everything an installation keeps: every column of every table of both databases, every file, packed or not.

Belongs here: the search, and pictures of all rows to compare. Not here: what is looked for, what may be found (test_*.py).

Not looked at: the data folder of the embedded server. Deleted rows are overwritten there by vacuum and by new pages of the write-ahead log.
"""

from __future__ import annotations

import gzip
import io
import json
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql

TABLES = """
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg_toast%%'
ORDER BY 1, 2"""
CODES = ("utf-8", "utf-16-le", "utf-32-le")
NUMBERS = {"halfvec", "vector", "float4", "float8", "int2", "int4", "int8", "bool", "timestamptz", "timestamp", "date", "numeric", "xid8", "_float8"}
CHANGES_BY_ITSELF = {"updated_at", "computed_at", "last_used_at", "received_at"}


class Needles:
    """Texts to look for, in any case: as they stand, as UTF-16 and UTF-32, as hex of any of these. Ids (uuids, hashes) are given as hex."""

    def __init__(self, *texts: str, ids: Iterable[str] = ()) -> None:
        lower = [text.lower() for text in texts]
        forms = {form for text in lower for form in (text, *(text.encode(code).hex() for code in CODES))}
        self._texts = sorted(forms | {form for one in ids for form in (one.lower(), one.lower().replace("-", ""))})
        self._bytes = [text.encode() for text in self._texts] + [text.encode(code) for text in lower for code in CODES]

    def in_text(self, text: str) -> bool:
        held = text.lower()
        return any(one in held for one in self._texts)

    def in_bytes(self, held: bytes) -> bool:
        lower = held.lower()
        return any(one in lower for one in self._bytes)


def tables_of(url: str) -> list[tuple[str, str]]:
    """(schema, table) of everything that holds rows; the partitions of a table are looked at as the table. `url`: of a superuser, who sees every tenant."""
    with psycopg.connect(url, autocommit=True) as session:
        return [(str(schema), str(name)) for schema, name in session.execute(TABLES).fetchall()]


def in_tables(url: str, needles: Needles, without: UUID | None = None) -> set[str]:
    """`table.column` of everything that holds one of them, but for the rows of an organization."""
    found: set[str] = set()
    with psycopg.connect(url, autocommit=True) as session:
        for schema, name in tables_of(url):
            place, columns = sql.Identifier(schema, name), _columns(session, schema, name)
            for column, kind in columns.items():
                value = sql.SQL("{}::text").format(sql.Identifier(column))
                theirs = sql.SQL("AND organization_id IS DISTINCT FROM {}").format(without) if without and "organization_id" in columns else sql.SQL("")
                rows = session.execute(sql.SQL("SELECT {0} FROM {1} WHERE {0} IS NOT NULL {2}").format(value, place, theirs)).fetchall()
                if needles.in_text("\n".join(row[0] for row in rows)) or (kind == "bytea" and any(_packed(row[0], needles) for row in rows)):
                    found.add(f"{name}.{column}")
    return found


def in_files(folder: Path, needles: Needles) -> set[str]:
    """Files below a folder that hold one of them in their bytes, in what is packed in them, or in their names."""
    found = set()
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_file() and (needles.in_text(name) or any(needles.in_bytes(part) for part in _unpacked(path.read_bytes()))):
            found.add(name)
    return found


def picture(url: str, *schemas: str) -> dict[str, Counter[str]]:
    """Every row of every table of these schemas, without the moments that any recount moves."""
    rows: dict[str, Counter[str]] = {}
    with psycopg.connect(url, autocommit=True) as session:
        session.execute("SET timezone = 'UTC'")
        for schema, name in tables_of(url):
            if schema not in schemas:
                continue
            found = session.execute(sql.SQL("SELECT (to_jsonb(t) - %s::text[])::text FROM {} t").format(sql.Identifier(schema, name)), [[*CHANGES_BY_ITSELF]])
            rows[name] = Counter(str(row) for (row,) in found.fetchall())
    return rows


def _columns(session: psycopg.Connection[Any], schema: str, table: str) -> dict[str, str]:
    """Columns and their types, but for those that hold numbers alone."""
    rows = session.execute(
        """SELECT a.attname, t.typname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        JOIN pg_type t ON t.oid = a.atttypid WHERE n.nspname = %s AND c.relname = %s AND a.attnum > 0 AND NOT a.attisdropped ORDER BY 1""",
        [schema, table],
    ).fetchall()
    return {str(name): str(kind) for name, kind in rows if kind not in NUMBERS}


def _packed(shown: str, needles: Needles) -> bool:
    """Whether bytes that are compressed hold one; plain ones were looked at as hex."""
    held = bytes.fromhex(shown.removeprefix("\\x"))
    return held[:1] in (b"\x1f", b"\x78", b"P") and any(needles.in_bytes(part) for part in _unpacked(held))


def _unpacked(held: bytes, depth: int = 0) -> Iterator[bytes]:
    """The bytes, and everything that is packed in them: gzip, zlib, zip (also arrays of numpy), columns of Parquet."""
    yield held
    if depth > 3:
        return
    if held[:2] == b"\x1f\x8b":
        yield from _unpacked(gzip.decompress(held), depth + 1)
    elif held[:1] == b"\x78":
        with suppress(zlib.error):
            yield from _unpacked(zlib.decompress(held), depth + 1)
    elif held[:4] == b"PAR1":
        import pyarrow.parquet as pq

        with suppress(OSError):  # a damaged file was looked at as bytes
            read = pq.read_table(io.BytesIO(held))
            yield repr(read.schema.metadata).encode()
            yield json.dumps(read.to_pylist(), default=lambda value: value.hex() if isinstance(value, bytes) else str(value), ensure_ascii=False).encode()
    elif zipfile.is_zipfile(io.BytesIO(held)):
        with zipfile.ZipFile(io.BytesIO(held)) as packed:
            for name in packed.namelist():
                yield name.encode()
                yield from _unpacked(packed.read(name), depth + 1)
