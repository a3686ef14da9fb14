"""What a re-ranker knows of a candidate: both legs' scores and places, and how the question's words stand in the chunk. Learning and serving share it.

Belongs here: numbers from a question, what was found, and the candidates' texts. Not here: the model (reranker.py), finding (searcher.py).

None of the features says whether a chunk has been judged before (its relevance posterior, questions it answered). Learnt from the same feedback, those
single out what was right in the past: with them (trained half on questions whose chunk had been asked for before, half on others) us_cdc gained .021 on
test questions instead of .034, and questions about chunks that nobody had asked for nothing at all. Only near repetitions of earlier questions (cosine
above .6) as a feature that may not lower a chunk changed nothing (uk -.001 ± .005), so there is none.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np

from learning_pipelines.retrieval.analyzer import Analyzer
from learning_pipelines.retrieval.ranking import Floats, Found, mixed, ordered, shares

SHORTLIST = 50
"""Chunks that are re-ranked: the best of the mixture. Gold passages below place 50 are one in thirty, and the texts of 50 cost a few milliseconds."""

REMEMBERED = 8_192
"""Analyzed chunks that a worker keeps (30 MB): to analyze 50 chunks takes 10 to 20 ms, to make features of them 2."""

_LEGS = ("lexical", "cosine", "lexical_share", "cosine_below_best", "lexical_place", "cosine_place", "mixed", "below_best")
_TEXT = ("words", "heading_words", "word_pairs", "longest_run", "numbers", "rarest_missing", "length", "heading_length", "heading_said")
_QUESTION = ("question_length", "best_cosine", "best_lexical", "lead")
NAMES = _LEGS + _TEXT + _QUESTION


@dataclass(frozen=True, slots=True)
class Asked:
    """A question as terms in their order, and what each term weighs in this corpus (BM25's idf, above 0)."""

    terms: tuple[str, ...]
    idf: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Analyzed:
    """A chunk as terms in their order, and the different ones of its heading. The analyzer's own strings, so 8 bytes a term."""

    terms: tuple[str, ...]
    heading: frozenset[str]


def asked(question: str, analyzer: Analyzer, idf: Callable[[str], float]) -> Asked:
    """`idf`: of an analyzed term; one that no chunk holds has the highest."""
    terms = tuple(analyzer.terms(question))
    return Asked(terms, {term: idf(term) for term in terms})


@lru_cache(maxsize=REMEMBERED)
def analyzed(text: str, heading: str | None, analyzer: Analyzer) -> Analyzed:
    """`text` as it is indexed, with its heading; `heading` alone ('' or None: it has none)."""
    return Analyzed(tuple(analyzer.terms(text)), frozenset(analyzer.terms(heading or "")))


def shortlist(found: Found, lexical_weight: float) -> list[int]:
    """Positions of the chunks to be re-ranked, best of the mixture first."""
    return ordered(found.chunk_ids, mixed(found, lexical_weight))[:SHORTLIST]


def features(question: Asked, found: Found, lexical_weight: float, positions: Sequence[int], chunks: Sequence[Analyzed]) -> Floats:
    """(len(positions), len(NAMES)): one row for each position of the shortlist; `chunks` are those at the positions."""
    if not positions:
        return np.empty((0, len(NAMES)), dtype=np.float32)
    text = np.array([_text(question, chunk) for chunk in chunks], dtype=np.float32)
    legs = _legs(found, lexical_weight, np.asarray(positions))
    best = np.sort(legs[:, _LEGS.index("mixed")])[::-1]
    lead = float(best[0] - best[1]) if len(best) > 1 else 0.0
    whole = [math.log1p(len(question.terms)), float(found.cosine.max()), float(found.lexical.max()), lead]
    return np.concatenate([legs, text, np.tile(np.array(whole, dtype=np.float32), (len(positions), 1))], axis=1)


def _legs(found: Found, lexical_weight: float, positions: Any) -> Floats:
    lexical, cosine = found.lexical[positions], found.cosine[positions]
    mixture = mixed(found, lexical_weight)[positions]
    columns = (
        lexical,
        cosine,
        shares(found.lexical, 0.0)[positions],
        cosine - found.cosine.max(),
        _places(lexical),
        _places(cosine),
        mixture,
        mixture - mixture.max(),
    )
    return np.stack(columns, axis=1).astype(np.float32)


def _places(scores: Floats) -> Floats:
    """0 for the best; equal scores share a place, so that the order of the candidates means nothing."""
    return np.searchsorted(np.sort(-scores), -scores, side="left").astype(np.float32)


def _text(question: Asked, chunk: Analyzed) -> list[float]:
    """Shares 0..1 are weighed by idf. `numbers`: share of the question's numbers that the chunk has, -1 where it has none."""
    idf, different = question.idf, dict.fromkeys(question.terms)
    pairs = list(pairwise(question.terms))
    held, joined = set(different).intersection(chunk.terms), set(pairs).intersection(pairwise(chunk.terms))
    total = sum(idf[term] for term in different) or 1.0
    heading = sum(idf[term] for term in different if term in chunk.heading)
    numbers = [term for term in different if term[0].isdecimal()]
    return [
        sum(idf[term] for term in different if term in held) / total,
        heading / total,
        sum(idf[first] + idf[second] for first, second in pairs if (first, second) in joined) / (sum(idf[a] + idf[b] for a, b in pairs) or 1.0),
        _longest_run(pairs, joined) / max(1, len(pairs)),
        sum(term in held for term in numbers) / len(numbers) if numbers else -1.0,
        max((idf[term] for term in different if term not in held), default=0.0),
        math.log1p(len(chunk.terms)),
        math.log1p(len(chunk.heading)),
        heading / len(chunk.heading) if chunk.heading else 0.0,
    ]


def _longest_run(pairs: Sequence[tuple[str, str]], joined: Set[tuple[str, str]]) -> int:
    longest = run = 0
    for pair in pairs:
        run = run + 1 if pair in joined else 0
        longest = max(longest, run)
    return longest
