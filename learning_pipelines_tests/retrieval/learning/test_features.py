"""What a re-ranker is told about a candidate."""

from __future__ import annotations

import numpy as np
import pytest

from learning_pipelines.retrieval.analyzer import analyzer_for
from learning_pipelines.retrieval.learning.features import NAMES, SHORTLIST, Analyzed, analyzed, asked, features, shortlist
from learning_pipelines.retrieval.ranking import Found

ENGLISH = analyzer_for("english")


def found(lexical: list[float], cosine: list[float]) -> Found:
    ids = tuple(f"c{number:02}" for number in range(len(lexical)))
    return Found(ids, ids, np.array(lexical, dtype=np.float32), np.array(cosine, dtype=np.float32), 10.0)


def told(question: str, *texts: tuple[str, str]) -> dict[str, list[float]]:
    """Name of a feature to its value for each text (heading, rest), all found equally well."""
    chunks = [analyzed(f"{heading}\n{rest}", heading, ENGLISH) for heading, rest in texts]
    rows = features(asked(question, ENGLISH, lambda term: 2.0), found([1.0] * len(texts), [0.5] * len(texts)), 0.5, range(len(texts)), chunks)
    return dict(zip(NAMES, rows.T.tolist(), strict=True))


def test_words_said_in_a_row_count_more_than_words_said_anywhere() -> None:
    known = told("total sales 2019 growth", ("", "The total sales of 2019 and growth."), ("", "Sales, 2019: growth in total."))
    assert known["words"] == [1.0, 1.0] and known["word_pairs"][0] == pytest.approx(1.0) and known["word_pairs"][1] == pytest.approx(2 / 3)
    assert known["longest_run"] == [pytest.approx(1.0), pytest.approx(2 / 3)]


def test_a_number_that_is_not_there_is_told_apart_from_a_question_without_numbers() -> None:
    assert told("sales in 2019", ("", "sales 2018"), ("", "sales 2019"))["numbers"] == [0.0, 1.0]
    assert told("sales", ("", "sales 2018"))["numbers"] == [-1.0]


def test_the_heading_counts_apart_and_as_a_share_of_itself() -> None:
    known = told("sick pay", ("Sick pay", "How it is paid."), ("", "Sick pay is paid."), ("Pay, tax, pensions", "Sick notes."))
    assert known["heading_words"] == [1.0, 0.0, pytest.approx(0.5)]
    assert known["heading_said"] == [pytest.approx(2.0), 0.0, pytest.approx(2 / 3)]


def test_what_is_missing_is_as_rare_as_its_rarest_word() -> None:
    question = asked("pension fund", ENGLISH, lambda term: {"pension": 5.0}.get(term, 1.0))
    rows = features(question, found([1.0, 1.0], [0.5, 0.5]), 0.5, [0, 1], [analyzed("a fund", "", ENGLISH), analyzed("a pension", "", ENGLISH)])
    assert rows[:, NAMES.index("rarest_missing")].tolist() == [5.0, 1.0]


def test_the_order_in_which_candidates_come_says_nothing() -> None:
    rng = np.random.default_rng(0)
    lexical, cosine = rng.integers(0, 4, 20).astype(float).tolist(), rng.normal(size=20).round(1).clip(-1, 1).tolist()
    chunk, question = Analyzed((), frozenset()), asked("", ENGLISH, lambda term: 1.0)
    there = features(question, found(lexical, cosine), 0.5, range(20), [chunk] * 20)
    back = features(question, found(lexical[::-1], cosine[::-1]), 0.5, range(20), [chunk] * 20)
    assert np.array_equal(there, back[::-1])


def test_the_shortlist_is_the_best_of_the_mixture_and_may_be_empty() -> None:
    everything = found(list(np.linspace(0, 9, 120)), [0.5] * 120)
    assert shortlist(everything, 0.5) == list(range(119, 119 - SHORTLIST, -1))
    assert shortlist(found([], []), 0.5) == [] and features(asked("any", ENGLISH, lambda term: 1.0), found([], []), 0.5, [], []).shape == (0, len(NAMES))
