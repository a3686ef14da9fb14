"""What a training came to, whichever engine made it: the learnt model, its control, and how all sides are scored once the test is reserved.

Belongs here: values shared by local.py, openai_tuning.py and gate.py. Not here: any of their work.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Scores = Mapping[str, float]
"""0 … 1 by the id of a test item."""


@dataclass(frozen=True, slots=True)
class Side:
    """A trained model. `content`: what it is (a hash, the endpoint's id), '' where nothing better than the start was found; `folder`: its files, if they
    are ours; `model`: its name at the endpoint. `curve`: training and validation loss by step; `numbers`: what the training measured."""

    content: str
    curve: tuple[Mapping[str, float], ...] = ()
    numbers: Mapping[str, Any] = field(default_factory=dict)
    folder: Path | None = None
    model: str | None = None

    def as_json(self) -> dict[str, Any]:
        return {"content": self.content, "model": self.model, "numbers": dict(self.numbers), "curve": [dict(point) for point in self.curve]}


@dataclass(frozen=True, slots=True)
class Scored:
    """All sides on the same items. `incumbent_name`: what it is called (of a reward model: the baseline)."""

    incumbent: Scores
    learnt: Scores
    control: Scores
    incumbent_name: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """`control` None, `scored` None: nothing was learnt, so there is nothing to test. `scored` asks and marks: to be called when the test is reserved."""

    learnt: Side
    control: Side | None = None
    scored: Callable[[], Scored] | None = None
    left_out: Mapping[str, int] = field(default_factory=dict)
