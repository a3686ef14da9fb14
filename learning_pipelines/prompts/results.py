"""What a search came to: standings, rounds for the audit, the front of score against tokens and time.

Belongs here: the values, and the front. Not here: finding them (search.py), storing or showing them.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from learning_pipelines.prompts.race import Racer
from learning_pipelines.prompts.task import Candidate

OPTIMISTIC = (
    "The winner was chosen on the validation split, among {compared} prompts: its score there is optimistic. By luck alone the best of so many that are "
    "no better than the present prompt can be up to {luck:.0f} points ahead; it is ahead by {gain:.0f}. What it is worth the held-out test split says."
)


@dataclass(frozen=True, slots=True)
class Standing:
    """A candidate as the race left it: mean score 0–1 on the `n` items it was scored on, tokens per call, median seconds per call, calls without a
    usable answer, and why it was eliminated."""

    candidate: Candidate
    n: int
    score: float
    input_tokens: float
    output_tokens: float
    seconds: float
    faults: int = 0
    eliminated: str | None = None

    @classmethod
    def of(cls, racer: Racer) -> Standing:
        scored = racer.scored
        return cls(
            racer.candidate,
            len(scored),
            racer.mean,
            racer.tokens,
            statistics.fmean(one.output_tokens for one in scored) if scored else 0.0,
            statistics.median(one.seconds for one in scored) if scored else 0.0,
            sum(one.fault is not None for one in scored),
            racer.out,
        )


@dataclass(frozen=True, slots=True)
class Entry:
    """One candidate in one round: what it was, how far it came, why it was out (None: it finished)."""

    round: int
    name: str
    strategy: str
    parent: str
    note: str
    n: int
    score: float
    laps: int
    eliminated: str | None

    @classmethod
    def of(cls, racer: Racer, number: int, n: int) -> Entry:
        candidate = racer.candidate
        out = racer.out if racer.out or len(racer.scored) == n else "the search ended"
        return cls(number, candidate.name, candidate.strategy, candidate.parent, candidate.note, len(racer.scored), racer.mean, racer.laps, out)

    @classmethod
    def of_play_off(cls, racer: Racer, number: int, n: int, score: float, won: bool) -> Entry:
        candidate = racer.candidate
        out = None if won else "lost the play-off"
        return cls(number, candidate.name, candidate.strategy, candidate.parent, "play-off on train items", n, score, racer.laps, out)


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The end of a search. `winner` is the incumbent itself where nothing scored better (a cheaper equal is on the front). `front`: whoever, scored on all
    items, is beaten by nobody in score, input tokens and seconds at once. `existed_after`: evaluations spent when the winner was proposed. `luck`: the
    gain that the best of all `compared` may well show if none is better than the incumbent. `dropped`: faulty proposals by kind of fault."""

    winner: Standing
    incumbent: Standing
    front: tuple[Standing, ...]
    rounds: tuple[Entry, ...]
    evaluations: int
    cached_evaluations: int
    reflections: int
    cached_reflections: int
    stopped: str
    existed_after: int
    compared: int
    luck: float = 0.0
    dropped: Mapping[str, int] = field(default_factory=dict)
    seed: int = 0

    @property
    def calls(self) -> int:
        return self.evaluations + self.reflections

    @property
    def improved(self) -> bool:
        """Whether there is anything for the gate to decide."""
        return self.winner.candidate.prompt != self.incumbent.candidate.prompt

    @property
    def caveat(self) -> str:
        """To be shown beside the winner's score."""
        return OPTIMISTIC.format(compared=self.compared, luck=100 * self.luck, gain=100 * self.gain)

    @property
    def gain(self) -> float:
        """Score of the winner minus the incumbent's, as found on validation; optimistic."""
        return self.winner.score - self.incumbent.score

def front(standings: Sequence[Standing]) -> tuple[Standing, ...]:
    """Those that no other one equals or beats in score, input tokens and seconds at once, best score first."""
    kept = [one for one in standings if not any(_dominates(other, one) for other in standings)]
    return tuple(sorted(kept, key=lambda one: (-one.score, one.input_tokens, one.candidate.name)))


def luck(differences: Sequence[float], compared: int) -> float:
    """The gain below which the best of `compared` prompts, none better than the incumbent, stays in 19 of 20 searches: the standard error of the mean
    difference times the normal quantile of .95 for the largest of so many. All are counted, also those that were out early: cautious."""
    if compared < 2 or len(differences) < 2:
        return 0.0
    spread = math.sqrt(statistics.fmean(difference * difference for difference in differences) / len(differences))
    return spread * statistics.NormalDist().inv_cdf(0.95 ** (1 / (compared - 1)))


def _dominates(one: Standing, other: Standing) -> bool:
    ours, theirs = (-one.score, one.input_tokens, one.seconds), (-other.score, other.input_tokens, other.seconds)
    return all(a <= b for a, b in zip(ours, theirs, strict=True)) and ours != theirs
