"""Ways of adding terms to a question beside each other, and edits of chunks, on real questions: `make bench-retrieval-expansion [ARGS="--sets tatqa"]`.

Belongs here: RM3 and associations of all terms as peers, gains by cross-validation, the learners once on the test file. Not here: reading
(retrieval_sets.py), the learners.

Cross-validation is over what may be learnt from (train, valid, feedback_valid), in five folds by cluster of passages: no association is scored on a
question about a passage it was learnt from. Intervals: 95 %, questions of one cluster counted as one draw.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.record import record
from benchmarks.retrieval import learnt
from benchmarks.retrieval_sets import SETS, Corpus, Prepared, prepared, read
from learning_pipelines.encoder import open_encoder
from learning_pipelines.encoder_server import stop_encoder
from learning_pipelines.retrieval.analyzer import Analyzer
from learning_pipelines.retrieval.chunking import chunk
from learning_pipelines.retrieval.expansion import Expansion
from learning_pipelines.retrieval.index import IndexConfig
from learning_pipelines.retrieval.learning.associations import STRENGTHS, ExpansionLearner, associations
from learning_pipelines.retrieval.learning.candidates import Scores, candidates, judged
from learning_pipelines.retrieval.learning.editing import EditLearner
from learning_pipelines.retrieval.learning.folds import folds, gain
from learning_pipelines.retrieval.learning.fusion import Fusion
from learning_pipelines.retrieval.learning.mixture import mixture_ndcg
from learning_pipelines.retrieval.task import Floats, JudgedQuery, Lexical, Training
from learning_pipelines.settings import Settings
from learning_pipelines.storage.chunk_edits import BaseChunk

Expand = Callable[[int, JudgedQuery], dict[str, float]]
"""Place of a question and the question → terms to be added."""


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--sets", nargs="+", default=list(SETS), choices=SETS)
    arguments.add_argument("--kept", type=Path, default=Path(tempfile.gettempdir()) / "benchmark-retrieval", help="Where vectors are kept between runs.")
    chosen = arguments.parse_args()
    settings = Settings(home=chosen.kept / "home", database_url=None)
    encoder = open_encoder(settings, "all-MiniLM-L6-v2")
    try:
        for name in chosen.sets:
            with tempfile.TemporaryDirectory() as folder:
                compared(read(name), prepared(read(name), encoder, Path(folder), chosen.kept, 0))
    finally:
        encoder.close()
        stop_encoder(settings)


def compared(corpus: Corpus, ready: Prepared) -> None:
    training = ready.training
    tuned, _ = learnt(training, IndexConfig(), Fusion())
    queries = (*training.train, *training.validation)
    known = judged(queries)
    asked, vectors = [queries[place] for place in known], np.concatenate([training.train_vectors, training.validation_vectors])[known]
    measured = _measure(training, tuned, asked, vectors)
    lexical, mixture = measured(lambda at, query: {})
    print(f"\n{corpus.name}: {len(asked)} questions, {len(training.passages.ids)} chunks; nDCG@10 of BM25 {lexical.mean():.4f}, mixture {mixture.mean():.4f}")
    for name, expand in _ways(training, asked):
        started = time.process_time()
        by_terms, by_both = measured(expand)
        (first, first_error), (second, second_error) = gain(lexical, by_terms, asked), gain(mixture, by_both, asked)
        spent = 1000 * (time.process_time() - started) / len(asked)
        record(f"gain in nDCG@10 of the mixture, {corpus.name}, {name}", second, "")
        print(f"  {name:34} BM25 {first:+.4f} ± {1.96 * first_error:.4f}   mixture {second:+.4f} ± {1.96 * second_error:.4f}   {spent:.1f} ms", flush=True)
    _learners(corpus, ready, tuned)


def _ways(training: Training, asked: Sequence[JudgedQuery]) -> Iterator[tuple[str, Expand]]:
    fold, analyzer = folds(asked, 0), training.lexical.analyzer
    for weight in (0.1, 0.3):
        yield f"RM3, weight {weight:g}", _rm3(training, weight)
    for gaps_only in (False, True):
        parts = [[query for query, at in zip(asked, fold, strict=True) if at != number] for number in range(int(fold.max()) + 1)]
        found = [associations(part, training.passages, training.lexical, gaps_only=gaps_only) for part in parts]
        for strength in STRENGTHS:
            made = [Expansion(analyzer, strength, each) for each in found]
            name = f"{'gaps' if gaps_only else 'all terms'}, strength {strength:g} ({sum(map(len, found[0].values()))})"
            yield name, lambda at, query, made=made: made[fold[at]].expand(query.text)  # type: ignore[misc]


def _rm3(training: Training, weight: float, texts: int = 5, terms: int = 10) -> Expand:
    """Relevance model 3 (Lavrenko & Croft 2001, Abdul-Jaleel et al. 2004): the terms that the best texts of a first search have in common."""
    analyzer = training.lexical.analyzer
    held = [Counter(analyzer.terms(text)) for text in training.passages.texts]

    def expand(at: int, query: JudgedQuery) -> dict[str, float]:
        scores = training.lexical.scores(query.text)
        best = [place for place in np.argsort(-scores, kind="stable")[:texts] if scores[place] > 0]
        model: Counter[str] = Counter()
        for place in best:
            length = held[place].total()
            for term, times in held[place].items():
                model[term] += float(scores[place]) * times / length  # type: ignore[assignment]
        said = set(analyzer.terms(query.text))
        top = sorted(((term, share) for term, share in model.items() if term not in said), key=lambda each: (-each[1], each[0]))[:terms]
        total = sum(share for _, share in top)
        return {term: weight * len(said) * share / total for term, share in top} if total else {}

    return expand


def _measure(training: Training, config: IndexConfig, asked: Sequence[JudgedQuery], vectors: np.ndarray) -> Callable[[Expand], tuple[Scores, Scores]]:
    """nDCG@10 of BM25 alone and of the mixture, with the terms added."""

    def measured(expand: Expand) -> tuple[Scores, Scores]:
        given = {query.text: expand(at, query) for at, query in enumerate(asked)}
        found = candidates(training.passages, _Given(training.lexical, given), asked, vectors)
        return mixture_ndcg(found, 1.0), mixture_ndcg(found, config.lexical_weight)

    return measured


@dataclass(frozen=True)
class _Given:
    """A Lexical that adds to each query the terms given for it."""

    lexical: Lexical
    given: Mapping[str, dict[str, float]]

    @property
    def analyzer(self) -> Analyzer:
        return self.lexical.analyzer

    def idf(self, term: str) -> float:
        return self.lexical.idf(term)

    def ideal(self, query: str) -> float:
        return self.lexical.ideal(query)

    def scores(self, query: str, weights: Mapping[str, float] | None = None) -> Floats:
        return self.lexical.scores(query, self.given[query])


def _learners(corpus: Corpus, ready: Prepared, tuned: IndexConfig) -> None:
    """What the product's learners make of it: found on train, chosen on validation, once on the test file."""
    training = replace(ready.training, serving=tuned)

    def told(share: float, line: str, numbers: object) -> None:
        if share == 1.0:
            print(f"  {line}", flush=True)

    offered = ExpansionLearner().learn(training, tuned, told)
    if offered is not None and offered.config.expansion is not None:
        served = Expansion.load(training.folder / offered.config.expansion.path)
        measured = _measure(training, tuned, ready.test, ready.test_vectors)
        (_, before), (_, after) = measured(lambda at, query: {}), measured(lambda at, query: served.expand(query.text))
        mean, error = gain(before, after, ready.test)
        print(f"  expansion on {len(ready.test)} test questions: {mean:+.4f} ± {1.96 * error:.4f} nDCG@10 of the mixture", flush=True)
    parts = [(document, one) for document, title, text in corpus.documents for one in chunk(document, title, text).chunks]
    EditLearner([BaseChunk(one.id, document, b"", one.position, one.heading, one.text) for document, one in parts]).learn(training, told)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
