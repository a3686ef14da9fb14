"""Asking for the erasure of a person.

Belongs here: who is meant, joining what is under way. Not here: doing it (engine.py), SQL (storage/erasure_requests.py).
"""

from __future__ import annotations

from uuid import UUID

from learning_pipelines.feedback.identity import fingerprint
from learning_pipelines.storage import audit, erasure_requests
from learning_pipelines.storage.database import Connection


def request(connection: Connection, organization_id: UUID, name: str, *, actor: str, requested_by: str) -> UUID | None:
    """Asks, in one transaction, for the erasure of the user with this external id or uuid; returns the erasure's id, None if there is no such user.

    Who is being erased already is not asked for again: the id is that of the erasure under way. `actor` goes into the audit log, `requested_by`
    (a role, never a name) into the certificate.
    """
    with connection.transaction():
        found = erasure_requests.find_user(connection, organization_id, name)
        if found is None:
            return None
        user, external_id = found
        erasure, new = erasure_requests.request(connection, organization_id, user, external_id, fingerprint(organization_id, external_id), requested_by)
        if new:
            audit.record(connection, organization_id, actor=actor, action="requested", kind="erasure", subject=str(erasure))
        return erasure
