"""The search: strategies propose, candidates race, what earned gets more of the budget; in the end one prompt that may meet the gate, and the front.

Belongs here: rounds, shares of the budget, when to stop. Not here: who is eliminated (race.py), counting (ledger.py), significance (acceptance/).

Deterministic: the same task, seed, calls and answers give the same search. A run that was killed is therefore run again from the start: its answers
come out of the cache (storage/llm_cache.py), are paid for once, and lead to the same place. The cached answers are the whole state.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random

from learning_pipelines.llm import ChatModel
from learning_pipelines.llm_errors import BudgetExceeded
from learning_pipelines.prompts import playoff, race
from learning_pipelines.prompts.hygiene import Texts, faults, length_pays, max_chars
from learning_pipelines.prompts.ledger import CountedModel, Ledger, OutOfCalls
from learning_pipelines.prompts.race import Racer
from learning_pipelines.prompts.results import Entry, SearchResult, Standing, front, luck
from learning_pipelines.prompts.task import Candidate, Evaluate, Nearest, Situation, Strategy, Task

INCUMBENT = "incumbent"
FIRST_FIELD, LATER_FIELD = 12, 6
PROBE = 6
"""Train items the champion is scored on at a time, so that strategies see what it gets wrong."""
CLIMB_SHARE = 0.3
"""Of the calls that are left, what one strategy may spend on trials of its own before its candidate races."""
Progress = Callable[[float, str], None]


def search(
    task: Task,
    evaluate: Evaluate,
    strategies: Sequence[Strategy],
    *,
    calls: int,
    seed: int = 0,
    reflection: ChatModel | None = None,
    nearest: Nearest | None = None,
    progress: Progress | None = None,
    min_effect: float = 0.02,
    delta: float = race.DELTA,
) -> SearchResult:
    """The best prompt that `calls` calls (evaluations and questions to the reflection model together) find on the validation split.

    `progress`: called with a share of 0–1 and a message without any user's text. Ends early, with what there is, where the model's own budget of money or
    tokens ends (BudgetExceeded); any other ModelError is raised: run again, and the search goes on where it was. The test split is not looked at.
    """
    return _Search(task, evaluate, strategies, calls, seed, reflection, nearest, progress, min_effect, delta).run()


@dataclass(slots=True)
class _Account:
    """What a strategy cost and earned: for each candidate it raced, a reward of 0–1 (how far it came; 1: it became the champion)."""

    raced: float = 0.0
    earned: float = 0.0
    exhausted: bool = False

    def index(self, total: float) -> float:
        """UCB1 (Auer et al. 2002)."""
        return math.inf if not self.raced else self.earned / self.raced + math.sqrt(0.5 * math.log(max(total, 1.0)) / self.raced)


class _Search:
    def __init__(
        self,
        task: Task,
        evaluate: Evaluate,
        strategies: Sequence[Strategy],
        calls: int,
        seed: int,
        reflection: ChatModel | None,
        nearest: Nearest | None,
        progress: Progress | None,
        min_effect: float,
        delta: float,
    ) -> None:
        self.task, self.strategies, self.nearest, self.min_effect, self.delta = task, strategies, nearest, min_effect, delta
        self.rng, self.seed = Random(seed), seed
        self.ledger = Ledger(evaluate, calls, self._tell)
        self.reflection = None if reflection is None else CountedModel(reflection, self.ledger)
        self.progress: Progress = progress or (lambda share, message: None)
        self.items = race.in_order(task.validation, self.rng)[: max(10, calls // 6)]
        self.incumbent = Racer(Candidate(task.incumbent, INCUMBENT))
        self.champion = self.incumbent
        self.racers: list[Racer] = [self.incumbent]
        self.entries: list[Entry] = []
        self.seen = {task.incumbent.content_hash}
        self.born = {task.incumbent.content_hash: 0}
        self.dropped: dict[str, int] = {}
        self.texts = Texts.of(task)
        self.number = 0
        self.accounts = {strategy.name: _Account() for strategy in strategies}

    def run(self) -> SearchResult:
        stopped = ""
        try:
            while not (stopped := self._over()):
                field = self._field()
                if not field:
                    stopped = "no strategy has anything new to propose"
                    break
                self._race(field)
            self._play_off()
        except BudgetExceeded as error:
            stopped = str(error)
            self._crown()
        return self._result(stopped)

    def _over(self) -> str:
        """Why there is no further round; empty if there is one."""
        if not self.items:
            return "there are no validation items to race on"
        if self._complete(self.champion) and self.champion.mean >= 1.0 - 1e-9:
            return "nothing can win any more: the best prompt has full marks on validation"
        # A round takes at least the first lap of one candidate, and of the champion while it is not known.
        least = race.laps(len(self.items))[0] * (1 if self._complete(self.champion) else 2)
        if self.ledger.left - self._kept() < least:
            return f"the budget of {self.ledger.calls} calls is used up"
        return ""

    def _kept(self) -> int:
        """Calls kept for the play-off."""
        return int(playoff.SHARE * self.ledger.calls) if self._rivals() else 0

    def _rivals(self) -> list[Racer]:
        worth = [racer for racer in self.racers if racer is self.incumbent or self._pays(racer)]
        return playoff.rivals(self.champion, worth, same_wording=self.ledger.reflections > 0) if self._complete(self.champion) else []

    def _field(self) -> list[Candidate]:
        """Who races next: in the first round each strategy's best proposals in turn, later those of strategies that earned most."""
        if self.number == 0:
            wanted = max(1, min(FIRST_FIELD, self.ledger.left // (4 * race.FIRST_LAP) - 1))
            return self._in_turn(wanted)
        self._probe()
        return self._by_earnings(max(1, min(LATER_FIELD, (self.ledger.left - self._kept()) // race.FIRST_LAP)))

    def _in_turn(self, wanted: int) -> list[Candidate]:
        open_ = [self._proposals(strategy) for strategy in self.strategies]
        field: list[Candidate] = []
        while open_ and len(field) < wanted:
            proposals = open_.pop(0)
            if (candidate := next(proposals, None)) is not None:
                field.append(candidate)
                open_.append(proposals)
        return field

    def _by_earnings(self, wanted: int) -> list[Candidate]:
        open_ = {strategy.name: self._proposals(strategy) for strategy in self.strategies}
        planned = {name: replace(account) for name, account in self.accounts.items()}
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

    def _proposals(self, strategy: Strategy) -> Iterator[Candidate]:
        """A strategy's candidates that are new and without fault. Its share of the calls holds while it works, not while others do."""
        rng = Random(self.rng.getrandbits(64))
        proposing: Iterator[Candidate] | None = None
        while True:
            before = self.ledger.spent
            self.ledger.share(int(CLIMB_SHARE * (self.ledger.left - self._kept())))
            try:
                proposing = proposing or strategy.propose(self._situation(), rng)
                candidate = next(proposing, None)
            except OutOfCalls:
                candidate = None
            finally:
                self.ledger.share(None)
                self.accounts[strategy.name].raced += (self.ledger.spent - before) / (4 * race.FIRST_LAP)
            if candidate is None:
                return
            if candidate.prompt.content_hash not in self.seen and self._admits(candidate):
                self.seen.add(candidate.prompt.content_hash)
                self.born[candidate.prompt.content_hash] = self.ledger.evaluations
                yield candidate

    def _admits(self, candidate: Candidate) -> bool:
        found = faults(candidate, self.task, texts=self.texts)
        for kind in {fault.kind for fault in found}:
            self.dropped[kind] = self.dropped.get(kind, 0) + 1
        return not found

    def _situation(self) -> Situation:
        best = self.champion.candidate
        known = self.ledger.of(best.prompt, [item for item in self.task.train if item.id not in best.shown])
        failures = tuple(scored for scored in known if scored.score < 1)
        successes = tuple(scored for scored in known if scored.score >= 1)
        hidden = replace(self.task, validation=(), test=())
        ranked = tuple(racer.candidate for racer in sorted(self.racers, key=lambda racer: (-len(racer.scored), racer.rank)))
        chars = max_chars(self.task)
        return Situation(hidden, best, failures, successes, self.reflection, self.nearest, chars, ranked, self.ledger, self._admits)

    def _probe(self) -> None:
        """Scores the champion on a few more train items while little is known of what it gets wrong."""
        shown = set(self.champion.candidate.shown)
        open_ = [item for item in self.task.train if item.id not in shown]
        known = self.ledger.of(self.champion.candidate.prompt, open_)
        if sum(scored.score < 1 for scored in known) >= 3 or len(known) >= 3 * PROBE:
            return
        have = {scored.item.id for scored in known}
        new = [item for item in open_ if item.id not in have]
        asked = self.rng.sample(new, min(PROBE, len(new), self.ledger.left // 10))
        self.ledger(self.champion.candidate.prompt, asked)

    def _race(self, candidates: Sequence[Candidate]) -> None:
        self.number += 1
        field = [Racer(candidate) for candidate in candidates]
        self.racers += field
        known = {scored.item.id: scored.score for scored in self.champion.scored} if self._complete(self.champion) else None
        items = race.in_order(self.items, self.rng, known)
        before = self.champion
        try:
            self.ledger.share(self.ledger.left - self._kept())
            race.run_laps(self.champion, field, items, self.ledger, self.delta)
            self.ledger.share(None)
            self._crown()
            self._complete_incumbent()
        finally:
            began = [self.incumbent, *field] if self.number == 1 else field
            self.entries += [Entry.of(racer, self.number, len(self.items)) for racer in began]
        self._settle(field, before)

    def _settle(self, field: Sequence[Racer], before: Racer) -> None:
        """Rewards: how many of the race's laps a candidate came, halved; 1 for the one that is champion now."""
        lap_count = len(race.laps(len(self.items)))
        for racer in field:
            account = self.accounts[racer.candidate.strategy] if racer.candidate.strategy in self.accounts else _Account()
            account.raced += 1
            account.earned += 1.0 if racer is self.champion is not before else 0.5 * max(0, racer.laps - 1) / lap_count

    def _crown(self) -> None:
        """The champion is the best of those scored on all items (where the budget ended before, on most); a longer one only if its length pays."""
        most = max(len(racer.scored) for racer in self.racers)
        far = [racer for racer in self.racers if most and len(racer.scored) == most and (racer is self.incumbent or self._pays(racer))]
        self.champion = min(far, key=lambda racer: racer.rank, default=self.champion)

    def _play_off(self) -> None:
        """Near equals meet again on train items, as far as calls are left."""
        players = self._rivals()
        items = playoff.further(race.in_order(self.task.train, self.rng), players, self.ledger.left)
        if not players or not items:
            return
        means = {id(racer): playoff.mean_of_all(racer, self.ledger(racer.candidate.prompt, items)) for racer in players}
        own = means.get(id(self.incumbent))
        worth = [racer for racer in players if racer is self.incumbent or own is None or self._pays(racer, means[id(racer)] - own)]
        self.champion = min(worth, key=lambda racer: (-round(means[id(racer)], 9), racer.rank))
        n = len(self.items) + len(items)
        self.entries += [Entry.of_play_off(racer, self.number + 1, n, means[id(racer)], racer is self.champion) for racer in players]

    def _pays(self, racer: Racer, gain: float | None = None) -> bool:
        """Against the incumbent on the items both were scored on, unless the gain is known from more."""
        if gain is None:
            differences = race.paired(racer, self.incumbent)
            gain = math.fsum(differences) / len(differences) if differences else 0.0
        return length_pays(racer.candidate, self.task, gain, (racer.tokens, self.incumbent.tokens), self.min_effect)

    def _complete(self, racer: Racer) -> bool:
        return len(racer.scored) == len(self.items)

    def _complete_incumbent(self) -> None:
        """The incumbent is scored on all items even if it was out early, once there is one that may replace it: five unlucky items must not cost it its
        place, and everybody wants to see both scores."""
        cost = self.ledger.missing(self.task.incumbent, self.items)
        if cost and self.champion is not self.incumbent and cost <= self.ledger.left:
            self.incumbent.scored = self.ledger(self.task.incumbent, self.items)
            self._crown()

    def _tell(self) -> None:
        best, ledger = self.champion, self.ledger
        share = min(1.0, ledger.spent / max(1, ledger.calls))
        self.progress(share, f"round {self.number}, {ledger.spent} of {ledger.calls} calls: best so far {best.candidate.name} with {best.mean:.3f}")

    def _result(self, stopped: str) -> SearchResult:
        n = len(self.items)
        complete = [Standing.of(racer) for racer in self.racers if len(racer.scored) == n and n]
        winner, incumbent = Standing.of(self.champion), Standing.of(self.incumbent)
        ledger = self.ledger
        self.progress(1.0, stopped)
        return SearchResult(
            winner=winner,
            incumbent=incumbent,
            front=front(complete),
            rounds=tuple(self.entries),
            evaluations=ledger.evaluations,
            cached_evaluations=ledger.cached_evaluations,
            reflections=ledger.reflections,
            cached_reflections=ledger.cached_reflections,
            stopped=stopped,
            existed_after=self.born[winner.candidate.prompt.content_hash],
            compared=len(self.racers),
            luck=luck(race.paired(self.champion, self.incumbent), len(self.racers)),
            dropped=dict(self.dropped),
            seed=self.seed,
        )
