"""Any two versions of a prompt on the same examples: both scores, the paired difference, every item with both answers.

Belongs here: putting two evaluations side by side. Not here: scoring (summary.py), the statistics (acceptance/paired.py), verdicts (acceptance/gate.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from learning_pipelines.acceptance.paired import Comparison, compare
from learning_pipelines.prompts.evaluation import Evaluator
from learning_pipelines.prompts.prompt import Prompt
from learning_pipelines.prompts.summary import Evaluation, evaluate
from learning_pipelines.prompts.task import Item

ALPHA = 0.025
"""Of each bound: together a 95 % interval of the difference. It decides nothing and spends nothing; promotion is the gate's."""


@dataclass(frozen=True, slots=True)
class SideBySide:
    """`one` and `other` on the same items; `paired`: what `one` gains over `other`."""

    one: Evaluation
    other: Evaluation
    paired: Comparison

    def as_json(self, version: int, against: int) -> dict[str, Any]:
        """What `evaluate prompt --against` prints: the evaluation of `version`, and beside it the other one."""
        mine, theirs = self.one.as_json(version), self.other.as_json(against)
        items = [
            {**ours, "against_output": other["output"], "against_score": other["score"], "against_fault": other["fault"]}
            for ours, other in zip(mine.pop("items"), theirs.pop("items"), strict=True)
        ]
        return {
            **mine, "against": theirs, "difference": self.paired.difference, "difference_interval": [self.paired.low, self.paired.high],
            "p_better": self.paired.p_better, "p_worse": self.paired.p_worse, "wins": self.paired.wins, "losses": self.paired.losses,
            "method": self.paired.method, "items": items,
        }  # fmt: skip


def side_by_side(one: tuple[Evaluator, Prompt], other: tuple[Evaluator, Prompt], items: Sequence[Item]) -> SideBySide:
    """Scores both on the same items. Each comes with its evaluator: versions may pick demonstrations from different dataset versions."""
    mine, theirs = evaluate(*one, items), evaluate(*other, items)
    paired = compare([scored.score for scored in theirs.scored], [scored.score for scored in mine.scored], ALPHA)
    return SideBySide(mine, theirs, paired)
