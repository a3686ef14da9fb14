"""When two inputs are near-duplicates: the rule with both its legs, 5-grams and vectors, for pairs and for all pairs of a few texts.

Belongs here: the definition. Not here: finding candidates among many (sketches.py, clusters.py), what follows for splits (splits.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from learning_pipelines.encoder import PACKAGED, model_source
from learning_pipelines.examples import sketches
from learning_pipelines.examples.components import Bools, Ints
from learning_pipelines.examples.duplicates import DuplicateLinks, duplicate_links, text_similarities
from learning_pipelines.settings import Settings

Vectors = npt.NDArray[np.float32]

_BLOCK = 2_000_000
"""Cosines computed in one go: 8 MB."""


@dataclass(frozen=True)
class DuplicateRule:
    """Inputs are near-duplicates if the Jaccard similarity of their 5-grams is at least `jaccard`, or the cosine of their vectors at least `cosine`.

    `cosine` None leaves the vectors out. `model` is what the settings call the encoder.
    """

    jaccard: float = 0.8
    cosine: float | None = 0.95
    model: str = PACKAGED

    @property
    def name(self) -> str:
        """What is found under one name is not mixed with what is found under another."""
        legs = [f"5-gram Jaccard {self.jaccard:g} by sketch {sketches.VERSION}"]
        if self.cosine is not None:
            legs.append(f"cosine {self.cosine:g} of {self.model}")
        return ", ".join(legs)


def rule_of(settings: Settings) -> DuplicateRule:
    """The rule that the settings ask for."""
    return DuplicateRule(settings.duplicate_jaccard, settings.duplicate_cosine, model_source(settings.embedding_model))


def unit(vectors: Vectors) -> Vectors:
    """Rounded to half precision as they are stored, and of length 1 again: every comparison is of what is stored, whenever it is made."""
    rounded = vectors.astype(np.float16).astype(np.float32)
    rounded /= np.maximum(np.linalg.norm(rounded, axis=1, keepdims=True), np.float32(1e-12))
    return rounded


def pair_scores(texts: Sequence[str], vectors: Vectors | None, first: Ints, second: Ints) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """(Jaccard, cosine) of each pair, shape (len(first),) each; cosine is -1 without vectors (unit length)."""
    jaccard = text_similarities(texts, first, second)
    if vectors is None:
        return jaccard, np.full(len(first), -1.0)
    cosine = np.concatenate([np.zeros(0), *((vectors[first[b : b + 4096]] * vectors[second[b : b + 4096]]).sum(axis=1) for b in range(0, len(first), 4096))])
    return jaccard, cosine.astype(np.float64)


def listed(
    texts: Sequence[str], vectors: Vectors | None, groups: Sequence[Sequence[int]], fresh: Bools, rule: DuplicateRule
) -> list[tuple[int, int, float, str]]:
    """Every near-duplicate pair (position, position, similarity, leg) within each group with a fresh text in it."""
    pairs = np.asarray([pair for group in groups for pair in combinations(sorted(group), 2)], dtype=np.int64).reshape(-1, 2)
    pairs = pairs[fresh[pairs[:, 0]] | fresh[pairs[:, 1]]]
    jaccard, cosine = pair_scores(texts, vectors, pairs[:, 0], pairs[:, 1])
    by_text = jaccard >= rule.jaccard
    by_vector = cosine >= (2.0 if rule.cosine is None else rule.cosine)
    near = np.flatnonzero(by_text | by_vector)
    return [
        (int(pairs[place, 0]), int(pairs[place, 1]), float(jaccard[place] if by_text[place] else cosine[place]), "text" if by_text[place] else "embedding")
        for place in near.tolist()
    ]


def close_pairs(left: Vectors, right: Vectors, cosine: float, left_labels: Ints, right_labels: Ints) -> tuple[Ints, Ints]:
    """Pairs (row of left, row of right) with at least this cosine and different labels, by blocks of the matrix product."""
    firsts, seconds = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    step = max(1, _BLOCK // max(1, len(right)))
    for begin in range(0, len(left), step):
        one, two = np.nonzero(left[begin : begin + step] @ right.T >= cosine)
        one += begin
        apart = left_labels[one] != right_labels[two]
        firsts.append(one[apart])
        seconds.append(two[apart])
    return np.concatenate(firsts), np.concatenate(seconds)


def links_among(texts: Mapping[str, str], vectors: Mapping[str, Vectors], rule: DuplicateRule) -> DuplicateLinks:
    """Both legs' near-duplicates among these texts, found exactly, in the form that stays true when texts are taken out (see `duplicate_links`).

    A text without a vector takes part by its grams alone.
    """
    found = duplicate_links(texts, threshold=rule.jaccard)
    names = sorted(name for name in texts if name in vectors)
    if rule.cosine is None or len(names) < 2:
        return found
    family = {name: number for number, members in enumerate(found.families) for name in members}
    labels = np.asarray([family.get(name, len(found.families) + place) for place, name in enumerate(names)], dtype=np.int64)
    matrix = unit(np.stack([vectors[name] for name in names]))
    first, second = close_pairs(matrix, matrix, rule.cosine, labels, labels)
    known = {(low, high) for low, high, _ in found.links}
    more = {(names[one], names[two]) for one, two in zip(first.tolist(), second.tolist(), strict=True) if one < two} - known
    return DuplicateLinks(sorted([*found.links, *((low, high, rule.cosine) for low, high in more)]), found.families)
