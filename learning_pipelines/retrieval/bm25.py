"""BM25 as Lucene computes it: postings of texts, and the scores that terms give them. In memory and from stored segments by the same functions.

Belongs here: postings, document frequencies, the formula. Not here: terms (analyzer.py), storing and reading postings (lexical.py, storage/lexical.py).

Robertson & Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009), with Lucene's idf: a text t scores, for a query's terms q,
sum over q of weight(q) · ln(1 + (n - df + .5) / (df + .5)) · tf / (tf + k1 · (1 - b + b · length(t) / average length)).
"""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from learning_pipelines.retrieval.analyzer import Analyzer, analyzer_for, detect_language

K1, B = 1.2, 0.75
Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Postings:
    """Which texts hold which terms. `lengths` (n,): terms of every text. Term number i is in the texts `ordinals[offsets[i]:offsets[i + 1]]`
    (ascending), `counts` says how often."""

    numbers: Mapping[str, int]
    offsets: npt.NDArray[np.int64]
    ordinals: Integers
    counts: Integers
    lengths: Integers

    def of(self, term: str) -> tuple[Integers, Integers]:
        """Ordinals and counts of one term; empty where no text has it."""
        number = self.numbers.get(term)
        start, end = (0, 0) if number is None else (int(self.offsets[number]), int(self.offsets[number + 1]))
        return self.ordinals[start:end], self.counts[start:end]


def postings(texts: Iterable[str], analyzer: Analyzer) -> Postings:
    """12 bytes per different term of a text while they are made, 8 after."""
    numbers: dict[str, int] = {}
    terms, ordinals, counts, lengths = array("i"), array("i"), array("i"), array("i")
    for ordinal, text in enumerate(texts):
        found = Counter(analyzer.terms(text))
        lengths.append(found.total())
        terms.extend([numbers.setdefault(term, len(numbers)) for term in found])
        ordinals.extend([ordinal] * len(found))
        counts.extend(found.values())
    by_term = np.asarray(terms, dtype=np.int32)
    order = np.argsort(by_term, kind="stable")
    offsets = np.zeros(len(numbers) + 1, dtype=np.int64)
    np.cumsum(np.bincount(by_term, minlength=len(numbers)), out=offsets[1:])
    made = (np.asarray(values, dtype=np.int32) for values in (ordinals, counts))
    sorted_ordinals, sorted_counts = (values[order] for values in made)
    return Postings(numbers, offsets, sorted_ordinals, sorted_counts, np.asarray(lengths, dtype=np.int32))


def idf(texts: int, frequency: int) -> float:
    """Of a term that `frequency` of `texts` texts hold; above 0."""
    return math.log1p((texts - frequency + 0.5) / (frequency + 0.5))


def impacts(counts: Integers, lengths: Integers, average: float) -> Floats:
    """0..1 for each posting: what its count is worth in a text of this length."""
    times = counts.astype(np.float32)
    held = lengths.astype(np.float32) * np.float32(K1 * B / average) + np.float32(K1 * (1 - B)) if average > 0 else np.float32(K1)
    return np.asarray(times / (times + held), dtype=np.float32)


def query_terms(analyzer: Analyzer, query: str, weights: Mapping[str, float] | None = None) -> dict[str, float]:
    """Terms of a query with what each weighs: how often it is said, and `weights` (analyzed terms) on top."""
    terms: dict[str, float] = {term: float(times) for term, times in Counter(analyzer.terms(query)).items()}
    for term, weight in (weights or {}).items():
        terms[term] = terms.get(term, 0.0) + weight
    return terms


def ideal(terms: Mapping[str, float], idf_of: Callable[[str], float]) -> float:
    """The limit of the scores that terms with these weights can give."""
    return sum(weight * idf_of(term) for term, weight in terms.items())


class Bm25:
    """The Lexical of retrieval/task.py, in memory. Threads may share one."""

    def __init__(self, made: Postings, analyzer: Analyzer) -> None:
        self.analyzer, self._made = analyzer, made
        texts = len(made.lengths)
        average = float(made.lengths.sum(dtype=np.int64)) / texts if texts else 0.0
        self._impacts = impacts(made.counts, made.lengths[made.ordinals], average)

    @classmethod
    def build(cls, texts: Iterable[str], analyzer: Analyzer | None = None) -> Bm25:
        """`analyzer`: by default that of the language most of the texts are in."""
        if analyzer is None:
            texts = list(texts)
            analyzer = analyzer_for(detect_language(texts))
        return cls(postings(texts, analyzer), analyzer)

    def scores(self, query: str, weights: Mapping[str, float] | None = None) -> Floats:
        """(n,) scores, 0 where no term matches. `weights`: further analyzed terms with their weights (query expansion)."""
        made, total = self._made, np.zeros(len(self._made.lengths), dtype=np.float32)
        for term, weight in query_terms(self.analyzer, query, weights).items():
            number = made.numbers.get(term)
            if number is None:
                continue
            start, end = int(made.offsets[number]), int(made.offsets[number + 1])
            total[made.ordinals[start:end]] += np.float32(weight * idf(len(total), end - start)) * self._impacts[start:end]
        return total

    def ideal(self, query: str) -> float:
        """What a text full of the query's words alone would score: no text scores more. Above 0 where the query has a term, known or not."""
        return ideal(query_terms(self.analyzer, query), self.idf)

    def idf(self, term: str) -> float:
        """What an analyzed term weighs; the highest for one that no text holds."""
        return idf(len(self._made.lengths), len(self._made.of(term)[0]))
