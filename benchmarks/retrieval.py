"""What learning adds to search, on test questions that nothing was learnt from: `make bench-retrieval [ARGS="--sets tatqa --json out.json"]`.

Belongs here: running the learners, grading them against the tuned mixture, shuffled feedback, printing. Not here: reading (retrieval_sets.py), assertions.

Everything goes through the product's own code: chunking, the packaged encoder, BM25, the mixture and the re-ranker as the searcher applies them, metrics by
ir-measures. Intervals are of the paired difference to the tuned mixture (bootstrap over groups of questions about the same passage, 95 %). A topic is
old where somebody was helped by its passage in train.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.record import record
from benchmarks.retrieval_sets import SETS, Corpus, Prepared, prepared, read
from learning_pipelines.acceptance.gate import Verdict, decide
from learning_pipelines.encoder import open_encoder
from learning_pipelines.encoder_server import stop_encoder
from learning_pipelines.retrieval.index import IndexConfig
from learning_pipelines.retrieval.learning import adapter
from learning_pipelines.retrieval.learning.adapter import Adapter
from learning_pipelines.retrieval.learning.candidates import candidates
from learning_pipelines.retrieval.learning.features import Analyzed, analyzed, asked, shortlist
from learning_pipelines.retrieval.learning.fusion import Fusion
from learning_pipelines.retrieval.learning.reranker import Reranker, RerankerLearner
from learning_pipelines.retrieval.learning.selection import Selection
from learning_pipelines.retrieval.metrics import NAMES, NDCG, Measured, measure
from learning_pipelines.retrieval.ranking import by_document, mixed
from learning_pipelines.retrieval.task import JudgedQuery, Learner, Passages, Training
from learning_pipelines.settings import Settings

DRAWS = 4_000


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--sets", nargs="+", default=list(SETS), choices=SETS)
    arguments.add_argument("--seeds", type=int, nargs="+", default=[0], help="Of the split of what is learnt from, and of the learners.")
    arguments.add_argument("--shuffled", type=int, default=0, help="So many times with feedback drawn by chance instead, through the gate.")
    arguments.add_argument("--only-chosen", action="store_true", help="The tuned mixture and the chosen pipeline alone.")
    arguments.add_argument("--no-ratings", action="store_true", help="Without feedback_valid.")
    arguments.add_argument("--kept", type=Path, default=Path(tempfile.gettempdir()) / "benchmark-retrieval", help="Where vectors are kept between runs.")
    arguments.add_argument("--json", type=Path, help="Where the raw numbers go.")
    chosen = arguments.parse_args()
    settings = Settings(home=chosen.kept / "home", database_url=None)
    encoder = open_encoder(settings, "all-MiniLM-L6-v2")
    raw: list[dict[str, Any]] = []
    try:
        for name in chosen.sets:
            corpus = read(name, ratings=not chosen.no_ratings)
            for seed in chosen.seeds:
                with tempfile.TemporaryDirectory() as folder:
                    ready = prepared(corpus, encoder, Path(folder), chosen.kept, seed)
                    raw += shuffled(ready, name, seed, chosen.shuffled) if chosen.shuffled else rows(corpus, ready, seed, only_chosen=chosen.only_chosen)
    finally:
        encoder.close()
        stop_encoder(settings)
    if chosen.json:
        machine = {"machine": platform.machine(), "cores": os.cpu_count(), "python": platform.python_version()}
        chosen.json.write_text(json.dumps({**machine, "rows": raw}, indent=1))


def rows(corpus: Corpus, ready: Prepared, seed: int, *, only_chosen: bool = False) -> list[dict[str, Any]]:
    """One row for every way of ranking, printed as it comes."""
    training = ready.training
    counts = f"{len(training.passages.ids)} chunks, {len(training.train)} train, {len(training.validation)} validation, {len(ready.test)} test, seed {seed}"
    print(f"\n{corpus.name}: {counts}\n{'':26}  nDCG@10  MRR@10   R@10  R@100   against the tuned mixture    p     CPU s   old / new topics", flush=True)
    tuned, spent = learnt(training, IndexConfig(), Fusion())
    mixture = graded(ready, tuned)
    made = []
    for name, measured, seconds in ways(corpus, ready, tuned, spent, only_chosen):
        low, high, p = difference(mixture, measured, ready.test)
        gained = float((measured.scores[NDCG] - mixture.scores[NDCG]).mean())
        means = measured.means()
        shown = "  ".join(f"{means[metric]:.3f}" for metric in NAMES)
        old, new = topics(ready, mixture, measured)
        way = "tuned mixture" if name.startswith("tuned mixture") else name.removesuffix(" (not taken)")
        record(f"nDCG@10, {corpus.name}, {way}", means[NDCG], "")
        if seconds:
            record(f"learning, {corpus.name}, {way}", seconds, "s of a core")
        print(f"{name:26}   {shown}   {gained:+.4f} [{low:+.4f}, {high:+.4f}]  {p:.4f}  {seconds:6.1f}   {old:+.4f} / {new:+.4f}", flush=True)
        numbers = {"gain": gained, "low": low, "high": high, "p": p, "seconds": seconds, "old_topics": old, "new_topics": new}
        made.append({"set": corpus.name, "seed": seed, "way": name, **means, **numbers})
    return made


def ways(corpus: Corpus, ready: Prepared, tuned: IndexConfig, spent: float, only_chosen: bool) -> Any:
    """(name, measured, processor seconds of learning), the cheapest first."""
    if not only_chosen:
        yield "BM25 (bm25s)", by_bm25s(corpus, ready.test), 0.0
        yield "BM25 (ours)", graded(ready, IndexConfig(lexical_weight=1.0)), 0.0
        yield "frozen MiniLM", graded(ready, IndexConfig(lexical_weight=0.0)), 0.0
        yield "mixture, untuned", graded(ready, IndexConfig()), 0.0
    yield f"tuned mixture ({tuned.lexical_weight:g})", graded(ready, tuned), spent
    for learner in () if only_chosen else (Adapter(), RerankerLearner()):
        config, seconds = learnt(ready.training, tuned, learner)
        yield f"{learner.name}{'' if config != tuned else ' (not taken)'}", graded(ready, config, learner.name), spent + seconds
    config, seconds = learnt(ready.training, IndexConfig(), Selection(), tell=True)
    yield f"chosen: {parts(config)}", graded(ready, config, Selection.name), seconds


def parts(config: IndexConfig) -> str:
    return ", ".join([f"mixture {config.lexical_weight:g}", *(name for name in ("adapter", "reranker") if getattr(config, name) is not None)])


def learnt(training: Training, base: IndexConfig, learner: Learner, *, tell: bool = False) -> tuple[IndexConfig, float]:
    """`base` where nothing better was learnt; artifacts go into a folder named after the learner."""
    started = time.process_time()

    def progress(share: float, line: str, numbers: Mapping[str, float]) -> None:
        if tell:
            print(f"  {share:4.0%} {line}", file=sys.stderr, flush=True)

    found = learner.learn(replace(training, folder=training.folder / learner.name), base, progress)
    return (base if found is None else found.config), time.process_time() - started


def graded(ready: Prepared, config: IndexConfig, learner: str = "") -> Measured:
    """Test questions ranked by a version, as the searcher ranks candidates."""
    passages, folder, test = ready.training.passages, ready.training.folder / learner, ready.test
    lexical, vectors = ready.training.lexical, ready.test_vectors
    if config.adapter is not None:
        vectors = adapter.apply(adapter.load(folder / config.adapter.path, vectors.shape[1]), vectors)
    model = None if config.reranker is None else Reranker.load(folder / config.reranker.path)
    ranked, texts = {}, dict[int, Analyzed]()
    for one in candidates(passages, lexical, test, vectors):
        scores = mixed(one.found, config.lexical_weight)
        if model is not None:
            places = shortlist(one.found, config.lexical_weight)
            chunks = [_text(passages, int(place), ready.training, texts) for place in one.positions[places]]
            scores = model.order(asked(one.query.text, lexical.analyzer, lexical.idf), one.found, config.lexical_weight, places, chunks)
        ranked[one.query.id] = [document for document, _ in by_document(one.found, scores)]
    return measure(ranked, {query.id: query.documents for query in test})


def by_bm25s(corpus: Corpus, test: Sequence[JudgedQuery]) -> Measured:
    """The reference: whole documents, Lucene's BM25, English stems and stopwords."""
    import bm25s
    import Stemmer

    stemmer = Stemmer.Stemmer("english")
    index = bm25s.BM25(method="lucene", k1=1.2, b=0.75)
    texts = [f"{title}\n{text}" for _, title, text in corpus.documents]
    index.index(bm25s.tokenize(texts, stopwords="en", stemmer=stemmer, show_progress=False), show_progress=False)
    questions = bm25s.tokenize([query.text for query in test], stopwords="en", stemmer=stemmer, show_progress=False)
    found, _ = index.retrieve(questions, k=min(100, len(texts)), show_progress=False)
    ids = [document for document, _, _ in corpus.documents]
    ranked = {query.id: [ids[place] for place in places] for query, places in zip(test, found.tolist(), strict=True)}
    return measure(ranked, {query.id: query.documents for query in test})


