"""Run-time few-shot by agreement: of the approved examples nearest to each input only those are shown whose answer most of them have.

Belongs here: from how many to propose it, and for which tasks. Not here: the vote (Retrieval in prompt.py), all of the nearest (retrieved.py).

A small model that is shown several answers takes the last or the most frequent one, whatever the question; shown three examples that agree, it gives
their answer. So the decision is left to a vote of the neighbours weighted by rank (Dudani 1976 weighted it by distance; ranks need no scale of the encoder).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from random import Random

from learning_pipelines.prompts.prompt import Retrieval
from learning_pipelines.prompts.strategies.edits import SHOWN_CHARS, typical_size, usable
from learning_pipelines.prompts.task import Candidate, Situation, Task

VOTERS = (8, 5)
REPEATED = 3
"""Examples an answer is approved for on average, from which on neighbours can agree."""


class Agreeing:
    """Where answers repeat; free texts never agree."""

    name = "agreeing"

    def propose(self, situation: Situation, rng: Random) -> Iterator[Candidate]:
        if situation.nearest is None or not answers_repeat(situation.task):
            return
        best = situation.best
        size = typical_size(usable(situation.task))
        for k in VOTERS:
            if k <= len(situation.task.train) and k * size <= SHOWN_CHARS:
                prompt = replace(best.prompt.with_demonstrations([]), retrieval=Retrieval(k, agreeing=True))
                yield Candidate(prompt, self.name, (), best.name, f"of the {k} nearest approved examples those whose answer most of them have")


def answers_repeat(task: Task) -> bool:
    """Whether there are several answers to choose from, and examples enough of them on average for neighbours to agree."""
    answers = len({item.expected for item in task.train})
    return answers > 1 and len(task.train) >= REPEATED * answers
