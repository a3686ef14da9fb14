"""The steps of an erasure, in an order in which each may be repeated: whatever is cut off between any two is ended by the next run.

Belongs here: the order, what is kept between the steps. Not here: what the steps do (archives, gathering, learnt, rows, account, files).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any
from uuid import UUID

from learning_pipelines.errors import BadInput
from learning_pipelines.feedback.erasure import account, archives, certificate, files, gathering, learnt, rows
from learning_pipelines.feedback.erasure.person import Person
from learning_pipelines.feedback.erasure.touched import Touched
from learning_pipelines.storage import erasure_remaining, erasure_runs
from learning_pipelines.storage import erasure_requests as requests
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.erasure_requests import Erasure
from learning_pipelines.storage.store import Store

Step = Callable[[str], object]


def erase(store: Store, erasure_id: UUID, say: Callable[[str], None] = lambda text: None, step: Step = lambda name: None) -> dict[str, Any]:
    """Does what is left to do of an erasure and returns its certificate; of one that is done, the certificate it has.

    Waits while another process works on this or another erasure, or archives. `step` is told the name of each step after it was done.
    Raises BadInput for an unknown id; LearningError where a step cannot be done: what was done before is kept, and the next run goes on there.
    """
    with store.pipeline() as connection:
        if requests.read(connection, erasure_id) is None:
            raise BadInput(f"There is no erasure {erasure_id}.", "Ask for one: `learning-pipelines erase --user USER`.")
        with requests.alone(connection, erasure_id, say):
            erasure = _read(connection, erasure_id)
            if erasure.certificate is not None:
                return erasure.certificate
            requests.started(connection, erasure_id)
            step("started")
            if erasure.rows_gone_at is None:
                erasure = _erase_rows(store, connection, erasure, say, step)
            return _end(store, connection, erasure, say, step)


def _read(connection: Connection, erasure_id: UUID) -> Erasure:
    erasure = requests.read(connection, erasure_id)
    assert erasure is not None  # rows of this table are never deleted
    return erasure


def person_of(erasure: Erasure) -> Person:
    """Whom an erasure that is under way is about."""
    assert erasure.user_id is not None and erasure.name is not None
    return Person(erasure.organization_id, erasure.organization, erasure.user_id, erasure.name, erasure.tombstone, erasure.id)


def _erase_rows(store: Store, connection: Connection, erasure: Erasure, say: Callable[[str], None], step: Step) -> Erasure:
    person, touched = person_of(erasure), Touched.of(erasure.touched)
    say("Archived files …")
    archives.rewrite(store, person, touched)
    requests.remember(connection, erasure.id, touched.as_json())
    step("archives")
    say("Rows, and what was learnt from them …")
    kept = touched.as_json()
    requests.wholly(connection, lambda: _in_one_transaction(store, connection, person, Touched.of(kept)))
    step("rows")
    return _read(connection, erasure.id)


def _in_one_transaction(store: Store, connection: Connection, person: Person, touched: Touched) -> None:
    gathering.gather(connection, store, person)
    learnt.erase(connection, store, person, touched)
    rows.erase(connection, store, person, touched)
    account.erase(connection, store, person, touched)
    touched.remaining = erasure_remaining.remaining(connection, person.organization_id, person.user_id, person.name)
    requests.rows_gone(connection, person.erasure_id, touched.as_json(), touched.files)


def _end(store: Store, connection: Connection, erasure: Erasure, say: Callable[[str], None], step: Step) -> dict[str, Any]:
    person, touched = person_of(erasure), Touched.of(erasure.touched)
    say("Files, and runs of Dagster …")
    files.delete_here(store.settings.home, touched.here)
    deleted = files.delete(store.settings.artifacts, erasure.files)
    step("files")
    touched.rows["runs"] += erasure_runs.rename(store.database, person.name, person.tombstone)
    step("runs")
    now = dt.datetime.now(dt.UTC)
    document = certificate.make(erasure, touched, deleted, now)
    certificate.write(store.settings.artifacts, document)
    step("certificate")
    requests.finished(connection, erasure.id, document, now)
    step("done")
    return document
