"""Behaviour that is suspicious whatever the truth is: votes in bursts, always the same vote, votes on one's own words.

Belongs here: signals of one rater's own history, against the usual of all. Not here: comparing with what others said (trust.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from learning_pipelines.feedback.trust_links import Floats, Ints

WINDOW_SECONDS = 600.0
BURST_FLOOR, BURST_TIMES = 12.0, 6.0
"""A burst: at least 12 votes within ten minutes, and six times (in robust units) what raters usually do at their busiest."""
CONSTANT_FROM = 10


@dataclass(frozen=True, slots=True)
class Behaviour:
    """Per rater. votes: how many. burst: share of them cast in bursts, 0–1. constant: all the same, and at least CONSTANT_FROM. self_votes: share, 0–1."""

    votes: Floats
    burst: Floats
    constant: npt.NDArray[np.bool_]
    self_votes: Floats


def behaviour(raters: int, rater: Ints, good: npt.NDArray[np.bool_], seconds: Floats, self_vote: npt.NDArray[np.bool_]) -> Behaviour:
    """The signals of every rater; arrays have one entry per vote."""
    votes = np.bincount(rater, minlength=raters).astype(float)
    given = np.maximum(votes, 1)
    said_good = np.bincount(rater, weights=good, minlength=raters)
    own = np.bincount(rater, weights=self_vote, minlength=raters) / given
    constant = (votes >= CONSTANT_FROM) & ((said_good == 0) | (said_good == votes))
    return Behaviour(votes, _burst(raters, rater, seconds) / given, constant, own)


def _burst(raters: int, rater: Ints, seconds: Floats) -> Floats:
    """Votes cast in bursts, per rater."""
    if not len(rater):
        return np.zeros(raters)
    window = np.floor(seconds / WINDOW_SECONDS).astype(np.int64)
    keys, which, counts = np.unique(np.stack([rater, window]), axis=1, return_inverse=True, return_counts=True)
    busiest = np.zeros(raters)
    np.maximum.at(busiest, keys[0], counts)
    seen = np.log1p(busiest[busiest > 0])
    middle = float(np.median(seen))
    spread = max(0.25, 1.4826 * float(np.median(np.abs(seen - middle))))
    limit = max(BURST_FLOOR, float(np.expm1(middle + BURST_TIMES * spread)) if len(seen) >= 8 else BURST_FLOOR)
    in_burst = (counts >= limit)[which.ravel()]
    return np.bincount(rater, weights=in_burst, minlength=raters).astype(float)
