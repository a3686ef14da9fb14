"""What reviewing an item is worth: the order of the annotation queue.

Belongs here: the formula, as pure functions. Not here: reading the queue (storage/review_queue.py).

value = impact × uncertainty × frequency × trust × recency × traffic × contest, ranked by its logarithm:

- impact by type: a correction or a failure 1, an edge case .9, a negative answer or a demonstration .8, a preference .6, a good answer .4.
  Reviewing what went wrong changes an agent more than confirming what went right.
- uncertainty: the entropy in bits of confidence_score, at least .1; unknown confidence is full uncertainty (1).
- frequency: log2(1 + pieces of feedback that say the same).
- trust: .25 if nobody but raters of next to no weight supports it.
- recency: halves every 30 days. In logarithms that is linear in created_at, so the order of two items never changes by waiting, and the
  sum of all factors up to here can lie in an index (learning.review_priority, learning_examples_queue).
- traffic: 1 + log10(1 + executions of the agent in the last 30 days) / 3: from 1 (none) to 3 (a million).
- contest: 4 while experts disagree about it, 2 while it contradicts another example: one verdict more settles these.
"""

from __future__ import annotations

import datetime as dt
import math

IMPACT = {"correction": 1.0, "failure": 1.0, "edge_case": 0.9, "negative": 0.8, "demonstration": 0.8, "preference": 0.6, "positive": 0.4}
LEAST_UNCERTAINTY = 0.1
DISTRUSTED = 0.25
HALF_LIFE_SECONDS = 30 * 86_400
ADJUDICATING, CONFLICTING = 4.0, 2.0


def uncertainty(confidence: float | None) -> float:
    """Entropy in bits of a confidence in 0–1, at least LEAST_UNCERTAINTY; 1 where it is unknown."""
    if confidence is None:
        return 1.0
    if not 0 < confidence < 1:
        return LEAST_UNCERTAINTY
    return max(LEAST_UNCERTAINTY, -(confidence * math.log2(confidence) + (1 - confidence) * math.log2(1 - confidence)))


def priority(example_type: str, confidence: float | None, support: int, distrusted: bool, created_at: dt.datetime) -> float:
    """The logarithm of the factors that depend on the item alone, equal to learning.review_priority; recency against the year 1970."""
    own = IMPACT[example_type] * uncertainty(confidence) * math.log2(1 + max(support, 1)) * (DISTRUSTED if distrusted else 1.0)
    return math.log(own) + math.log(2) * created_at.timestamp() / HALF_LIFE_SECONDS


def value(stored_priority: float, executions: int, *, adjudicating: bool, conflicting: bool, now: dt.datetime) -> float:
    """The whole value, with recency against `now`. `executions` of the agent in the last 30 days."""
    traffic = 1 + math.log10(1 + max(executions, 0)) / 3
    contest = (ADJUDICATING if adjudicating else 1.0) * (CONFLICTING if conflicting else 1.0)
    return math.exp(stored_priority - math.log(2) * now.timestamp() / HALF_LIFE_SECONDS) * traffic * contest
