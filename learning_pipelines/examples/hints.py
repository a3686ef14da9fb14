"""What an expert may compare a verdict with once it is given: the nearest approved example, what the judge said, what contradicts the item.

Belongs here: hints, and that they come afterwards. Not here: SQL (storage/review_hints.py), near-duplicates (duplicates.py).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from learning_pipelines.examples.experts import Expert, Reason, Refused, unknown
from learning_pipelines.storage import review_hints as storage
from learning_pipelines.storage.database import Connection

COMPARED = 2_000
"""Without stored vectors, this many approved examples of the agent are compared by their words: the newest."""
CONTRADICTIONS = 5
"""At most this many examples that contradict an item are shown, those found first."""
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Nearest:
    """An approved example with the most similar input. `similarity` 0–1: the cosine of stored vectors (by: embedding), or the share of
    words that both inputs have (by: words)."""

    example_id: str
    input_text: str
    expected_output: str | None
    similarity: float
    by: str


def hints(connection: Connection, expert: Expert, example_id: str) -> dict[str, Any]:
    """Hints on an item that this expert has judged. `judge` is None where no judge has said anything about it. Raises Refused before a verdict."""
    subject = storage.subject(connection, expert.organization_id, expert.id, example_id)
    if subject is None:
        raise unknown()
    if not subject.judged:
        raise Refused(Reason.STATE, "Hints are shown after a verdict: before it they would make it less your own.", "Judge the item first.")
    return {
        "nearest": _nearest(connection, expert, subject), "judge": storage.judge(connection, expert.organization_id, example_id),
        "contradictions": storage.contradictions(connection, expert.organization_id, example_id, CONTRADICTIONS),
    }  # fmt: skip


def _nearest(connection: Connection, expert: Expert, subject: storage.Subject) -> Nearest | None:
    close = storage.nearest_by_vector(connection, expert.organization_id, subject)
    if close is not None:
        return Nearest(close.example_id, close.input_text, close.expected_output, max(0.0, min(1.0, close.similarity)), "embedding")
    return nearest_by_words(subject.input_text, storage.newest_approved(connection, expert.organization_id, subject, COMPARED))


def nearest_by_words(text: str, others: Sequence[tuple[str, str, str | None]]) -> Nearest | None:
    """The one of `others` (id, input, expected output) whose set of words has the highest Jaccard similarity, the first of equals; None if
    no word is shared with any.
    """
    words = _words(text)
    best: Nearest | None = None
    for identity, other, expected in others:
        theirs = _words(other)
        shared = len(words & theirs)
        similarity = shared / max(1, len(words) + len(theirs) - shared)
        if similarity > (best.similarity if best is not None else 0.0):
            best = Nearest(identity, other, expected, similarity, "words")
    return best


def _words(text: str) -> set[str]:
    return {word.casefold() for word in _WORD.findall(text)}
