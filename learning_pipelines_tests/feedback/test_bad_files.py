"""Files that are damaged, huge or strange as a whole, and a database that goes away while one is imported.

Belongs here: bytes and interruptions. Not here: single lines (test_bad_lines.py), paths that cannot be read (test_importing.py).
"""

from __future__ import annotations

import datetime as dt
import gzip
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import orjson
import psycopg
import pytest

from learning_pipelines.errors import Unavailable
from learning_pipelines.feedback import importing
from learning_pipelines.feedback.importing import ImportResult, import_file, window_now
from learning_pipelines.feedback.lines import LINE_LIMIT, open_lines
from learning_pipelines.storage import ingest
from learning_pipelines.storage.database import Connection, Database
from learning_pipelines_tests.conftest import START, Load
from learning_pipelines_tests.feedback.rows import AGENT, execution, table

ImportBytes = Callable[..., ImportResult]


@pytest.fixture
def import_bytes(load: Load, pipeline: Connection, tmp_path: Path) -> ImportBytes:
    """Imports these bytes as a file of executions."""
    load("agents", [AGENT])

    def run(data: bytes, name: str = "file.jsonl", connection: Connection = pipeline) -> ImportResult:
        (tmp_path / name).write_bytes(data)
        return import_file(connection, "default", "executions", tmp_path / name, window=window_now(START, dt.UTC))

    return run


def lines(count: int) -> bytes:
    return b"".join(orjson.dumps(execution(f"e{i}", noise=str(hash((i, "noise"))))) + b"\n" for i in range(count))


def test_an_empty_file_is_read_and_holds_nothing(import_bytes: ImportBytes) -> None:
    result = import_bytes(b"")
    assert (result.read, result.broken, result.errors) == (0, None, [])


def test_an_empty_gzip_holds_nothing(import_bytes: ImportBytes) -> None:
    assert import_bytes(gzip.compress(b""), "file.jsonl.gz").read == 0


def test_a_gzipped_file_is_read_like_a_plain_one(import_bytes: ImportBytes) -> None:
    assert import_bytes(gzip.compress(lines(20)), "file.jsonl.gz").imported == 20


def test_a_byte_order_mark_is_no_part_of_the_first_line(import_bytes: ImportBytes) -> None:
    assert import_bytes(b"\xef\xbb\xbf" + lines(2)).imported == 2


def test_windows_line_ends_are_fine(import_bytes: ImportBytes) -> None:
    assert import_bytes(lines(3).replace(b"\n", b"\r\n")).imported == 3


def test_the_last_line_needs_no_end(import_bytes: ImportBytes) -> None:
    assert import_bytes(lines(3).rstrip(b"\n")).imported == 3


def test_blank_lines_are_not_read_but_counted_in_line_numbers(import_bytes: ImportBytes) -> None:
    result = import_bytes(b"\n \t\r\n" + lines(1) + b"\n\n{\n")
    assert (result.read, result.imported, result.errors[0]["line"]) == (2, 1, 6)


def test_a_file_in_utf_16_is_refused_line_by_line(import_bytes: ImportBytes) -> None:
    result = import_bytes(lines(2).decode().encode("utf-16"))
    assert result.imported == 0
    assert "UTF-8" in result.errors[0]["reason"]


