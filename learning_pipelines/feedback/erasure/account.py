"""The account of a person: keys deleted, what they did as an operator kept under another name.

Belongs here: the order. Not here: SQL (storage/erasure_account.py), Dagster's runs (storage/erasure_runs.py).
"""

from __future__ import annotations

from learning_pipelines.feedback.erasure.person import Person
from learning_pipelines.feedback.erasure.touched import Touched
from learning_pipelines.feedback.identity import user_id
from learning_pipelines.storage import erasure_account
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.store import Store


def erase(connection: Connection, store: Store, person: Person, touched: Touched) -> None:
    """Erases within the running transaction, as its last step: ids follow from names, so the id goes with the name.

    Whoever comes later under the same name is a new person: their row is made anew once this transaction ended.
    """
    organization, new_id = person.organization_id, user_id(person.organization_id, person.tombstone)
    keys = erasure_account.delete_keys(connection, organization, person.user_id, person.name)
    touched.rows["api_keys"] += len(keys)
    touched.rows += erasure_account.rename_subjects(connection, organization, person.user_id, person.name, person.tombstone, new_id)
    touched.rows += erasure_account.rename_actor(connection, organization, person.name, person.tombstone, keys)
    renamed = erasure_account.rename(connection, organization, person.user_id, person.tombstone, new_id)
    touched.rows += renamed
    if deeds := sorted(table for table, count in renamed.items() if count and table != "users"):
        touched.kept.append(f"What the person did as an operator stays, under the name {person.tombstone}: {', '.join(deeds)}.")
