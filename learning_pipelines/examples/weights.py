"""How much an example counts in training.

Belongs here: the rule from quality to weight. Not here: how quality is measured.
"""

from __future__ import annotations

RULE = "1 + confidence * (2 * quality - 1), confidence 1 where unknown, 1.0 without a quality score; between 0.1 and 2, two decimals"
"""The rule as it stands in the recipe of a version; changed together with `example_weight`."""

LEAST, MOST = 0.1, 2.0


def example_weight(quality: float | None, confidence: float | None) -> float:
    """The weight of an approved example, 0.1 to 2: 1.0 if nothing is known of its quality, more above .5 and less below.

    `quality`: 0–1, the calibrated score, which already weighs raters and experts by their reliability. `confidence`: 0–1, how sure that
    score is: what is unsure stays near 1. A score without a confidence (imported with the example) is taken at its word. Never 0: what an
    expert approved counts. Two decimals, so that a score that moves in the third makes no new version.
    """
    if quality is None:
        return 1.0
    return round(min(MOST, max(LEAST, 1 + (1.0 if confidence is None else confidence) * (2 * quality - 1))), 2)
