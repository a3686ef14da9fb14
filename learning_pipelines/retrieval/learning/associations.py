"""Which terms helpful chunks hold where a question's own term is missing: learnt from train, its strength chosen on validation.

Belongs here: associations of terms and the learner. Not here: what is served of it (expansion.py), the gate (acceptance/).

Only gaps teach: a question's term that its helpful chunk does not hold. Where the chunk holds it, BM25 matches it already, and what stands beside it is
the topic: adding that drifts. By cross-validation on feedbackqa uk, us_cdc and tatqa (nDCG@10 of the mixture, strengths .5 and 1) associations of all
terms lose .002 to .004 and .013 to .014, those of gaps change it by -.003 to +.002; RM3 loses .004 to .026 at weight .3 (`make bench-retrieval-expansion`).

An association is kept if its log-likelihood ratio (Dunning, "Accurate Methods for the Statistics of Surprise and Coincidence", 1993) is beyond
chance and it was seen in several chunks of several clusters of questions. Its weight is the shrunk excess of P(chunk's term | gap) over
P(chunk's term), times how often the question's term is missing at all: what mostly matches needs no replacement. This is the translation model of
Berger & Lafferty ("Information Retrieval as Statistical Translation", 1999) with the question's own term as the first translation.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import log

from learning_pipelines.retrieval.analyzer import Analyzer
from learning_pipelines.retrieval.artifacts import local
from learning_pipelines.retrieval.expansion import Associations, Expansion
from learning_pipelines.retrieval.index import IndexConfig
from learning_pipelines.retrieval.learning.candidates import Scores, candidates, judged
from learning_pipelines.retrieval.learning.folds import beats, gain
from learning_pipelines.retrieval.learning.mixture import mixture_ndcg
from learning_pipelines.retrieval.task import Floats, JudgedQuery, Learnt, Lexical, Passages, Progress, Training

HELPFUL = 0.5
"""Gain from which a chunk counts as helpful."""
LEAST_SUPPORT = 3
"""Chunks, and clusters of questions, that an association has to be seen in."""
LEAST_RATIO = 10.83
"""Of the log-likelihood ratio: p < .001 for one association."""
PER_TERM = 3
MOST_ASSOCIATIONS = 50_000
SHRINKAGE = 5.0
"""Chunks without any news that every association is averaged with."""
STRENGTHS = (0.25, 0.5, 1.0)
FILE = "expansion.json"


@dataclass(frozen=True, slots=True)
class _Gaps:
    """What is counted. `chunks`: terms of every helpful chunk. `asked`: question's term → number of helpful chunks of questions that say it.
    `missing`: question's term → the chunks without it, each with a cluster of questions it was asked in. `background`: chunks that hold a term."""

    chunks: tuple[frozenset[str], ...]
    asked: Counter[str]
    missing: dict[str, dict[int, str]]
    background: Counter[str]


class ExpansionLearner:
    """Changes `expansion`. `serving`: the expansion of the version to be beaten, if it has one."""

    name = "expansion"

    def __init__(self, serving: Expansion | None = None) -> None:
        self.serving = serving

    def learn(self, training: Training, base: IndexConfig, progress: Progress) -> Learnt | None:
        """Raises nothing of its own; None where no association is beyond chance, or none gains on validation. The reason goes to `progress`."""
        started = time.process_time()
        found = associations(training.train, training.passages, training.lexical)
        counts = {"terms": float(len(found)), "associations": float(sum(len(each) for each in found.values()))}
        if not found:
            progress(1.0, f"expansion: no association of terms is beyond chance in {len(training.train)} questions", counts)
            return None
        progress(0.5, f"expansion: {counts['associations']:.0f} associations of {len(found)} terms", counts)
        known = judged(training.validation)
        asked, vectors = [training.validation[place] for place in known], training.validation_vectors[known]

        def scored(expansion: Expansion | None) -> Scores:
            lexical = expanded(training.lexical, expansion)
            return mixture_ndcg(candidates(training.passages, lexical, asked, vectors), base.lexical_weight)

        before = scored(self.serving)
        tried = [(scored(expansion), expansion) for expansion in (Expansion(training.lexical.analyzer, strength, found) for strength in STRENGTHS)]
        after, best = max(tried, key=lambda each: (float(each[0].mean()) if len(each[0]) else 0.0, -each[1].strength))
        gained, error = gain(before, after, asked)
        numbers = {**counts, "strength": best.strength, "gain": gained, "error": error, "queries": float(len(asked))}
        if not beats(before, after, asked):
            progress(1.0, f"expansion: {gained:+.4f} ± {error:.4f} nDCG@10 on {len(asked)} validation questions is no gain", numbers)
            return None
        best.write(training.folder / FILE)
        progress(1.0, f"expansion: gains {gained:+.4f} ± {error:.4f} nDCG@10 on validation at strength {best.strength:g}", numbers)
        numbers |= {"ndcg_before": float(before.mean()), "ndcg": float(after.mean()), "seconds": time.process_time() - started}
        return Learnt(self.name, replace(base, expansion=local(training.folder, training.folder / FILE)), numbers)


