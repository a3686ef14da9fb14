"""The transition model: what follows what, how often, with the beginning and the end.

Belongs here: counting one group of demonstrations. Not here: predicting (playbooks/, the policy), drawing (flow.py).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from learning_pipelines.behavior.patterns.sequences import MOST_NAMED
from learning_pipelines.behavior.patterns.shares import Share, clustered
from learning_pipelines.behavior.task import END, Shown

START = "<start>"


@dataclass(frozen=True, slots=True)
class Transition:
    """`confidence`: of the times that `before` was done, those that `after` came next; its interval knows that steps of one demonstration, and of related
    ones, are alike. `demonstrations`: in so many it happens. `lift`: confidence over the share of `after` among all steps. `named`: up to 10 of them."""

    before: str
    after: str
    confidence: Share
    demonstrations: int
    lift: float
    named: tuple[str, ...]


def transitions(shown: Sequence[Shown]) -> list[Transition]:
    """Every transition of these demonstrations: by what comes before, the most frequent first. Cost is linear in the steps."""
    edges: dict[tuple[str, str], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    sizes: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    holders: dict[tuple[str, str], list[str]] = defaultdict(list)
    totals: dict[str, int] = defaultdict(int)
    for one in shown:
        group, last, seen = one.cluster or one.id, START, set[tuple[str, str]]()
        for after in [*(action.type for action in one.actions), END]:
            edges[last, after][group] += 1
            sizes[last][group] += 1
            totals[after] += 1
            seen.add((last, after))
            last = after
        for edge in seen:
            holders[edge].append(one.id)
    steps = sum(totals.values())
    made = []
    for (before, after), counts in edges.items():
        others = [size for group, size in sizes[before].items() if group not in counts]
        confidence = clustered(list(counts.values()), [sizes[before][group] for group in counts], others)
        who = holders[before, after]
        made.append(Transition(before, after, confidence, len(who), confidence.value / (totals[after] / steps), tuple(sorted(who)[:MOST_NAMED])))
    return sorted(made, key=lambda one: (one.before != START, one.before, -one.confidence.count, one.after))
