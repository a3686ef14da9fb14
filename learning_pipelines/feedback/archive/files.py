"""One organization's rows of one month as a Parquet file with a manifest: where it lies, writing it a row group at a time, reading it back.

Belongs here: paths, schema, writer, manifest, what a file says when it is read again. Not here: which months (archiving.py), rows for people (reading.py).
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

import orjson

from learning_pipelines.errors import LearningError, Unavailable
from learning_pipelines.examples.export_files import HashedFile, file_hash, located, whole_file
from learning_pipelines.storage.archive import Entry
from learning_pipelines.storage.archive_export import COLUMNS, digest_of

FORMAT = 1
GROUP_ROWS = 20_000
GROUP_BYTES = 32_000_000
"""Whichever comes first ends a row group: so much is held in memory, and so much is read for one row."""
QUARTER = 900_000_000
"""Microseconds of a quarter of an hour: no zone changes its day within one."""
_ARROW = {"text": "string", "json": "string", "uuid": "string", "integer": "int64", "float": "float64", "boolean": "bool_"}


def path_of(organization: str, table: str, month: dt.date) -> str:
    """Where the file lies below the artifact store; the manifest lies beside it. Readers of partitioned folders find organization and month in the path."""
    return f"archive/{table}/organization={organization}/month={month:%Y-%m}/rows.parquet"


def url_of(artifacts: str, path: str) -> str:
    """The address of a path in the store."""
    return f"{artifacts.rstrip('/')}/{path}"


def manifest_path(path: str) -> str:
    """The manifest of a file."""
    return f"{path.rpartition('/')[0]}/manifest.json"


def schema(table: str) -> Any:
    """The pyarrow schema of a table's files: the columns of the rows, and the agent's slug."""
    import pyarrow as pa

    kinds = {"texts": pa.list_(pa.string()), "time": pa.timestamp("us", tz="UTC")}
    fields = [(column.name, kinds.get(column.kind) or getattr(pa, _ARROW[column.kind])()) for column in COLUMNS[table]]
    return pa.schema([*fields, ("agent", pa.string())])


@dataclass
class Content:
    """What a file's rows are, however they are ordered: how many, the sum of their digests, when they happened."""

    zone: ZoneInfo
    rows: int = 0
    total: int = 0
    happened: list[int] = field(default_factory=list)
    arrived: list[int] = field(default_factory=list)
    quarters: Counter[int] = field(default_factory=Counter)

    def add(self, digests: Iterable[int], happened: Sequence[int], arrived: Sequence[int]) -> None:
        """Counts rows; times in microseconds."""
        self.rows += len(happened)
        self.total = (self.total + sum(digests)) % (1 << 64)
        self.happened = [min([*self.happened[:1], *happened]), max([*self.happened[1:], *happened])]
        self.arrived = [min([*self.arrived[:1], *arrived]), max([*self.arrived[1:], *arrived])]
        self.quarters.update(moment // QUARTER for moment in happened)

    @property
    def hash(self) -> str:
        """The content hash in hex."""
        return f"{self.total:016x}"

    @property
    def days(self) -> dict[str, int]:
        """Rows by the day on which they happened, days as the installation counts them."""
        days: Counter[str] = Counter()
        for quarter, rows in self.quarters.items():
            days[moment_of(quarter * QUARTER).astimezone(self.zone).date().isoformat()] += rows
        return dict(sorted(days.items()))


def moment_of(microseconds: int) -> dt.datetime:
    """A moment in UTC."""
    return dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=microseconds)


@dataclass(frozen=True, slots=True)
class Written:
    """A file as it was written. `content`: what the database said of the rows that went into it."""

    path: str
    rows: int
    bytes: int
    sha256: str
    content: Content


class Writer:
    """Rows of one table, organization and month into one file, a row group at a time."""

    def __init__(self, table: str, agents: dict[str, str], file: HashedFile, zone: ZoneInfo) -> None:
        import pyarrow.parquet as pq

        self._table, self._agents, self._file, self._schema = table, agents, file, schema(table)
        names = [column.name for column in COLUMNS[table]]
        self._agent, self._happened, self._arrived = (names.index(name) for name in ("agent_id", "created_at", "received_at"))
        self._writer = pq.ParquetWriter(file, self._schema, compression="zstd")
        self._held: list[tuple[Any, ...]] = []
        self._bytes = 0
        self.content = Content(zone)

    def add(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """Takes rows as the database gives them: organization, digest, columns."""
        self.content.add((int(row[1], 16) for row in rows), [row[2 + self._happened] for row in rows], [row[2 + self._arrived] for row in rows])
        self._held += rows
        self._bytes += sum(len(value) for row in rows for value in row if isinstance(value, str))
        if len(self._held) >= GROUP_ROWS or self._bytes >= GROUP_BYTES:
            self._flush()

    def close(self) -> None:
        """Writes what is held and the footer."""
        if self._held:
            self._flush()
        self._writer.close()

    def _flush(self) -> None:
        import pyarrow as pa

        columns = list(zip(*self._held, strict=True))[2:]
        columns.append(tuple(self._agents.get(agent) for agent in columns[self._agent]))
        arrays = [pa.array(list(values), one.type) for values, one in zip(columns, self._schema, strict=True)]
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema))
        self._held, self._bytes = [], 0


