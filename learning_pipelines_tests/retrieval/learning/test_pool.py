"""How an encoder is looked at while it learns: which questions, which passages, which weight.

Belongs here: pool.py. Not here: the gate's metrics (retrieval/metrics.py).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from learning_pipelines.retrieval.bm25 import Bm25
from learning_pipelines.retrieval.index import IndexConfig
from learning_pipelines.retrieval.learning.pool import Pool, score, validation_pool
from learning_pipelines.retrieval.task import JudgedQuery, Passages, Training

COUNT = 400


@pytest.fixture(scope="module")
def training() -> Training:
    """400 passages of random words and vectors in 200 documents; 60 questions, half of them of one large cluster."""
    rng = np.random.default_rng(5)
    texts = [" ".join(rng.choice(["tax", "rent", "wage", "law", "car", "sea", "ice", "oak", "sun", "map"], 6)) for _ in range(COUNT)]
    ids = tuple(f"c{number}" for number in range(COUNT))
    vectors = rng.normal(size=(COUNT, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    queries = tuple(
        JudgedQuery(f"q{n}", texts[3 * n], {f"d{3 * n // 2}": 1.0, "d199": 0.5}, {ids[3 * n]: 1.0}, "large" if n < 30 else f"k{n}") for n in range(60)
    )
    none = JudgedQuery("none", "nothing helped", {"d1": 0.0}, {}, "none")
    passages = Passages(ids, tuple(f"d{n // 2}" for n in range(COUNT)), texts, vectors)
    query_vectors = np.concatenate([vectors[[3 * n for n in range(60)]], vectors[:1]])
    empty = np.empty((0, 8), dtype=np.float32)
    return Training(passages, Bm25.build(texts), (), (*queries, none), empty, query_vectors, {}, None, IndexConfig(), Path("unused"), 3)  # type: ignore[arg-type]


def test_the_pool_holds_every_helpful_document_and_the_likeliest_mistakes(training: Training) -> None:
    pool, _ = validation_pool(training, passages=200)
    assert len(pool.texts) == 200 and len(pool.questions) == 60
    wanted = {document for query in training.validation for document, gain in query.documents.items() if gain > 0}
    assert wanted <= set(pool.documents)
    first = training.passages.vectors @ training.validation_vectors[0]
    nearest = {training.passages.document_ids[position] for position in np.argsort(-first)[:2]}
    assert nearest <= set(pool.documents)


def test_a_large_cluster_does_not_decide_alone(training: Training) -> None:
    pool, _ = validation_pool(training, queries=31)
    large = {query.text for query in training.validation if query.cluster == "large"}
    assert len(pool.questions) == 31 and sum(question in large for question in pool.questions) == 1


def test_the_pool_is_the_same_again_and_as_it_was_sent(training: Training) -> None:
    pool, serving = validation_pool(training, passages=100)
    again, _ = validation_pool(training, passages=100)
    sent = Pool.from_json(pool.as_json())
    assert np.array_equal(pool.lexical, again.lexical) and pool.texts == again.texts
    assert sent.gains == pool.gains and np.allclose(sent.lexical, pool.lexical, atol=1e-4)
    assert 0 < serving.ndcg <= 1


def test_perfect_vectors_are_mixed_with_little_and_useless_ones_with_much_of_the_words(training: Training) -> None:
    pool, _ = validation_pool(replace(training, seed=4))
    rng = np.random.default_rng(1)
    passages = np.eye(len(pool.texts), dtype=np.float32)
    answers = [pool.documents.index(max(gains, key=lambda name: gains[name])) for gains in pool.gains]
    perfect, useless = passages[answers], rng.permutation(passages)[: len(answers)]
    good, bad = score(pool, perfect, passages), score(pool, useless, passages)
    assert good.ndcg > 0.75 > bad.ndcg and good.weight < bad.weight
