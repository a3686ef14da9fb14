"""What an encoder is trained on: rows, negatives, masks, batches, with values small enough to check by eye.

Belongs here: triples.py. Not here: the loss (test_contrastive.py).
"""

from __future__ import annotations

import numpy as np
import pytest

from learning_pipelines.retrieval.learning.triples import Batch, Triples, batches_per_epoch, epoch, triples
from learning_pipelines.retrieval.task import JudgedQuery, Passages

IDS = ("a1", "a2", "b1", "c1", "d1", "e1")
DOCUMENTS = ("a", "a", "b", "c", "d", "e")
TEXTS = ["first of a", "second of a", "of b", "of c", "of b", "  "]
PASSAGES = Passages(IDS, DOCUMENTS, TEXTS, np.zeros((6, 2), dtype=np.float32))


def judged(name: str, text: str, chunks: dict[str, float], documents: dict[str, float] | None = None) -> JudgedQuery:
    documents = documents if documents is not None else {chunk[0]: gain for chunk, gain in chunks.items()}
    return JudgedQuery(name, text, documents, chunks, name)


def named(data: Triples, numbers: list[int]) -> list[str]:
    return [data.texts[number] for number in numbers]


def test_negatives_are_the_useless_first_and_never_of_a_helpful_document_nor_of_the_same_text() -> None:
    query = judged("q", "?", {"b1": 1.0, "c1": 0.0})
    data = triples([query], PASSAGES, {"q": ("a1", "d1", "b1", "gone", "e1")}, most=10, seed=0)
    assert named(data, data.negatives[0]) == ["of c", "first of a"]  # d1 says what b1 says, e1 is empty
    assert [(data.questions[q], data.texts[p], gain) for q, p, gain in data.rows] == [("?", "of b", 1.0)]


def test_every_chunk_of_a_helpful_document_counts_as_known() -> None:
    data = triples([judged("q", "?", {"a1": 1.0}), judged("r", "!", {"a2": 0.5})], PASSAGES, {"q": ("a2",)}, most=10, seed=0)
    assert data.negatives[0] == [] and sorted(named(data, data.known[0])) == ["first of a", "second of a"]


def test_questions_without_a_helpful_chunk_that_is_still_there_teach_nothing() -> None:
    queries = [judged("q", "?", {"a1": 0.0}), judged("r", "?", {"gone": 1.0}), judged("s", " ", {"a1": 1.0}), judged("t", "?", {"e1": 1.0})]
    assert triples(queries, PASSAGES, {}, most=10, seed=0).rows == []


def test_the_rows_are_bounded_the_same_way_with_the_same_seed() -> None:
    queries = [judged(f"q{number}", f"question {number}", {IDS[number % 4]: 1.0}) for number in range(50)]
    first, again, other = (triples(queries, PASSAGES, {}, most=20, seed=seed) for seed in (1, 1, 2))
    assert len(first.rows) == 20 and first == again and first.rows != other.rows


def test_known_helpful_passages_of_others_in_the_batch_are_masked_and_only_those() -> None:
    queries = [judged("q", "?", {"a1": 1.0, "b1": 1.0}), judged("r", "!", {"b1": 1.0}), judged("s", ".", {"c1": 1.0})]
    data = triples(queries, PASSAGES, {"s": ("a2",)}, most=10, seed=0)
    (batch,) = epoch(data, 8, 0, 0)
    for row, question in enumerate(batch.questions):
        for column, passage in enumerate(batch.passages):
            helpful = passage in data.known[question]
            assert batch.masked[row, column] == (helpful and row != column)
    assert data.texts.index("second of a") in batch.passages[len(batch.questions) :]


def test_every_row_comes_once_a_round_in_an_order_of_its_own() -> None:
    queries = [judged(f"q{number}", f"question {number}", {IDS[number % 4]: 1.0}) for number in range(21)]
    data = triples(queries, PASSAGES, {}, most=100, seed=0)
    first, again, second = (list(epoch(data, 5, 3, number)) for number in (0, 0, 1))
    assert [batch.questions for batch in first] == [batch.questions for batch in again] != [batch.questions for batch in second]
    assert sum(len(batch.questions) for batch in first) == 20  # the one left over has nothing to be told apart from
    assert len(first) == batches_per_epoch(21, 5) == 4


@pytest.mark.parametrize(("rows", "size", "batches"), [(0, 5, 0), (1, 5, 0), (5, 5, 1), (7, 5, 2), (6, 5, 1)])
def test_batches_are_counted_as_they_come(rows: int, size: int, batches: int) -> None:
    data = Triples(["x"] * rows, ["q"] * rows, [(row, row, 1.0) for row in range(rows)], [[row] for row in range(rows)], [[] for _ in range(rows)])
    found: list[Batch] = list(epoch(data, size, 0, 0))
    assert len(found) == batches == batches_per_epoch(rows, size)


def test_what_is_sent_to_the_process_comes_back_as_it_was() -> None:
    data = triples([judged("q", "?", {"b1": 0.75})], PASSAGES, {"q": ("a1",)}, most=10, seed=0)
    assert Triples.from_json(data.as_json()) == data
