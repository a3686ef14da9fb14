"""Reflective evolution: the reflection model reads what went wrong and rewrites the instruction, step by step, each step proved on a small minibatch.

Belongs here: the climb on train items. Not here: the race on validation (race.py), the question (asking.py), the gepa library's engine (gepa_engine.py).

After GEPA (Agrawal et al. 2025): failures as feedback, a child must beat its parent on the same minibatch. Ours differs in what it spends: the chain is
climbed on the minibatch alone, known scores are reused, and only where it ends is a candidate raced, so that no step costs a whole validation split.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from random import Random

from learning_pipelines.prompts.ledger import OutOfCalls
from learning_pipelines.prompts.strategies.asking import rewritten
from learning_pipelines.prompts.strategies.edits import reworded
from learning_pipelines.prompts.task import Candidate, Evaluate, Item, Scored, Situation

WISH = "Write a better instruction, with which such cases come out right."


class Reflective:
    """Climbs from the best so far until the minibatches hold no failure any more, nothing better comes, or its share of the calls is used up.

    A minibatch holds up to `minibatch` items, drawn until `failing` of them fail; what is solved stays in as a guard while there is room. The climb ends
    after `patience` questions in a row without progress, or when `clean` new items in a row were right.
    """

    name = "reflective"

    def __init__(self, minibatch: int = 6, failing: int = 3, patience: int = 5, clean: int = 10) -> None:
        self.minibatch, self.failing, self.patience, self.clean = minibatch, failing, patience, clean

    def propose(self, situation: Situation, rng: Random) -> Iterator[Candidate]:
        if situation.reflection is None or situation.trial is None or not situation.task.train:
            return
        climb = _Climb(self, situation, situation.trial, rng)
        with suppress(OutOfCalls):  # the share is used up: what has been climbed counts
            climb.run()
        if climb.steps:
            yield climb.tip


class _Climb:
    def __init__(self, settings: Reflective, situation: Situation, trial: Evaluate, rng: Random) -> None:
        self.settings, self.situation, self.trial, self.rng = settings, situation, trial, rng
        self.tip = situation.best
        self.steps = 0
        self.batch: list[Item] = []
        shown = set(situation.best.shown)
        self.pool = [item for item in situation.task.train if item.id not in shown]
        rng.shuffle(self.pool)
        known = {scored.item.id for scored in situation.failures}
        self.pool.sort(key=lambda item: item.id in known)  # drawn from the end: what is known to fail comes first and costs nothing

    def run(self) -> None:
        misses = 0
        while misses < self.settings.patience:
            scored = self._failing_batch()
            cases = [one for one in scored if one.score < 1]
            if not cases:
                return
            misses = 0 if self._step(scored, cases) else misses + 1

    def _step(self, scored: list[Scored], cases: list[Scored]) -> bool:
        """Whether the reflection model's proposal takes the tip's place."""
        right = [one for one in scored if one.score >= 1]
        text = rewritten(self.situation, self.tip.prompt.instruction, WISH, cases, right, self.rng)
        if text is None or text == self.tip.prompt.instruction:
            return False
        note = f"rewritten {self.steps + 1} times from what failed"
        child = reworded(self.situation, text, Reflective.name, note)
        if not self.situation.admits(child):
            return False
        tried = self.trial(child.prompt, self.batch)
        if sum(one.score for one in tried) <= sum(one.score for one in scored):
            return False
        self.tip, self.steps = child, self.steps + 1
        return True

    def _failing_batch(self) -> list[Scored]:
        """The minibatch as the tip does on it, with failures in it as long as there are any to be found."""
        scored = self.trial(self.tip.prompt, self.batch)
        if any(one.score < 1 for one in scored):
            return scored
        self.batch = self.batch[-2:]
        clean = 0
        while self.pool and clean < self.settings.clean:
            item = self.pool.pop()
            fine = self.trial(self.tip.prompt, [item])[0].score >= 1
            clean = clean + 1 if fine else 0
            right = sum(one.score >= 1 for one in self.trial(self.tip.prompt, self.batch))
            if not fine or right < self.settings.minibatch - self.settings.failing:
                self.batch.append(item)
            if sum(one.score < 1 for one in self.trial(self.tip.prompt, self.batch)) >= self.settings.failing or len(self.batch) >= self.settings.minibatch:
                break
        return self.trial(self.tip.prompt, self.batch)
