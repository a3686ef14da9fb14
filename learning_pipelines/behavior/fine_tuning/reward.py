"""How well a reward model tells the better of two answers, beside what tells it without reading: length, and how often an answer was preferred.

Belongs here: scores per pair, baselines. Not here: training it (lora.py), the gate (gate.py).

A reward model is judged and registered; no policy is optimized against it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from learning_pipelines.behavior.fine_tuning.lessons import Pair

TIE = 0.5
"""What a pair counts where both answers get the same reward: a coin would do as well."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """`name` says what it goes by; `scores`: 1, 0 or TIE by the pair's id."""

    name: str
    scores: Mapping[str, float]


def preferred(rewards: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """1 where the chosen answer has the higher reward, 0 where the rejected one has, TIE between."""
    return {identity: _score(pair[0] - pair[1]) for identity, pair in rewards.items()}


def best_baseline(train: Sequence[Pair], validation: Sequence[Pair], test: Sequence[Pair]) -> Baseline:
    """The baseline that does best on the pairs that may be looked at: the longer answer, the shorter one, or the one preferred more often in train."""
    seen = (*train, *validation)
    often = Counter(pair.chosen for pair in train)
    often.subtract(pair.rejected for pair in train)
    rules = {
        "longer answer": lambda pair: len(pair.chosen) - len(pair.rejected),
        "shorter answer": lambda pair: len(pair.rejected) - len(pair.chosen),
        "answer preferred more often": lambda pair: often[pair.chosen] - often[pair.rejected],
    }
    name = max(rules, key=lambda one: sum(_score(rules[one](pair)) for pair in seen))
    return Baseline(name, {pair.id: _score(rules[name](pair)) for pair in test})


def _score(difference: float) -> float:
    return TIE if difference == 0 else float(difference > 0)
