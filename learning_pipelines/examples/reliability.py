"""How reliable each expert is: Dawid-Skene over verdicts that several experts gave on the same examples.

Belongs here: the estimation as plain arrays. Not here: reading verdicts and storing what was found (agreement_refresh.py), pooling them
into a score (quality.py).

A. Dawid and A. Skene, "Maximum Likelihood Estimation of Observer Error-Rates Using the EM Algorithm", Applied Statistics 28 (1979) 20-28:
every example has a true class, every expert a table of how often they say which class where which is true; expectation-maximization
finds both. Two additions. (1) The tables are shrunk: each expert starts with `strength` imaginary reviews per true class, distributed as
all experts together say (and those as a fairly reliable expert would, PRIOR_RIGHT), so that two reviews make nobody a genius or a fool.
(2) Only examples with two verdicts or more say anything about experts: a single verdict would confirm itself.

Own code and not crowd-kit: its model has no shrinkage, and importing it costs 2.5 s and brings nltk and transformers. Without shrinkage
the result is the same as crowd-kit's (tests).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Codes = NDArray[np.int64]
STRENGTH = 4.0
"""Imaginary reviews per true class that an expert starts with."""
PRIOR_RIGHT = 0.8
"""How often a fairly reliable expert names the true class."""
_FLOOR = 1e-10


@dataclass(frozen=True, slots=True)
class Reliability:
    """`confusion` experts × true class × said class, rows sum to 1. `reliability` per expert, 0 (as a coin) to 1: how much more often
    than not they rank two examples of different true classes rightly (Somers' D; for two classes sensitivity + specificity - 1), never
    below 0. `posterior` items × classes. `reviews`, `shared` per expert: all their verdicts, and those on items with several.
    `typical`: the reliability of an expert nothing is known about.
    """

    confusion: Array
    reliability: Array
    posterior: Array
    reviews: Codes
    shared: Codes
    typical: float


def estimate(
    items: Codes, experts: Codes, verdicts: Codes, *, classes: int = 3, strength: float = STRENGTH, iterations: int = 500, tolerance: float = 1e-7
) -> Reliability:
    """Fits the model to verdicts given as three arrays of the same length: item, expert (both numbered from 0) and class (0 … classes - 1
    in ascending order). At most one verdict per item and expert. Without verdicts every array is empty.
    """
    sizes = np.bincount(items) if len(items) else np.zeros(0, dtype=np.int64)
    people = int(experts.max()) + 1 if len(experts) else 0
    together = sizes[items] >= 2 if len(items) else np.zeros(0, dtype=bool)
    reviews, shared = (np.bincount(experts[chosen], minlength=people) for chosen in (slice(None), together))
    pairs = items[together], experts[together], verdicts[together]
    posterior = _votes(pairs[0], pairs[2], len(sizes), classes)
    for _ in range(iterations):
        confusion, typical = _maximize(pairs, posterior, people, classes, strength)
        prevalence = _prevalence(posterior[sizes >= 2], strength)
        before, posterior = posterior, _expect(pairs, confusion, prevalence, len(sizes))
        if len(posterior) == 0 or np.abs(posterior - before).max() < tolerance:
            break
    posterior = _expect((items, experts, verdicts), confusion, prevalence, len(sizes))
    return Reliability(confusion, _somers(confusion, prevalence), posterior, reviews, shared, float(_somers(typical[None], prevalence)[0]))


def _votes(items: Codes, verdicts: Codes, count: int, classes: int) -> Array:
    """The share of each item's votes per class; equal shares where there are none."""
    votes = np.bincount(items * classes + verdicts, minlength=count * classes).reshape(count, classes).astype(np.float64)
    total = votes.sum(axis=1, keepdims=True)
    shares: Array = np.divide(votes, total, out=np.full_like(votes, 1 / classes), where=total > 0)
    return shares


def _maximize(pairs: tuple[Codes, Codes, Codes], posterior: Array, people: int, classes: int, strength: float) -> tuple[Array, Array]:
    """The experts' tables and the one of a typical expert, given what the items probably are."""
    items, experts, verdicts = pairs
    counts = np.zeros((people, classes, classes))
    for true in range(classes):
        weighted = np.bincount(experts * classes + verdicts, weights=posterior[items, true], minlength=people * classes)
        counts[:, true, :] = weighted.reshape(people, classes)
    wrong = (1 - PRIOR_RIGHT) / (classes - 1)
    fair = np.full((classes, classes), wrong) + np.eye(classes) * (PRIOR_RIGHT - wrong)
    typical = counts.sum(axis=0) + max(strength, _FLOOR) * fair
    typical /= typical.sum(axis=1, keepdims=True)
    confusion = np.maximum(counts + strength * typical, _FLOOR)
    return confusion / confusion.sum(axis=2, keepdims=True), typical


def _prevalence(posterior: Array, strength: float) -> Array:
    """How frequent each class is among items with several verdicts; where there are few, all are about as likely."""
    classes = posterior.shape[1]
    total = posterior.sum(axis=0) + min(strength, 1.0) / classes
    shares: Array = np.maximum(total / max(float(total.sum()), _FLOOR), _FLOOR)
    return shares


def _expect(pairs: tuple[Codes, Codes, Codes], confusion: Array, prevalence: Array, count: int) -> Array:
    """What the items probably are, given the experts' tables."""
    items, experts, verdicts = pairs
    logs = np.tile(np.log(prevalence), (count, 1))
    said = np.log(confusion)
    for true in range(len(prevalence)):
        logs[:, true] += np.bincount(items, weights=said[experts, true, verdicts], minlength=count)
    likely = np.exp(logs - logs.max(axis=1, keepdims=True)) if count else logs
    result: Array = likely / likely.sum(axis=1, keepdims=True)
    return result


def _somers(confusion: Array, prevalence: Array) -> Array:
    """Somers' D of each table over pairs of different true classes, weighted by how frequent such pairs are; at least 0."""
    classes = len(prevalence)
    below = np.cumsum(confusion, axis=2) - confusion
    total, weights = np.zeros(len(confusion)), 0.0
    for high in range(classes):
        for low in range(high):
            weight = float(prevalence[high] * prevalence[low])
            rightly = (confusion[:, high] * below[:, low]).sum(axis=1)
            wrongly = (confusion[:, low] * below[:, high]).sum(axis=1)
            total, weights = total + weight * (rightly - wrongly), weights + weight
    result: Array = np.clip(total / weights, 0.0, 1.0)
    return result


@lru_cache(maxsize=1)
def unknown_reliability() -> float:
    """The reliability of an expert nobody knows anything about, in an organization where experts never shared an example."""
    nothing = np.zeros(0, dtype=np.int64)
    return estimate(nothing, nothing, nothing).typical
