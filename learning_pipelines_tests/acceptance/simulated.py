"""Agents whose scores are drawn: what the gate says of thousands of them at once.

Belongs here: drawing scores, the gate's rule for 0/1 scores over arrays (test_gate.py proves it the same), a search that overfits. Not here:
asserting anything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from learning_pipelines.acceptance.alpha import count, spent

Flags = NDArray[np.bool_]
Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Weeks:
    """Agents × weeks: what was promoted, and what each week's candidate seemed to gain on validation."""

    promoted: Flags
    claimed: Numbers


def promotes(wins: NDArray[np.int64], losses: NDArray[np.int64], items: int, level: float | Numbers, min_effect: float = 0.02) -> Flags:
    """Where the gate says `better`, for arrays of wins and losses among `items` scores of 0 and 1."""
    found: Flags = (binom.sf(wins - 1, wins + losses, 0.5) <= level) & ((wins - losses) / max(items, 1) >= min_effect - 1e-12)
    return found


def weekly(rng: np.random.Generator, agents: int, windows: list[NDArray[np.int64]], *, tried: int = 30, validation: int = 50, hit: float = 0.6) -> Weeks:
    """Twenty weeks of learning where no candidate is better than any other, for many agents.

    `windows`: the test items of each week. Every week the search returns the best of `tried` candidates on `validation` items of its own, that
    is the one it overfitted most; that one meets the incumbent on the week's test items. An item's score is drawn once per version, and a version
    that was promoted keeps its scores.
    """
    size = 1 + max(int(window.max()) for window in windows)
    incumbent = rng.random((agents, size)) < hit
    seen: list[set[str]] = []
    promoted, claimed = np.zeros((agents, len(windows)), dtype=bool), np.zeros((agents, len(windows)))
    for week, window in enumerate(windows):
        items = {str(item) for item in window}
        level = spent(count(items, seen))
        seen.append(items)
        claimed[:, week] = (rng.binomial(validation, hit, (agents, tried)).max(axis=1) - rng.binomial(validation, hit, agents)) / validation
        candidate = rng.random((agents, size)) < hit
        wins = (candidate & ~incumbent)[:, window].sum(axis=1)
        losses = (incumbent & ~candidate)[:, window].sum(axis=1)
        now = promoted[:, week] = promotes(wins, losses, len(window), level)
        incumbent[now] = candidate[now]
    return Weeks(promoted, claimed)


def growing(weeks: int, first: int, added: int) -> list[NDArray[np.int64]]:
    """A permanent test split that gains items every week."""
    return [np.arange(first + week * added) for week in range(weeks)]


def rolling(weeks: int, items: int, replaced: int) -> list[NDArray[np.int64]]:
    """A test split that loses its oldest items as new ones come."""
    return [np.arange(week * replaced, week * replaced + items) for week in range(weeks)]


def shuffled(rng: np.random.Generator, *, classes: int, validation: int, test: int, tried: int) -> tuple[Numbers, Numbers, float]:
    """Labels shuffled among the items: test scores of the incumbent and of the candidate that did best on validation, and what that seemed to gain.

    The incumbent names the class that an item really has nine times in ten; a candidate names classes in its own way (a random map of the
    real ones, right or wrong by chance). After the shuffle none can be better than chance.
    """
    real = rng.integers(classes, size=validation + test)
    labels = rng.permutation(real)
    said = np.where(rng.random(len(real)) < 0.9, real, rng.integers(classes, size=len(real)))
    maps = rng.integers(classes, size=(tried, classes))
    scores = (maps[:, said] == labels).astype(np.float64)
    before = (said == labels).astype(np.float64)
    best = int(scores[:, :validation].mean(axis=1).argmax())
    return before[validation:], scores[best, validation:], float(scores[best, :validation].mean() - before[:validation].mean())


def sign_flip_p(differences: Numbers, rng: np.random.Generator, draws: int = 999) -> float:
    """One-sided Monte Carlo sign-flip permutation test of the mean, to compare with."""
    flips = rng.choice((-1.0, 1.0), (draws, len(differences))) @ differences
    return float((1 + np.sum(flips >= differences.sum() - 1e-12)) / (draws + 1))


def percentile_low(differences: Numbers, level: float, rng: np.random.Generator, draws: int = 2000) -> float:
    """Lower percentile-bootstrap bound of the mean, to compare with."""
    resampled = differences[rng.integers(len(differences), size=(draws, len(differences)))].mean(axis=1)
    return float(np.quantile(resampled, level))


def skewed(rng: np.random.Generator, n: int) -> tuple[Numbers, Numbers]:
    """A candidate that gains nothing: .1 better on nine items of ten, .9 worse on the tenth (the incumbent scores .9)."""
    return np.full(n, 0.9), np.where(rng.random(n) < 0.9, 1.0, 0.0)


def graded(rng: np.random.Generator, n: int) -> tuple[Numbers, Numbers]:
    """Two equal prompts scored in quarters, most items alike, as an LLM judge or a share of right fields does."""
    easy = rng.random((n, 1)) < 0.5
    scores = np.where(easy, 1.0, rng.integers(0, 5, (n, 2)) / 4)
    return scores[:, 0], scores[:, 1]


def lopsided(rng: np.random.Generator, n: int) -> tuple[Numbers, Numbers]:
    """A candidate that gains nothing: .2 worse on four items of five and .8 better on the fifth."""
    return np.full(n, 0.2), np.where(rng.random(n) < 0.8, 0.0, 1.0)


NULLS: dict[str, Callable[[np.random.Generator, int], tuple[Numbers, Numbers]]] = {"graded": graded, "skewed": skewed, "lopsided": lopsided}
