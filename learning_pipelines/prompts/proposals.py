"""Who proposes next: strategies asked in turn or by what they earned, with what they may look at and spend; what they say is checked before it is scored.

Belongs here: shares of the rounds and of the calls, situations, duplicates and faults dropped. Not here: rounds (search.py), the race (race.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random

from learning_pipelines.llm import ChatModel
from learning_pipelines.prompts import race
from learning_pipelines.prompts.hygiene import Texts, faults, max_chars
from learning_pipelines.prompts.ledger import Ledger, OutOfCalls
from learning_pipelines.prompts.race import Racer
from learning_pipelines.prompts.task import Candidate, Nearest, Situation, Strategy, Task

CLIMB_SHARE = 0.3
"""Of the calls that are left, what one strategy may spend on trials of its own before its candidate races."""
REPETITIONS = 50
"""A strategy that proposes only what is known or faulty so often in a row has nothing more to say this round."""


@dataclass(frozen=True, slots=True)
class View:
    """How the search stands: the champion, all that raced with the best first, calls kept for later."""

    best: Candidate
    raced: tuple[Candidate, ...]
    kept: int


@dataclass(slots=True)
class _Account:
    """What a strategy cost and earned: for each candidate it raced, a reward of 0–1 (how far it came; 1: it became the champion)."""

    raced: float = 0.0
    earned: float = 0.0

    def index(self, total: float) -> float:
        """UCB1 (Auer et al. 2002)."""
        return math.inf if not self.raced else self.earned / self.raced + math.sqrt(0.5 * math.log(max(total, 1.0)) / self.raced)


class Proposals:
    """The strategies of one search. `born`: evaluations spent when a prompt was proposed, by its hash; `dropped`: faulty proposals by kind of fault."""

    def __init__(
        self,
        task: Task,
        strategies: Sequence[Strategy],
        ledger: Ledger,
        reflection: ChatModel | None,
        nearest: Nearest | None,
        rng: Random,
        view: Callable[[], View],
    ) -> None:
        self._task, self._strategies, self._ledger = task, strategies, ledger
        self._reflection, self._nearest, self._rng, self._view = reflection, nearest, rng, view
        self._texts = Texts.of(task)
        self._accounts = {strategy.name: _Account() for strategy in strategies}
        self.born = {task.incumbent.content_hash: 0}
        self.dropped: dict[str, int] = {}

    def in_turn(self, wanted: int) -> list[Candidate]:
        """Each strategy's best proposals in turn."""
        open_ = [self._open(strategy) for strategy in self._strategies]
        field: list[Candidate] = []
        while open_ and len(field) < wanted:
            proposals = open_.pop(0)
            if (candidate := next(proposals, None)) is not None:
                field.append(candidate)
                open_.append(proposals)
        return field

    def by_earnings(self, wanted: int) -> list[Candidate]:
        """The next place each time to the strategy that promises most."""
        open_ = {strategy.name: self._open(strategy) for strategy in self._strategies}
        planned = {name: replace(account) for name, account in self._accounts.items()}
        field: list[Candidate] = []
        while open_ and len(field) < wanted:
            total = sum(account.raced for account in planned.values())
            name = max(open_, key=lambda name: planned[name].index(total))
            candidate = next(open_[name], None)
            if candidate is None:
                del open_[name]
                continue
            planned[name].raced += 1  # as if it earned nothing: the next place may go to another
            field.append(candidate)
        return field

    def settle(self, field: Sequence[Racer], crowned: Racer | None, laps: int) -> None:
        """Rewards: the share of the race's laps a candidate survived, halved; 1 for the one that became the champion."""
        for racer in field:
            account = self._accounts.get(racer.candidate.strategy)
            if account is not None:
                account.raced += 1
                account.earned += 1.0 if racer is crowned else 0.5 * max(0, racer.laps - 1) / laps

    def _open(self, strategy: Strategy) -> Iterator[Candidate]:
        """A strategy's candidates that are new and without fault. Its share of the calls holds while it works, not while others do."""
        rng = Random(self._rng.getrandbits(64))
        proposing: Iterator[Candidate] | None = None
        repeated = 0
        while repeated < REPETITIONS:
            before = self._ledger.spent
            self._ledger.share(int(CLIMB_SHARE * (self._ledger.left - self._view().kept)))
            try:
                proposing = proposing or strategy.propose(self._situation(), rng)
                candidate = next(proposing, None)
            except OutOfCalls:
                candidate = None
            finally:
                self._ledger.share(None)
                self._accounts[strategy.name].raced += (self._ledger.spent - before) / (4 * race.FIRST_LAP)
            if candidate is None:
                return
            if candidate.prompt.content_hash in self.born or not self._admits(candidate):
                repeated += 1
                continue
            repeated = 0
            self.born[candidate.prompt.content_hash] = self._ledger.evaluations
            yield candidate

    def _admits(self, candidate: Candidate) -> bool:
        found = faults(candidate, self._task, texts=self._texts)
        for kind in {fault.kind for fault in found}:
            self.dropped[kind] = self.dropped.get(kind, 0) + 1
        return not found

    def _situation(self) -> Situation:
        view, task = self._view(), self._task
        known = self._ledger.of(view.best.prompt, [item for item in task.train if item.id not in view.best.shown])
        return Situation(
            task=replace(task, validation=(), test=()),
            best=view.best,
            failures=tuple(scored for scored in known if scored.score < 1),
            successes=tuple(scored for scored in known if scored.score >= 1),
            reflection=self._reflection,
            nearest=self._nearest,
            max_chars=max_chars(task),
            raced=view.raced,
            trial=self._ledger,
            admits=self._admits,
        )
