"""Examples and dataset versions without an erased person: successors of the versions that held them, their rows and files, the examples themselves.

Belongs here: what a successor is, the order in which rows go. Not here: SQL (storage/erasure_datasets.py), whose examples go (feedback/erasure/gathering.py).

A successor has the recipe, splits, weights and scores of the former version and lacks the erased examples and pairs. Versions of which the same is left
share one. The former version keeps its number, hash and counts, is archived, and can neither be rebuilt nor exported: what it held is not there.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from learning_pipelines.examples.versions import Manifest
from learning_pipelines.feedback.erasure.words import Words
from learning_pipelines.storage import dataset_states, datasets
from learning_pipelines.storage import erasure_datasets as storage
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.erasure_datasets import Holding
from learning_pipelines.storage.tenants import AgentRef


@dataclass(frozen=True, slots=True)
class Replaced:
    """A version that held the person. `successor`: id and number of what took its place; None where nothing is left. `exports`: where its files lie."""

    agent: AgentRef
    id: UUID
    version: int
    successor: tuple[UUID, int] | None
    examples: int
    pairs: int
    exports: tuple[str, ...] = ()


def replace_datasets(connection: Connection, organization_id: UUID, organization: str, words: Words) -> list[Replaced]:
    """Takes the person out of every version that holds them, the oldest first, and makes its successor. Part of the caller's transaction."""
    storage.gather_contents(connection, organization_id)
    found = list[Replaced]()
    locked = set[UUID]()
    for held in storage.versions(connection, organization_id, organization):
        recipe = _without(held.recipe, words)
        if held.rows == 0 and recipe == held.recipe:
            continue
        if held.agent.agent_id not in locked:
            datasets.lock_datasets(connection, held.agent)
            dataset_states.forget(connection, held.agent)
            locked.add(held.agent.agent_id)
        successor = _successor(connection, held, recipe) if held.sealed and not held.erased else None
        exports = storage.drop_exports(connection, held.agent, held.id)
        examples, pairs = storage.empty_version(connection, held.agent, held.id, recipe, None if successor is None else successor[0])
        found.append(Replaced(held.agent, held.id, held.version, successor, examples, pairs, tuple(exports)))
    return found


def _successor(connection: Connection, held: Holding, recipe: Mapping[str, Any]) -> tuple[UUID, int] | None:
    manifest = Manifest(recipe.get("prompt"))
    with closing(storage.members_left(connection, held.agent, held.id)) as members:
        manifest.add_members(members)
    if not manifest.members:
        return None
    with closing(storage.pairs_left(connection, held.agent, held.id)) as pairs:
        manifest.add_pairs(pairs)
    content = manifest.digest()
    if (same := storage.same_content(connection, held.agent, content)) is not None:
        return same
    made = {**recipe, "members": manifest.members, "pairs": manifest.pairs, "successor_of": held.version}
    return storage.add_successor(connection, held.agent, held.id, content, made)


def _without(recipe: Mapping[str, Any], words: Words) -> dict[str, Any]:
    """The recipe, its system message without words of the person."""
    prompt = recipe.get("prompt")
    if not isinstance(prompt, Mapping) or not words.holds(prompt):
        return dict(recipe)
    return {**recipe, "prompt": words.taken_from(prompt)}
