"""The account of a person: keys deleted, what they did as an operator kept under another name.

Belongs here: the order. Not here: SQL (storage/erasure_account.py).
"""

from __future__ import annotations

from learning_pipelines.feedback.erasure.person import Person
from learning_pipelines.feedback.erasure.touched import Touched
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.store import Store


def erase(connection: Connection, store: Store, person: Person, touched: Touched) -> None:
    """Erases within the running transaction, as its last step."""
