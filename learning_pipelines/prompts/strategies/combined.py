"""Combinations: the best instructions with the best demonstrations, fixed or picked per input, that have not run together yet.

Belongs here: crossing what has raced. Not here: new instructions or new demonstrations (the other strategies).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from random import Random

from learning_pipelines.prompts.task import Candidate, Situation

BEST = 3


class Combined:
    """Crosses the first few different instructions and demonstrations in the order in which they stand, the best pairs first."""

    name = "combined"

    def propose(self, situation: Situation, rng: Random) -> Iterator[Candidate]:
        instructions: dict[str, Candidate] = {}
        shows: dict[object, Candidate] = {}
        for one in situation.raced:
            instructions.setdefault(one.prompt.instruction, one)
            shows.setdefault((one.prompt.demonstrations, one.prompt.retrieval), one)
        pairs = [(i, j, a, b) for i, a in enumerate(list(instructions.values())[:BEST]) for j, b in enumerate(list(shows.values())[:BEST])]
        raced = {one.prompt.content_hash for one in situation.raced}
        for _, _, worded, shown in sorted(pairs, key=lambda pair: (pair[0] + pair[1], pair[0])):
            prompt = replace(worded.prompt.with_demonstrations(shown.prompt.demonstrations), retrieval=shown.prompt.retrieval)
            if prompt.content_hash not in raced:
                yield Candidate(prompt, self.name, shown.shown, shown.name, f"the instruction of {worded.name} with the demonstrations of {shown.name}")
