"""A key to sign in to the demo's pages with, so that they can be looked at without another command.

Belongs here: making it, withdrawing the last run's. Not here: what a key may do (api/).
"""

from __future__ import annotations

from uuid import UUID

from learning_pipelines.api.keys import new_key
from learning_pipelines.feedback.identity import organization_id, user_id
from learning_pipelines.storage import api_keys
from learning_pipelines.storage.store import Store

OPERATOR = "demo-operator"


def operator_key(store: Store, organization: str) -> str:
    """A new key with the role admin for the demo's operator; those of earlier runs are revoked, and with them their browser sessions."""
    tenant = organization_id(organization)
    key, hashed = new_key(organization)
    with store.pipeline() as connection:
        for one in api_keys.listed(connection, tenant):
            if one["user"] == OPERATOR and one["revoked_at"] is None:
                api_keys.revoke(connection, tenant, UUID(one["key_id"]))
        api_keys.create(connection, tenant, hashed, "admin", OPERATOR, user_id)
    return key
