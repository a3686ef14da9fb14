"""Importing a file of one kind: check every line, store the good ones in batches, say what became of the others.

Belongs here: batching, counting, the words of a refusal. Not here: reading bytes (lines.py), validation (records.py), SQL (storage).
"""

from __future__ import annotations

import datetime as dt
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
from tqdm import tqdm

from learning_pipelines.errors import BadInput
from learning_pipelines.feedback.identity import organization_id
from learning_pipelines.feedback.kinds import KINDS
from learning_pipelines.feedback.lines import BrokenFile, Line, open_lines
from learning_pipelines.feedback.records import Checked, Refusal, Window, check
from learning_pipelines.feedback.staging import Row, Stager, UnknownAgent
from learning_pipelines.settings import Settings
from learning_pipelines.storage import ingest, tenants
from learning_pipelines.storage.database import Connection, database_errors
from learning_pipelines.storage.installation import ready_store

BATCH_ROWS = 10_000
BATCH_BYTES = 16 * 1024 * 1024
ERRORS_LISTED = 1_000
Progress = Callable[[int], None]


@dataclass
class ImportResult:
    """What became of a file. `rejected` counts every refused line, `errors` lists the first ERRORS_LISTED of them in line order."""

    kind: str
    read: int = 0
    imported: int = 0
    unchanged: int = 0
    rejected: int = 0
    errors: list[dict[str, Any]] = field(default_factory=list)
    broken: BrokenFile | None = None

    def reject(self, line: int, refusal: Refusal) -> None:
        self.rejected += 1
        self.errors.append({"line": line, "field": refusal.field, "reason": refusal.reason})
        if len(self.errors) > 2 * ERRORS_LISTED:
            self.trim()

    def trim(self) -> None:
        self.errors.sort(key=lambda error: int(error["line"]))
        del self.errors[ERRORS_LISTED:]

    def as_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind, "read": self.read, "imported": self.imported, "unchanged": self.unchanged, "rejected": self.rejected,
            "errors": self.errors, "broken": self.broken.cause if self.broken else None,
        }  # fmt: skip


@dataclass
class _Batch:
    """Rows on their way to storage; `seen` holds the identities of this batch, so that storage gets each id once."""

    rows: list[Row] = field(default_factory=list)
    seen: dict[str, bytes] = field(default_factory=dict)
    size: int = 0

    def full(self) -> bool:
        return len(self.rows) >= BATCH_ROWS or self.size >= BATCH_BYTES


def import_file(
    connection: Connection,
    organization: str,
    kind: str,
    path: Path,
    *,
    window: Window,
    progress: Progress = lambda read: None,
    second: Connection | None = None,
) -> ImportResult:
    """Imports one file for an organization (created at first sight). Good lines are kept when others are refused.

    Commits batch by batch, so an import that was cut off is finished by running it again. With a `second` connection the next batch is
    staged while the one before is merged. Raises BadInput for an unknown kind, an unreadable file or an impossible organization,
    Unavailable when the database goes away.
    """
    _require_known(kind)
    lines = _opened(path)
    with database_errors(f"importing {path.name}"):
        tenant = tenants.ensure_organization(connection, organization_id(organization), organization)
        stager = Stager(tenant, tenants.agent_ids(connection, tenant))
        result = ImportResult(kind)
        connections = (connection,) if second is None else (connection, second)
        with ThreadPoolExecutor(max_workers=len(connections)) as threads:
            _run(_Importer(result, stager, kind, window), _Writers(tenant, kind, connections, threads), lines, progress)
        ingest.make_durable(connection, tenant)
    result.trim()
    return result


def checked_lines(path: Path, kind: str, window: Window) -> Iterator[tuple[int, Checked | Refusal]]:
    """Every line of a file by its number, checked as an import would check it; nothing is stored. Raises BadInput for a file that cannot be read."""
    return ((line.number, _decode(line, kind, window)) for line in _opened(path))


def _require_known(kind: str) -> None:
    if kind not in KINDS:
        raise BadInput(f"{kind!r} is not a kind of record.", f"Known kinds: {', '.join(KINDS)}.")


def _opened(path: Path) -> Iterator[Line]:
    """Opens before anything is created, so that a wrong path leaves nothing behind."""
    if not path.exists():
        raise BadInput(f"{path} does not exist.", "Check the path.")
    if path.is_dir():
        raise BadInput(f"{path} is a folder.", "Name a .jsonl or .jsonl.gz file.")
    return open_lines(path)


@dataclass
class _Importer:
    result: ImportResult
    stager: Stager
    kind: str
    window: Window

    def take(self, line: Line, batch: _Batch) -> bool:
        """Checks one line into the batch. False if it must wait for the next batch (a second version of a record that updates)."""
        checked = _decode(line, self.kind, self.window)
        if isinstance(checked, Refusal):
            self.result.reject(line.number, checked)
            return True
        known = batch.seen.get(checked.id)
        if known is not None:
            if known != checked.content_hash and ingest.updates(self.kind):
                return False
            self._again(line.number, checked, known)
            return True
        try:
            batch.rows.append(self.stager.row(line.number, checked))
        except UnknownAgent as error:
            self.result.reject(line.number, Refusal("agent", f"{str(error)!r} is not an agent of this organization; import it first (kind agents)"))
            return True
        batch.seen[checked.id] = checked.content_hash
        batch.size += len(line.data or b"")
        return True

    def _again(self, line: int, checked: Checked, known: bytes) -> None:
        if known == checked.content_hash:
            self.result.unchanged += 1
        else:
            self.result.reject(line, _conflict(self.kind, checked.id))

    def settle(self, stored: int, left: list[ingest.NotStored]) -> None:
        self.result.imported += stored - len(left)
        for entry in left:
            if entry.problem == "unchanged":
                self.result.unchanged += 1
            else:
                self.result.reject(entry.line, _refusal(self.kind, entry))


