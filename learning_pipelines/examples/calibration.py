"""From evidence to probability: what share of examples with this much evidence experts approve, learnt and judged on held-out verdicts.

Belongs here: fitting and judging a non-decreasing map 0..1 → 0..1. Not here: where evidence comes from (quality.py), storing (storage/).

The map is a centred isotonic regression (R. Barlow et al., Statistical Inference under Order Restrictions, 1972; A. Oron and N. Flournoy,
Statistics in Biopharmaceutical Research 9 (2017)): pooled adjacent violators, linear between the centres of the pools, so that ties stay
rare. Beside the verdicts it sees PSEUDO imaginary ones that say "as much as the evidence", which is the stated prior mapping: a handful of
verdicts bends it a little, thousands decide. While there are fewer than MIN_VERDICTS, or on held-out verdicts it is no better, the prior
mapping itself is used.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Codes = NDArray[np.int64]
Knots = tuple[tuple[float, float], ...]
PRIOR_MAPPING: Knots = ((0.0, 0.0), (1.0, 1.0))
MIN_VERDICTS, MIN_OF_EACH = 50, 10
"""Held-out verdicts, and of each outcome, below which nothing is fitted."""
PSEUDO = 11.0
"""Weight, in verdicts, of the prior mapping."""
FOLDS, BINS, SEED = 5, 10, 20_260


@dataclass(frozen=True, slots=True)
class Calibration:
    """A non-decreasing piecewise linear map, and `numbers` about it on held-out verdicts (keys of `judge`, and why it is the prior)."""

    method: Literal["prior", "isotonic"] = "prior"
    knots: Knots = PRIOR_MAPPING
    verdicts: int = 0
    numbers: dict[str, Any] = field(default_factory=dict)

    def __call__(self, evidence: Array) -> Array:
        """Evidence 0..1 to score 0..1; NaN stays NaN."""
        return np.interp(evidence, [x for x, _ in self.knots], [y for _, y in self.knots])


def fit(evidence: Array, approved: NDArray[np.bool_], examples: Codes) -> Calibration:
    """Fits to held-out verdicts: the evidence there was without the verdict, whether it approved, the example's number. Judged out of fold,
    all verdicts of an example in one fold. Falls back to the prior mapping and says why.
    """
    count, outcomes = len(evidence), approved.astype(np.float64)
    if count == 0:
        return Calibration(numbers={"reason": "no verdicts yet"})
    prior = Calibration()
    alone = judge(prior(evidence), outcomes)
    rarer = int(min(outcomes.sum(), count - outcomes.sum()))
    if count < MIN_VERDICTS or rarer < MIN_OF_EACH:
        reason = f"needs {MIN_VERDICTS} held-out verdicts with {MIN_OF_EACH} of each outcome; there are {count} with {rarer}"
        return Calibration(verdicts=count, numbers={**alone, "reason": reason})
    held_out = judge(out_of_fold(evidence, outcomes, examples), outcomes)
    if held_out["brier"] >= alone["brier"]:
        return Calibration(verdicts=count, numbers={**alone, "brier_fitted": held_out["brier"], "reason": "the fitted map is no better on held-out verdicts"})
    return Calibration("isotonic", _isotonic(evidence, outcomes), count, {**held_out, "brier_prior": alone["brier"]})


def out_of_fold(evidence: Array, outcomes: Array, examples: Codes) -> Array:
    """For every verdict, the score by a map that was fitted without its example."""
    numbers = np.unique(examples, return_inverse=True)[1].reshape(-1)
    folds = (np.random.default_rng(SEED).permutation(int(numbers.max()) + 1) % FOLDS)[numbers]
    scores = np.empty_like(evidence)
    for number in range(FOLDS):
        inside = folds == number
        scores[inside] = Calibration(knots=_isotonic(evidence[~inside], outcomes[~inside]))(evidence[inside])
    return scores


def judge(scores: Array, outcomes: Array) -> dict[str, Any]:
    """How good scores 0..1 are as probabilities of outcomes 0 or 1.

    brier: mean squared error; brier_base: of always saying the overall share; ece: expected calibration error over BINS bins of equal
    counts; auc: how often an approved one scores higher than another (None with one outcome only); bins: [mean score, share, count].
    """
    base = float(outcomes.mean())
    order = np.argsort(scores, kind="stable")
    bins = [
        [float(scores[part].mean()), float(outcomes[part].mean()), len(part)] for part in np.array_split(order, min(BINS, len(order))) if len(part)
    ]
    return {
        "verdicts": len(scores),
        "approved_share": base,
        "brier": float(np.mean((scores - outcomes) ** 2)),
        "brier_base": base * (1 - base),
        "ece": sum(count * abs(score - share) for score, share, count in bins) / len(scores),
        "auc": _auc(scores, outcomes),
        "bins": bins,
    }


def _auc(scores: Array, outcomes: Array) -> float | None:
    from scipy.stats import rankdata  # slow to import

    approved = float(outcomes.sum())
    others = len(outcomes) - approved
    if approved == 0 or others == 0:
        return None
    ranks = rankdata(scores)
    return float((ranks[outcomes == 1].sum() - approved * (approved + 1) / 2) / (approved * others))


def _isotonic(evidence: Array, outcomes: Array) -> Knots:
    from scipy.optimize import isotonic_regression  # slow to import

    grid = np.linspace(0.0, 1.0, 11)
    x = np.concatenate([evidence, grid])
    y = np.concatenate([outcomes, grid])
    weights = np.concatenate([np.ones(len(evidence)), np.full(len(grid), PSEUDO / len(grid))])
    x, places = np.unique(x, return_inverse=True)
    places = places.reshape(-1)
    total = np.bincount(places, weights=weights)
    pooled = isotonic_regression(np.bincount(places, weights=weights * y) / total, weights=total)
    starts = pooled.blocks[:-1]
    centres = np.add.reduceat(x * total, starts) / np.add.reduceat(total, starts)
    inner = [(float(centre), float(min(max(value, 0.0), 1.0))) for centre, value in zip(centres, pooled.x[starts], strict=True) if 0 < centre < 1]
    return ((0.0, 0.0), *inner, (1.0, 1.0))