def test_a_truncated_gzip_keeps_the_lines_before_the_break(import_bytes: ImportBytes, pipeline: Connection) -> None:
    whole = gzip.compress(lines(500))
    result = import_bytes(whole[: len(whole) // 2], "file.jsonl.gz")
    assert result.broken is not None
    assert "damaged after line" in result.broken.cause
    assert (result.errors, 0 < result.imported < 500) == ([], True)
    assert {row["id"] for row in table(pipeline, "agent_executions")} == {f"e{i}" for i in range(result.imported)}


def test_the_whole_of_a_truncated_gzip_completes_the_import(import_bytes: ImportBytes) -> None:
    whole = gzip.compress(lines(500))
    half = import_bytes(whole[: len(whole) // 2], "file.jsonl.gz")
    again = import_bytes(whole, "file.jsonl.gz")
    assert (again.broken, again.unchanged, again.imported) == (None, half.imported, 500 - half.imported)


def test_a_gzip_that_lacks_only_its_end_is_broken_too(import_bytes: ImportBytes) -> None:
    result = import_bytes(gzip.compress(lines(50))[:-4], "file.jsonl.gz")
    assert (result.imported, result.broken is not None) == (50, True)


def test_a_flipped_byte_in_a_gzip_is_noticed(import_bytes: ImportBytes) -> None:
    damaged = bytearray(gzip.compress(lines(500)))
    damaged[len(damaged) // 2] ^= 0xFF
    assert import_bytes(bytes(damaged), "file.jsonl.gz").broken is not None


def test_a_plain_file_called_gz_is_broken_from_the_start(import_bytes: ImportBytes) -> None:
    result = import_bytes(lines(3), "file.jsonl.gz")
    assert result.broken is not None
    assert (result.read, "damaged after line 0" in result.broken.cause) == (0, True)


def test_what_broke_a_file_stands_in_the_json(import_bytes: ImportBytes) -> None:
    assert "damaged" in str(import_bytes(lines(3), "file.jsonl.gz").as_json()["broken"])


def test_a_line_of_forty_megabytes_is_refused_and_the_next_is_read(import_bytes: ImportBytes) -> None:
    result = import_bytes(lines(1) + b'{"x": "' + b"x" * 40_000_000 + b'"}\n' + lines(2))
    assert (result.imported, result.unchanged, result.errors[0]["line"]) == (2, 1, 2)
    assert "32 MiB" in result.errors[0]["reason"]


def test_a_line_of_any_length_takes_bounded_memory(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "file.jsonl.gz", "wb", compresslevel=1) as file:
        for _ in range(200):
            file.write(bytes(1_000_000))
        file.write(b"\n{}\n")
    tracemalloc.start()
    try:
        found = [(line.number, line.data) for line in open_lines(tmp_path / "file.jsonl.gz")]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found == [(1, None), (2, b"{}\n")]
    assert peak < 3 * LINE_LIMIT


def test_a_line_just_within_the_limit_is_judged_by_what_it_says(import_bytes: ImportBytes) -> None:
    head, tail = b'{"x": "', b'"}\n'
    result = import_bytes(head + b"x" * (LINE_LIMIT - len(head) - len(tail) + 1) + tail)
    assert result.errors == [{"line": 1, "field": "execution_id", "reason": "is required"}]


def test_an_import_of_a_stopped_database_is_unavailable(import_bytes: ImportBytes, database: Database) -> None:
    with database.connect("pipeline") as lost:
        lost.close()
        with pytest.raises(Unavailable, match="went away while importing"):
            import_bytes(lines(3), connection=lost)


@pytest.mark.parametrize("moment", ["between batches", "inside a batch"])
def test_a_database_that_goes_away_loses_nothing_that_a_rerun_does_not_bring(
    import_bytes: ImportBytes, database: Database, pipeline: Connection, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    monkeypatch.setattr(importing, "BATCH_ROWS", 100)
    whole, stored, stage = ingest.store_batch, [], ingest._stage

    def kill(connection: Connection) -> None:
        with psycopg.connect(database.admin_url, autocommit=True) as session:
            session.execute("SELECT pg_terminate_backend(%s, 5000)", [connection.info.backend_pid])

    def killing_between(connection: Connection, *values: object, **more: object) -> object:
        if len(stored) == 2:
            kill(connection)
        stored.append(connection)
        return whole(connection, *values, **more)  # type: ignore[arg-type]

    def killing_inside(cursor: psycopg.Cursor[object], *values: object) -> None:
        stage(cursor, *values)  # type: ignore[arg-type]
        stored.append(cursor.connection)
        if len(stored) == 3:
            kill(cursor.connection)

    with database.connect("pipeline") as doomed, monkeypatch.context() as patched:
        patched.setattr(ingest, *(("store_batch", killing_between) if moment == "between batches" else ("_stage", killing_inside)))
        with pytest.raises(Unavailable, match="went away while importing"):
            import_bytes(lines(500), connection=doomed)
    assert len(table(pipeline, "agent_executions")) == 200
    again = import_bytes(lines(500))
    assert (again.unchanged, again.imported) == (200, 300)
    assert [len(table(pipeline, name)) for name in ("agent_executions", "outbox")] == [500, 501]
