"""A person whom an agent learnt from, and the step of an erasure that takes them out of what was learnt.

Belongs here: what tests of learnt things share. Not here: assertions, the whole erasure (test_proof.py).
"""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

from learning_pipelines.feedback.erasure import gathering, learnt
from learning_pipelines.feedback.erasure.person import Person
from learning_pipelines.feedback.erasure.touched import Touched
from learning_pipelines.settings import Settings
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.store import Store

NAME = "ada@example.org"


def person_of(connection: Connection, name: str = NAME) -> Person:
    """An erasure of theirs is under way."""
    row = connection.execute("SELECT u.organization_id, u.id FROM users u WHERE u.external_id = %s", [name]).fetchone()
    assert row is not None
    erasure = connection.execute(
        """INSERT INTO erasures (organization_id, state, user_id, external_id, tombstone, fingerprint, requested_by)
        VALUES (%s, 'erasing', %s, %s, 'erased-1', sha256(convert_to(%s, 'UTF8')), 'operator') RETURNING id""",
        [row[0], row[1], name, name],
    ).fetchone()
    assert erasure is not None
    return Person(row[0], "default", row[1], name, "erased-1", UUID(str(erasure[0])))


def erase(connection: Connection, home: Path, name: str = NAME) -> Touched:
    """Gathers, and erases what was learnt; nothing else."""
    person, touched = person_of(connection, name), Touched()
    with connection.transaction():
        gathering.gather(connection, Store(Settings(home=home)), person)
        learnt.erase(connection, Store(Settings(home=home)), person, touched)
    connection.execute("UPDATE erasures SET state = 'done', user_id = NULL, external_id = NULL, certificate = '{}' WHERE id = %s", [person.erasure_id])
    return touched
