"""Who gets the places of a round, and what becomes of what is proposed.

Belongs here: shares, duplicates, faults. Not here: what single strategies say (test_strategies.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from random import Random

from learning_pipelines.prompts.prompt import Prompt
from learning_pipelines.prompts.search import search
from learning_pipelines.prompts.task import Candidate, Situation
from learning_pipelines_tests.prompts.worlds import coin, intent_task


class Numbered:
    """Proposes instructions that nobody else does, without end; with `trials`, after so many trials on train each."""

    def __init__(self, name: str, trials: int = 0) -> None:
        self.name, self.trials = name, trials
        self.number = 0

    def propose(self, situation: Situation, rng: Random) -> Iterator[Candidate]:
        while True:
            self.number += 1
            prompt = situation.task.incumbent.with_instruction(f"{self.name} {self.number}")
            if situation.trial is not None:
                situation.trial(prompt, situation.task.train[: self.trials])
            yield Candidate(prompt, self.name)


class Stubborn:
    """Proposes one and the same without end."""

    name = "stubborn"

    def propose(self, situation: Situation, rng: Random) -> Iterator[Candidate]:
        while True:
            yield Candidate(situation.task.incumbent.with_instruction("always this"), self.name)


def by_name(prompt: Prompt) -> float:
    return 0.7 if prompt.instruction.startswith("good") else 0.2


def test_the_strategy_that_earns_gets_more_places() -> None:
    places: Counter[str] = Counter()
    for seed in range(3):
        task = intent_task(Random(seed))
        result = search(task, coin(by_name, seed), [Numbered("bad"), Numbered("good")], calls=600, seed=seed)
        places.update(entry.strategy for entry in result.rounds if entry.round > 1 and not entry.note)
    assert places["good"] > 1.3 * places["bad"] > 0


def test_trials_are_charged_and_bounded_to_a_share_of_the_calls() -> None:
    """60 trials of 150 calls are more than one strategy may spend before it races: they are not made."""
    evaluate = coin(by_name)
    result = search(intent_task(Random(0)), evaluate, [Numbered("good", trials=60), Numbered("bad")], calls=150)
    assert {entry.strategy for entry in result.rounds} == {"incumbent", "bad"} and result.calls <= 150
    trials = Counter(prompt for prompt, item in evaluate.asked if item.startswith("train"))
    assert all(count < 60 for count in trials.values())  # what the champion gets wrong is looked for on a few


def test_who_repeats_itself_without_end_does_not_stop_the_search() -> None:
    result = search(intent_task(Random(0)), coin(by_name), [Stubborn()], calls=200)
    assert [entry.strategy for entry in result.rounds if not entry.note] == ["incumbent", "stubborn"] and "anything new" in result.stopped
