"""What the weekly clean-up and `learning-pipelines prune` do to the data: the same, in the same order; dagster is not imported.

Belongs here: the order, and what was touched by table. Not here: how each is done (feedback/archive/, retrieval/retention.py, storage/), Dagster's own runs.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import Any

from learning_pipelines.examples import export_retention
from learning_pipelines.feedback.archive import checking
from learning_pipelines.feedback.archive.archiving import Archived, archive
from learning_pipelines.retrieval import retention
from learning_pipelines.storage import (
    dataset_states,
    ended_sessions,
    incidents,
    index_retention,
    llm_cache,
    outbox_pruning,
    peers,
    prompt_retention,
    tenants,
    version_retention,
)
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.migrate import make_partitions
from learning_pipelines.storage.store import Store


@dataclass
class Tidied:
    """`touched`: rows by table that went (into the archive, or away). `wrong`: archived files that are not as they were written, in words."""

    touched: dict[str, int]
    archived: Archived
    partitions: int = 0
    artifacts: int = 0
    checked: int = 0
    wrong: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """What the verb prints."""
        return {
            "touched": self.touched, "archived": {"months": self.archived.months, "files": self.archived.files, "bytes": self.archived.bytes},
            "waiting": self.archived.waiting, "partitions_made": self.partitions, "artifacts_deleted": self.artifacts, "wrong": self.wrong,
        }  # fmt: skip


def tidy(store: Store) -> Tidied:
    """Tidies. The archive comes last: what cannot be archived today keeps nothing else from being tidied. Raises what archive() raises."""
    made = make_partitions(store.database)
    with store.pipeline() as connection:
        touched = _consumed(connection, store)
        # Before artifacts are looked through: what these versions name goes with them.
        _versions(connection, store, touched)
        indexes = retention.prune(connection, store.settings)
        touched["dataset_exports"] = sum(
            export_retention.prune_exports(connection, agent, store.settings.artifacts, store.settings.exports_kept) for agent in tenants.agents(connection)
        )
    pruned = indexes.pruned
    touched |= {"index_versions": pruned.versions, "encoder_versions": pruned.encoders, "chunk_edits": pruned.edits}
    archived = archive(store)
    checked = checking.check(store, most=checking.SAMPLE)
    return Tidied(touched | archived.rows, archived, made, indexes.artifacts, checked.files, checked.wrong)


def would_tidy(store: Store) -> Tidied:
    """What tidy() would touch; changes nothing. Artifacts are not counted: which nothing names follows from what was deleted."""
    with store.pipeline() as connection, connection.transaction(force_rollback=True):
        touched = _consumed(connection, store)
        _versions(connection, store, touched)
        total = dict.fromkeys(("index_versions", "encoder_versions", "chunk_edits", "dataset_exports"), 0)
        for agent in tenants.agents(connection):
            total["dataset_exports"] += export_retention.would_prune(connection, agent, store.settings.artifacts, store.settings.exports_kept)
            total["index_versions"] += index_retention.prune_versions(connection, agent, store.settings.index_versions_kept, retention.GRACE)
        for organization in index_retention.organizations(connection):
            unnamed = index_retention.prune_unnamed(connection, organization, retention.GRACE)
            total["encoder_versions"] += unnamed.encoders
            total["chunk_edits"] += unnamed.edits
    archived = archive(store, dry_run=True)
    return Tidied(touched | total | archived.rows, archived)


def _versions(connection: Connection, store: Store, touched: dict[str, int]) -> None:
    """Behaviour first: a prompt that only a version of guidance named, which goes now, goes with it."""
    settings = store.settings
    for agent in tenants.agents(connection):
        touched["behavior_versions"] += version_retention.prune_behavior(connection, agent, settings.behavior_versions_kept, retention.GRACE)
        touched["prompt_versions"] += prompt_retention.prune_prompts(connection, agent, settings.prompt_versions_kept, dt.timedelta(days=settings.history_days))


def _consumed(connection: Connection, store: Store) -> dict[str, int]:
    history = dt.timedelta(days=store.settings.history_days)
    return {
        "outbox": outbox_pruning.prune(connection, dt.timedelta(days=store.settings.outbox_retention_days)),
        "peer_spans": peers.prune(connection, dt.timedelta(days=store.settings.orphan_days)),
        "example_changes": dataset_states.prune(connection),
        "prompt_candidates": version_retention.prune_candidates(connection, history),
        "experiment_decisions": version_retention.prune_looks(connection, history),
        "ended_sessions": ended_sessions.prune(connection),
        "incidents": incidents.prune(connection, history),
        "llm_responses": llm_cache.forget_answers(connection, before=dt.datetime.now(dt.UTC) - history),
        "behavior_versions": 0,
        "prompt_versions": 0,
    }
