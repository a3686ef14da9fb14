"""The installation as verbs open it: one organization, one connection.

Belongs here: opening. Not here: what every verb shares besides (cli_output.py), verbs that open nothing or all organizations.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from learning_pipelines.settings import Settings, load_settings

if TYPE_CHECKING:
    from learning_pipelines.storage.database import Connection
    from learning_pipelines.storage.store import Store
    from learning_pipelines.storage.tenants import AgentRef


@dataclass(frozen=True, slots=True)
class Opened:
    """An organization of this installation (`tenant`: its id), with a connection that may do what the pipeline may."""

    store: Store
    connection: Connection
    slug: str
    tenant: UUID

    @property
    def settings(self) -> Settings:
        return self.store.settings

    def agent(self, name: str) -> AgentRef:
        """An agent by its name. Raises BadInput."""
        from learning_pipelines.storage.tenants import known_agent

        return known_agent(self.connection, self.slug, name)

    def agent_id(self, name: str | None) -> UUID | None:
        """The id of the agent that a list is limited to; None without one."""
        return None if name is None else self.agent(name).agent_id


@contextmanager
def opened(organization: str | None) -> Iterator[Opened]:
    """The organization (None: the default one), which must be known. Raises BadInput, or what keeps the installation from being opened."""
    from learning_pipelines.feedback.identity import organization_id
    from learning_pipelines.storage.installation import ready_store
    from learning_pipelines.storage.tenants import known_organization

    store = ready_store(load_settings())
    slug = known_organization(store, organization)
    with store.pipeline() as connection:
        yield Opened(store, connection, slug, organization_id(slug))
