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

NEIGHBOURS = (5, 3, 8)
"""One alone is proposed only where no more fit into a call: whatever is wrong with it is the answer, and a few items of validation do not show that."""


class Retrieved:
    """Nearest demonstrations instead of fixed ones; fixed and nearest together where fixed ones already are the best so far."""

    name = "retrieved"

    def propose(self, situation: Situation, rng: Random) -> Iterator[Candidate]:
        if situation.nearest is None or not situation.task.train:
            return
        best = situation.best
        size = typical_size(usable(situation.task))
        fitting = [k for k in NEIGHBOURS if k <= len(situation.task.train) and k * size <= SHOWN_CHARS]
        for k in fitting or [1]:
            bare = replace(best.prompt.with_demonstrations([]), retrieval=Retrieval(k))
            yield Candidate(bare, self.name, (), best.name, f"the {k} nearest approved examples for each input")
        if best.shown and best.prompt.retrieval is None:
            both = replace(best.prompt, retrieval=Retrieval(3))
            yield Candidate(both, self.name, best.shown, best.name, "the 3 nearest approved examples after the fixed ones")
