"""The candidates that cheap learners stand on, their nDCG, and the rule by which one way of ranking beats another."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from learning_pipelines.retrieval.learning.candidates import candidates
from learning_pipelines.retrieval.learning.folds import beats, folds, gain
from learning_pipelines.retrieval.ranking import by_document, mixed
from learning_pipelines.retrieval.task import JudgedQuery
from learning_pipelines_tests.retrieval.judged import ndcg
from learning_pipelines_tests.retrieval.learning.planted import world


def test_the_ndcg_that_choices_rest_on_is_that_of_trec_eval(tmp_path: Path) -> None:
    training = world(tmp_path, turned=0.5)
    graded = [JudgedQuery(query.id, query.text, {**query.documents, "d003": 0.5, "d007": 0.0}, query.chunks, query.cluster) for query in training.train[:30]]
    found = candidates(training.passages, training.lexical, graded, training.train_vectors[:30])
    qrels = {query.id: {document: int(2 * value) for document, value in query.documents.items()} for query in graded}
    runs = {one.query.id: by_document(one.found, mixed(one.found, 0.5)) for one in found}
    assert np.mean([one.ndcg(mixed(one.found, 0.5)) for one in found]) == pytest.approx(ndcg(qrels, runs), abs=1e-6)


def test_each_leg_brings_its_best_and_every_candidate_has_both_scores(tmp_path: Path) -> None:
    training = world(tmp_path)
    [one] = candidates(training.passages, training.lexical, training.train[:1], training.train_vectors[:1])
    cosines, lexical = training.passages.vectors @ training.train_vectors[0], training.lexical.scores(training.train[0].text)
    assert {training.passages.ids[place] for place in np.argsort(-cosines)[:100]} <= set(one.found.chunk_ids)
    assert np.allclose(one.found.cosine, cosines[one.positions], atol=1e-6) and np.array_equal(one.found.lexical, lexical[one.positions])


def test_a_cluster_is_never_divided_between_folds_and_a_seed_gives_the_same_folds() -> None:
    queries = [JudgedQuery(str(number), "", {}, {}, f"k{number % 13}") for number in range(100)]
    fold = folds(queries, seed=3)
    assert all(len({fold[place] for place in range(100) if place % 13 == cluster}) == 1 for cluster in range(13))
    assert np.array_equal(fold, folds(queries, seed=3)) and set(fold) == set(range(5))
    assert max(np.bincount(fold)) - min(np.bincount(fold)) <= 8


def test_the_error_counts_questions_of_one_cluster_once() -> None:
    rng = np.random.default_rng(0)
    apart = [JudgedQuery(str(number), "", {}, {}, str(number)) for number in range(200)]
    together = [JudgedQuery(str(number), "", {}, {}, str(number // 4)) for number in range(200)]
    differences = np.repeat(rng.normal(size=50), 4)
    single, joined = gain(np.zeros(200), differences, apart)[1], gain(np.zeros(200), differences, together)[1]
    assert joined == pytest.approx(2 * single, rel=0.02)  # four that always agree are worth one: the error doubles


def test_without_a_difference_the_simpler_is_kept_in_five_of_six_draws() -> None:
    rng, queries = np.random.default_rng(1), [JudgedQuery(str(number), "", {}, {}, str(number)) for number in range(60)]
    taken = sum(beats(np.zeros(60), rng.normal(size=60), queries) for _ in range(2_000))
    assert 0.13 < taken / 2_000 < 0.19  # one standard error, one-sided: .159
