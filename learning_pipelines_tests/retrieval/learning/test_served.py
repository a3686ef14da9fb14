"""What the cheap learners judged by is what the searcher serves: the same candidates, the same scores, the same order."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from learning_pipelines.retrieval.artifacts import local, publish
from learning_pipelines.retrieval.bm25 import Bm25
from learning_pipelines.retrieval.index import IndexConfig
from learning_pipelines.retrieval.learning import adapter
from learning_pipelines.retrieval.learning.candidates import candidates
from learning_pipelines.retrieval.learning.features import analyzed, asked, shortlist
from learning_pipelines.retrieval.learning.reranker import Reranker, RerankerLearner
from learning_pipelines.retrieval.lexical import refresh_lexical
from learning_pipelines.retrieval.loaded import Loaded
from learning_pipelines.retrieval.ranking import by_document
from learning_pipelines.retrieval.searcher import Searcher
from learning_pipelines.retrieval.task import JudgedQuery, Passages, Training
from learning_pipelines.settings import Settings
from learning_pipelines.storage import indexes
from learning_pipelines.storage.database import Connection, snapshot
from learning_pipelines_tests.retrieval.fake_encoders import WordEncoder
from learning_pipelines_tests.retrieval.learning.planted import Reports
from learning_pipelines_tests.retrieval.stored import agent, put_base, put_chunks, put_vectors, texts

TEXTS = {f"c{number:04}": text for number, text in enumerate(texts(300, words=16, vocabulary=150))}
ENCODER = WordEncoder(dimensions=24)


def said_in_a_row(folder: Path) -> Training:
    """Questions say three words as their chunk has them in a row, and three that any chunk may have: what the mixture cannot tell apart."""
    rng, everything = np.random.default_rng(0), list(TEXTS.values())
    queries = []
    for number, (name, text) in enumerate(list(TEXTS.items())[::2]):
        start, words = int(rng.integers(0, 12)), text.split()
        others = [str(rng.choice(everything[int(rng.integers(300))].split())) for _ in range(3)]
        queries.append(JudgedQuery(f"q{number}", " ".join([*words[start : start + 3], *others]), {f"d-{name}": 1.0}, {name: 1.0}, name))
    passages = Passages(tuple(TEXTS), tuple(f"d-{name}" for name in TEXTS), everything, ENCODER.encode(everything))
    vectors = ENCODER.encode([query.text for query in queries])
    return Training(
        passages, Bm25.build(everything), tuple(queries[:110]), tuple(queries[110:]), vectors[:110], vectors[110:], {}, ENCODER, IndexConfig(), folder, 0
    )


def test_a_learnt_version_is_served_as_it_was_judged(pipeline: Connection, tmp_path: Path) -> None:
    training = said_in_a_row(tmp_path / "learnt")
    matrix = np.eye(24, dtype=np.float32) + 0.05 * np.random.default_rng(1).normal(size=(24, 24)).astype(np.float32)
    adapter.save(matrix, training.folder / "adapter.safetensors")
    base = IndexConfig(0.35, adapter=local(training.folder, training.folder / "adapter.safetensors"), notes={adapter.SHRINKAGE: 1.0})
    offered = RerankerLearner().learn(training, base, Reports())
    assert offered is not None and offered.config.reranker is not None

    who = agent(pipeline, "desk")
    put_chunks(pipeline, who.organization_id, TEXTS)
    refresh_lexical(pipeline, who.organization_id, training.lexical.analyzer.language)
    encoder = put_base(pipeline, who.organization_id, ENCODER)
    put_vectors(pipeline, who.organization_id, encoder, list(TEXTS), training.passages.vectors)
    settings = Settings(home=tmp_path, database_url=None)
    config = publish(settings, who, training.folder, offered.config)
    number = indexes.add(pipeline, who, encoder_id=encoder, kind="reranker", parent=0, config=config.as_json(), metrics={}, training_run_id=None)
    version = indexes.version(pipeline, who, number)
    assert version is not None

    loaded = Loaded(settings, lambda _: ENCODER)
    questions = loaded.questions(version, [query.text for query in training.validation])
    halves = replace(training.passages, vectors=training.passages.vectors.astype(np.float16).astype(np.float32))
    moved = adapter.apply(matrix, training.validation_vectors).astype(np.float16).astype(np.float32)
    model, analyzer = Reranker.load(training.folder / "reranker.txt"), training.lexical.analyzer
    with snapshot(pipeline):
        searcher = Searcher(pipeline, who.organization_id, who.agent_id, version, loaded)
        for question, found, one in zip(
            questions, searcher.candidates(questions), candidates(halves, training.lexical, training.validation, moved), strict=True
        ):
            places = shortlist(one.found, 0.35)
            chunks = [analyzed(training.passages.texts[place], "", analyzer) for place in one.positions[places]]
            judged = model.order(asked(question.text, analyzer, training.lexical.idf), one.found, 0.35, places, chunks)
            served = searcher.ranked(question, found)
            assert by_document(found, served)[:10] == by_document(one.found, judged)[:10]
            assert [hit.document_id for hit in searcher.search(question, 10)] == [document for document, _ in by_document(one.found, judged)[:10]]
