"""Looking for texts in every column of every table and in every file.

Belongs here: the search. Not here: tests of what must not be found.
"""

from __future__ import annotations

import gzip
import io
import zipfile
from pathlib import Path

from learning_pipelines.examples.duplicates import normalised
from learning_pipelines.storage.database import Connection

HOLD_QUESTIONS = {"retrieval_events", "retrieval_queries"}
"""Tables that hold the questions themselves."""


def in_tables(connection: Connection, wanted: set[str]) -> set[str]:
    """table.column of everything that holds one of these texts, in any case and spacing."""
    columns = connection.execute(
        """SELECT c.table_name, c.column_name FROM information_schema.columns c JOIN information_schema.tables t USING (table_schema, table_name)
        WHERE c.table_schema = 'learning' AND t.table_type = 'BASE TABLE' ORDER BY 1, 2"""
    ).fetchall()
    found = set()
    for table, column in columns:
        if table in HOLD_QUESTIONS or table == "alembic_version":
            continue
        value = f"CASE WHEN pg_typeof({column}) = 'bytea'::regtype THEN encode({column}::text::bytea, 'escape') ELSE {column}::text END"
        rows = connection.execute(f"SELECT DISTINCT {value} FROM {table} WHERE {column} IS NOT NULL").fetchall()  # type: ignore[arg-type]
        whole = normalised("\n".join(str(row[0]) for row in rows))
        if any(text in whole for text in wanted):
            found.add(f"{table}.{column}")
    return found


def in_files(folder: Path, wanted: set[str]) -> set[str]:
    """Files below a folder that hold one of these texts, also packed ones."""
    held = {str(path.relative_to(folder)): normalised(_read(path.read_bytes())) for path in folder.rglob("*") if path.is_file()}
    return {name for name, whole in held.items() if any(text in whole for text in wanted)}


def _read(held: bytes) -> str:
    if held[:2] == b"\x1f\x8b":
        held = gzip.decompress(held)
    if zipfile.is_zipfile(io.BytesIO(held)):
        with zipfile.ZipFile(io.BytesIO(held)) as packed:
            held = b"\n".join(packed.read(name) for name in packed.namelist())
    # Arrays of texts hold four bytes a character, most of them 0.
    return held.replace(b"\0", b"").decode("utf-8", "replace")
