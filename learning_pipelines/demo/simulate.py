"""Simulated users of the demo: who answers, how they judge, what they write. Everything they say is marked as simulated.

Belongs here: stated noise and bias, drawn from a seed. Not here: what the model answered (desk.py), any file or database.

Stated, so that nobody has to guess: a user answers 35 to 75 % of the time, sees the wrong thing in 8 % of the cases, and is up to about
one star too kind or too strict. Half of those who see a mistake and know better write the right answer. 3 % change their mind.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

ANSWERS = (0.35, 0.75)
MISTAKEN = 0.08
KINDNESS_STARS = 0.5
CORRECTS = 0.5
CHANGES_MIND = 0.03
TEST_SHARE = 0.3


@dataclass(frozen=True, slots=True)
class Answered:
    """An execution as its user meets it: whether it was right, and the right answer if the user may write it."""

    execution_id: str
    user: str
    right: bool
    right_answer: str | None
    at: dt.datetime


def is_test_side(user: str) -> bool:
    """Whether a person belongs to the test side: what is written for them is never shown to anything that learns. By person, for good."""
    return int.from_bytes(hashlib.sha256(f"test side/{user}".encode()).digest()[:4]) / 2**32 < TEST_SHARE


def feedback_on(answered: Answered, comments: Mapping[bool, Sequence[str]], seed: int) -> list[dict[str, Any]]:
    """What the user says about one answer: nothing, one feedback, or two where they change their mind. Import rows of the kind feedback."""
    person = _rng(seed, answered.user)
    answers, kindness = person.uniform(*ANSWERS), person.gauss(0, KINDNESS_STARS)
    rng = _rng(seed, answered.execution_id)
    if rng.random() > answers:
        return []
    sees_right = answered.right != (rng.random() < MISTAKEN)
    first = _row(answered, 1, rng.randint(1, 90), _opinion(answered, sees_right, kindness, comments, rng))
    if rng.random() > CHANGES_MIND:
        return [first]
    return [first, _row(answered, 2, rng.randint(100, 400), _opinion(answered, not sees_right, kindness, comments, rng))]


def _opinion(answered: Answered, sees_right: bool, kindness: float, comments: Mapping[bool, Sequence[str]], rng: random.Random) -> dict[str, Any]:
    may_correct = not sees_right and not answered.right and answered.right_answer is not None and not is_test_side(answered.user)
    if may_correct and rng.random() < CORRECTS:
        return {"feedback_type": "correction", "correction_text": answered.right_answer}
    stars = min(5, max(1, round((4.6 if sees_right else 1.6) + kindness + rng.gauss(0, 0.5))))
    way = rng.random()
    if way < 0.5:
        return {"feedback_type": "thumbs_up" if sees_right else "thumbs_down"}
    if way < 0.75:
        return {"feedback_type": "star_rating", "rating": stars}
    if way < 0.9 or sees_right:
        dimensions = {name: min(5, max(1, stars + rng.randint(-1, 1))) for name in ("accuracy", "helpfulness", "clarity")}
        return {"feedback_type": "detailed_feedback", "rating": stars, "dimensions": dimensions, "feedback_text": rng.choice(comments[sees_right])}
    issue = rng.choice(["incorrect", "incomplete", "unclear"])
    return {"feedback_type": "report_issue", "issue_categories": [issue], "feedback_text": rng.choice(comments[False])}


def _row(answered: Answered, number: int, minutes: int, opinion: dict[str, Any]) -> dict[str, Any]:
    return {
        "feedback_id": f"{answered.execution_id}-said-{number}",
        "execution_id": answered.execution_id,
        "user": answered.user,
        **opinion,
        "created_at": (answered.at + dt.timedelta(minutes=minutes)).isoformat(),
        "simulated": True,
    }


def _rng(seed: int, name: str) -> random.Random:
    return random.Random(hashlib.sha256(f"{seed}/{name}".encode()).digest())
