"""Which split each judged question goes to, for good: by passages that helped, by people and by nearly the same wording.

Belongs here: the decision over one agent's questions, and the clusters that evaluation resamples. Not here: how components are dealt and cut
(examples/splits.py, the same rules), reading and storing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from learning_pipelines.examples.components import Bools, HubGraph, Ints
from learning_pipelines.examples.splits import REASONS, SPLITS, Columns, SplitNumbers, decide, seeded_order
from learning_pipelines.examples.trimming import LARGE, TINY
from learning_pipelines.storage.datasets import UNSAID
from learning_pipelines.storage.retrieval_queries import Board

Shares = tuple[float, float, float]
Decision = tuple[str, str | None, str, str]
"""(question id, split or None, reason it is left out or '', cluster)"""


@dataclass(frozen=True)
class Decided:
    """`rows`: what changed, for store_decisions. `numbers`: of the plan. `clusters`: how many questions hang together in how many groups."""

    rows: list[Decision]
    numbers: SplitNumbers
    clusters: int


def decided(board: Board, shares: Shares) -> Decided:
    """Decides newcomers; gives up who turns out to stand on two sides.

    Clusters are the components within the splits, of passages, wording and people; where one holds more than LARGE of all questions (people who ask
    about everything join everything), its questions are clustered by passages and wording alone: learning out of fold and standard errors
    need more than a few. A cluster is named by the question of it that comes first in a seeded order; who is left out has none.
    """
    nothing = np.zeros(0, dtype=np.int64)
    order = seeded_order(name.encode("utf-8", "surrogatepass") for name in board.ids)
    plan = decide(Columns(order, board.sides, board.left_out, board.answered, board.hubs, (nothing, nothing)), shares)
    codes = plan.codes.astype(np.int64)
    sides = np.where(codes == UNSAID, board.sides, np.where(codes < len(SPLITS), codes, -1))
    clusters = _clusters(board, order, sides >= 0)
    rows: list[Decision] = []
    for place, (code, cluster) in enumerate(zip(codes.tolist(), clusters, strict=True)):
        if code == UNSAID and (cluster == board.clusters[place] or sides[place] < 0):
            continue
        reason = REASONS[code - len(SPLITS)] if len(SPLITS) <= code < UNSAID else ""
        rows.append((board.ids[place], SPLITS[int(sides[place])] if sides[place] >= 0 else None, reason, cluster))
    return Decided(rows, plan.numbers, len(set(clusters) - {""}))


def _clusters(board: Board, order: Ints, active: Bools) -> list[str]:
    """The name of each question's cluster; '' for who takes no part."""
    labels = _components(board, board.hubs, active)
    sizes = np.bincount(labels[active], minlength=len(board.ids) + 1)
    large = active & (sizes[labels] > max(TINY, LARGE * np.count_nonzero(active)))
    if large.any():
        keep = ~np.isin(board.hubs[1], list(board.personal))
        finer = _components(board, (board.hubs[0][keep], board.hubs[1][keep]), active)
        labels = np.where(large, labels.max() + 1 + finer, labels)
    first: dict[int, str] = {}
    for place in order[active[order]].tolist():
        first.setdefault(int(labels[place]), board.ids[place])
    return [first[int(label)] if on else "" for label, on in zip(labels.tolist(), active.tolist(), strict=True)]


def _components(board: Board, hubs: tuple[Ints, Ints], active: Bools) -> Ints:
    nothing = np.zeros(0, dtype=np.int64)
    return HubGraph.of_arrays(len(board.ids), (nothing, nothing), hubs).components(active)
