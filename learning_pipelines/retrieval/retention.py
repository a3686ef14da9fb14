"""Old index versions, and the artifacts that no version names: deleted by the weekly clean-up.

Belongs here: the order in which things go, looking through the artifact store. Not here: which versions are needed (storage/index_retention.py).

Rows go first and files after: a clean-up that is killed between them leaves files that the next one finds, never a version without its files.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field, replace

from learning_pipelines.retrieval import artifacts
from learning_pipelines.retrieval.index import Artifact
from learning_pipelines.settings import Settings
from learning_pipelines.storage import index_retention, tenants
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.index_retention import Pruned

GRACE = dt.timedelta(days=7)
"""Longer than any training: what is younger may belong to one that runs."""


@dataclass(frozen=True, slots=True)
class CleanedUp:
    """How many versions, encoders, edits and artifacts were deleted."""

    pruned: Pruned = field(default_factory=Pruned)
    artifacts: int = 0


def prune(connection: Connection, settings: Settings, grace: dt.timedelta = GRACE) -> CleanedUp:
    """Deletes what no organization needs any more. Raises Unavailable if the artifact store does not answer; rows are tidy then."""
    total, files, kept = Pruned(), 0, set[str]()
    agents = tenants.agents(connection)
    for organization_id in index_retention.organizations(connection):
        own = [agent for agent in agents if agent.organization_id == organization_id]
        versions = sum(index_retention.prune_versions(connection, agent, settings.index_versions_kept, grace) for agent in own)
        unnamed = index_retention.prune_unnamed(connection, organization_id, grace)
        total = replace(
            total, versions=total.versions + versions, encoders=total.encoders + unnamed.encoders, edits=total.edits + unnamed.edits
        )  # fmt: skip
        named = index_retention.named_artifacts(connection, organization_id)
        files += sum(_sweep(settings, agent, named, grace) for agent in own)
        kept |= named
    artifacts.forget(settings, kept, dt.datetime.now(dt.UTC) - grace)
    return CleanedUp(total, files)


def _sweep(settings: Settings, agent: tenants.AgentRef, named: set[str], grace: dt.timedelta) -> int:
    before, deleted = dt.datetime.now(dt.UTC) - grace, 0
    for path, modified in artifacts.stored(settings, agent):
        if path not in named and modified < before:
            artifacts.delete(settings, Artifact(path, ""))
            deleted += 1
    return deleted

