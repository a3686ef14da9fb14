"""Relevance of chunks corrected for position.

Belongs here: simulations with a known examination curve, and that only train questions feed the fit. Not here: counting questions.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from learning_pipelines.retrieval.relevance import Exposures, Floats, fit
from learning_pipelines.retrieval.relevance_refresh import refresh_relevance
from learning_pipelines.storage.chunk_relevance import relevance
from learning_pipelines.storage.database import Connection
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.retrieval.judging import World, world

DEPTH = 10
STEEP, FLAT = 1 / np.arange(1, DEPTH + 1) ** 1.2, 0.9 ** np.arange(DEPTH)


def simulated(seed: int, curve: Floats, questions: int = 1500, chunks: int = 150) -> tuple[Floats, Exposures]:
    """True relevances, and what was seen of them: a ranker that knows nothing of relevance, so position alone is what raw counts follow."""
    rng = np.random.default_rng(seed)
    true, taste = rng.beta(1.5, 4, chunks), rng.normal(size=chunks)
    shown, helpful = np.zeros((chunks, DEPTH)), np.zeros((chunks, DEPTH))
    for _ in range(questions):
        some = rng.choice(chunks, 2 * DEPTH, replace=False)
        order = some[np.argsort(-(taste[some] + rng.normal(0, 0.5, len(some))))][:DEPTH]
        shown[order, np.arange(DEPTH)] += 1
        helpful[order, np.arange(DEPTH)] += (rng.random(DEPTH) < curve) & (rng.random(DEPTH) < true[order])
    chunk, rank = np.nonzero(shown)
    return true, Exposures(chunk, rank + 1, shown[chunk, rank], helpful[chunk, rank])


@pytest.mark.parametrize("curve", [STEEP, FLAT], ids=["steep", "flat"])
def test_corrected_for_position_chunks_rank_better_than_by_raw_counts_and_intervals_cover(curve: Floats) -> None:
    """Over ten worlds: nine in ten true relevances at least lie in their 95 % intervals (over forty: 91.6 and 91.1 %, for the curve is fitted too)."""
    corrected, raw, covered, widths = [], [], [], []
    for seed in range(10):
        true, seen = simulated(seed, curve)
        found = fit(seen, len(true))
        met = found.shown > 0
        corrected.append(spearmanr(found.mean[met], true[met])[0])
        raw.append(spearmanr(found.helpful[met] / found.shown[met], true[met])[0])
        low, high = found.interval()
        covered.append(float(((low <= true) & (true <= high)).mean()))
        widths.append(float((high - low)[met].mean()))
    assert np.mean(corrected) > np.mean(raw) + (0.1 if curve is STEEP else 0.0) and min(np.subtract(corrected, raw)) > -0.05
    assert np.mean(covered) >= 0.9 and np.mean(widths) < 0.5


def test_the_examination_curve_is_found() -> None:
    curves = [fit(seen, len(true)).examination for true, seen in (simulated(seed, FLAT, questions=4000) for seed in range(4))]
    assert np.abs(np.mean(curves, axis=0) - FLAT).max() < 0.12


def test_where_everything_is_looked_at_the_posterior_is_that_of_plain_counts() -> None:
    found = fit(Exposures(np.arange(3), np.ones(3, dtype=np.int64), np.array([10.0, 40, 4]), np.array([5.0, 8, 0])), 4)
    assert found.alpha[:3] == pytest.approx(np.array([5, 8, 0]) + found.prior[0], rel=1e-3)
    assert found.beta[:3] == pytest.approx(np.array([5, 32, 4]) + found.prior[1], rel=1e-3)
    assert (found.alpha[3], found.beta[3]) == pytest.approx(found.prior)


def test_nothing_seen_is_nothing_known() -> None:
    none = np.zeros(0)
    found = fit(Exposures(none.astype(np.int64), none.astype(np.int64), none, none), 2)
    assert found.prior == (1, 1) and found.mean.tolist() == [0.5, 0.5]


@pytest.fixture
def desk(pipeline: Connection, load: Load) -> World:
    made = world(pipeline, load)
    made.documents({"vat": ["VAT is due monthly.", "VAT forms are blue."], "leave": "Leave is 25 days."})
    return made


def test_only_train_questions_feed_it_and_a_document_shows_its_chunks_in_parts(desk: World) -> None:
    desk.say(
        {"query": "vat?", "retrieved": ["leave#0", "vat"], "relevant": ["vat"], "rating": 4},
        {"query": "held out?", "retrieved": ["leave#0"], "relevant": ["leave#0"]},
    )
    desk.refresh()
    desk.connection.execute("UPDATE retrieval_queries SET split = CASE WHEN text = 'vat?' THEN 'train' ELSE 'test' END")
    assert refresh_relevance(desk.connection, desk.agent).chunks == 3
    rows = desk.connection.execute("SELECT chunk_id, shown, helpful FROM chunk_relevance ORDER BY 1").fetchall()
    assert rows == [("leave#0", 1, 0), ("vat#0", 0.5, 0.4), ("vat#1", 0.5, 0.4)]
    assert relevance(desk.connection, desk.agent)["vat#0"][0] > relevance(desk.connection, desk.agent)["leave#0"][0]


def test_it_is_fitted_again_only_when_something_was_said(desk: World) -> None:
    desk.say({"query": "vat?", "retrieved": ["leave#0", "vat#0"], "relevant": ["vat#0"]})
    desk.refresh()
    desk.connection.execute("UPDATE retrieval_queries SET split = 'train'")
    assert refresh_relevance(desk.connection, desk.agent).chunks == 2
    assert refresh_relevance(desk.connection, desk.agent).chunks == 0
    desk.say({"query": "vat?", "retrieved": ["vat#1"], "relevant": []})
    desk.refresh()
    assert refresh_relevance(desk.connection, desk.agent).chunks == 3
