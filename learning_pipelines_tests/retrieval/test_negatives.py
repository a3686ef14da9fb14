"""Mining hard negatives in blocks.

Belongs here: the pure functions. Not here: pairs (test_pairs.py), memory at 10^5 × 10^5 (benchmarks/mining.py).
"""

from __future__ import annotations

import numpy as np
import pytest

from learning_pipelines.retrieval.negatives import Floats, allowed, mine


def unit(rows: int, seed: int, dimensions: int = 16) -> Floats:
    made = np.random.default_rng(seed).standard_normal((rows, dimensions)).astype(np.float32)
    return np.asarray(made / np.linalg.norm(made, axis=1, keepdims=True), dtype=np.float32)


@pytest.mark.parametrize("size", [1, 7, 64, 500])
def test_blocks_of_any_size_find_what_one_whole_product_finds(size: int) -> None:
    questions, passages = unit(30, 1), unit(300, 2)
    nearest, _ = mine(questions, unit(1, 3), (passages[begin : begin + size] for begin in range(0, 300, size)), k=10)
    product = questions @ passages.T
    assert (nearest.places == np.argsort(-product, axis=1, kind="stable")[:, :10]).all()
    assert np.allclose(nearest.scores, np.sort(product, axis=1)[:, ::-1][:, :10], atol=1e-6)


def test_fewer_passages_than_asked_for_leave_places_empty() -> None:
    nearest, _ = mine(unit(2, 1), unit(1, 3), [unit(3, 2)], k=5)
    assert (nearest.places[:, 3:] == -1).all() and (nearest.scores[:, 3:] == -np.inf).all() and (nearest.places[:, :3] >= 0).all()


def test_passages_that_say_the_same_as_a_positive_are_found_across_blocks() -> None:
    passages = unit(40, 2)
    passages[33] = passages[4]
    _, alike = mine(unit(2, 1), passages[[4]], (passages[:20], passages[20:]))
    assert sorted(alike.pairs) == [(0, 4), (0, 33)]


def test_what_scores_within_the_margin_of_the_positive_is_no_negative() -> None:
    scores, names = [0.9, 0.77, 0.759, 0.5], ["a", "b", "c", "d"]
    assert allowed(scores, names, names, positive=0.8, relevant=(), alike=()) == [2, 3]


def test_neither_a_chunk_of_a_relevant_document_nor_one_that_says_the_same_is_a_negative() -> None:
    assert allowed([0.5, 0.4, 0.3], ["r#1", "x#0", "y#0"], ["r", "x", "y"], positive=0.8, relevant={"r"}, alike={"x#0"}) == [2]
