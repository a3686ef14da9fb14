"""Archived months without a person: their files written anew.

Belongs here: which files, the order of writing, checking, registering. Not here: SQL (storage/erasure_archives.py), Parquet (feedback/archive/).

A month: new files beside the old ones, read back and compared → one transaction that registers them, brings the kept sums up to date and keeps ids and
words of the rows that went (the rest of the erasure needs them) → the new files take the place of the old ones. A month of which nothing is left in a
table loses the file and its registration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from learning_pipelines.errors import LearningError, Unavailable
from learning_pipelines.feedback.archive import files, rewriting
from learning_pipelines.feedback.archive.rewriting import Gone, Meant
from learning_pipelines.feedback.erasure.person import Person
from learning_pipelines.feedback.erasure.touched import Touched
from learning_pipelines.feedback.statistics import QUERIES, WORTH_A_QUERY, stretches
from learning_pipelines.storage import erasure_archives as storage
from learning_pipelines.storage import erasure_days, erasure_requests, metrics
from learning_pipelines.storage.archive import EXECUTIONS, TABLES, Entry
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.erasure_archives import Ledger
from learning_pipelines.storage.store import Store

Step = Callable[[str], object]
_UNTOUCHED = "Nothing of the archive was changed, and the erasure goes on where it stopped when it runs again."


def rewrite(store: Store, person: Person, touched: Touched, step: Step = lambda name: None) -> None:
    """Writes every archived file that holds the person's rows anew, month after month; whoever calls holds the archive's lock.

    May be repeated: what was rewritten before holds nothing of the person. In the transaction that registers a month's files, `touched` is put into the
    erasure's row, so that a run that was cut off forgets nothing it did. Gathering comes after this: ids and words of archived rows are kept in
    erased_archive_rows. `step` is told the name of each step after it was done.

    Raises LearningError: a file of the organization is damaged, named before anything was changed. Unavailable: a month is half archived.
    """
    artifacts = store.settings.artifacts
    with store.pipeline() as connection:
        for entry in storage.attempts(connection, person.organization_id):
            rewriting.remove(artifacts, [entry.path, files.manifest_path(entry.path)])
            storage.forget(connection, entry)
        ledgers = storage.months(connection, person.organization_id)
        entries = [entry for ledger in ledgers for entry in ledger.entries.values()]
        rewriting.mend(artifacts, person.organization, entries)
        step("mended")
        _check(artifacts, ledgers)
        gone = Gone(person.user_id, _executions(connection, person, artifacts, entries))
        for ledger in ledgers:
            found = {entry.table: rewriting.meant(artifacts, entry, gone) for entry in ledger.entries.values()}
            if any(one.rows for one in found.values()):
                _month(store, connection, person, touched, ledger, found, gone, step)


def _check(artifacts: str, ledgers: Sequence[Ledger]) -> None:
    if halfway := [f"{one.month:%Y-%m}" for one in ledgers if one.halfway]:
        raise Unavailable(f"{', '.join(halfway)} is half archived: some rows are in files, some in the database.", "Run the clean-up; then erase again.")
    wrong = [
        f"{entry.path}: {said}" for ledger in ledgers for entry in ledger.entries.values() if (said := files.bytes_are(artifacts, entry.path, entry.sha256))
    ]
    if wrong:
        raise LearningError(
            f"Archived files are damaged, and may hold rows of the person: {'; '.join(wrong[:5])}.", f"Restore them from a backup. {_UNTOUCHED}"
        )


def _executions(connection: Connection, person: Person, artifacts: str, entries: Iterable[Entry]) -> set[str]:
    """The person's executions, archived or not, with those that agents ran for them without naming anybody, and for these."""
    mine = set(storage.executions_of(connection, person.organization_id, person.user_id, person.erasure_id))
    children: dict[str, list[str]] = {}
    for entry in entries:
        if entry.table == EXECUTIONS:
            for identity, user, parent in rewriting.kin(artifacts, entry):
                if user == str(person.user_id):
                    mine.add(identity)
                elif user is None and parent is not None:
                    children.setdefault(parent, []).append(identity)
    new = mine
    while new:
        found = {child for one in new for child in children.get(one, [])} | set(storage.children_of(connection, person.organization_id, sorted(new)))
        new = found - mine
        mine = mine | new
    return mine


def _month(store: Store, connection: Connection, person: Person, touched: Touched, ledger: Ledger, found: dict[str, Meant], gone: Gone, step: Step) -> None:
    artifacts = store.settings.artifacts
    old = [ledger.entries[table] for table in TABLES if table in found and found[table].rows]
    new: list[Entry] = []
    with connection.transaction():
        storage.stage(connection)
        taken: list[Any] = []
        for entry in old:
            goes: list[Any] = []
            if found[entry.table].rows < entry.rows:
                new.append(rewriting.without(artifacts, entry, gone, store.settings.zone, goes.append))
            else:
                goes += [rows for _, rows in rewriting.parts(artifacts, entry, gone)]
            taken += [row for rows in goes for row in _taken(rows, entry)]
        storage.copy_taken(connection, taken)
        agents = frozenset[str]().union(*(one.agents for one in found.values()))
        for table, entry in ledger.entries.items():
            storage.copy_kept(connection, person.organization_id, table, _kept(artifacts, entry, gone if entry in old else None, agents))
        step("written")
        zone = str(old[0].manifest.get("timezone", store.settings.timezone))
        days = storage.settle(connection, person.organization_id, person.erasure_id, person.user_id, old, new, zone)
        for agent, changed in days.items():
            for part in stretches(changed, QUERIES, WORTH_A_QUERY):
                metrics.compute_days(connection, part.first, part.last, store.settings.timezone, [agent])
        erasure_days.tell(connection, person.organization_id, days, store.settings.timezone)
        lost = [entry.path for entry in old if entry.path not in {one.path for one in new}]
        for table, one in found.items():
            touched.rows[f"{table} (archived)"] += one.rows
        touched.archives += [entry.path for entry in new]
        touched.files += [path for one in lost for path in (one, files.manifest_path(one))]
        erasure_requests.remember(connection, person.erasure_id, touched.as_json())
    step("registered")
    for entry in new:
        rewriting.publish(artifacts, entry)
    rewriting.remove(artifacts, [path.rpartition("/")[0] for path in lost])
    step("published")


def _taken(rows: Any, entry: Entry) -> Iterator[tuple[Any, ...]]:
    """Rows that go, as the database keeps them until the erasure ends (storage.TAKEN)."""
    executions = entry.table == EXECUTIONS
    names = ("id", "id" if executions else "execution_id", "agent_id", "user_id", "session_id" if executions else None, "created_at")
    columns = [[None] * rows.num_rows if name is None else rows.column(name).to_pylist() for name in names]
    pending = [False] * rows.num_rows if executions else rows.column("pending_execution").to_pylist()
    for *row, texts, waits in zip(*columns, rewriting.words(rows, entry.table), pending, strict=True):
        yield (entry.table, *row, texts, waits, entry.month)


def _kept(artifacts: str, entry: Entry, gone: Gone | None, agents: frozenset[str]) -> Iterator[tuple[Any, ...]]:
    """What the sums of these agents are made from, of the rows that stay (storage.COUNTED)."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for stays, _ in rewriting.parts(artifacts, entry, gone):
        counted = stays.filter(pc.is_in(stays.column("agent_id"), value_set=pa.array(sorted(agents), pa.string()))).select(storage.COUNTED[entry.table])
        yield from zip(*(column.to_pylist() for column in counted.columns), strict=True)
