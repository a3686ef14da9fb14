"""When two examples with the same question contradict each other: labels, fields, numbers, negations, or answers that say different things.

Belongs here: the decision on one pair. Not here: which pairs have the same question (clusters.py), storing and settling (curation.py, storage/).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from learning_pipelines.examples.duplicates import normalised, without_punctuation

VERDICTS, LABELS, FIELDS, NUMBERS, NEGATION, ANSWERS = (
    "right for one, wrong for the other", "different labels", "different fields", "different numbers", "one negates the other", "different answers",
)  # fmt: skip

SHORT_WORDS, SHORT_CHARACTERS = 4, 60
"""An answer up to this size is read as a label: two that differ cannot both be right."""

REWORDED = 0.5
"""From this share of common words on, a negation in one of two answers turns its meaning; below, the sentences are built differently."""

UNRELATED = 0.35
"""Answers whose vectors have less than this cosine say different things. Paraphrases lie above 0.5, additions to an answer too."""

_NEGATIONS = frozenset(
    "no not never none nor neither without cannot nobody nothing nicht kein keine keinen keinem keiner keines nie niemals ohne weder".split()  # noqa: SIM905
)
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
_WORD = re.compile(r"\w+")
_OPENING = {"yes": True, "ja": True, "no": False, "nein": False}


@dataclass(frozen=True, slots=True)
class Side:
    """What an example teaches: the answer it wants, and one that it holds to be wrong."""

    input_text: str
    expected: str | None
    refuted: str | None


def side_of(row: Mapping[str, Any]) -> Side:
    """What a stored example teaches; of a preference what was preferred."""
    kind, original, expected = row["example_type"], row["original_output"], row["expected_output"]
    if kind in ("negative", "failure"):
        return Side(row["input_text"], None, original)
    if expected is None and row["preferred_output"] is not None:
        expected = row["output_a"] if row["preferred_output"] == "A" else row["output_b"]
    return Side(row["input_text"], expected, original if kind == "correction" else None)


def contradiction(one: Side, two: Side, *, labels: Collection[str] = ()) -> str | None:
    """Why two examples with near-duplicate inputs contradict each other, as far as the texts tell; None if they don't, or it takes vectors to tell.

    `labels`: the agent's closed set of answers, if it has one. Inputs that differ in a number or a negation ask different questions.
    """
    if not same_question(one.input_text, two.input_text):
        return None
    if one.expected is not None and two.expected is not None and _plain(one.expected) == _plain(two.expected):
        return None
    for right, wrong in ((one.expected, two.refuted), (two.expected, one.refuted)):
        if right is not None and wrong is not None and _plain(right) == _plain(wrong):
            return VERDICTS
    if one.expected is None or two.expected is None:
        return None
    return _differ(one.expected, two.expected, {_plain(label) for label in labels})


def undecided(one: Side, two: Side, labels: Collection[str] = ()) -> bool:
    """Whether only vectors can tell: two longer answers in different words to the same question."""
    if one.expected is None or two.expected is None or not same_question(one.input_text, two.input_text):
        return False
    if contradiction(one, two, labels=labels) is not None or _is_short(one.expected) or _is_short(two.expected):
        return False
    return _structure(one.expected) is None and _common(_words(one.expected), _words(two.expected)) < REWORDED


def same_question(one: str, two: str) -> bool:
    """Whether near-duplicate inputs hold the same numbers and the same negation."""
    return _numbers(one) == _numbers(two) and _negated(_words(one)) == _negated(_words(two))


def _differ(one: str, two: str, labels: set[str]) -> str | None:
    if _plain(one) in labels and _plain(two) in labels:
        return LABELS
    first, second = _structure(one), _structure(two)
    if first is not None and second is not None:
        return FIELDS if _fields_differ(first, second) else None
    words = _words(one), _words(two)
    if _is_short(one) and _is_short(two):
        return None if _one_holds_other(*words) and _negated(words[0]) == _negated(words[1]) else LABELS
    numbers = Counter(_numbers(one)), Counter(_numbers(two))
    if numbers[0] - numbers[1] and numbers[1] - numbers[0]:
        return NUMBERS
    openings = [_OPENING.get(found[0]) if found else None for found in words]
    if None not in openings and openings[0] != openings[1]:
        return NEGATION
    if _negated(words[0]) != _negated(words[1]) and _common(*words) >= REWORDED:
        return NEGATION
    return None


def _plain(text: str) -> str:
    return without_punctuation(normalised(text), {})


def _words(text: str) -> list[str]:
    return _WORD.findall(re.sub(r"n['’]t\b", " not", normalised(text)))


def _numbers(text: str) -> list[str]:
    """Numbers in ascending order, thousands unmarked: 1,000 is 1000, but 1,5 is not 15."""
    return sorted(re.sub(r"[.,](?=\d{3}(?:\D|$))", "", found) for found in _NUMBER.findall(text))


def _negated(words: list[str]) -> bool:
    return sum(word in _NEGATIONS for word in words) % 2 == 1


def _common(one: list[str], two: list[str]) -> float:
    """Jaccard similarity of the words, negations aside."""
    first, second = set(one) - _NEGATIONS, set(two) - _NEGATIONS
    return len(first & second) / max(1, len(first | second))


def _one_holds_other(one: list[str], two: list[str]) -> bool:
    return bool(one and two) and (set(one) <= set(two) or set(two) <= set(one))


def _is_short(text: str) -> bool:
    return len(text) <= SHORT_CHARACTERS and len(_words(text)) <= SHORT_WORDS


def _structure(text: str) -> Any:
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def _fields_differ(one: Any, two: Any) -> bool:
    """Whether a value that both give differs; what only one of them gives is an addition."""
    if isinstance(one, dict) and isinstance(two, dict):
        return any(_fields_differ(one[key], two[key]) for key in one.keys() & two.keys())
    if isinstance(one, list) and isinstance(two, list):
        return sorted(map(_key, one)) != sorted(map(_key, two))
    return _key(one) != _key(two)


def _key(value: Any) -> str:
    return _plain(value) if isinstance(value, str) else orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
