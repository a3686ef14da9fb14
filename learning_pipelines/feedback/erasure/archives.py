"""Archived months without a person: their files written anew.

Belongs here: which files, the order of writing, checking, registering. Not here: SQL (storage/erasure_archives.py), Parquet (feedback/archive/).
"""

from __future__ import annotations

from learning_pipelines.feedback.erasure.person import Person
from learning_pipelines.feedback.erasure.touched import Touched
from learning_pipelines.storage.store import Store


def rewrite(store: Store, person: Person, touched: Touched) -> None:
    """Writes every archived file that holds the person's rows anew, one after the other; whoever calls holds the archive's lock.

    May be repeated: what was rewritten before holds nothing of the person. In the transaction that registers a file, `touched` is put into the
    erasure's row (storage.erasure_requests.remember), so that a run that was cut off forgets nothing it did. Gathering comes after this: ids of
    archived rows that it needs are kept in the database by the transaction that registers the file without them.
    """
