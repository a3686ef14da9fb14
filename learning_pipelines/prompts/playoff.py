"""The play-off: a few dozen validation items do not tell near equals apart, so calls that are left decide between them on further items.

Belongs here: who plays, on what, who wins; pure. Not here: the race before it (race.py), significance (acceptance/).

The further items are train items that none of the rivals shows. A prompt that picks its demonstrations never finds the item itself among them, so to it
they are as new as validation is. Wording that a model wrote from failures has seen them: such rivals play only against the same wording.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from learning_pipelines.prompts.race import Racer, paired, sign_flip_p
from learning_pipelines.prompts.task import Item, Scored

RIVALS = 3
EQUAL = 0.1
"""Whoever is not behind the champion by the paired test at this level is a rival."""
SHARE = 0.3
"""Of all calls, kept for the play-off while there are rivals."""


def rivals(champion: Racer, racers: Sequence[Racer], same_wording: bool) -> list[Racer]:
    """The champion and whoever, scored on the same items, may be as good; the best RIVALS. [] where there is nobody else."""
    known = len(champion.scored)
    equal = [
        racer
        for racer in sorted(racers, key=lambda one: one.rank)
        if known and racer is not champion and len(racer.scored) == known and sign_flip_p(paired(champion, racer)) > EQUAL
        if not same_wording or racer.candidate.prompt.instruction == champion.candidate.prompt.instruction
    ]
    players = [champion, *equal[: RIVALS - 1]]
    return players if len(players) > 1 else []


def further(items: Sequence[Item], players: Sequence[Racer], calls: int) -> list[Item]:
    """The items the players can afford to be scored on, none of which any of them shows."""
    shown = {one for racer in players for one in racer.candidate.shown}
    return [item for item in items if item.id not in shown][: calls // max(1, len(players))]


def mean_of_all(racer: Racer, extra: Sequence[Scored]) -> float:
    """Over the validation items and the further ones."""
    scores = [one.score for one in (*racer.scored, *extra)]
    return math.fsum(scores) / len(scores)
