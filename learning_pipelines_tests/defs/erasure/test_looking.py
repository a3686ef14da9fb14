"""The search of this folder finds a word wherever it is put: a proof that finds nothing is worth what its search is worth.

Belongs here: what looking.py sees. Not here: erasing.
"""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib
from pathlib import Path

import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from learning_pipelines.storage.database import Database
from learning_pipelines_tests.defs.erasure.looking import Needles, in_files, in_tables, picture, tables_of

WORD = "quelmzathorn"
NEEDLES = Needles(WORD, ids=["0af76519-16cd-43dd-8448-eb211c80319c"])


def parquet(**metadata: str) -> bytes:
    into = io.BytesIO()
    pq.write_table(pa.table({"n": [1], "text": [WORD if not metadata else "-"]}).replace_schema_metadata(metadata or None), into, compression="zstd")
    return into.getvalue()


def npz() -> bytes:
    into = io.BytesIO()
    np.savez_compressed(into, texts=np.array([f"a {WORD}"]))
    return into.getvalue()


def zipped(held: bytes, name: str = "x") -> bytes:
    into = io.BytesIO()
    with zipfile.ZipFile(into, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr(name, held)
    return into.getvalue()


@pytest.mark.parametrize(
    "held",
    [f"… {WORD.upper()}.".encode(), WORD.encode("utf-16"), gzip.compress(WORD.encode()), zlib.compress(WORD.encode()), parquet(), parquet(note=WORD), npz(),
     zipped(b"", WORD), zipped(gzip.compress(WORD.encode())), WORD.encode().hex().encode(), b"0af7651916cd43dd8448eb211c80319c"],
    ids=["text", "utf-16", "gzip", "zlib", "parquet", "metadata of parquet", "npz", "name in a zip", "gzip in a zip", "hex", "id"],
)  # fmt: skip
def test_a_file_that_holds_the_word_is_found_whatever_packs_it(held: bytes, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.bin").write_bytes(held)
    (tmp_path / "other.bin").write_bytes(gzip.compress(b"nothing"))
    assert in_files(tmp_path, NEEDLES) == {"a/b.bin"}


def test_a_file_that_is_named_so_is_found(tmp_path: Path) -> None:
    (tmp_path / f"{WORD}.txt").write_bytes(b"")
    assert in_files(tmp_path, NEEDLES) == {f"{WORD}.txt"}


@pytest.mark.parametrize(
    ("kind", "value"),
    [("text", WORD.upper()), ("text[]", [WORD]), ("jsonb", f'{{"a": [{{"{WORD}": 1}}]}}'), ("bytea", WORD.encode()),
     ("bytea", zlib.compress(WORD.encode() * 9)), ("uuid", "0af76519-16cd-43dd-8448-eb211c80319c"),
     ("bytea", bytes.fromhex("0af7651916cd43dd8448eb211c80319c"))],
)  # fmt: skip
def test_a_row_of_any_table_that_holds_the_word_is_found_in_its_column(database: Database, kind: str, value: object) -> None:
    with psycopg.connect(database.admin_url, autocommit=True) as session:
        session.execute(f"CREATE SCHEMA aside; CREATE TABLE aside.kept (a integer, b {kind})")  # type: ignore[arg-type]
        try:
            session.execute("INSERT INTO aside.kept VALUES (1, %s)", [value])
            assert ("aside", "kept") in tables_of(database.admin_url)
            assert in_tables(database.admin_url, NEEDLES) == {"kept.b"}
            assert sum(picture(database.admin_url, "aside")["kept"].values()) == 1
        finally:
            session.execute("DROP SCHEMA aside CASCADE")
