"""An agent's training dataset: approved examples, each with its permanent split, as an immutable version named by its content.

Belongs here: what goes into a version. Not here: what a version is (versions.py), finding duplicates, choosing splits, SQL.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from learning_pipelines.examples.clusters import OpenEncoder, refresh_clusters
from learning_pipelines.examples.duplicates import LISTED_CLUSTER
from learning_pipelines.examples.similarity import DuplicateRule, links_among
from learning_pipelines.examples.splits import SPLITS, Item, SplitPlan, assign_splits
from learning_pipelines.examples.versions import make_version
from learning_pipelines.storage import datasets as storage
from learning_pipelines.storage import duplicates, outbox, reviewed
from learning_pipelines.storage.database import Connection, database_errors
from learning_pipelines.storage.tenants import AgentRef


@dataclass(frozen=True)
class DatasetVersion:
    """The version that stands after a refresh. `version` is None while the agent has no approved example; `is_new` says whether it was made now."""

    version: int | None
    is_new: bool
    examples: int
    splits: dict[str, int]
    types: dict[str, int]
    left_out: dict[str, int]
    same_content: int
    content_hash: str
    plan: SplitPlan
    pairs: dict[str, int]
    statistics: dict[str, Any]


def refresh_dataset(
    connection: Connection, agent: AgentRef, *, rule: DuplicateRule, shares: tuple[float, float, float], open_encoder: OpenEncoder | None = None
) -> DatasetVersion:
    """Brings the near-duplicates up to date, assigns splits to newcomers and stores a new version if the content changed.

    Running it again changes nothing. The encoder is opened only if the rule has a cosine and there is an input that was not searched yet.
    """
    refresh_clusters(connection, agent, rule, open_encoder)
    with database_errors(f"building the dataset of {agent.partition}"):
        outbox.adopt_foreign_entries(connection)
    with database_errors(f"building the dataset of {agent.partition}"), connection.transaction():
        storage.lock_datasets(connection, agent)
        reviews = reviewed.newest_review(connection, agent)  # before anything is read: what it is about is read after it
        rows = [row for row in storage.approved_examples(connection, agent) if row["searched"]]
        plan = _plan(connection, agent, rows, rule, shares)
        storage.store_splits(connection, agent, [(decision.id, decision.split, decision.reason) for decision in plan.assignments])
        decided = {decision.id: decision.split for decision in plan.assignments}
        kept, same_content = _kept(rows, decided)
        recipe = {"jaccard": rule.jaccard, "cosine": rule.cosine, "shares": list(shares), "filter": "approved, active", "stratified_by": "example_type"}
        made = make_version(connection, agent, kept, recipe)
        reviewed.taken_up(connection, agent, reviews)
        missing = storage.left_out(connection, agent)
    return DatasetVersion(
        version=made.version, is_new=made.is_new, examples=len(kept), splits={name: sum(row["split"] == name for row in kept) for name in SPLITS},
        types=dict(Counter(row["example_type"] for row in kept)), left_out=missing, same_content=same_content, content_hash=made.content_hash.hex(), plan=plan,
        pairs=made.pairs, statistics=made.statistics,
    )  # fmt: skip


def _plan(connection: Connection, agent: AgentRef, rows: Sequence[dict[str, Any]], rule: DuplicateRule, shares: tuple[float, float, float]) -> SplitPlan:
    items = [Item(row["id"], tuple(row["people"]), row["split"], row["decided"] and row["split"] is None, row["example_type"]) for row in rows]
    links = duplicates.approved_links(connection, agent)
    families: list[tuple[str, ...]] = []
    conducting = {item.id for item in items if not item.left_out}
    for size, members in duplicates.large_clusters(connection, agent):
        texts = {name: text for name, text in members if name in conducting}
        if len(texts) == size > LISTED_CLUSTER:
            families.append(tuple(texts))
        elif len(texts) > 1:
            # What is not approved, or was left out, conducts no links: it must not tie two kept examples together.
            encoder = duplicates.encoder_used(connection, agent)
            vectors = duplicates.vectors_of(connection, agent, encoder, list(texts)) if encoder else {}
            found = links_among(texts, vectors, rule)
            links += [(first, second) for first, second, _ in found.links]
            families += found.families
    return assign_splits(items, links, families=families, shares=shares)


def _kept(rows: Sequence[dict[str, Any]], decided: Mapping[str, str | None]) -> tuple[list[dict[str, Any]], int]:
    """Rows with a split, one per content (the oldest), and how many repeated another one's content."""
    kept: dict[bytes, dict[str, Any]] = {}
    repeated = 0
    for row in rows:
        split = decided.get(row["id"], row["split"])
        if split is None:
            continue
        content = bytes(row["content_hash"])
        repeated += content in kept
        kept.setdefault(content, {**row, "split": split})
    return sorted(kept.values(), key=lambda row: str(row["id"])), repeated
