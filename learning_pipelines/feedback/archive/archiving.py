"""Archiving old months: written to files, read back, registered, detached, dropped; each step can be repeated, and after any of them nothing is lost.

Belongs here: the order of the steps and what is checked between them. Not here: SQL (storage/archive*.py), files (files.py).

A month is archived for all organizations at once: its executions and its feedback, which belong together. What stands between them and a later month moves
on (storage/archive.py, carry), so that an execution and everything said about it always lie in one month.

The steps of a month: move on what belongs to later months → write files → read them back and compare with what the database said → register → detach →
bring back what was said something about meanwhile → compare the files once more → drop. Rows are dropped only while their files are known to be whole.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from learning_pipelines.errors import LearningError, Unavailable
from learning_pipelines.feedback.archive import files, returning
from learning_pipelines.settings import Settings
from learning_pipelines.storage import archive as storage
from learning_pipelines.storage import archive_export, outbox_pruning
from learning_pipelines.storage.archive import TABLES, Entry, Month
from learning_pipelines.storage.database import Connection, database_errors, snapshot
from learning_pipelines.storage.store import Store

LEAST_DAYS = 31
"""Whatever the setting says, so long rows stay: what looks back over 30 days reads them."""
_NOTHING_TAKEN = "Nothing was taken out of the database. See to the artifact store (its disk, its checksums) and run the clean-up again."
Step = Callable[[str], object]


@dataclass
class Archived:
    """What one run did, or would do: rows by table, organizations' files, bytes written, rows moved on and brought back; `waiting` says why a month stays."""

    months: list[str] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=lambda: dict.fromkeys(TABLES, 0))
    files: int = 0
    bytes: int = 0
    carried: int = 0
    returned: int = 0
    waiting: str | None = None


def due(found: Sequence[Month], settings: Settings, now: dt.datetime) -> list[Month]:
    """The months that lie wholly before the retention's end, the oldest first, and those that were detached before, however old they are."""
    kept = (now - dt.timedelta(days=max(settings.feedback_retention_days, LEAST_DAYS))).astimezone(dt.UTC)
    return [month for month in found if not month.attached or dt.datetime.combine(month.after, dt.time(), dt.UTC) <= kept]


def archive(store: Store, *, now: dt.datetime | None = None, dry_run: bool = False, step: Step = lambda name: None) -> Archived:
    """Archives every month that is due, the oldest first; the first that cannot be ends the run, and the next run tries again.

    Raises LearningError or Unavailable naming the month and the next step. `step` is told the name of each step after it was done.
    """
    done = Archived()
    with database_errors("archiving old months"), store.database.connect("owner") as owner, store.database.connect("owner") as writing:
        months = due(storage.months(owner), store.settings, now or dt.datetime.now(dt.UTC))
        if dry_run:
            for month in months:
                _count(done, month, storage.counts(owner, month))
            return done
        if not storage.begin(writing):
            raise Unavailable("Another process is archiving or erasing a person.", "Wait until it ends; then this has nothing or little to do.")
        try:
            for month in months:
                if reason := _keeps(writing, month):
                    done.waiting = reason
                    break
                _archive_month(store, owner, writing, month, done, step)
        finally:
            storage.end(writing)
    return done


def _keeps(connection: Connection, month: Month) -> str | None:
    """Why a month must stay: entries about its rows that somebody has not read."""
    if not month.whole:
        return None
    behind = outbox_pruning.unconsumed(connection, dt.datetime.combine(month.after, dt.time(), dt.UTC))
    if not behind:
        return None
    named = ", ".join(f"{agent} ({entries})" for agent, entries in behind[:5])
    return f"{month.first:%Y-%m} stays: entries about its rows were not taken up yet by all who read them: {named}; run their jobs (`learning-pipelines run`)"


def _archive_month(store: Store, owner: Connection, writing: Connection, month: Month, done: Archived, step: Step) -> None:
    if set(month.state) != set(TABLES):
        raise LearningError(
            f"Of {month.first:%Y-%m} only {', '.join(month.state)} has a partition.",
            "Restore the other one from a backup, or move its rows: nothing was changed.",
        )
    if month.whole:
        carried = storage.carry(owner, writing, month)
        done.carried += carried.executions + carried.feedback
        step("carried")
        entries, sums = _write(store, owner, month, step)
        with writing.transaction():
            storage.register(writing, month, entries, sums)
            archive_export.keep_raters(writing, month)
            archive_export.keep_thumbs(writing, month)
        step("registered")
    for table in TABLES:
        storage.detach(writing, month, table)
        step(f"detached {table}")
    entries = _whole(store, owner, writing, month, step)
    done.returned += returning.bring_back(store, writing).executions
    step("brought back")
    storage.drop(writing, month)
    step("dropped")
    _count(done, month, {table: sum(one.rows for one in entries if one.table == table) for table in TABLES})
    done.files += len(entries)
    done.bytes += sum(one.bytes for one in entries)


