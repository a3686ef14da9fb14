"""What a model is fine-tuned on: conversations with the approved answer, pairs of a better and a worse answer, and the questions it is tested by.

Belongs here: plain values, their form for trl and for an OpenAI-compatible endpoint, the shuffled control. Not here: reading them (data.py), training.

The rows are exactly what is served: the agent's prompt for the input, then the answer. A user's words never stand in the system role.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from random import Random
from typing import Any, Literal, TypeAlias

Method = Literal["sft", "dpo", "rlhf"]
METHODS: tuple[Method, ...] = ("sft", "dpo", "rlhf")
ANSWERING: tuple[Method, ...] = ("sft", "dpo")
"""Methods whose model answers; that of rlhf (a reward model) only says which of two answers is better."""
Turn = Mapping[str, str]
"""{"role": …, "content": …}"""


@dataclass(frozen=True, slots=True)
class Example:
    """`prompt`: what the model is sent; `answer`: what an expert approved."""

    id: str
    prompt: tuple[Turn, ...]
    answer: str

    def trl(self) -> dict[str, Any]:
        return {"prompt": list(self.prompt), "completion": [_said(self.answer)]}

    def openai(self) -> dict[str, Any]:
        return {"messages": [*self.prompt, _said(self.answer)]}


@dataclass(frozen=True, slots=True)
class Pair:
    """Two answers to the same prompt, of which people preferred one."""

    id: str
    prompt: tuple[Turn, ...]
    chosen: str
    rejected: str

    def trl(self) -> dict[str, Any]:
        return {"prompt": list(self.prompt), "chosen": [_said(self.chosen)], "rejected": [_said(self.rejected)]}

    def openai(self) -> dict[str, Any]:
        shown = {"messages": list(self.prompt), "tools": [], "parallel_tool_calls": True}
        return {"input": shown, "preferred_output": [_said(self.chosen)], "non_preferred_output": [_said(self.rejected)]}


Rows: TypeAlias = tuple[Example, ...] | tuple[Pair, ...]


@dataclass(frozen=True, slots=True)
class Question:
    """What both models answer in the test; the expected answer stays with whoever scores."""

    id: str
    prompt: tuple[Turn, ...]


@dataclass(frozen=True, slots=True)
class Lessons:
    """`train` teaches, `validation` stops and chooses; rows of one kind (pairs for dpo and rlhf). `left_out`: rows by why they are not among them."""

    method: Method
    train: Rows
    validation: Rows
    left_out: Mapping[str, int] = field(default_factory=dict)

    def shuffled(self, seed: int) -> Lessons:
        """The same rows saying nothing: answers dealt out anew within each split, or of each pair by chance which answer is the better one."""
        return replace(self, train=_shuffled(self.train, seed), validation=_shuffled(self.validation, seed + 1))

    def as_json(self) -> dict[str, Any]:
        return {"method": self.method, **{name: [asdict(row) for row in getattr(self, name)] for name in ("train", "validation")}}

    @classmethod
    def from_json(cls, sent: Mapping[str, Any]) -> Lessons:
        kind: type[Example] | type[Pair] = Example if sent["method"] == "sft" else Pair
        train, validation = (tuple(kind(**{**row, "prompt": tuple(row["prompt"])}) for row in sent[name]) for name in ("train", "validation"))
        return cls(sent["method"], train, validation)  # type: ignore[arg-type]


def _shuffled(rows: Rows, seed: int) -> Rows:
    drawn = Random(seed)
    examples = [row for row in rows if isinstance(row, Example)]
    answers = [row.answer for row in examples]
    drawn.shuffle(answers)
    if examples:
        return tuple(replace(row, answer=answer) for row, answer in zip(examples, answers, strict=True))
    pairs = (row for row in rows if isinstance(row, Pair))
    return tuple(replace(row, chosen=row.rejected, rejected=row.chosen) if drawn.random() < 0.5 else row for row in pairs)


def _said(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}
