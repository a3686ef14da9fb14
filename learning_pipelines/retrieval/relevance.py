"""How relevant each chunk is to those who look at it: what people found helpful, corrected for where it was shown.

Belongs here: the model and its fit, pure. Not here: reading events and storing posteriors (storage/chunk_relevance.py), whoever uses them.

What is shown first is helpful more often because it is looked at more often. The position-based model (Craswell, Zoeter, Taylor and Ramsey, "An
experimental comparison of click position-bias models", WSDM 2008; Chuklin, Markov and de Rijke, "Click models for web search", 2015, sections 3.3
and 4.2) says: a passage is found helpful if it is looked at, which its rank decides, and relevant, which it decides itself:
P(helpful | chunk u, rank r) = examination(r) · relevance(u). Both are fitted by expectation maximization; the first rank counts as always looked at,
for only the product can be seen. Words about passages that were shown together are counted as independent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

DEEPEST = 50
"""Deeper ranks count as this one."""

CURVE_STRENGTH = 20.0
"""Looks that the prior of the examination curve is worth at each rank; its mean is 1 / rank (Joachims, Swaminathan and Schnabel, "Unbiased
learning-to-rank with biased feedback", WSDM 2017). Where a chunk is always shown at one rank, nothing else tells relevance from position."""

STRENGTHS = tuple(2.0**step for step in range(7))
"""Looks that the corpus's prior of relevance may be worth: 1 to 64, chosen by how likely it makes what was seen."""

_ROUNDS, _STEPS, _SETTLED = 6, 300, 1e-6


@dataclass(frozen=True)
class Exposures:
    """What was shown where: entry i says that chunk `chunk[i]` (0..chunks-1) was shown `shown[i]` times at rank `rank[i]` (from 1), and helped
    `helpful[i]` of these times. Fractions are fine: a document of four chunks shows each of them for a quarter."""

    chunk: Ints
    rank: Ints
    shown: Floats
    helpful: Floats


@dataclass(frozen=True)
class Relevance:
    """`examination` (ranks,): of ranks 1, 2, …, the first is 1. Per chunk (chunks,): times shown, looked at (expected), helpful, and the Beta
    posterior of its relevance. `prior`: (alpha, beta) of a chunk of this corpus that nobody has seen."""

    examination: Floats
    shown: Floats
    examined: Floats
    helpful: Floats
    alpha: Floats
    beta: Floats
    prior: tuple[float, float]

    @property
    def mean(self) -> Floats:
        return np.asarray(self.alpha / (self.alpha + self.beta), dtype=np.float64)

    def interval(self, level: float = 0.95) -> tuple[Floats, Floats]:
        """The central interval of each posterior."""
        from scipy.special import betaincinv

        tail = (1 - level) / 2
        return betaincinv(self.alpha, self.beta, tail), betaincinv(self.alpha, self.beta, 1 - tail)


def fit(seen: Exposures, chunks: int) -> Relevance:
    """Examination by rank and relevance by chunk. Deterministic; a chunk that was never shown has the prior.

    The prior is the corpus's own (empirical Bayes): its mean is the share of looks that helped, its strength the likeliest of STRENGTHS. A skip
    counts only as far as it was likely looked at, so a posterior rests on fewer looks than showings; how many is what the observed
    information leaves (Louis, "Finding the observed information matrix when using the EM algorithm", 1982), without which the intervals would be
    too narrow. They take the examination curve as known: it is shared by all chunks, so its own error is small beside theirs.
    """
    rank = np.minimum(seen.rank, DEEPEST) - 1
    ranks = int(rank.max(initial=0)) + 1
    alpha, beta = 1.0, 1.0
    examination, relevance = 1 / np.arange(1, ranks + 1, dtype=np.float64), np.full(chunks, 0.5)
    for _ in range(_ROUNDS):
        examination, relevance = _em(seen, rank, examination, relevance, (alpha, beta))
        informed = _informed(seen, rank, examination, relevance, chunks)
        before = (alpha, beta)
        alpha, beta = _prior(informed, _looks(seen, rank, examination, relevance, chunks), _sums(seen.chunk, seen.helpful, chunks))
        if np.allclose(before, (alpha, beta), rtol=1e-3):
            break
    examination, relevance = _em(seen, rank, examination, relevance, (alpha, beta))
    strength = alpha + beta + _informed(seen, rank, examination, relevance, chunks)
    return Relevance(
        examination, _sums(seen.chunk, seen.shown, chunks), _looks(seen, rank, examination, relevance, chunks),
        _sums(seen.chunk, seen.helpful, chunks), relevance * strength, (1 - relevance) * strength, (alpha, beta),
    )  # fmt: skip


def _em(seen: Exposures, rank: Ints, examination: Floats, relevance: Floats, prior: tuple[float, float]) -> tuple[Floats, Floats]:
    """Examination and the posterior mean of relevance that no further step changes."""
    shown_at, shown_of = _sums(rank, seen.shown, len(examination)), _sums(seen.chunk, seen.shown, len(relevance))
    expected = 1 / np.arange(1, len(examination) + 1)
    for _ in range(_STEPS):
        before = relevance
        looked, relevant = _unseen(examination[rank], relevance[seen.chunk])
        skipped = seen.shown - seen.helpful
        curve = _sums(rank, seen.helpful + skipped * looked, len(examination)) + CURVE_STRENGTH * expected
        attracted = _sums(seen.chunk, seen.helpful + skipped * relevant, len(relevance)) + prior[0]
        examination = np.minimum(1.0, curve / (shown_at + CURVE_STRENGTH))
        examination[0] = 1.0
        relevance = attracted / (shown_of + prior[0] + prior[1])
        if np.abs(relevance - before).max(initial=0) < _SETTLED:
            break
    return examination, relevance


def _unseen(examination: Floats, relevance: Floats) -> tuple[Floats, Floats]:
    """Of a passage that was not found helpful: the chances that it was looked at all the same, and that it is relevant all the same."""
    missed = np.maximum(1 - examination * relevance, 1e-12)
    return examination * (1 - relevance) / missed, relevance * (1 - examination) / missed


def _looks(seen: Exposures, rank: Ints, examination: Floats, relevance: Floats, chunks: int) -> Floats:
    """How often each chunk was looked at, expected after what was said."""
    looked, _ = _unseen(examination[rank], relevance[seen.chunk])
    return _sums(seen.chunk, seen.helpful + (seen.shown - seen.helpful) * looked, chunks)


def _informed(seen: Exposures, rank: Ints, examination: Floats, relevance: Floats, chunks: int) -> Floats:
    """How many certain looks would tell as much about each chunk: at examination 1 every showing is one."""
    share = examination[rank] * (1 - relevance[seen.chunk]) / np.maximum(1 - examination[rank] * relevance[seen.chunk], 1e-12)
    return _sums(seen.chunk, seen.shown * share, chunks)


def _prior(informed: Floats, looks: Floats, helpful: Floats) -> tuple[float, float]:
    """Beta prior of the corpus's chunks: mean by its looks, strength by the beta-binomial likelihood of what was informed."""
    from scipy.special import betaln

    met = informed > 0
    if not met.any():
        return 1.0, 1.0
    mean = float(np.clip((helpful.sum() + 0.5) / (looks.sum() + 1.0), 0.01, 0.99))
    good = np.minimum(helpful[met] / np.maximum(looks[met], 1e-12), 1.0) * informed[met]
    bad = informed[met] - good
    likely = [float((betaln(good + mean * s, bad + (1 - mean) * s) - betaln(mean * s, (1 - mean) * s)).sum()) for s in STRENGTHS]
    strength = STRENGTHS[int(np.argmax(likely))]
    return mean * strength, (1 - mean) * strength


def _sums(of: Ints, values: Floats, groups: int) -> Floats:
    """(groups,): the sum of the values of each group."""
    return np.asarray(np.bincount(of, values, groups), dtype=np.float64)
