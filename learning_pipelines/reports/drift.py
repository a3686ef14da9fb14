"""Whether what serves answers its frozen held-out set worse than when it was first scored, however many weeks one looks.

Belongs here: the test and its level. Not here: scoring (serving_scores.py), SQL.

Each week is compared with the first score of the same version (content, guidance, model) on the same set: the exact paired test of
acceptance/paired.py (McNemar where scores are 0 and 1), one-sided. Each look may err with LEVEL / LOOKS, so that a year of weekly looks raises a false
alarm with a chance of at most LEVEL per agent and kind, however the weeks depend on each other (Bonferroni; they share their first score). Levels that
fall from week to week would spend less on a long life than on a short one: a model that changes in its fortieth week would not be seen.

Nothing of this is a test for acceptance: no level of acceptance/ is spent, and nothing that learns reads these scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from learning_pipelines.acceptance.paired import compare

LEVEL, LOOKS = 0.05, 53
"""False alarms of a year of looks, one each week; an ISO year has at most 53."""


def drift(first: Sequence[float], now: Sequence[float]) -> dict[str, Any]:
    """{p, level, alarm, difference, low, high, worse, better, method}; scores 0 … 1 in the order of the set. `low`, `high`: one bound on each side at
    the level of one look. Raises BadInput for scores that cannot be compared."""
    level = LEVEL / LOOKS
    found = compare(first, now, level)
    return {
        "p": found.p_worse, "level": level, "yearly_level": LEVEL, "alarm": found.p_worse <= level, "difference": found.difference, "low": found.low,
        "high": found.high, "worse": found.losses, "better": found.wins, "method": found.method,
    }  # fmt: skip
