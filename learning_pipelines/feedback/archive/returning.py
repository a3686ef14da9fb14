"""Bringing executions back from the archive when something is said about them afterwards.

Belongs here: from what is wanted to the files that hold it. Not here: SQL (storage/archive_returns.py), reading a file (files.py).

A change of mind about an archived execution supersedes what the same person said then, makes or withdraws an example, and changes the day it counts on.
All of that is decided by rows; so the rows come back, few as they are, and are archived again a retention later.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from uuid import UUID

from learning_pipelines.errors import LearningError
from learning_pipelines.feedback.archive import files
from learning_pipelines.settings import Settings
from learning_pipelines.storage import archive, archive_returns
from learning_pipelines.storage.archive import EXECUTIONS, FEEDBACK, Entry
from learning_pipelines.storage.archive_returns import Wanted
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.store import Store

log = logging.getLogger(__name__)


@dataclass
class Returned:
    """How many executions and rows came back, what could not be read, and whether a month on its way has to be archived first."""

    executions: int = 0
    rows: int = 0
    problems: list[str] = field(default_factory=list)
    waiting: bool = False


def bring_back(store: Store, connection: Connection) -> Returned:
    """Brings back what new feedback is about. Nothing to do while nothing was archived, and left to the other where somebody holds the archive's lock.

    A file that cannot be read holds up its own executions only: they are tried again at the next call.
    """
    done = Returned()
    horizon = archive.horizon(connection)
    if horizon is None or not archive.begin(connection):
        return done
    try:
        wanted, position = archive_returns.wanted(connection, horizon)
        # Of a month on its way half the rows are in the files, half in the database: whoever archives it ends that first, and then brings back.
        halfway = {month.first for month in archive.months(connection) if set(month.state.values()) != {"detached"}}
        for organization_id, those in groupby(wanted, key=lambda one: one.organization_id):
            _of_organization(store.settings, connection, organization_id, list(those), halfway, done)
        if not done.problems and not done.waiting:
            archive_returns.advance(connection, position)
    finally:
        archive.end(connection)
    for problem in done.problems:
        log.warning("not brought back from the archive: %s", problem)
    return done


def bring_back_these(store: Store, connection: Connection, organization_id: UUID, organization: str, executions: Sequence[str]) -> Returned:
    """Brings these executions of an organization back, as far as they are archived, within the running transaction of the caller, who holds the archive's
    lock. Raises LearningError: a file that should hold them cannot be read."""
    done = Returned()
    wanted = archive_returns.wanted_of(connection, organization_id, organization, executions)
    if wanted:
        _of_organization(store.settings, connection, organization_id, wanted, (), done)
    if done.problems:
        raise LearningError(done.problems[0], "Nothing was brought back.")
    return done


def _of_organization(
    settings: Settings, connection: Connection, organization_id: UUID, wanted: list[Wanted], halfway: Collection[dt.date], done: Returned
) -> None:
    left = {one.execution_id: one.received_at for one in wanted}
    by_month: dict[dt.date, dict[str, Entry]] = defaultdict(dict)
    for entry in archive.entries(connection, organization_id):
        by_month[entry.month][entry.table] = entry
    for month in sorted(by_month):
        here = [execution for execution, received in left.items() if received.date().replace(day=1) <= month]
        entries = by_month[month]
        if here and month in halfway:
            done.waiting = True
            return
        if not here or EXECUTIONS not in entries:
            continue
        try:
            if said := next(filter(None, (files.bytes_are(settings.artifacts, one.path, one.sha256) for one in entries.values())), None):
                raise LearningError(f"An archived file of {month:%Y-%m} of {wanted[0].organization} is damaged: {said}.", "Restore it from a backup.")
            executions = files.rows(settings.artifacts, entries[EXECUTIONS], "id", here)
            # What came back out of this month before lies in a later one since.
            gone = archive_returns.returned(connection, organization_id, here)
            executions = [row for row in executions if (row[0], month) not in gone]
            found = [str(row[0]) for row in executions]
            feedback = files.rows(settings.artifacts, entries[FEEDBACK], "execution_id", found) if found and FEEDBACK in entries else []
        except LearningError as error:
            done.problems.append(str(error))
            continue  # an execution lies in one month only: what another month holds does not wait for this one
        if executions:
            zone = str(entries[EXECUTIONS].manifest.get("timezone", settings.timezone))
            done.rows += archive_returns.put_back(connection, organization_id, month, zone, executions, feedback)
            done.executions += len(executions)
        for execution in found:
            left.pop(execution)
