"""Metrics of rankings: the values of worked examples, what is not judged, intervals."""

from __future__ import annotations

import math

import numpy as np
import pytest

from learning_pipelines.retrieval.metrics import MRR, NAMES, NDCG, RECALL_10, RECALL_100, interval, measure


def test_a_worked_example_gives_the_textbook_values() -> None:
    found = measure({"q": ["b", "a", "c"]}, {"q": {"a": 1.0, "d": 1.0}})
    assert found.means() == pytest.approx({NDCG: (1 / math.log2(3)) / (1 + 1 / math.log2(3)), MRR: 0.5, RECALL_10: 0.5, RECALL_100: 0.5})


def test_graded_gains_weigh_and_their_scale_does_not_matter() -> None:
    ranked = {"q": ["half", "whole"]}
    ideal = 1 + 0.5 / math.log2(3)
    expected = (0.5 + 1 / math.log2(3)) / ideal
    for scale in (1.0, 2.0):
        assert measure(ranked, {"q": {"whole": scale, "half": 0.5 * scale}}).of()["q"] == pytest.approx(expected)


def test_ranks_after_ten_count_for_recall_at_a_hundred_alone() -> None:
    ranked = {"q": [f"d{number}" for number in range(120)]}
    assert measure(ranked, {"q": {"d10": 1.0}}).means() == {NDCG: 0.0, MRR: 0.0, RECALL_10: 0.0, RECALL_100: 1.0}
    assert measure(ranked, {"q": {"d100": 1.0}}).means()[RECALL_100] == 0.0


def test_a_query_without_results_scores_nothing_and_one_that_nothing_helps_is_left_out() -> None:
    found = measure({"none": []}, {"none": {"a": 1.0}, "missing": {"a": 1.0}, "unhelped": {"a": 0.0}})
    assert (found.ids, found.unjudged, found.of()) == (("none", "missing"), 1, {"none": 0.0, "missing": 0.0})


def test_the_order_counts_and_a_document_found_twice_counts_once() -> None:
    assert measure({"q": ["a", "b", "a", "c"]}, {"q": {"c": 1.0}}).of(MRR) == {"q": pytest.approx(1 / 3)}


def test_without_queries_there_are_no_numbers() -> None:
    assert measure({}, {}).as_json() == {"n": 0, "metrics": {}, "intervals": {}}
    assert interval(np.zeros(0)) == (0.0, 1.0)


def test_intervals_cover_the_true_mean_as_often_as_they_say_and_repeat() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(200):
        low, high = interval(rng.beta(0.6, 0.6, 80), draws=400)
        hits += low <= 0.5 <= high
    assert hits / 200 >= 0.95 - 4 * math.sqrt(0.95 * 0.05 / 200) - 0.01  # the percentile bootstrap is a little narrow with 80 values
    values = rng.random(50)
    assert interval(values) == interval(values)


def test_every_metric_has_an_interval_around_its_mean() -> None:
    gains = {f"q{number}": {f"d{number % 7}": 1.0} for number in range(40)}
    found = measure({query: [f"d{rank}" for rank in range(7)] for query in gains}, gains).as_json()
    assert set(found["metrics"]) == set(found["intervals"]) == set(NAMES)
    assert all(low <= found["metrics"][name] <= high for name, (low, high) in found["intervals"].items())
