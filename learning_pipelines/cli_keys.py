"""`learning-pipelines keys …`: API keys of an organization.

Belongs here: the three verbs. Not here: what keys may do (api/), their table (storage/api_keys.py).
"""

from __future__ import annotations

import time
from uuid import UUID

import click

from learning_pipelines.cli_output import Output, organization_option, verb
from learning_pipelines.cli_store import opened
from learning_pipelines.errors import BadInput
from learning_pipelines.settings import load_settings


@click.group()
def keys() -> None:
    """Make, list and revoke API keys of the feedback service."""


@keys.command("create")
@click.option("--role", required=True, metavar="ROLE", help="user, expert, trainer, experimenter or admin.")
@click.option("--user", metavar="USER", help="The key acts for this user only (default: for the user that each request names).")
@organization_option
@verb
def create(role: str, user: str | None, organization: str | None, output: Output) -> None:
    """Make a key and show it, this once. The organization is made if it is new."""
    from learning_pipelines.api.keys import ROLES, new_key
    from learning_pipelines.feedback.identity import organization_id, user_id
    from learning_pipelines.storage import api_keys, tenants
    from learning_pipelines.storage.installation import ready_store

    if role not in ROLES:
        raise BadInput(f"{role!r} is not a role.", f"Roles: {', '.join(ROLES)}.")
    if user is not None and (not 1 <= len(user) <= 255 or "\x00" in user):
        raise BadInput("A user has 1 to 255 characters.", "Name the user as your application does.")
    slug = organization or tenants.DEFAULT
    tenant = organization_id(slug)
    key, hashed = new_key(slug)
    with ready_store(load_settings()).pipeline() as connection:
        tenants.ensure_organization(connection, tenant, slug)
        identity = api_keys.create(connection, tenant, hashed, role, user, user_id)
    output.answer({"key_id": str(identity), "key": key}, lambda: [f"Key {identity} of {slug} (role {role}), shown this once:", key])


@keys.command("list")
@organization_option
@verb
def list_keys(organization: str | None, output: Output) -> None:
    """List the keys of an organization, without their secrets."""
    from learning_pipelines.storage import api_keys

    with opened(organization) as at:
        found = api_keys.listed(at.connection, at.tenant)

    def lines() -> list[str]:
        shown = [f"{one['key_id']}  {one['role']:12}  {one['user'] or '–':20}  {_state(one['revoked_at'], one['last_used_at'])}" for one in found]
        return shown or [f"{at.slug} has no key: `learning-pipelines keys create --role user` makes one."]

    output.answer({"keys": found}, lines)


def _state(revoked: object, used: object) -> str:
    return f"revoked {revoked:%Y-%m-%d %H:%M}" if revoked else f"last used {used:%Y-%m-%d %H:%M}" if used else "never used"


@keys.command("revoke")
@click.argument("key_id", metavar="ID")
@organization_option
@verb
def revoke(key_id: str, organization: str | None, output: Output) -> None:
    """Revoke a key. When this returns, no service accepts it any more."""
    from learning_pipelines.api.keys import BELIEVED_SECONDS
    from learning_pipelines.storage import api_keys

    try:
        identity = UUID(key_id)
    except ValueError:
        raise BadInput(f"{key_id!r} is not a key's id.", "`learning-pipelines keys list` shows them.") from None
    with opened(organization) as at:
        revoked = api_keys.revoke(at.connection, at.tenant, identity)
    if revoked is None:
        raise BadInput(f"{at.slug} has no key {key_id}.", "`learning-pipelines keys list` shows them.")
    time.sleep(BELIEVED_SECONDS + 0.1)  # services believe what they looked up for so long
    said = f"Key {key_id} is revoked." if revoked else f"Key {key_id} was revoked already."
    output.answer({"key_id": key_id, "revoked": True, "changed": revoked}, lambda: [said])