def _count(done: Archived, month: Month, rows: dict[str, int]) -> None:
    done.months.append(f"{month.first:%Y-%m}")
    for table, count in rows.items():
        done.rows[table] += count


def _write(store: Store, owner: Connection, month: Month, step: Step) -> tuple[list[Entry], list[tuple[Any, ...]]]:
    """Writes a month's files, reads them back and compares. Returns what they hold, and what their rows give to the metrics."""
    with snapshot(owner):
        archive_export.prepare(owner)
        entries = [entry for table in TABLES for entry in _export(store, owner, month, table)]
        archive_export.plan_freely(owner)
        sums = archive_export.sums(owner, month, store.settings.timezone)
    step("written")
    for entry in entries:
        if said := files.bytes_are(store.settings.artifacts, entry.path, entry.sha256):
            raise LearningError(f"The archived file {entry.path} is damaged: {said}.", _NOTHING_TAKEN)
        _compare(entry, files.read_back(store.settings.artifacts, entry.table, entry.path, store.settings.zone))
        files.write_manifest(store.settings.artifacts, entry.path, entry.manifest)
    step("verified")
    return entries, sums


def _export(store: Store, owner: Connection, month: Month, table: str) -> Iterator[Entry]:
    """Writes the files of a table, organization by organization as they come."""
    organizations, agents = archive_export.names(owner)
    version = storage.schema_version(owner)
    parts = (
        (organization, list(rows)) for some in archive_export.rows_of(owner, month, table) for organization, rows in groupby(some, key=lambda row: row[0])
    )
    for organization, runs in groupby(parts, key=lambda part: part[0]):
        slug = organizations[organization]
        written = files.write(store.settings.artifacts, slug, table, month.first, (rows for _, rows in runs), agents, store.settings.zone)
        manifest = files.manifest_of(slug, table, month.first, written, version)
        first, last = (files.moment_of(moment) for moment in written.content.happened)
        yield Entry(
            organization, slug, table, month.first, written.path, written.rows, written.bytes, written.sha256, written.content.hash, first, last, manifest
        )


def _compare(entry: Entry, found: files.Content) -> None:
    """Raises LearningError unless what was read back is what the database said."""
    if (found.rows, found.hash) != (entry.rows, entry.content):
        raise LearningError(
            f"The archived file {entry.path} does not hold what the database does: {found.rows} of {entry.rows} rows, hash {found.hash} for {entry.content}.",
            _NOTHING_TAKEN,
        )


def _whole(store: Store, owner: Connection, writing: Connection, month: Month, step: Step) -> list[Entry]:
    """The files of a detached month, known to be whole just now. Those of a month of which one is not are written once more, from the detached rows; what
    the database keeps of these stays as it is. Raises LearningError where that does not help either."""
    entries = storage.entries_of_month(owner, month.first)
    if not (wrong := _wrong(store, owner, month, entries)):
        return entries
    entries, _ = _write(store, owner, month, step)
    with writing.transaction():
        storage.register_files(writing, month, entries)
    if wrong := _wrong(store, owner, month, entries):
        raise LearningError(
            f"Files of {month.first:%Y-%m} are not whole: {'; '.join(wrong[:5])}.",
            "Its rows are still in the database, in detached partitions. See to the artifact store and run the clean-up again.",
        )
    return entries


def _wrong(store: Store, owner: Connection, month: Month, entries: Sequence[Entry]) -> list[str]:
    wrong = [f"{one.path}: {said}" for one in entries if (said := files.bytes_are(store.settings.artifacts, one.path, one.sha256))]
    rows: dict[str, Any] = storage.counts(owner, month)
    for table, count in rows.items():
        stored = sum(one.rows for one in entries if one.table == table)
        if stored != count:
            wrong.append(f"{table} has {count} rows, its files {stored}")
    return wrong
