"""A file of the archive written anew without some of its rows: beside the old one first, then in its place.

Belongs here: which rows of a file are meant, the new file and what is in it, what a process that died left behind. Not here: the ledger
(storage/archive.py), who goes (feedback/erasure/).

The new file lies beside the old one until the ledger has it, and takes its place then: whatever is cut off between any two steps, the ledger's file is
there, and `mend` puts it where it belongs.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import orjson

from learning_pipelines.errors import LearningError
from learning_pipelines.examples.export_files import located, whole_file
from learning_pipelines.feedback.archive import files
from learning_pipelines.storage.archive import EXECUTIONS, FEEDBACK, TABLES, Entry
from learning_pipelines.storage.archive_export import COLUMNS, digest_of

STAGED = "rows.without.parquet"
"""The name of a new file until it takes the place of the old one; readers of folders look for rows.parquet."""
_KEY = {EXECUTIONS: "id", FEEDBACK: "execution_id"}
Rows = list[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Gone:
    """The rows that go: those of a person, these executions, and whatever was said about them."""

    user_id: UUID
    executions: Collection[str]


@dataclass(frozen=True, slots=True)
class Meant:
    """What a file holds of them: how many rows, of which agents (ids as text)."""

    rows: int
    agents: frozenset[str]


def kin(artifacts: str, entry: Entry) -> Iterator[tuple[str, str | None, str | None]]:
    """(id, user, parent) of every archived execution of a file that has a user or a parent, ids as text."""
    for batch in files.batches(artifacts, entry.path, ["id", "user_id", "parent_id"]):
        columns = (batch.column(name).to_pylist() for name in ("id", "user_id", "parent_id"))
        yield from (row for row in zip(*columns, strict=True) if row[1] is not None or row[2] is not None)


def meant(artifacts: str, entry: Entry, gone: Gone) -> Meant:
    """Which rows of a file go; reads three columns of it."""
    rows, agents = 0, set()
    for batch in files.batches(artifacts, entry.path, sorted({_KEY[entry.table], "user_id", "agent_id"})):
        found = batch.filter(_mask(batch, entry.table, gone))
        rows += found.num_rows
        agents.update(found.column("agent_id").to_pylist())
    return Meant(rows, frozenset(agents))


def _mask(rows: Any, table: str, gone: Gone) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    theirs = pc.fill_null(pc.equal(rows.column("user_id"), str(gone.user_id)), False)
    return pc.or_(theirs, pc.is_in(rows.column(_KEY[table]), value_set=pa.array(gone.executions, pa.string())))


def parts(artifacts: str, entry: Entry, gone: Gone | None) -> Iterator[tuple[Any, Any]]:
    """A file row group by row group as pyarrow tables: what stays, what goes."""
    import pyarrow.compute as pc

    with _open(artifacts, entry) as parquet:
        for number in range(parquet.num_row_groups):
            group = parquet.read_row_group(number)
            if gone is None:
                yield group, group.slice(0, 0)
                continue
            mask = _mask(group, entry.table, gone)
            yield group.filter(pc.invert(mask)), group.filter(mask)


@contextmanager
def _open(artifacts: str, entry: Entry) -> Iterator[Any]:
    import pyarrow.parquet as pq

    system, place = located(files.url_of(artifacts, entry.path))
    with files.readable(entry.path), system.open(place, "rb") as file, pq.ParquetFile(file) as parquet:
        yield parquet


def without(artifacts: str, entry: Entry, gone: Gone, zone: ZoneInfo, take: Callable[[Any], object]) -> Entry:
    """Writes a file anew without the rows that go, beside the old one; `take` is given these a row group at a time. Returns what the ledger will say.

    Raises LearningError if what was written is not exactly the rest of what the ledger has; nothing was changed then.
    """
    import pyarrow.parquet as pq

    columns, taken, rows = COLUMNS[entry.table], 0, 0
    staged = staged_path(entry)
    with _open(artifacts, entry) as parquet:
        schema = parquet.schema_arrow
    with whole_file(files.url_of(artifacts, staged)) as file:
        writer = pq.ParquetWriter(file, schema, compression="zstd")
        for stays, goes in parts(artifacts, entry, gone):
            if stays.num_rows:
                writer.write_table(stays)
            if goes.num_rows:
                taken += sum(digest_of(columns, row) for row in zip(*(_values(goes, column) for column in columns), strict=True))
                rows += goes.num_rows
                take(goes)
        writer.close()
    content = files.read_back(artifacts, entry.table, staged, zone)
    if content.rows != entry.rows - rows or (entry.content and (content.total + taken - int(entry.content, 16)) % (1 << 64)):
        remove(artifacts, [staged])
        raise LearningError(
            f"The archived file {entry.path} cannot be written without some of its rows: {content.rows} of {entry.rows} less {rows} rows came out, or others.",
            "Nothing was changed. Compare it with a backup of the artifact store.",
        )
    written = files.Written(entry.path, content.rows, file.bytes, file.sha256, content)
    made = files.manifest_of(entry.organization, entry.table, entry.month, written, str(entry.manifest.get("schema_version", "")))
    manifest = {**made, "columns": entry.manifest.get("columns", made["columns"])}
    first, last = (files.moment_of(moment) for moment in content.happened)
    return replace(
        entry, rows=content.rows, bytes=file.bytes, sha256=file.sha256, content=content.hash, first_at=first, last_at=last, manifest=manifest
    )  # fmt: skip


def _values(rows: Any, column: Any) -> list[Any]:
    values = rows.column(column.name)
    found: list[Any] = (values.cast("int64") if column.kind == "time" else values).to_pylist()
    return found


def words(rows: Any, table: str) -> list[list[str]]:
    """What people and agents said in rows of a file: inputs, answers and what stands in messages of people, or comments and corrections."""
    names = ("input", "output") if table == EXECUTIONS else ("feedback_text", "correction_text")
    said = [[text for text in texts if text] for texts in zip(*(rows.column(name).to_pylist() for name in names), strict=True)]
    if table == EXECUTIONS:
        for texts, messages in zip(said, rows.column("messages").to_pylist(), strict=True):
            texts += _of_people(orjson.loads(messages)) if messages else []
    return said


def _of_people(messages: Any) -> list[str]:
    listed = [one for one in messages if isinstance(one, dict)] if isinstance(messages, list) else []
    return [text for one in listed if one.get("role") in ("user", "human") for text in _strings(one.get("content"))]


def _strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    inner: Sequence[Any] = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    return [text for one in inner for text in _strings(one)]


def staged_path(entry: Entry) -> str:
    """Where a new file lies until it takes its place."""
    return f"{entry.path.rpartition('/')[0]}/{STAGED}"


def publish(artifacts: str, entry: Entry) -> None:
    """Puts the new file, which the ledger has, in the place of the old one, whose bytes are gone then; the manifest after it."""
    system, place = located(files.url_of(artifacts, staged_path(entry)))
    with system.open(place, "rb") as staged, whole_file(files.url_of(artifacts, entry.path)) as file:
        shutil.copyfileobj(staged, file)
    files.write_manifest(artifacts, entry.path, entry.manifest)
    remove(artifacts, [staged_path(entry)])


def remove(artifacts: str, paths: Sequence[str]) -> None:
    """Deletes files; those that are gone already are no matter."""
    for path in paths:
        system, place = located(files.url_of(artifacts, path))
        if system.exists(place):
            system.rm(place, recursive=True)


def mend(artifacts: str, organization: str, entries: Sequence[Entry]) -> None:
    """Ends what a process that died had begun: a new file that the ledger has takes its place, everything half written goes."""
    for entry in entries:
        if files.bytes_are(artifacts, staged_path(entry), entry.sha256) is None and files.bytes_are(artifacts, entry.path, entry.sha256) is not None:
            publish(artifacts, entry)
    for table in TABLES:
        system, place = located(files.url_of(artifacts, f"archive/{table}/organization={organization}"))
        for path in system.find(place) if system.exists(place) else []:
            name = str(path).rpartition("/")[2]
            if name == STAGED or (name.startswith(".") and name.endswith(".part")):
                system.rm(path)