class _Writers:
    """Stores batches in order, one per connection under way: PostgreSQL works while Python checks the lines that follow."""

    def __init__(self, tenant: UUID, kind: str, connections: Sequence[Connection], threads: ThreadPoolExecutor) -> None:
        self._tenant = tenant
        self._kind = kind
        self._free = list(connections)
        self._threads = threads
        self._under_way: deque[tuple[int, Connection, Future[list[ingest.NotStored]]]] = deque()

    def hand_over(self, batch: _Batch) -> None:
        """Starts storing a batch; a connection must be free (see settled)."""
        before = self._under_way[-1][2] if self._under_way else None
        connection = self._free.pop()
        turn = before.result if before is not None else _no_wait
        stored = self._threads.submit(ingest.store_batch, connection, self._tenant, self._kind, batch.rows, turn=turn, durable=False)
        self._under_way.append((len(batch.rows), connection, stored))

    def settled(self, importer: _Importer, everything: bool = False) -> None:
        """Counts what is stored by now; waits until a connection is free, or for everything."""
        while self._under_way and (everything or not self._free):
            rows, connection, stored = self._under_way.popleft()
            importer.settle(rows, stored.result())
            self._free.append(connection)


def _no_wait() -> None:
    return None


def _run(importer: _Importer, writers: _Writers, lines: Iterator[Line], progress: Progress) -> None:
    batch = _Batch()

    def hand_over() -> _Batch:
        if batch.rows:
            writers.settled(importer)
            writers.hand_over(batch)
        return _Batch()

    try:
        for line in lines:
            importer.result.read += 1
            if not importer.take(line, batch):
                batch = hand_over()
                importer.take(line, batch)
            if batch.full():
                batch = hand_over()
                progress(line.read)
    except BrokenFile as error:
        importer.result.broken = error
    hand_over()
    writers.settled(importer, everything=True)


def _decode(line: Line, kind: str, window: Window) -> Checked | Refusal:
    if line.data is None:
        return Refusal(None, "is longer than 32 MiB; split it or leave out what is not needed")
    try:
        value = orjson.loads(line.data)
    except orjson.JSONDecodeError as error:
        return Refusal(None, _why_not_json(line.data, error))
    return check(KINDS[kind], value, window)


def _why_not_json(data: bytes, error: orjson.JSONDecodeError) -> str:
    try:
        data.decode()
    except UnicodeDecodeError as wrong:
        return f"is not UTF-8 (byte {wrong.start + 1}); save the file as UTF-8"
    if b"\x00" in data:
        return f"contains a NUL byte at position {data.index(0) + 1}; the file is damaged or not JSON Lines"
    return f"is not JSON: {error.msg} (column {error.colno})"


def _conflict(kind: str, identity: str) -> Refusal:
    return Refusal(KINDS[kind].id_key, f"conflict: {identity!r} is stored already with other content; a change needs a new id")


def _refusal(kind: str, entry: ingest.NotStored) -> Refusal:
    if entry.problem == "unknown_execution":
        return Refusal("execution_id", f"{entry.detail!r} is not known yet; name the agent, or import the execution first")
    if entry.problem == "other_agent":
        return Refusal("agent", f"execution {entry.detail!r} belongs to another agent")
    if entry.problem == "replaces_unknown":
        return Refusal("replaces", f"{entry.detail!r} is not a demonstration of this agent; a new version comes after the one it replaces")
    if entry.problem == "replaced_already":
        return Refusal("replaces", f"{entry.detail!r} was replaced by another one already; name the newest version")
    if entry.problem == "expert_withdrawn":
        return Refusal("expert", f"the right of {entry.detail!r} to demonstrate was withdrawn; `learning-pipelines experts restore` gives it back")
    return _conflict(kind, entry.detail or "")


def import_with_progress(settings: Settings, organization: str, kind: str, path: Path) -> ImportResult:
    """Imports a file into the configured installation, with a progress bar on stderr once it takes longer than two seconds."""
    _require_known(kind)
    organization_id(organization)
    _opened(path)
    store = ready_store(settings)
    with store.pipeline() as connection, store.pipeline() as second, tqdm(
        total=path.stat().st_size, unit="B", unit_scale=True, desc=f"importing {path.name}", delay=2, leave=False, disable=None
    ) as bar:

        def progress(read: int) -> None:
            bar.update(read - bar.n)

        window = window_now(settings.start_date, settings.zone)
        return import_file(connection, organization, kind, path, window=window, progress=progress, second=second)


def window_now(start: dt.date, zone: dt.tzinfo) -> Window:
    """The time window of records that arrive now."""
    return Window.around(dt.datetime.now(dt.UTC), start, zone)
