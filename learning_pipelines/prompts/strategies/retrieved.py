"""Run-time few-shot: the k approved examples nearest to each input are shown before it, the nearest one last. One call per request.

Belongs here: which k to propose on which prompt. Not here: the lookup (nearest.py and the stored one), rendering (prompt.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from random import Random

from learning_pipelines.prompts.prompt import Retrieval
from learning_pipelines.prompts.strategies.edits import SHOWN_CHARS, typical_size, usable
from learning_pipelines.prompts.task import Candidate, Situation

NEIGHBOURS = (5, 3, 8, 1)


class Retrieved:
    """Nearest demonstrations instead of fixed ones; fixed and nearest together where fixed ones already are the best so far."""

    name = "retrieved"

    def propose(self, situation: Situation, rng: Random) -> Iterator[Candidate]:
        if situation.nearest is None or not situation.task.train:
            return
        best = situation.best
        size = typical_size(usable(situation.task))
        for k in NEIGHBOURS:
            if k > len(situation.task.train) or (k > 1 and k * size > SHOWN_CHARS):
                continue
            bare = replace(best.prompt.with_demonstrations([]), retrieval=Retrieval(k))
            yield Candidate(bare, self.name, (), best.name, f"the {k} nearest approved examples for each input")
        if best.shown and best.prompt.retrieval is None:
            both = replace(best.prompt, retrieval=Retrieval(3))
            yield Candidate(both, self.name, best.shown, best.name, "the 3 nearest approved examples after the fixed ones")
