"""Edits without a model that several strategies share: which examples can be shown, room for them, sentences, labels and answer format in words of ours.

Belongs here: pure helpers on texts and demonstrations. Not here: deciding what to propose (the strategies), what is forbidden (hygiene.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from random import Random

from learning_pipelines.prompts.hygiene import can_be_shown
from learning_pipelines.prompts.prompt import Demonstration
from learning_pipelines.prompts.race import in_order
from learning_pipelines.prompts.task import Candidate, Item, Situation, Task

SHOWN_CHARS = 12_000
"""Most text that demonstrations add to a call, about 3,000 tokens: beyond it the answer is slow on a small model and lost in the middle of a large one."""
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_BULLET = re.compile(r"^(?:[-*•]|\d+[.)]|#+)\s+")


def demonstration(item: Item) -> Demonstration:
    return Demonstration(item.input, item.expected, item.id)


def usable(task: Task) -> list[Item]:
    """Train examples that may be shown, in their order: none that would break out of its turn, none that leaves no room for a second one."""
    return [item for item in task.train if can_be_shown(item) and _size(item) <= SHOWN_CHARS / 2]


def fitting(items: Iterable[Item]) -> list[Item]:
    """The first of them that fit into SHOWN_CHARS together."""
    kept, room = [], SHOWN_CHARS
    for item in items:
        if _size(item) <= room:
            kept.append(item)
            room -= _size(item)
    return kept


def typical_size(items: Sequence[Item]) -> float:
    """Characters one demonstration takes on average."""
    return sum(map(_size, items)) / len(items) if items else 0.0


def balanced(items: Sequence[Item], k: int, rng: Random) -> list[Item]:
    """`k` of them at random, expected answers taken in turn."""
    return in_order(items, rng)[:k]


def showing(situation: Situation, items: Sequence[Item], strategy: str, note: str) -> Candidate:
    """The best so far with these fixed demonstrations in place of its own."""
    best = situation.best
    prompt = best.prompt.with_demonstrations([demonstration(item) for item in items])
    return Candidate(prompt, strategy, tuple(item.id for item in items), best.name, note)


def reworded(situation: Situation, instruction: str, strategy: str, note: str) -> Candidate:
    """The best so far with another instruction."""
    best = situation.best
    return Candidate(best.prompt.with_instruction(instruction), strategy, best.shown, best.name, note)


def sentences(text: str) -> list[str]:
    """Sentences and lines of an instruction without bullets, empty ones and repetitions left out."""
    parts = (_BULLET.sub("", part.strip()) for part in _SENTENCE.split(text))
    return list(dict.fromkeys(part for part in parts if part))


def answer_format(task: Task) -> str:
    """One sentence on what an answer looks like, from the metric's type; empty where nothing is known."""
    kind = task.metric.get("type")
    if task.labels:
        return "Answer with exactly one of the labels, spelt as above, and nothing else."
    if kind == "json_match":
        return "Answer with one JSON object and nothing else: no code fence, no comment."
    if kind == "numeric":
        return "Answer with the number only, without unit or explanation."
    if kind == "exact_match":
        return "Answer with the result only, without explanation or quotation marks."
    return ""


def _size(item: Item) -> int:
    return len(item.input) + len(item.expected)
