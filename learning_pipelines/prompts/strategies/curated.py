"""Fixed few-shot: sets of approved examples as chat turns, the same for every input; random and balanced ones first, then edits of the best set.

Belongs here: choosing and editing sets. Not here: trying them out (search.py), demonstrations per input (retrieved.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from random import Random

from learning_pipelines.prompts.strategies.edits import balanced, fitting, showing, usable
from learning_pipelines.prompts.task import Candidate, Item, Situation

MOST = 16
_Edit = Callable[["_Set", Random], tuple[list[Item], str] | None]


class Curated:
    """Fresh sets while nothing is shown; else failed examples added, one swapped, dropped, the order changed. Retrieval gives way to the fixed set."""

    name = "curated"

    def propose(self, situation: Situation, rng: Random) -> Iterator[Candidate]:
        items = usable(situation.task)
        if not items:
            return
        fixed = replace(situation, best=replace(situation.best, prompt=replace(situation.best.prompt, retrieval=None)))
        by_id = {item.id: item for item in items}
        shown = [by_id[one] for one in situation.best.shown if one in by_id]
        failed = [scored.item for scored in situation.failures if scored.item.id in by_id and scored.item.id not in situation.best.shown]
        makers = [self._edits(_Set(shown, failed, items), rng)] if shown else []
        makers.append(self._fresh(items, failed, rng, len(set(situation.task.labels) or {item.expected for item in items})))
        for maker in makers:
            for chosen, note in maker:
                if kept := fitting(chosen[:MOST]):
                    yield showing(fixed, kept, self.name, note)

    def _fresh(self, items: Sequence[Item], failed: Sequence[Item], rng: Random, answers: int) -> Iterator[tuple[list[Item], str]]:
        sizes = sorted({min(MOST, max(4, answers)), min(MOST, 8), 4}, reverse=True)
        for _ in range(4):
            for size in sizes:
                yield balanced(items, size, rng), f"{size} approved examples, answers balanced"
                yield rng.sample(list(items), min(size, len(items))), f"{size} approved examples at random"
                if failed:
                    added = rng.sample(list(failed), min(size // 2, len(failed)))
                    others = [item for item in items if item.id not in {one.id for one in added}]
                    yield [*balanced(others, size - len(added), rng), *added], f"{size} approved examples, {len(added)} that failed among them"

    def _edits(self, shown: _Set, rng: Random) -> Iterator[tuple[list[Item], str]]:
        edits: list[_Edit] = [_add_failed, _swap, _drop, _reorder]
        for turn in range(3):
            for edit in edits if turn == 0 else rng.sample(edits, len(edits)):
                if changed := edit(shown, rng):
                    yield changed


class _Set:
    """A set of shown items, and where others may come from."""

    def __init__(self, shown: Sequence[Item], failed: Sequence[Item], pool: Sequence[Item]) -> None:
        self.shown, self.failed = list(shown), list(failed)
        have = {item.id for item in shown}
        self.others = [item for item in pool if item.id not in have]


def _add_failed(one: _Set, rng: Random) -> tuple[list[Item], str] | None:
    if not one.failed:
        return None
    added = rng.sample(one.failed, min(2, len(one.failed)))
    return [*one.shown[-(MOST - len(added)) :], *added], f"{len(added)} examples that failed added"


def _swap(one: _Set, rng: Random) -> tuple[list[Item], str] | None:
    """For an example with the same expected answer, where there is one."""
    if not one.others:
        return None
    at = rng.randrange(len(one.shown))
    alike = [item for item in one.others if item.expected == one.shown[at].expected]
    return [*one.shown[:at], rng.choice(alike or one.others), *one.shown[at + 1 :]], "one example swapped"


def _drop(one: _Set, rng: Random) -> tuple[list[Item], str] | None:
    if len(one.shown) < 2:
        return None
    at = rng.randrange(len(one.shown))
    return [*one.shown[:at], *one.shown[at + 1 :]], "one example dropped"


def _reorder(one: _Set, rng: Random) -> tuple[list[Item], str] | None:
    if len(one.shown) < 2:
        return None
    return rng.sample(one.shown, len(one.shown)), "examples in another order"
