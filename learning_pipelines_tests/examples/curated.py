"""What tests of near-duplicates and conflicts share: an encoder that needs no model, examples in the database, all pairs the plain way.

Belongs here: makers and the definition computed by brute force. Not here: assertions, planted texts (planted.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np

from learning_pipelines.encoder import Vectors
from learning_pipelines.examples.duplicates import normalised
from learning_pipelines.examples.similarity import unit

Pairs = set[tuple[str, str]]


@dataclass
class WordEncoder:
    """A bag of words: each word has a random direction, a text the mean of its words'. Texts of the same words are the same in any order."""

    name: str = "words@1"
    dimensions: int = 256
    seen: list[str] = field(default_factory=list)

    def encode(self, texts: Sequence[str], *, batch_size: int = 64) -> Vectors:
        self.seen += texts
        rows = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in re.findall(r"\w+", text.lower()):
                row += np.random.default_rng([len(self.name), *word.encode()]).standard_normal(self.dimensions)
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)


def approved(name: str, text: str, **more: Any) -> dict[str, Any]:
    """An import line of an approved example."""
    return {"example_id": name, "agent": "desk", "input_text": text, "expected_output": f"Answer to {name}", "review_status": "approved", **more}


def grams(symbols: Sequence[str]) -> frozenset[tuple[str, ...]]:
    return frozenset(tuple(symbols[place : place + 5]) for place in range(max(1, len(symbols) - 4))) if symbols else frozenset()


READINGS: list[Callable[[str], Sequence[str]]] = [
    str.strip,
    normalised,
    lambda text: re.findall(r"\w+", normalised(text)),
    lambda text: normalised(text).split(),
]


def alike_by_definition(texts: Mapping[str, str], encoder: WordEncoder | None, *, jaccard: float = 0.8, cosine: float = 0.95) -> Pairs:
    """All near-duplicate pairs, every pair compared."""
    names = sorted(texts)
    sets = [[grams(reading(texts[name])) for reading in READINGS] for name in names]
    vectors = unit(encoder.encode([texts[name] for name in names])) if encoder else None
    found = set()
    for one, two in combinations(range(len(names)), 2):
        near = any(len(a & b) >= jaccard * len(a | b) for a, b in zip(sets[one], sets[two], strict=True) if a and b)
        if near or (vectors is not None and float(vectors[one] @ vectors[two]) >= cosine):
            found.add((names[one], names[two]))
    return found


def components(names: Collection[str], pairs: Pairs) -> set[frozenset[str]]:
    """What the pairs join, two names or more."""
    group = {name: {name} for name in names}
    for first, second in pairs:
        if group[first] is not group[second]:
            group[first] |= group[second]
            for name in group[second]:
                group[name] = group[first]
    return {frozenset(members) for members in group.values() if len(members) > 1}
