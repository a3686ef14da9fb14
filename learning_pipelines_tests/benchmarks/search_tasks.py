"""The two made-up tasks on which prompt searches are compared, the same for every library: nothing can be won, and twelve rules are to be found.

Belongs here: the tasks and the scripted reflection model, standard library only (peers run them in an environment of their own). Not here: any
search.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

HIT = 0.6
RULES = 12
NULL_SIZES = {"train": 60, "validation": 50, "test": 400}
RULE_SIZES = {"train": 60, "validation": 30, "test": 200}
CALLS = 1_500


@dataclass(frozen=True)
class Question:
    """`id` names split and number; `need`: the rules that its answer needs (rule task)."""

    id: str
    need: frozenset[int] = frozenset()


def null_questions(split: str) -> list[Question]:
    return [Question(f"{split}-{number}") for number in range(NULL_SIZES[split])]


def null_score(seed: int, question: Question, prompt: str) -> float:
    """0 or 1 with a chance of HIT of 1, whatever the prompt says; always the same for the same prompt and question."""
    drawn = hashlib.blake2b(f"{seed}/{question.id}/{prompt}".encode(), digest_size=8).digest()
    return float(int.from_bytes(drawn, "big") / 2**64 < HIT)


def rule_questions(seed: int) -> dict[str, list[Question]]:
    """The three splits; every question needs one to three of the rules."""
    draw = random.Random(seed)
    return {
        split: [Question(f"{split}-{number}", frozenset(draw.sample(range(RULES), draw.randint(1, 3)))) for number in range(size)]
        for split, size in RULE_SIZES.items()
    }


def rule_score(question: Question, prompt: str) -> tuple[float, list[int]]:
    """Share of the needed rules that the prompt names, and those it does not."""
    missing = question.need - {int(rule) for rule in re.findall(r"R(\d+)", prompt)}
    return 1 - len(missing) / len(question.need), sorted(missing)


def feedback(missing: Sequence[int]) -> str:
    return "missing " + " ".join(f"R{rule}" for rule in missing)


def rewritten(draw: random.Random, current: Sequence[str], missing: Sequence[str]) -> str:
    """What the scripted reflection model makes of a prompt: seven times in ten it adds one rule that was missed, and it forgets 3 % of those there."""
    added = [draw.choice(missing)] if missing and draw.random() < 0.7 else []
    kept = [rule for rule in current if draw.random() > 0.03]
    return "Rules: " + " ".join(sorted({*kept, *added}))


def missed(text: str) -> list[str]:
    """The rules that feedback in a reflection prompt says were missed."""
    return [rule for found in re.findall(r"missing ((?:R\d+ ?)+)", text) for rule in found.split()]
