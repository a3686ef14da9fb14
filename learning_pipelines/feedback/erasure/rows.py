"""What a person said and what agents did for them: deleted, and what was counted of it counted again.

Belongs here: the order of deletions. Not here: what was learnt of it (learnt.py), SQL (storage/erasure_*.py).
"""

from __future__ import annotations

from learning_pipelines.feedback.archive.returning import bring_back_these
from learning_pipelines.feedback.erasure.person import Person
from learning_pipelines.feedback.erasure.touched import Touched
from learning_pipelines.feedback.statistics import QUERIES, WORTH_A_QUERY, stretches
from learning_pipelines.storage import erasure_days, erasure_retrieval, erasure_reviews, erasure_rows, metrics, prompt_runs
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.store import Store
from learning_pipelines.storage.tenants import AgentRef

"""Runs of days that are computed together, per agent: long gaps are left out."""


def erase(connection: Connection, store: Store, person: Person, touched: Touched) -> None:
    """Erases within the running transaction; the tables erased_* are filled, and what was learnt is without the person already."""
    zone = store.settings.timezone
    days = erasure_days.days(connection, person.organization_id, zone)
    forgotten = erasure_days.forget_agreement(connection, person.organization_id, zone)
    touched.rows += erasure_retrieval.delete(connection, person.organization_id, person.organization, person.user_id)
    renamed = erasure_rows.rename_units(connection, person.organization_id, person.name)
    touched.rows += renamed
    touched.rows += erasure_reviews.delete(connection, person.organization_id, person.user_id)
    touched.rows += erasure_rows.delete(connection, person.organization_id, person.user_id, person.erasure_id, person.name)
    erasure_rows.take_up_again(connection, person.organization_id)
    stored = erasure_rows.stored_again(connection)
    if stored:  # archived rows of others that examples were made of which the person is a source of, too
        bring_back_these(store, connection, person.organization_id, person.organization, stored)
    counted = 0
    for agent_id, changed in days.items():
        for part in stretches(changed, QUERIES, WORTH_A_QUERY):
            counted += metrics.compute_days(connection, part.first, part.last, zone, [agent_id])
    erasure_days.tell(connection, person.organization_id, days, zone)
    for window in erasure_days.windows(connection, person.organization_id, list(days)):
        agent = AgentRef(person.organization_id, person.organization, window.agent_id, window.agent)
        prompt_runs.compute_performance(connection, agent, window.first, window.last, zone)
    if forgotten:
        touched.rows["annotation_agreement"] += forgotten
    if counted:
        touched.kept.append("Sums of days and versions, counted again without the person.")
    if renamed:
        touched.kept.append("Values that experiments have counted, under names that stand for nobody: tests that looked at them stay true.")