def write(
    artifacts: str, organization: str, table: str, month: dt.date, rows: Iterable[Sequence[tuple[Any, ...]]], agents: dict[str, str], zone: ZoneInfo
) -> Written:
    """Writes rows, which come some at a time, to where they belong; what lay there is replaced as a whole at the end.

    Raises LearningError (the store is full), BadInput (it cannot be written).
    """
    path = path_of(organization, table, month)
    with whole_file(url_of(artifacts, path), make_folders=True) as file:
        writer = Writer(table, agents, file, zone)
        for some in rows:
            writer.add(some)
        writer.close()
    return Written(path, writer.content.rows, file.bytes, file.sha256, writer.content)


def read_back(artifacts: str, table: str, path: str, zone: ZoneInfo) -> Content:
    """What a file holds, from its own bytes: every value is read and digested anew, a row group at a time. Raises LearningError if it cannot be read."""
    columns, content = COLUMNS[table], Content(zone)
    names = [column.name for column in columns]
    happened, arrived = names.index("created_at"), names.index("received_at")
    for batch in batches(artifacts, path, names):
        values = [batch.column(place).cast("int64").to_pylist() if column.kind == "time" else batch.column(place).to_pylist()
                  for place, column in enumerate(columns)]  # fmt: skip
        content.add((digest_of(columns, row) for row in zip(*values, strict=True)), values[happened], values[arrived])
    return content


def batches(artifacts: str, path: str, columns: Sequence[str]) -> Iterator[Any]:
    """The record batches of a file, some columns of it. Raises LearningError: it is gone or no such file; Unavailable: the store does not answer."""
    import pyarrow.parquet as pq

    system, place = located(url_of(artifacts, path))
    with readable(path), system.open(place, "rb") as file, pq.ParquetFile(file) as parquet:
        yield from parquet.iter_batches(batch_size=GROUP_ROWS, columns=list(columns))


@contextmanager
def readable(path: str) -> Iterator[None]:
    """Says in words why an archived file cannot be read."""
    import pyarrow as pa

    try:
        yield
    except FileNotFoundError as error:
        raise LearningError(f"The archived file {path} is gone from the artifact store.", "Restore it from a backup of the store.") from error
    except OSError as error:
        # What cannot be decompressed is an OSError to pyarrow too, without a number of the system's.
        if error.errno is None:
            raise _damaged(path, error) from error
        raise Unavailable(f"The archived file {path} cannot be read: {error.strerror or error}.", "See to the artifact store, then try again.") from error
    except (pa.ArrowException, UnicodeDecodeError, IndexError, KeyError) as error:
        raise _damaged(path, error) from error


def _damaged(path: str, error: Exception) -> LearningError:
    return LearningError(f"The archived file {path} is damaged: {(str(error).splitlines() or ['?'])[0]}.", "Restore it from a backup of the store.")


def manifest_of(organization: str, table: str, month: dt.date, written: Written, schema_version: str) -> dict[str, Any]:
    """What a reader of the file wants to know before opening it."""
    content = written.content
    spans = {
        name: {"min": moment_of(values[0]).isoformat(), "max": moment_of(values[1]).isoformat()} if values else None
        for name, values in (("created_at", content.happened), ("received_at", content.arrived))
    }
    return {
        "format": FORMAT, "schema_version": schema_version, "organization": organization, "table": table, "month": f"{month:%Y-%m}", "file": "rows.parquet",
        "rows": written.rows, "bytes": written.bytes, "sha256": written.sha256, "content_hash": content.hash, **spans, "timezone": str(content.zone),
        "rows_per_day": content.days, "columns": [{"name": one.name, "type": str(one.type)} for one in schema(table)],
    }  # fmt: skip


def write_manifest(artifacts: str, path: str, manifest: dict[str, Any]) -> None:
    """Writes the manifest beside its file."""
    with whole_file(url_of(artifacts, manifest_path(path)), make_folders=True) as file:
        file.write(orjson.dumps(manifest, option=orjson.OPT_INDENT_2))


def read_manifest(artifacts: str, path: str) -> dict[str, Any] | None:
    """The manifest beside a file; None if there is none that can be read."""
    system, place = located(url_of(artifacts, manifest_path(path)))
    try:
        with system.open(place, "rb") as file:
            found = orjson.loads(file.read())
    except (OSError, orjson.JSONDecodeError):
        return None
    return found if isinstance(found, dict) else None


def bytes_are(artifacts: str, path: str, sha256: str) -> str | None:
    """What is wrong with the bytes of a file, in words; None if they are those that were written. Raises Unavailable: the store does not answer."""
    found = file_hash(url_of(artifacts, path))
    if found is None:
        return "it is gone"
    return None if found[0] == sha256 else "its bytes are not those that were written"


def rows(artifacts: str, entry: Entry, column: str, values: Sequence[str]) -> list[list[Any]]:
    """The rows of a file whose `column` is one of `values`, columns of archive_export.COLUMNS with times as moments. Only the row groups that may hold them
    are read: files are ordered by that column. Raises as batches does."""
    table = lookup(artifacts, entry, column, values, [one.name for one in COLUMNS[entry.table]])
    return [list(row) for row in zip(*(part.to_pylist() for part in table.columns), strict=True)]


def lookup(artifacts: str, entry: Entry, column: str, values: Sequence[str], columns: Sequence[str]) -> Any:
    """The same as a pyarrow table of some columns."""
    import pyarrow.parquet as pq

    with readable(entry.path):
        system, path = located(url_of(artifacts, entry.path))
        return pq.read_table(path, filesystem=system, columns=list(columns), filters=[(column, "in", list(values))], partitioning=None)
