"""Texts changed on purpose: in style alone, or in one fact; seeded.

Belongs here: planting edits in given texts. Not here: real corrections (../shared/data/qa_feedback), what is expected of scores.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random

_SYNONYMS = {
    "released": "published", "also": "as well", "film": "movie", "began": "started", "located": "situated", "large": "big", "many": "a lot of",
    "however": "but", "received": "got", "because": "since", "usually": "mostly", "written": "authored", "made": "produced", "known as": "called",
    "during": "in the course of", "different": "various", "the following": "the next", "after": "following", "currently": "at present", "led": "headed",
}  # fmt: skip
_NAMES = ("Globex", "Marseille", "Okafor", "Lindqvist", "Patagonia", "Initech", "Nakamura", "Zagreb")
_NEGATABLE = re.compile(r"\b(is|are|was|were|has|have|can|will|had)\b(?! not)")
_NUMBER = re.compile(r"\b\d+\b")
_NAME = re.compile(r"(?<=[a-z,] )[A-Z][a-z]{3,}\b")


def restyled(text: str, random: Random) -> str:
    """The same facts: other words for some, slips of the pen, layout, numbers written otherwise; sometimes all sentences in another order."""
    for word, other in random.sample(sorted(_SYNONYMS.items()), 12):
        text = re.sub(rf"\b{word}\b", other, text)
    text = re.sub(r"\b(is|was|are|were) not\b", r"\1n't", text)
    text = re.sub(r"(\d),(\d{3})\b", r"\1\2", text) if random.random() < 0.5 else re.sub(r" %| percent\b", "%", text)
    for _ in range(random.randint(0, 3)):
        text = _slip(text, random)
    sentences = re.split(r"(?<=[.!?])\s+", text)
    if random.random() < 0.4:
        random.shuffle(sentences)
    layout = random.choice(("{}", "- {}", "{}\n", "* {}", "> {}"))
    return ("\n" if layout != "{}" else " ").join(layout.format(sentence) for sentence in sentences)


def falsified(text: str, random: Random) -> str | None:
    """One number, name or polarity changed; None if the text has none of them."""
    ways = [way for way in (_other_number, _other_name, _negated) if way(text, random) is not None]
    return random.choice(ways)(text, random) if ways else None


def _other_number(text: str, random: Random) -> str | None:
    return _replaced(_NUMBER, text, random, lambda found: str(int(found) + random.randint(1, 9)))


def _other_name(text: str, random: Random) -> str | None:
    return _replaced(_NAME, text, random, lambda _: random.choice(_NAMES))


def _negated(text: str, random: Random) -> str | None:
    return _replaced(_NEGATABLE, text, random, lambda found: f"{found} not")


def _replaced(pattern: re.Pattern[str], text: str, random: Random, by: Callable[[str], str]) -> str | None:
    found = list(pattern.finditer(text))
    if not found:
        return None
    one = random.choice(found)
    return text[: one.start()] + by(one[0]) + text[one.end() :]


def _slip(text: str, random: Random) -> str:
    long = list(re.finditer(r"\b[a-z]{6,}\b", text))
    if not long:
        return text
    one = random.choice(long)
    at = random.randint(one.start() + 1, one.end() - 2)
    two = text[at : at + 2]
    return text[:at] + random.choice((two[::-1], two[0] + two, two[1])) + text[at + 2 :]