def difference(before: Measured, after: Measured, test: Sequence[JudgedQuery], metric: str = NDCG) -> tuple[float, float, float]:
    """95 % interval of the mean gain and the two-sided p-value of none, by the bootstrap over groups of questions with the same passages."""
    groups: dict[str, list[float]] = defaultdict(list)
    gains = dict(zip(before.ids, (after.scores[metric] - before.scores[metric]).tolist(), strict=True))
    for query in test:
        groups[min(query.documents)].append(gains[query.id])
    sums, sizes = np.array([sum(group) for group in groups.values()]), np.array([len(group) for group in groups.values()])
    drawn = np.random.default_rng(0).integers(len(sums), size=(DRAWS, len(sums)))
    means = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    tail = min((means <= 0).mean(), (means >= 0).mean())
    return float(low), float(high), float(min(1.0, 2 * max(tail, 1 / DRAWS)))


def topics(ready: Prepared, before: Measured, after: Measured) -> tuple[float, float]:
    """Mean gain on test questions about passages that somebody had been helped by in train, and about others; not a number where there are none."""
    helped = {document for query in ready.training.train for document, gained in query.documents.items() if gained > 0}
    old = {query.id for query in ready.test if any(gained > 0 and document in helped for document, gained in query.documents.items())}
    gains = after.scores[NDCG] - before.scores[NDCG]
    known = np.array([query in old for query in after.ids])
    return tuple(float(gains[part].mean()) if part.any() else float("nan") for part in (known, ~known))  # type: ignore[return-value]


