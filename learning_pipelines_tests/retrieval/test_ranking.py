"""How the two legs become one order."""

from __future__ import annotations

import numpy as np
import pytest

from learning_pipelines.retrieval.ranking import Found, by_document, mixed, ordered


def found(lexical: list[float], cosine: list[float], documents: tuple[str, ...] = ("d1", "d1", "d2"), ideal: float | None = 10.0) -> Found:
    ids = tuple(f"c{number}" for number in range(len(lexical)))
    return Found(ids, documents, np.asarray(lexical, dtype=np.float32), np.asarray(cosine, dtype=np.float32), ideal)


def test_bm25_counts_as_its_share_of_what_the_query_could_score_and_a_cosine_as_it_is() -> None:
    assert mixed(found([5.0, 0.0, 10.0], [0.2, 0.9, -0.1]), 0.5) == pytest.approx([0.35, 0.45, 0.5])
    assert mixed(found([5.0, 0.0, 10.0], [0.2, 0.9, -0.1], ideal=None), 1.0) == pytest.approx([0.5, 0.0, 1.0])
    assert not mixed(found([0.0, 0.0, 0.0], [0.1, 0.2, 0.3], ideal=0.0), 1.0).any()


def test_a_weight_of_one_is_the_lexical_order_and_of_nothing_the_order_of_vectors() -> None:
    candidates = found([3.0, 0.0, 9.0], [0.2, 0.9, -0.1])
    assert ordered(candidates.chunk_ids, mixed(candidates, 1.0)) == [2, 0, 1]
    assert ordered(candidates.chunk_ids, mixed(candidates, 0.0)) == [1, 0, 2]


def test_scores_lie_between_nothing_and_one() -> None:
    scores = mixed(found([3.0, 0.0, 9.0], [0.2, 0.9, -1.0]), 0.4)
    assert scores.min() >= 0.0 and scores.max() <= 1.0


def test_where_no_word_matches_the_vectors_decide() -> None:
    candidates = found([0.0, 0.0, 0.0], [0.1, 0.3, 0.2])
    assert ordered(candidates.chunk_ids, mixed(candidates, 0.5)) == [1, 2, 0]


def test_a_document_has_the_score_of_its_best_chunk_and_ties_go_by_id() -> None:
    candidates = found([0.0] * 3, [0.0] * 3)
    assert by_document(candidates, np.asarray([0.1, 0.7, 0.4], dtype=np.float32)) == [("d1", pytest.approx(0.7)), ("d2", pytest.approx(0.4))]
    assert [name for name, _ in by_document(candidates, np.zeros(3, dtype=np.float32))] == ["d1", "d2"]
    assert ordered(("b", "a", "c"), np.zeros(3, dtype=np.float32)) == [1, 0, 2]


def test_no_candidates_have_no_order() -> None:
    nothing = found([], [], ())
    assert mixed(nothing, 0.5).shape == (0,) and by_document(nothing, mixed(nothing, 0.5)) == []
