"""The quality score of an example: how likely an expert who looks at it approves it, from what is known about it.

Belongs here: pooling opinions into evidence, and evidence into a score, as plain arrays. Not here: the calibration (calibration.py),
reading opinions and writing scores (quality_refresh.py).

Opinions are numbers 0..1 about the example (1: it should be learnt from), each with a weight:

| who | opinion | weight |
|---|---|---|
| nobody yet | 0.5 | 1 |
| whoever imported it with a quality_score | that score | 1 |
| users whose feedback it stands for | 1 | the sum of their rater weights, damped |
| users whose feedback says the opposite about the same answer | 0 | the sum of their rater weights, damped |
| each expert | half verdict (approved 1, needs revision .5, rejected 0), half mean of their 0-1 scores | 4 × reliability (+ that of a verifier) |

Damped: all users together weigh less than CROWD, however many they are, so that no crowd outvotes two reliable experts.

Evidence is the mean opinion less half of CAUTION × disagreement, disagreement = 1 - agreement being twice the mean absolute difference of
two opinions drawn at random (Gini; 0 if all are alike, 1 if half say 0 and half 1). As a functional of the distribution of opinions this
is a distorted expectation (M. Yaari, Econometrica 55 (1987) 95-115): with CAUTION ≤ 1/2 more favourable opinions can never lower it,
although they may raise the disagreement. So the score does not decrease in any expert's score, in the weight of any rater who supports
the example, or in agreement at the same mean; the weight of a rater who contradicts it counts the other way. The calibration that
follows is non-decreasing. (Experts' reliabilities and the calibration are held fixed here: refitting them moves all scores.)

An example about which nobody said anything has no score (NULL): the prior alone is no evidence. Examples of experts' demonstrations are
among them until somebody reviews them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from learning_pipelines.examples.calibration import Calibration

Array = NDArray[np.float64]
Codes = NDArray[np.int64]
PRIOR_OPINION, PRIOR_WEIGHT = 0.5, 1.0
IMPORTER_WEIGHT, EXPERT_WEIGHT, CROWD = 1.0, 4.0, 5.0
CAUTION = 0.25
"""How much disagreement costs; at most 1/2, or a favourable opinion could lower the evidence."""


@dataclass(frozen=True, slots=True)
class Opinions:
    """What is known about n examples. Per example: `imported` 0..1 or NaN, `supporting` and `contradicting` sums of rater weights ≥ 0,
    `raters` how many people these are. Per verdict of an expert: `example` (0 … n - 1), `score` 0..1, `reliability` ≥ 0, `approved`.
    """

    imported: Array
    supporting: Array
    contradicting: Array
    raters: Codes
    example: Codes
    score: Array
    reliability: Array
    approved: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Quality:
    """Per example, NaN where there is none: `evidence` and `score` 0..1 (no opinion with any weight: none), `agreement` 0..1 (fewer than
    two opinions: none), `expert_score` 0..1 mean by reliability; `experts` how many.
    """

    evidence: Array
    score: Array
    agreement: Array
    expert_score: Array
    experts: Codes


def score(opinions: Opinions, calibration: Calibration) -> Quality:
    """Scores every example. Nothing is read or written."""
    count = len(opinions.imported)
    groups, values, weights = _weighted(opinions, opinions.example, opinions.score, opinions.reliability)
    total, _, spread = _pool(groups, values, weights, count)
    experts = np.bincount(opinions.example, minlength=count)
    people = experts + opinions.raters + ~np.isnan(opinions.imported)
    agreement = np.where((people > 1) & (total > 0), 1 - 2 * spread, np.nan)
    evidence = _evidence(groups, values, weights, count)
    expert_score = _pool(opinions.example, opinions.score, opinions.reliability, count)[1]
    return Quality(evidence, calibration(evidence), agreement, expert_score, experts)


def held_out(opinions: Opinions) -> Array:
    """For every expert's verdict, the evidence there is without it: what a calibration may be fitted to. NaN: no other opinion."""
    sizes = np.bincount(opinions.example, minlength=len(opinions.imported))
    order = np.argsort(opinions.example, kind="stable")
    starts = np.cumsum(sizes) - sizes
    each = sizes[opinions.example]
    verdict = np.repeat(np.arange(len(opinions.example)), each)
    place = np.arange(len(verdict)) - np.repeat(np.cumsum(each) - each, each)
    other = order[starts[opinions.example[verdict]] + place]
    kept = other != verdict
    verdict, other = verdict[kept], other[kept]
    base = Opinions(
        opinions.imported[opinions.example], opinions.supporting[opinions.example], opinions.contradicting[opinions.example],
        opinions.raters[opinions.example], verdict, opinions.score[other], opinions.reliability[other], opinions.approved[other],
    )  # fmt: skip
    return _evidence(*_weighted(base, verdict, base.score, base.reliability), len(opinions.example))


def _weighted(opinions: Opinions, example: Codes, scores: Array, reliability: Array) -> tuple[Codes, Array, Array]:
    """Every opinion with its weight, as (example, opinion, weight); the prior is not among them."""
    numbers = np.arange(len(opinions.imported))
    known = ~np.isnan(opinions.imported)
    damped = 1 / (1 + (opinions.supporting + opinions.contradicting) / CROWD)
    groups = np.concatenate([numbers[known], numbers, numbers, example])
    values = np.concatenate([opinions.imported[known], np.ones(len(numbers)), np.zeros(len(numbers)), scores])
    weights = np.concatenate(
        [np.full(int(known.sum()), IMPORTER_WEIGHT), opinions.supporting * damped, opinions.contradicting * damped, EXPERT_WEIGHT * reliability]
    )
    return groups, values, weights


def _evidence(groups: Codes, values: Array, weights: Array, count: int) -> Array:
    """Mean less the price of disagreement, with the prior as one more opinion; NaN where nobody with any weight said anything."""
    numbers = np.arange(count)
    known = np.bincount(groups, weights=weights, minlength=count) > 0
    _, mean, spread = _pool(
        np.concatenate([groups, numbers]), np.concatenate([values, np.full(count, PRIOR_OPINION)]),
        np.concatenate([weights, np.full(count, PRIOR_WEIGHT)]), count,
    )  # fmt: skip
    # Rounded, so that equal opinions are equal evidence wherever they stand in a batch.
    return np.where(known, np.round(np.clip(mean - CAUTION * spread, 0.0, 1.0), 9), np.nan)


def _pool(groups: Codes, values: Array, weights: Array, count: int) -> tuple[Array, Array, Array]:
    """Per group: total weight, weighted mean, and weighted mean absolute difference of two opinions (0..1/2); NaN without weight."""
    order = np.lexsort((values, groups))
    groups, values, weights = groups[order], values[order], weights[order]
    total: Array = np.bincount(groups, weights=weights, minlength=count).astype(np.float64)
    before = np.cumsum(total) - total
    upto = np.cumsum(weights) - before[groups]
    with np.errstate(invalid="ignore", divide="ignore"):
        mean: Array = np.bincount(groups, weights=weights * values, minlength=count) / total
        ranks = weights * values * (2 * upto - weights - total[groups])
        spread: Array = 2 * np.bincount(groups, weights=ranks, minlength=count) / total**2
    return total, np.where(total > 0, mean, np.nan), np.where(total > 0, np.maximum(spread, 0.0), np.nan)
