"""BM25 in memory: the formula, and bm25s beside it on real judged queries."""

from __future__ import annotations

import math

import numpy as np
import pytest

from learning_pipelines.retrieval.analyzer import analyzer_for
from learning_pipelines.retrieval.bm25 import Bm25
from learning_pipelines_tests.retrieval.judged import judged, ndcg

SETS = ("feedbackqa_dev/uk", "feedbackqa_dev/us_cdc", "tatqa")
TEXTS = ("refund of an invoice", "invoice and invoice", "holiday request form", "")


def test_a_score_is_what_the_formula_says() -> None:
    scores = Bm25.build(TEXTS, analyzer_for("english")).scores("invoices")
    lengths, average = (2, 2), 7 / 4
    idf = math.log(1 + (4 - 2 + 0.5) / (2 + 0.5))
    expected = [idf * tf / (tf + 1.2 * (1 - 0.75 + 0.75 * length / average)) for tf, length in zip((1, 2), lengths, strict=True)]
    assert scores == pytest.approx([*expected, 0.0, 0.0], rel=1e-6)


def test_a_word_said_twice_weighs_twice_and_further_terms_weigh_what_they_are_given() -> None:
    lexical = Bm25.build(TEXTS, analyzer_for("english"))
    assert lexical.scores("invoice invoice") == pytest.approx(2 * lexical.scores("invoice"))
    assert lexical.scores("refund", {"invoic": 0.5}) == pytest.approx(lexical.scores("refund") + 0.5 * lexical.scores("invoice"))


def test_no_text_scores_more_than_the_ideal_and_one_full_of_the_words_nearly_that() -> None:
    lexical = Bm25.build([*TEXTS, "refund invoice " * 200], analyzer_for("english"))
    ideal = lexical.ideal("refund of my invoice")
    assert ideal == pytest.approx(lexical.idf("refund") + lexical.idf("invoic"))
    assert 0.9 * ideal < lexical.scores("refund of my invoice").max() < ideal
    assert lexical.ideal("refund unheard-of") > lexical.ideal("refund") and lexical.ideal("of the") == 0


@pytest.mark.parametrize("query", ["", "the of and", "unheard-of", "?!"])
def test_a_query_without_known_terms_scores_nothing(query: str) -> None:
    assert not Bm25.build(TEXTS).scores(query).any()


def test_no_texts_have_no_scores() -> None:
    assert Bm25.build([]).scores("invoice").shape == (0,)


@pytest.mark.parametrize("name", SETS)
def test_the_scores_are_those_of_bm25s_for_the_same_terms(name: str) -> None:
    import bm25s

    data, english = judged(name, "train"), analyzer_for("english")
    ours, theirs = Bm25.build(data.texts, english), bm25s.BM25(k1=1.2, b=0.75, method="lucene")
    theirs.index([english.terms(text) for text in data.texts], show_progress=False)
    for query in list(data.queries.values())[:100]:
        known = [term for term in english.terms(query) if term in theirs.vocab_dict]
        if known:
            assert ours.scores(query) == pytest.approx(theirs.get_scores(known), abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", SETS)
def test_on_real_questions_it_is_at_most_a_hundredth_below_bm25s_with_its_own_tokens(name: str) -> None:
    import bm25s
    import Stemmer

    data, stemmer = judged(name, "train"), Stemmer.Stemmer("english")
    ours, theirs = Bm25.build(data.texts), bm25s.BM25(k1=1.2, b=0.75, method="lucene")
    theirs.index(bm25s.tokenize(data.texts, stopwords="en", stemmer=stemmer, show_progress=False), show_progress=False)
    tokens = bm25s.tokenize(list(data.queries.values()), stopwords="en", stemmer=stemmer, show_progress=False, return_ids=False)
    runs: tuple[dict[str, list[tuple[str, float]]], ...] = ({}, {})
    for (query, text), words in zip(data.queries.items(), tokens, strict=True):
        for run, scores in zip(runs, (ours.scores(text), theirs.get_scores(words)), strict=True):
            run[query] = [(data.ids[best], float(scores[best])) for best in np.argsort(-scores, kind="stable")[:10]]
    assert ndcg(data.qrels, runs[0]) >= ndcg(data.qrels, runs[1]) - 0.01
