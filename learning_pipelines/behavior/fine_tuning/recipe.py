"""How a fine-tuning goes: the numbers of LoRA and of the training, all of them stored with what was learnt.

Belongs here: values. Not here: the training itself (lora.py), settings of the installation (settings.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from learning_pipelines.behavior.fine_tuning.lessons import Method

RANK, ALPHA, DROPOUT = 16, 32, 0.05
PATIENCE = 2
MOST_TRAIN, MOST_VALIDATION = 2_000, 64
"""Rows that teach and choose at most, drawn by the seed: a core trains about 135 tokens a second on the packaged 135 million weights."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """`rate` is reached after a tenth of the steps and falls to 0 in a line; `length`: tokens above which a row is left out (a cut answer would teach to
    stop early). Validation is looked at `looks` times a round; PATIENCE looks without a gain end it. `beta`: how closely dpo stays by the old model.
    `seconds`: after so long it ends with what validation liked best."""

    epochs: int = 3
    batch: int = 8
    rate: float = 2e-4
    length: int = 512
    looks: int = 2
    rank: int = RANK
    beta: float = 0.1
    seconds: float = 1800.0

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, sent: Mapping[str, Any]) -> Recipe:
        return cls(**sent)


def recipe_for(method: Method, seconds: float) -> Recipe:
    """The recipe of a method; preferences move the weights with a lower rate, or they forget how to speak."""
    return Recipe(rate=2e-4 if method == "sft" else 5e-5, seconds=seconds)