def shuffled(ready: Prepared, name: str, seed: int, times: int) -> list[dict[str, Any]]:
    """What helped is drawn by chance among what helped somebody; the gate judges by such questions too. Promotions are errors."""
    found = []
    for draw in range(times):
        rng = np.random.default_rng([seed, draw])
        training = replace(
            ready.training,
            folder=ready.training.folder / f"draw-{draw}",
            train=_drawn(ready.training.train, rng),
            validation=_drawn(ready.training.validation, rng),
            seed=draw,
        )
        config, _ = learnt(training, IndexConfig(), Selection())
        test = replace(ready, training=training, test=_drawn(ready.test, rng))
        before, after = graded(test, IndexConfig()), graded(test, config, Selection.name)
        evidence = decide(before.scores[NDCG], after.scores[NDCG])
        print(f"{name} shuffled {draw}: {parts(config)} {evidence.difference:+.4f} {evidence.verdict}", flush=True)
        found.append({"set": name, "draw": draw, "way": parts(config), "gain": evidence.difference, "verdict": evidence.verdict.value})
    promoted = sum(one["verdict"] == Verdict.BETTER for one in found)
    record(f"promoted on shuffled feedback, {name}", promoted / times, "")
    print(f"{name}: {promoted} of {times} promoted on shuffled feedback (a first test may promote 1.25 % wrongly)", flush=True)
    return found


def _drawn(queries: Sequence[JudgedQuery], rng: np.random.Generator) -> tuple[JudgedQuery, ...]:
    others = rng.permutation(len(queries))
    return tuple(
        replace(query, documents=queries[other].documents, chunks=queries[other].chunks, cluster=queries[other].cluster)
        for query, other in zip(queries, others, strict=True)
    )


def _text(passages: Passages, place: int, training: Training, known: dict[int, Analyzed]) -> Analyzed:
    if place not in known:
        known[place] = analyzed(passages.texts[place], passages.headings[place], training.lexical.analyzer)
    return known[place]


if __name__ == "__main__":
    main()
