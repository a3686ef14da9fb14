"""The search: strategies propose, candidates race, what earned gets more of the budget; in the end one prompt that may meet the gate, and the front.

Belongs here: rounds, when to stop, who wins. Not here: who proposes (proposals.py), who is eliminated (race.py), counting (ledger.py), significance.

Deterministic: the same task, seed, calls and answers give the same search. A run that was killed is therefore run again from the start: its answers
come out of the cache (storage/llm_cache.py), are paid for once, and lead to the same place. The cached answers are the whole state.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from random import Random

from learning_pipelines.llm import ChatModel
from learning_pipelines.llm_errors import BudgetExceeded
from learning_pipelines.prompts import playoff, race
from learning_pipelines.prompts.hygiene import length_pays
from learning_pipelines.prompts.ledger import CountedModel, Ledger, NoUsableAnswers
from learning_pipelines.prompts.proposals import Proposals, View
from learning_pipelines.prompts.race import Racer
from learning_pipelines.prompts.results import Entry, SearchResult, Standing, front, luck
from learning_pipelines.prompts.task import Candidate, Evaluate, Nearest, Strategy, Task

INCUMBENT = "incumbent"
FIRST_FIELD, LATER_FIELD = 12, 6
PROBE = 6
"""Train items the champion is scored on at a time, so that strategies see what it gets wrong."""
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

    `progress`: called with a share of 0–1 and a message without any user's text. Ends early, with what there is, where no answer is usable or the model's
    own budget of money or tokens ends (BudgetExceeded); any other ModelError is raised: run again, and the search goes on where it was. The test split is
    not looked at.
    """
    return _Search(task, evaluate, strategies, calls, seed, reflection, nearest, progress, min_effect, delta).run()


def shown_by(task: Task) -> tuple[str, ...]:
    """Ids of the train examples that the incumbent demonstrates: its messages do not name them, their texts do."""
    ids = {(item.input, item.expected): item.id for item in task.train}
    return tuple(ids[pair] for one in task.incumbent.demonstrations if (pair := (one.input, one.output)) in ids)


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
        self.task, self.min_effect, self.delta = task, min_effect, delta
        self.rng, self.seed = Random(seed), seed
        self.progress: Progress = progress or (lambda share, message: None)
        self.ledger = Ledger(evaluate, calls, self._tell)
        counted = None if reflection is None else CountedModel(reflection, self.ledger)
        self.proposals = Proposals(task, strategies, self.ledger, counted, nearest, self.rng, self._view)
        self.items = race.in_order(task.validation, self.rng)[: max(10, calls // 6)]
        self.incumbent = Racer(Candidate(task.incumbent, INCUMBENT, shown_by(task)))
        self.champion = self.incumbent
        self.racers: list[Racer] = [self.incumbent]
        self.entries: list[Entry] = []
        self.number = 0
        self.gain: float | None = None

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
        except (BudgetExceeded, NoUsableAnswers) as error:
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
        """Calls kept for the play-off: a share of all, no more than it can use."""
        return min(int(playoff.SHARE * self.ledger.calls), len(self._rivals()) * len(self.task.train))

    def _rivals(self) -> list[Racer]:
        worth = [racer for racer in self.racers if racer is self.incumbent or self._pays(racer)]
        return playoff.rivals(self.champion, worth, same_wording=self.ledger.reflections > 0) if self._complete(self.champion) else []

    def _field(self) -> list[Candidate]:
        """Who races next: in the first round each strategy's best proposals in turn, later those of strategies that earned most."""
        if self.number == 0:
            wanted = max(1, min(FIRST_FIELD, self.ledger.left // (4 * race.FIRST_LAP) - 1))
            return self.proposals.in_turn(wanted)
        self._probe()
        return self.proposals.by_earnings(max(1, min(LATER_FIELD, (self.ledger.left - self._kept()) // race.FIRST_LAP)))

    def _view(self) -> View:
        ranked = sorted(self.racers, key=lambda racer: (-len(racer.scored), racer.rank))
        return View(self.champion.candidate, tuple(racer.candidate for racer in ranked), self._kept())

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
        self.proposals.settle(field, self.champion if self.champion is not before else None, len(race.laps(len(items))))

    def _crown(self) -> None:
        """The champion is the best of those scored on all items (where the budget ended before, on most); a longer one only if its length pays."""
        most = max(len(racer.scored) for racer in self.racers)
        far = [racer for racer in self.racers if most and len(racer.scored) == most and (racer is self.incumbent or self._pays(racer))]
        self.champion = min(far, key=lambda racer: racer.rank, default=self.champion)

    def _play_off(self) -> None:
        """Near equals meet again on train items, as far as the calls kept for it go."""
        players = self._rivals()
        items = playoff.further(race.in_order(self.task.train, self.rng), players, min(self.ledger.left, self._kept()))
        if not players or not items:
            return
        means = {id(racer): playoff.mean_of_all(racer, self.ledger(racer.candidate.prompt, items)) for racer in players}
        own = means.get(id(self.incumbent))
        worth = [racer for racer in players if racer is self.incumbent or own is None or self._pays(racer, means[id(racer)] - own)]
        self.champion = min(worth, key=lambda racer: (-round(means[id(racer)], 9), racer.rank))
        self.gain = None if own is None else means[id(self.champion)] - own
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

    def _winner(self) -> Racer:
        """The champion, if it scored better than the incumbent. An equal one that is cheaper is on the front, but no test could call it better."""
        gain = self.champion.mean - self.incumbent.mean if self.gain is None else self.gain
        equal = len(self.champion.scored) == len(self.incumbent.scored) and gain <= 1e-9  # on the same items, all of them or not
        return self.incumbent if equal else self.champion

    def _result(self, stopped: str) -> SearchResult:
        n = len(self.items)
        complete = [Standing.of(racer) for racer in self.racers if len(racer.scored) == n and n]
        won = self._winner()
        winner, incumbent = Standing.of(won), Standing.of(self.incumbent)
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
            existed_after=self.proposals.born[winner.candidate.prompt.content_hash],
            compared=len(self.racers),
            luck=luck(race.paired(won, self.incumbent), len(self.racers)),
            dropped=dict(self.proposals.dropped),
            seed=self.seed,
        )
