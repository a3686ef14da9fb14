"""Which split each demonstration goes to, for good: demonstrations of the same or nearly the same task never stand on two sides.

Belongs here: what ties demonstrations together, the names of clusters, the steps of a refresh. Not here: how components are dealt and cut
(examples/splits.py, the same rules as for examples), when two texts are nearly the same (examples/duplicates.py), SQL (storage/).

Tied are tasks whose words and input state are nearly the same (5-grams), demonstrations that name one task_id (two people may word one task so that
no comparison of words tells), and a demonstration with the one it replaces. Experts tie nothing, unlike the users of examples: one or two experts show
everything an agent does, so that they would make one component of it, and nothing could be held out. What is measured is therefore how these experts
would go on in tasks that were not shown, not how other experts would.

Who was decided on stays in view while it does not count (its expert's right is withdrawn, a newer version replaces it): should it come back, its task
must not have gone to another side meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from learning_pipelines.behavior.demonstrations import as_text
from learning_pipelines.examples.components import Bools, HubGraph, Ints
from learning_pipelines.examples.duplicates import DuplicateLinks, duplicate_links
from learning_pipelines.examples.splits import REASONS, SPLITS, Columns, SplitNumbers, decide, seeded_order
from learning_pipelines.settings import Settings
from learning_pipelines.storage import behavior_demonstrations as storage
from learning_pipelines.storage.behavior_demonstrations import Placed
from learning_pipelines.storage.database import Connection, database_errors
from learning_pipelines.storage.datasets import UNSAID
from learning_pipelines.storage.tenants import AgentRef

Shares = tuple[float, float, float]
Decision = tuple[str, str | None, str, str]
"""(demonstration id, split or None, reason it is left out or '', cluster)"""


@dataclass(frozen=True)
class Decided:
    """`rows`: what changed, for store_decisions. `numbers`: of the plan. `clusters`: components within the splits."""

    rows: list[Decision]
    numbers: SplitNumbers
    clusters: int


def refresh_splits(connection: Connection, agent: AgentRef, settings: Settings) -> Decided | None:
    """Decides every demonstration that counts and has no decision; None if there is none. Running it again, or twice at once, changes nothing more.

    Without newcomers it costs one question. With them all tasks are compared anew, so that a changed rule or text is noticed: what turns out
    to be alike across sides is left out outside train, and nothing moves.
    """
    with database_errors(f"splitting the demonstrations of {agent.partition}"), connection.transaction():
        storage.lock_splits(connection, agent)
        if not storage.is_any_undecided(connection, agent):
            return None
        everyone = storage.placed(connection, agent)
        texts = [(one.id, f"{one.task}\n{as_text(one.given)}") for one in everyone if not one.left_out]
        found = decided(everyone, duplicate_links(texts, threshold=settings.duplicate_jaccard), settings.split_shares)
        storage.store_decisions(connection, agent, found.rows)
    return found


def decided(everyone: Sequence[Placed], near: DuplicateLinks, shares: Shares) -> Decided:
    """Decides newcomers; gives up who turns out to stand on two sides. `near`: among those not left out.

    A cluster keeps its name as it grows; where two grow together the name that comes first in a seeded order stays. Who is left out has none.
    """
    number = {one.id: place for place, one in enumerate(everyone)}
    order = seeded_order(one.id.encode() for one in everyone)
    sides = np.asarray([-1 if one.split is None else SPLITS.index(one.split) for one in everyone], dtype=np.int64)
    strata = {name: place for place, name in enumerate(sorted({one.stratum for one in everyone}))}
    links = _pairs([(number[first], number[second]) for first, second, _ in near.links] + _versions(everyone, number))
    families = [np.asarray([number[name] for name in family], dtype=np.int64) for family in near.families]
    families += _groups([one.task_id for one in everyone]) + _groups([one.cluster for one in everyone])
    columns = Columns(
        order, sides, np.asarray([one.left_out for one in everyone], dtype=np.bool_),
        np.asarray([strata[one.stratum] for one in everyone], dtype=np.int64), _pairs([]), links, families,
    )  # fmt: skip
    plan = decide(columns, shares)
    codes = plan.codes.astype(np.int64)
    sides = np.where(codes == UNSAID, sides, np.where(codes < len(SPLITS), codes, -1))
    names = _names(everyone, columns, sides >= 0)
    rows: list[Decision] = []
    for one, code, side, name in zip(everyone, codes.tolist(), sides.tolist(), names, strict=True):
        if code != UNSAID or name != one.cluster:
            reason = REASONS[code - len(SPLITS)] if len(SPLITS) <= code < UNSAID else ""
            rows.append((one.id, SPLITS[side] if side >= 0 else None, reason, name))
    return Decided(rows, plan.numbers, len(set(names) - {""}))


def _versions(everyone: Sequence[Placed], number: dict[str, int]) -> list[tuple[int, int]]:
    """A demonstration and the one it replaces show one task, however its words were changed."""
    return [(number[one.id], number[one.replaces]) for one in everyone if one.replaces in number]


def _groups(names: Sequence[str | None]) -> list[Ints]:
    """The places that have each name; '' and None are none."""
    groups: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        if name:
            groups.setdefault(name, []).append(place)
    return [np.asarray(places, dtype=np.int64) for places in groups.values()]


def _names(everyone: Sequence[Placed], columns: Columns, active: Bools) -> list[str]:
    """The name of each demonstration's cluster; '' for who takes no part."""
    groups = [np.full(len(members), group, dtype=np.int64) for group, members in enumerate(columns.families)]
    hubs = (np.concatenate(columns.families), np.concatenate(groups)) if groups else _pairs([])
    labels = HubGraph.of_arrays(len(everyone), columns.links, hubs).components(active)
    named = np.asarray([bool(one.cluster) for one in everyone], dtype=np.bool_)[columns.order]
    names: dict[int, str] = {}
    for place in (*columns.order[named].tolist(), *columns.order[~named].tolist()):
        if active[place]:
            names.setdefault(int(labels[place]), everyone[place].cluster or everyone[place].id)
    return [names[int(label)] if on else "" for label, on in zip(labels.tolist(), active.tolist(), strict=True)]


def _pairs(pairs: Sequence[tuple[int, int]]) -> tuple[Ints, Ints]:
    table = np.asarray(pairs, dtype=np.int64).reshape(-1, 2)
    return table[:, 0], table[:, 1]
