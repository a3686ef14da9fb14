"""The race: prompts are scored on growing subsets of the same items, and whoever has no prospect is out before it costs more.

Belongs here: the rules of elimination, pure: what is known of each prompt → who goes on, who is out and why; the laps. Not here: proposing (strategies/),
rounds and budget (search.py), significance on the test split (acceptance/).

Successive halving (Jamieson & Talwalkar 2016) decides whom the budget can follow; before it, a candidate is out (a) if it cannot catch up even if it
gets everything else right: exact, no error; (b) if it is behind the leader by an exact paired sign-flip test at `delta`, so that a candidate as good as
the leader is lost to this rule with a chance of at most `delta` a lap (symmetric differences under the null); (c) if its change has no effect: the very
same answers as the champion's for no less, two or more of them wrong. Halving itself promises no error rate: it is what a small budget costs, and a
large one does without. The incumbent races like everybody else. Equal scores: fewer input tokens win.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Protocol

import numpy as np

from learning_pipelines.prompts.prompt import Prompt
from learning_pipelines.prompts.task import Candidate, Item, Scored

DELTA = 0.05
FIRST_LAP = 5
EQUALS = 2
FOLLOWED = 0.5
"""Of the calls that are left: as many as it can follow to the last item are not halved. What a budget need not decide, a few items shall not."""
_GRID = 20  # differences of scores are rounded to 1/20 for the exact distribution


class Scorer(Protocol):
    """Scores candidates within a budget (Ledger): nothing twice, and only what fits into `left`."""

    @property
    def left(self) -> int: ...

    def missing(self, prompt: Prompt, items: Sequence[Item]) -> int: ...

    def __call__(self, prompt: Prompt, items: Sequence[Item]) -> list[Scored]: ...


@dataclass(slots=True, eq=False)
class Racer:
    """A candidate in the race and what is known of it on the race's items. `out`: why it was eliminated, after `laps` laps."""

    candidate: Candidate
    scored: list[Scored] = field(default_factory=list)
    laps: int = 0
    out: str | None = None

    @property
    def total(self) -> float:
        return math.fsum(one.score for one in self.scored)

    @property
    def mean(self) -> float:
        return self.total / len(self.scored) if self.scored else 0.0

    @property
    def tokens(self) -> float:
        """Input tokens per answered call; from the length of the text where the endpoint counts none."""
        counted = [one.input_tokens for one in self.scored if one.input_tokens]
        if counted:
            return sum(counted) / len(counted)
        return sum(len(message.content) for message in self.candidate.prompt.messages) / 4

    @property
    def rank(self) -> tuple[float, float, str]:
        """Smaller is better."""
        return (-round(self.mean, 9), self.tokens, self.candidate.name)


def laps(n: int, first: int = FIRST_LAP) -> list[int]:
    """How many items have been seen after each lap: doubling, the last one is all of them."""
    sizes, size = [], first
    while size < n / 1.25:
        sizes.append(size)
        size *= 2
    return [*sizes, n] if n else []


def in_order(items: Sequence[Item], rng: Random, champion: Mapping[str, float] | None = None) -> list[Item]:
    """The items as the race meets them: expected answers taken in turn, so that every prefix is balanced; where the champion is known on them, those
    it fails are taken in turn with those it gets right. Whoever is to beat it must gain there, and who gains nowhere is out soon."""
    if not champion:
        return _in_turn(_by_answer(items, rng))
    failed = _in_turn(_by_answer([item for item in items if champion.get(item.id, 0.0) < 1], rng))
    right = _in_turn(_by_answer([item for item in items if champion.get(item.id, 0.0) >= 1], rng))
    return _in_turn([failed, right])


def run_laps(champion: Racer, field: Sequence[Racer], items: Sequence[Item], scorer: Scorer, delta: float = DELTA) -> None:
    """Races the field and the champion over the items; afterwards everybody is either scored on all of them or `out`.

    A lap that would take more calls than are left is run without the worst. A champion that has been scored on all items before costs nothing more.
    """
    racing = list(field)
    if len(champion.scored) < len(items):
        champion.scored, champion.out = [], None
        racing.insert(0, champion)
    for lap, size in enumerate(laps(len(items)), 1):
        _afford(racing, items[:size], scorer)
        alive = [racer for racer in racing if racer.out is None]
        if not any(racer is not champion for racer in alive):
            return
        for racer in alive:
            racer.scored = scorer(racer.candidate.prompt, items[:size])
            racer.laps = lap
        _eliminate(champion, alive, items, size, delta)
        if size < len(items):
            affordable = int(FOLLOWED * scorer.left) // (len(items) - size)
            _halve(champion, [racer for racer in racing if racer.out is None], max(math.ceil(len(field) / 2**lap), affordable))


