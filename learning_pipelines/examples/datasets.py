"""An agent's training dataset: approved examples, each with its permanent split, as an immutable version named by its content.

Belongs here: what goes into a version. Not here: what a version is (versions.py), finding duplicates, choosing splits, SQL.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from learning_pipelines.examples.duplicates import duplicate_links
from learning_pipelines.examples.splits import SPLITS, Item, SplitPlan, assign_splits
from learning_pipelines.examples.versions import make_version
from learning_pipelines.storage import datasets as storage
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
    connection: Connection, agent: AgentRef, *, jaccard: float, shares: tuple[float, float, float]
) -> DatasetVersion:
    """Assigns splits to newcomers and stores a new version if the content changed. One transaction; running it again changes nothing."""
    with database_errors(f"building the dataset of {agent.partition}"), connection.transaction():
        storage.lock_datasets(connection, agent)
        rows = storage.approved_examples(connection, agent)
        plan = _plan(rows, jaccard, shares)
        storage.store_splits(connection, agent, [(decision.id, decision.split, decision.reason) for decision in plan.assignments])
        decided = {decision.id: decision.split for decision in plan.assignments}
        kept, same_content = _kept(rows, decided)
        recipe = {"jaccard": jaccard, "shares": list(shares), "filter": "approved, active", "stratified_by": "example_type"}
        made = make_version(connection, agent, kept, recipe)
        missing = storage.left_out(connection, agent)
    return DatasetVersion(
        version=made.version, is_new=made.is_new, examples=len(kept), splits={name: sum(row["split"] == name for row in kept) for name in SPLITS},
        types=dict(Counter(row["example_type"] for row in kept)), left_out=missing, same_content=same_content, content_hash=made.content_hash.hex(), plan=plan,
        pairs=made.pairs, statistics=made.statistics,
    )  # fmt: skip


def _plan(rows: Sequence[dict[str, Any]], jaccard: float, shares: tuple[float, float, float]) -> SplitPlan:
    items = [Item(row["id"], tuple(row["people"]), row["split"], row["decided"] and row["split"] is None, row["example_type"]) for row in rows]
    # What was left out conducts no links: its text must not tie two kept examples together.
    texts = [(row["id"], row["input_text"]) for row, item in zip(rows, items, strict=True) if not item.left_out]
    found = duplicate_links(texts, threshold=jaccard)
    return assign_splits(items, [(first, second) for first, second, _ in found.links], families=found.families, shares=shares)


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
