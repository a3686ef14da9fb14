"""The benchmark of retrieval learns from nothing that it grades on, and its intervals say what they should."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.retrieval import difference
from benchmarks.retrieval_sets import DATA, SETS, clustered, prepared, read, said
from learning_pipelines.retrieval.metrics import NAMES, Measured
from learning_pipelines.retrieval.task import JudgedQuery

needs_data = pytest.mark.skipif(not (DATA / "tatqa").is_dir(), reason=f"the data sets are not at {DATA}: LEARNING_TEST_DATA names their folder")


class Hashed:
    """An encoder whose vectors follow from the text alone."""

    name, dimensions = "hashed@1", 8

    def encode(self, texts: list[str], *, batch_size: int = 64) -> np.ndarray:
        made = np.array([np.random.default_rng(list(text.encode()) or [0]).normal(size=8) for text in texts], dtype=np.float32)
        return made / np.linalg.norm(made, axis=1, keepdims=True)


@needs_data
@pytest.mark.parametrize("name", SETS)
def test_no_question_of_the_test_file_is_learnt_from_and_feedback_test_is_not_read(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    whole, lines = Path.read_bytes, Path.open
    monkeypatch.setattr(Path, "read_bytes", lambda path: opened.append(path.name) or whole(path))
    monkeypatch.setattr(Path, "open", lambda path, *given, **named: opened.append(path.name) or lines(path, *given, **named))
    corpus = read(name)
    assert {said(one.text) for one in corpus.test}.isdisjoint(said(one.text) for one in corpus.known)
    assert len(corpus.test) > 500 and len(corpus.known) > 1_000 and "feedback_test.jsonl" not in opened and "test.tsv" in opened


@needs_data
def test_what_learners_get_holds_neither_test_questions_nor_their_vectors(tmp_path: Path) -> None:
    corpus = replace(whole := read("feedbackqa_dev/us_cdc"), documents=whole.documents[:60])
    ready = prepared(corpus, Hashed(), tmp_path, tmp_path / "kept", seed=0)
    given, tests = {said(query.text) for query in (*ready.training.train, *ready.training.validation)}, {said(query.text) for query in ready.test}
    assert given.isdisjoint(tests) and len(ready.test) == len(ready.test_vectors) == 572
    vectors = {vector.tobytes() for vector in (*ready.training.train_vectors, *ready.training.validation_vectors)}
    assert vectors.isdisjoint(vector.tobytes() for vector in ready.test_vectors)
    teaching, choosing = ({query.cluster for query in part} for part in (ready.training.train, ready.training.validation))
    assert teaching.isdisjoint(choosing) and 0.55 < len(ready.training.train) / len(given) < 0.9


def test_questions_that_share_a_passage_that_helped_are_one_cluster_through_others_too() -> None:
    queries = [
        JudgedQuery(str(number), "", documents, {}, "") for number, documents in enumerate([{"a": 1.0}, {"a": 0.5, "b": 1.0}, {"b": 1.0, "c": 0.0}, {"c": 1.0}])
    ]
    first, second, third, fourth = (query.cluster for query in clustered(queries))
    assert first == second == third != fourth


def test_an_interval_without_a_gain_holds_nothing_in_nineteen_of_twenty_draws() -> None:
    rng, held = np.random.default_rng(0), 0
    test = [JudgedQuery(str(number), "", {f"d{number // 2}": 1.0}, {}, "") for number in range(120)]
    ids = tuple(query.id for query in test)
    for _ in range(200):
        noise = np.repeat(rng.normal(scale=0.2, size=60), 2)
        before, after = (Measured(ids, dict.fromkeys(NAMES, values)) for values in (np.full(120, 0.5), 0.5 + noise))
        low, high, _ = difference(before, after, test)
        held += low <= 0 <= high
    assert 178 <= held <= 199  # of 200 at 95 %: 190 ± 3 standard errors, and a little narrow as the bootstrap is with 60 groups