def _eliminate(champion: Racer, alive: Sequence[Racer], items: Sequence[Item], size: int, delta: float) -> None:
    leader = min(alive, key=lambda racer: racer.rank)
    everyone = [leader] if len(champion.scored) < len(items) else [leader, champion]
    for racer in alive:
        for other in everyone:
            if racer is other or racer.out:
                continue
            if reason := hopeless(racer, other, size, len(items)) or behind(racer, other, delta):
                racer.out = reason
        if racer is not champion and not racer.out and no_effect(racer, champion):
            racer.out = "no effect: the same answers as the champion, wrong ones too"


def hopeless(racer: Racer, other: Racer, size: int, n: int) -> str | None:
    """Whether the racer cannot reach the other any more, whatever comes. Both may be known on more than `size` items."""
    best_possible = racer.total + (n - len(racer.scored))
    if best_possible < other.total - 1e-9:
        return f"cannot catch up: at most {best_possible / n:.3f}, {other.candidate.name} has {other.total / n:.3f} already"
    if len(other.scored) == n and abs(best_possible - other.total) < 1e-9 and racer.tokens >= other.tokens and len(racer.scored) < n:
        return f"can at best equal {other.candidate.name}, with no fewer tokens"
    return None


def behind(racer: Racer, other: Racer, delta: float) -> str | None:
    """Whether the racer is behind on the items both know, by the paired test."""
    p = sign_flip_p(paired(other, racer))
    return f"behind {other.candidate.name} on {len(racer.scored)} items (p = {p:.3f})" if p <= delta else None


def no_effect(racer: Racer, champion: Racer) -> bool:
    """Whether the racer answers like the champion wherever both are known, two wrong answers or more among them, and costs no less."""
    theirs = {one.item.id: one for one in champion.scored}
    shared = [(one, theirs[one.item.id]) for one in racer.scored if one.item.id in theirs]
    same = bool(shared) and all(one.output == other.output and one.score == other.score for one, other in shared)
    return same and racer.tokens >= champion.tokens and sum(one.score < 1 for one, _ in shared) >= 2


def paired(one: Racer, other: Racer) -> list[float]:
    """Differences of scores on the items both were scored on."""
    theirs = {scored.item.id: scored.score for scored in other.scored}
    return [scored.score - theirs[scored.item.id] for scored in one.scored if scored.item.id in theirs]


def sign_flip_p(differences: Sequence[float]) -> float:
    """One-sided p of the exact paired sign-flip (permutation) test that the differences are not positive on average; Fisher 1935.

    With scores of 0 and 1 it is the exact one-sided McNemar test. Differences are rounded to 1/20.
    """
    steps = [abs(round(difference * _GRID)) for difference in differences]
    observed = sum(round(difference * _GRID) for difference in differences)
    width = sum(steps)
    if width == 0:
        return 1.0
    chances = np.zeros(2 * width + 1)
    chances[width] = 1.0
    for step in filter(None, steps):
        chances = 0.5 * (np.roll(chances, step) + np.roll(chances, -step))  # never wraps: the sum of all steps is the width
    return float(min(1.0, chances[width + observed :].sum()))


def _halve(champion: Racer, alive: Sequence[Racer], places: int) -> None:
    """The better half of those who began goes on, and half of these after the next lap, or as many as half of the calls left can follow to the end. Up to
    EQUALS more go on that do as well as the best and better than the champion: a few items must not decide between equals."""
    ranked = sorted(alive, key=lambda racer: racer.rank)
    best = ranked[0].mean if ranked else 0.0
    equals = [racer for racer in ranked[places:] if racer.mean == best and math.fsum(paired(racer, champion)) > 0][:EQUALS]
    for racer in ranked[places:]:
        if racer not in equals:
            racer.out = f"not among the best {places} on {len(racer.scored)} items"


def _afford(racing: Sequence[Racer], items: Sequence[Item], scorer: Scorer) -> None:
    """The worst are out until the others can be paid for."""
    left = scorer.left
    for racer in sorted((racer for racer in racing if racer.out is None), key=lambda racer: racer.rank):
        cost = scorer.missing(racer.candidate.prompt, items)
        if cost > left:
            racer.out = f"{left} calls left, the next lap takes {cost}"
        else:
            left -= cost


def _by_answer(items: Sequence[Item], rng: Random) -> list[list[Item]]:
    shuffled = list(items)
    rng.shuffle(shuffled)
    groups: dict[str, list[Item]] = {}
    for item in shuffled:
        groups.setdefault(item.expected, []).append(item)
    return list(groups.values())


def _in_turn(groups: Sequence[Sequence[Item]]) -> list[Item]:
    longest = max(map(len, groups), default=0)
    return [group[at] for at in range(longest) for group in groups if at < len(group)]
