"""An agent's training dataset: approved examples, each with its permanent split, as an immutable version named by its content.

Belongs here: what goes into a version. Not here: what a version is (versions.py), finding duplicates, choosing splits, SQL.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from learning_pipelines import __version__
from learning_pipelines.examples.clusters import OpenEncoder, refresh_clusters
from learning_pipelines.examples.components import Bools, Ints
from learning_pipelines.examples.duplicates import LISTED_CLUSTER
from learning_pipelines.examples.similarity import DuplicateRule, links_among
from learning_pipelines.examples.splits import REASONS, SPLITS, Columns, SplitNumbers, decide, seeded_order
from learning_pipelines.examples.versions import SCHEMA, make_version
from learning_pipelines.examples.weights import RULE, example_weight
from learning_pipelines.storage import dataset_states as states
from learning_pipelines.storage import datasets as storage
from learning_pipelines.storage import duplicates, outbox, reviewed, staged_members
from learning_pipelines.storage.database import Connection, database_errors
from learning_pipelines.storage.tenants import AgentRef

Shares = tuple[float, float, float]


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
    plan: SplitNumbers
    pairs: dict[str, int]
    statistics: dict[str, Any]


def refresh_dataset(
    connection: Connection, agent: AgentRef, *, rule: DuplicateRule, shares: Shares, open_encoder: OpenEncoder | None = None
) -> DatasetVersion:
    """Brings the near-duplicates up to date, assigns splits to newcomers and stores a new version if the content changed.

    Running it again changes nothing, and reads no example where nothing has changed. The encoder is opened only if the rule has a cosine and
    there is an input that was not searched yet.
    """
    asked = {"made_by": __version__, "schema": SCHEMA, "weights": RULE, "rule": rule.name, "shares": list(shares)}
    with database_errors(f"building the dataset of {agent.partition}"):
        outbox.adopt_foreign_entries(connection)
        reviews = reviewed.newest_review(connection, agent)
        if (said := states.answer(connection, agent, asked)) is not None:
            reviewed.taken_up(connection, agent, reviews)  # another refresh saw the change before its entry was safe to read
            return DatasetVersion(**{**said, "plan": SplitNumbers(**said["plan"])})
    refresh_clusters(connection, agent, rule, open_encoder)
    with database_errors(f"building the dataset of {agent.partition}"), connection.transaction():
        storage.lock_datasets(connection, agent)
        # Before anything is read: what it is about is read after it.
        changes, reviews = states.take_up(connection, agent), reviewed.newest_review(connection, agent)
        built, late = _build(connection, agent, rule, shares, changes)
        reviewed.taken_up(connection, agent, reviews)
        if late:
            states.forget(connection, agent)  # they came in since the search, and what was noted of them is taken up
        else:
            states.remember(connection, agent, asked, asdict(replace(built, is_new=False)), changes.heard)
    return built


def _build(connection: Connection, agent: AgentRef, rule: DuplicateRule, shares: Shares, changes: states.Changes) -> tuple[DatasetVersion, int]:
    """The version, and how many approved examples are for the next one."""
    count, late = storage.stage_approved(connection, agent)
    approved = _Approved(connection, count)
    people = storage.approved_people(connection, agent)
    links, families = _links(connection, agent, ~approved.left_out, rule)
    plan = decide(Columns(approved.order, approved.sides, approved.left_out, approved.strata, people, links, families), shares)
    storage.store_splits(connection, agent, plan.codes.tobytes(), REASONS)
    known = changes.reworded is not None and states.known_content(connection, agent, SCHEMA)
    staged_members.stage_members(connection, agent, approved.weights, known, changes.reworded or ())
    recipe = {"jaccard": rule.jaccard, "cosine": rule.cosine, "shares": list(shares), "filter": "approved, active", "stratified_by": "example_type"}
    made = make_version(connection, agent, recipe)
    totals = made.totals
    built = DatasetVersion(
        version=made.version, is_new=made.is_new, examples=totals.examples, splits={name: totals.splits.get(name, 0) for name in SPLITS},
        types=totals.types, left_out=storage.left_out(connection, agent), same_content=sum(plan.numbers.sizes.values()) - totals.examples,
        content_hash=made.content_hash.hex(), plan=plan.numbers, pairs=made.pairs, statistics=made.statistics,
    )  # fmt: skip
    return built, late


class _Approved:
    """The staged examples as arrays, in the order of their places; `weights`: a byte each, in hundredths."""

    def __init__(self, connection: Connection, count: int) -> None:
        self.sides: Ints = np.empty(count, dtype=np.int64)
        self.strata: Ints = np.empty(count, dtype=np.int64)
        self.left_out: Bools = np.empty(count, dtype=np.bool_)
        weights = np.empty(count, dtype=np.uint8)

        def ids() -> Iterator[bytes]:
            begin = 0
            for part in storage.approved(connection, count):
                end = begin + len(part.ids)
                self.sides[begin:end], self.strata[begin:end], self.left_out[begin:end] = part.sides, part.strata, part.left_out
                weights[begin:end] = [round(100 * example_weight(*scores)) for scores in zip(_known(part.quality), _known(part.confidence), strict=True)]
                begin = end
                yield from part.ids

        self.order = seeded_order(ids())
        self.weights = weights.tobytes()


def _known(scores: np.typing.NDArray[np.float64]) -> list[float | None]:
    return [None if score != score else score for score in scores.tolist()]


def _links(connection: Connection, agent: AgentRef, conducting: Bools, rule: DuplicateRule) -> tuple[tuple[Ints, Ints], list[Ints]]:
    """Near-duplicate pairs of staged examples, and families that are to stay together, by index."""
    first, second = storage.approved_links(connection, agent)
    more: list[tuple[int, int]] = []
    families: list[list[int]] = []
    for size, members in storage.large_clusters(connection, agent):
        index = {name: place for place, name, _ in members if conducting[place]}
        texts = {name: text for _, name, text in members if name in index}
        if len(texts) == size > LISTED_CLUSTER:
            families.append(sorted(index.values()))
        elif len(texts) > 1:
            # What is not approved, or was left out, conducts no links: it must not tie two kept examples together.
            encoder = duplicates.encoder_used(connection, agent)
            vectors = duplicates.vectors_of(connection, agent, encoder, list(texts)) if encoder else {}
            found = links_among(texts, vectors, rule)
            more += [(index[one], index[two]) for one, two, _ in found.links]
            families += [sorted(index[name] for name in family) for family in found.families]
    added = np.asarray(more, dtype=np.int64).reshape(-1, 2)
    links = np.concatenate([first, added[:, 0]]), np.concatenate([second, added[:, 1]])
    return links, [np.asarray(family, dtype=np.int64) for family in sorted(families)]
