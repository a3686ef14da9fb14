"""What was learnt from a person: made anew without them, or put out of use.

Belongs here: examples, datasets, prompts, indexes, behavior, caches, reports. Not here: what people said (rows.py), SQL (storage/erasure_*.py).
"""

from __future__ import annotations

from learning_pipelines.feedback.erasure.person import Person
from learning_pipelines.feedback.erasure.touched import Touched
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.store import Store


def erase(connection: Connection, store: Store, person: Person, touched: Touched) -> None:
    """Erases within the running transaction; the tables erased_* are filled, and the rows they name are still there."""
