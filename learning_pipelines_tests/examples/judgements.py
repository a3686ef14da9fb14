"""Real human judgements (FeedbackQA: two people rated each answer, without seeing each other's rating) as opinions and verdicts.

Belongs here: reading and converting. Not here: assertions, figures. Approving is rating an answer Acceptable or better.
"""

from __future__ import annotations

import numpy as np
import orjson

from learning_pipelines.examples.quality import Opinions
from learning_pipelines_tests.feedback.feedbackqa import DATA as DATA
from learning_pipelines_tests.feedback.feedbackqa import DOMAINS

LEVELS = {"Bad": 0, "Could be Improved": 1, "Acceptable": 2, "Excellent": 3}


def levels(domain: str) -> np.ndarray:
    """Ratings 0..3 of one domain, first and second rater × answers."""
    lines = (DATA / domain / "feedback_valid.jsonl").read_bytes().splitlines()
    return np.array([[LEVELS[rating] for rating in orjson.loads(line)["rating"]] for line in lines], dtype=np.float64).T


def approvals(ratings: np.ndarray) -> np.ndarray:
    """1 where a rating is Acceptable or better."""
    return (ratings >= 2).astype(np.float64)


def second_given_first(first: int, reliability: float = 0.7) -> tuple[Opinions, np.ndarray]:
    """What one rater said as an expert's score, and the other one's ratings of the same answers; all domains."""
    ratings = np.concatenate([levels(domain) for domain in DOMAINS], axis=1)
    count = ratings.shape[1]
    nothing = np.zeros(count)
    opinions = Opinions(
        np.full(count, np.nan), nothing, nothing, np.zeros(count, dtype=np.int64), np.arange(count), ratings[first] / 3,
        np.full(count, reliability), approvals(ratings[first]).astype(np.bool_),
    )  # fmt: skip
    return opinions, ratings[1 - first]