def associations(queries: Sequence[JudgedQuery], passages: Passages, lexical: Lexical, *, gaps_only: bool = True) -> Associations:
    """Question's term → the PER_TERM strongest terms of chunks; weights as BM25 takes them: 1 is worth what the question's term would be if it matched.

    Memory: the terms of the helpful chunks, and the counts of one term of the questions at a time. Without `gaps_only` chunks that hold the question's
    term teach too (for comparison).
    """
    gaps = _gaps(queries, passages, lexical, gaps_only)
    found: list[tuple[float, str, str, float]] = []
    for term, missing in sorted(gaps.missing.items()):
        if len(missing) < LEAST_SUPPORT or len(set(missing.values())) < LEAST_SUPPORT:
            continue
        rarely = (len(missing) + 1) / (gaps.asked[term] + 2)
        worth = lexical.idf(term)
        strongest = sorted(_beyond_chance(gaps, missing), key=lambda each: (-each[0], each[1]))[:PER_TERM]
        found += [(ratio, term, other, rarely * excess * worth / lexical.idf(other)) for excess, other, ratio in strongest if other != term]
    kept = sorted(found, key=lambda each: (-each[0], each[1], each[2]))[:MOST_ASSOCIATIONS]
    by_term: dict[str, list[tuple[str, float]]] = defaultdict(list)
    for _, term, other, weight in kept:
        by_term[term].append((other, round(weight, 4)))
    ordered = {term: sorted((each for each in others if each[1] > 0), key=lambda each: (-each[1], each[0])) for term, others in by_term.items()}
    return {term: tuple(others) for term, others in sorted(ordered.items()) if others}


@dataclass(frozen=True, slots=True)
class Expanded:
    """A Lexical that adds an expansion's terms to every query. The ideal score stays that of the query's own terms, as the searcher takes it."""

    lexical: Lexical
    expansion: Expansion

    @property
    def analyzer(self) -> Analyzer:
        return self.lexical.analyzer

    def idf(self, term: str) -> float:
        return self.lexical.idf(term)

    def ideal(self, query: str) -> float:
        return self.lexical.ideal(query)

    def scores(self, query: str, weights: Mapping[str, float] | None = None) -> Floats:
        return self.lexical.scores(query, {**self.expansion.expand(query), **(weights or {})})


def expanded(lexical: Lexical, expansion: Expansion | None) -> Lexical:
    return lexical if expansion is None else Expanded(lexical, expansion)


def _gaps(queries: Sequence[JudgedQuery], passages: Passages, lexical: Lexical, gaps_only: bool) -> _Gaps:
    place = {chunk: number for number, chunk in enumerate(passages.ids)}
    saying: dict[str, dict[str, str]] = defaultdict(dict)
    for query in queries:
        terms = set(lexical.analyzer.terms(query.text))
        for chunk, gained in query.chunks.items():
            if gained >= HELPFUL and chunk in place:
                for term in terms:
                    saying[chunk].setdefault(term, query.cluster)
    chunks, asked, background = [], Counter[str](), Counter[str]()
    missing: dict[str, dict[int, str]] = defaultdict(dict)
    for number, (chunk, said) in enumerate(sorted(saying.items())):
        held = frozenset(lexical.analyzer.terms(passages.texts[place[chunk]]))
        chunks.append(held)
        asked.update(said.keys())
        background.update(held)
        for term, cluster in said.items():
            if term not in held or not gaps_only:
                missing[term][number] = cluster
    return _Gaps(tuple(chunks), asked, missing, background)


def _beyond_chance(gaps: _Gaps, missing: dict[int, str]) -> list[tuple[float, str, float]]:
    """(excess, term, log-likelihood ratio) of the terms that chunks hold more often in this gap than elsewhere."""
    held: Counter[str] = Counter()
    clusters: dict[str, set[str]] = defaultdict(set)
    for number, cluster in missing.items():
        held.update(gaps.chunks[number])
        for term in gaps.chunks[number]:
            clusters[term].add(cluster)
    total, found = len(gaps.chunks), []
    for term, times in held.items():
        if times < LEAST_SUPPORT or len(clusters[term]) < LEAST_SUPPORT:
            continue
        share = gaps.background[term] / total
        excess = (times + SHRINKAGE * share) / (len(missing) + SHRINKAGE) - share
        ratio = log_likelihood_ratio(times, len(missing), gaps.background[term], total)
        if excess > 0 and ratio >= LEAST_RATIO:
            found.append((excess / (1 - share), term, ratio))
    return found


def log_likelihood_ratio(both: int, first: int, second: int, total: int) -> float:
    """G² of a table of two events among `total`: how far `both` is from independence; χ² with one degree of freedom if they are independent."""

    def entropy(*counts: int) -> float:
        return sum(count * log(count) for count in counts if count > 0)

    cells = entropy(both, first - both, second - both, total - first - second + both)
    return max(0.0, 2 * (cells + entropy(total) - entropy(first, total - first) - entropy(second, total - second)))
