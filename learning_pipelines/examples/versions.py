"""A dataset version: sealed, named by the hash of its content, and rebuilt from its recipe to the same bytes whatever happened since.

Belongs here: making a version of chosen examples, what its hash covers, rebuilding it. Not here: choosing examples and splits (datasets.py), SQL.

What a version contains is kept, not looked up again: contents by their hash (table example_contents), members with content hash, split,
weight and scores, preference pairs, the agent's system message. So an example that was edited, withdrawn or approved later leaves
every version made before as it was. The database lets nobody but its owner change any of it from status `ready` on (migration 0012).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson

from learning_pipelines import __version__
from learning_pipelines.errors import BadInput, LearningError
from learning_pipelines.examples.pairing import refresh_pairs
from learning_pipelines.examples.system_message import system_message
from learning_pipelines.examples.weights import RULE, example_weight
from learning_pipelines.storage import preferences, staged_members, versions
from learning_pipelines.storage.database import Connection, database_errors
from learning_pipelines.storage.staged_members import Totals
from learning_pipelines.storage.tenants import AgentRef
from learning_pipelines.storage.versions import TYPES, Member, PairRow, Version

SCHEMA = 1
"""What content, members and manifest look like; bumped when their form changes. Versions of an older schema are never rewritten."""


@dataclass(frozen=True)
class Made:
    """The version that stands: `version` None while there is none, `is_new` whether it was made now; `pairs`: preference pairs by split;
    `totals`: of what was staged.
    """

    version: int | None
    is_new: bool
    content_hash: bytes
    pairs: dict[str, int]
    statistics: dict[str, Any]
    totals: Totals


@dataclass(frozen=True)
class Rebuilt:
    """A version put together again from its recipe. `content_hash` is computed from what is there, and equals the recorded one."""

    dataset: Version
    content_hash: bytes
    examples: int
    pairs: int


def make_version(connection: Connection, agent: AgentRef, rules: Mapping[str, Any]) -> Made:
    """Stores a new version of the staged members (storage/staged_members.py) if they, their pairs or the system message are not what the newest holds.

    `rules`: how they were chosen. Part of the caller's transaction, which holds the lock of the agent's datasets.
    """
    refresh_pairs(connection, agent)
    found = versions.production_prompt(connection, agent)
    prompt = None if found is None else {"version": found[0], **system_message(found[1])}
    manifest = Manifest(prompt)
    with closing(staged_members.members(connection)) as members:
        manifest.add_members(members)
    pairs = Counter[tuple[str, str]]()
    with closing(preferences.active_pairs(connection, agent)) as active:
        manifest.add_pairs(_counted(active, pairs))
    content, totals = manifest.digest(), staged_members.totals(connection)
    latest = versions.newest(connection, agent)
    by_split = {split: sum(count for (_, other), count in pairs.items() if other == split) for _, split in pairs}
    if not totals.examples or (latest is not None and latest.content_hash == content):
        return Made(None if latest is None else latest.version, False, content, by_split, {} if latest is None else latest.statistics, totals)
    number = 1 if latest is None else latest.version + 1
    recipe = {
        "schema": SCHEMA, "made_by": __version__, "examples": dict(rules), "weights": RULE, "prompt": prompt,
        "content": "example_contents by SHA-256", "members": manifest.members, "pairs": manifest.pairs,
    }  # fmt: skip
    statistics = {**staged_members.statistics(connection), "pairs": {f"{source}/{split}": count for (source, split), count in sorted(pairs.items())}}
    values = {
        **{name: totals.types.get(name, 0) for name in TYPES}, "name": agent.agent, "version": number, "total": totals.examples,
        "domains": totals.domains, "task_types": totals.task_types, "quality": totals.quality,
        "verified": 100.0 * staged_members.annotated(connection, agent) / totals.examples, "hash": content,
    }  # fmt: skip
    versions.store_version(connection, agent, {**values, "recipe": recipe, "statistics": statistics, "pairs": manifest.pairs})
    return Made(number, True, content, by_split, statistics, totals)


def rebuild(connection: Connection, agent: AgentRef, dataset_id: UUID) -> Rebuilt:
    """Puts a version together again from its recipe and proves that it is the same: every content has the hash it is filed under, every
    weight follows from the recorded scores, members, pairs and system message hash to the recorded content hash.

    Streams; what is exported of it afterwards is the same bytes. BadInput: no such version, or not sealed yet. LearningError: something
    is not what it was (contents erased with the person they came from, or the database was changed past its guards), saying what.
    """
    with database_errors(f"rebuilding a dataset of {agent.partition}"):
        dataset = versions.version_by_id(connection, agent, dataset_id)
        if dataset is None:
            raise BadInput(f"{agent.partition} has no dataset {dataset_id}.", "`learning-pipelines datasets AGENT` lists what there is.")
        if dataset.status not in ("ready", "in_use", "archived"):
            raise BadInput(f"The dataset {dataset_id} is {dataset.status}: it is not sealed yet.", "Run `learning-pipelines run dataset_refresh`.")
        require_whole(agent, dataset)
        manifest, faults = Manifest(dataset.recipe.get("prompt")), Counter[str]()
        with closing(versions.members(connection, agent, dataset_id)) as members:
            manifest.add_members(_checked(members, faults, dataset.recipe.get("weights")))
        with closing(versions.pairs(connection, agent, dataset_id)) as pairs:
            manifest.add_pairs(pairs)
    content = manifest.digest()
    if content != dataset.content_hash:
        faults["content hash differs from the recorded one"] += 1
    if faults:
        what = ", ".join(f"{name} ({count})" for name, count in sorted(faults.items()))
        raise LearningError(
            f"Version {dataset.version} of {agent.partition} is no longer what it was: {what}.",
            "Contents that a person had erased are gone for good: make a new version with `learning-pipelines run dataset_refresh`.",
        )
    return Rebuilt(dataset, content, manifest.members, manifest.pairs)


def require_whole(agent: AgentRef, dataset: Version) -> None:
    """Raises BadInput for a version that lost the rows of an erased person, naming the one that took its place."""
    if not dataset.erased:
        return
    if dataset.successor is None:
        advice = "Nothing of it was left: approve examples, then run `learning-pipelines run dataset_refresh`."
    else:
        advice = f"Version {dataset.successor} took its place: it is the same without them."
    raise BadInput(
        f"Version {dataset.version} of {agent.partition} held a person who was erased, and lost their examples: it can be neither rebuilt nor exported.", advice
    )


class Manifest:
    """The running hash of a version: SHA-256 over one JSON line for the system message, one per example in id order, one per pair in id order."""

    def __init__(self, prompt: Mapping[str, Any] | None) -> None:
        self._digest = hashlib.sha256(orjson.dumps(["system", None if prompt is None else prompt.get("system")]) + b"\n")
        self.members = 0
        self.pairs = 0

    def add_members(self, members: Iterable[Member]) -> None:
        for example_id, content, split, weight, *_ in members:
            self._digest.update(orjson.dumps([example_id, bytes(content).hex(), split, weight]) + b"\n")
            self.members += 1

    def add_pairs(self, pairs: Iterable[PairRow]) -> None:
        for pair_id, *_, strength, weight, split in pairs:
            # The id covers source, examples and contents.
            self._digest.update(orjson.dumps(["pair", pair_id, strength, weight, split]) + b"\n")
            self.pairs += 1

    def digest(self) -> bytes:
        return self._digest.digest()


def _checked(members: Iterable[tuple[Member, str | None]], faults: Counter[str], rule: str | None) -> Iterable[Member]:
    for member, found in members:
        if found is None:
            faults["contents gone"] += 1
        elif found != bytes(member[1]).hex():
            faults["contents changed"] += 1
        if rule == RULE and member[3] != example_weight(member[4], member[5]):
            faults["weights that do not follow from the scores"] += 1
        yield member


def _counted(pairs: Iterable[PairRow], counts: Counter[tuple[str, str]]) -> Iterable[PairRow]:
    for pair in pairs:
        counts[pair[1], pair[-1]] += 1
        yield pair
