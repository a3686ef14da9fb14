"""What a person said and what agents did for them: deleted, and what was counted of it counted again.

Belongs here: the order of deletions. Not here: what was learnt of it (learnt.py), SQL (storage/erasure_*.py).
"""

from __future__ import annotations

from learning_pipelines.feedback.erasure.person import Person
from learning_pipelines.feedback.erasure.touched import Touched
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.store import Store


def erase(connection: Connection, store: Store, person: Person, touched: Touched) -> None:
    """Erases within the running transaction; the tables erased_* are filled, and what was learnt is without the person already."""
