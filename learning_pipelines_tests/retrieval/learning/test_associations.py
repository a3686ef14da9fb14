"""Associations of terms: what was planted is found and gains, chance is not; what is served of them."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import orjson
import pytest

from learning_pipelines.errors import LearningError
from learning_pipelines.retrieval.analyzer import analyzer_for
from learning_pipelines.retrieval.bm25 import Bm25
from learning_pipelines.retrieval.expansion import MOST_TERMS, Expansion
from learning_pipelines.retrieval.index import IndexConfig
from learning_pipelines.retrieval.learning.associations import ExpansionLearner, associations, log_likelihood_ratio
from learning_pipelines.retrieval.task import JudgedQuery, Passages, Training
from learning_pipelines_tests.retrieval.learning.planted import NoEncoder, Reports

ENGLISH = analyzer_for("english")
SERVING = IndexConfig(lexical_weight=0.9)
FILLER = ["account", "ledger", "booking", "entry", "year", "month", "report", "office", "amount", "line", "form", "step", "record", "number"]


def world(folder: Path, *, shuffled: bool = False, seed: int = 0) -> Training:
    """Sixty things; of each, one text says how its Vorsteuer comes back and three say something else. Half of the questions say VAT refund and are helped
    by the first, the others by texts that hold their words. No two splits ask about the same thing; vectors say nothing. `shuffled`: what helped is
    drawn by chance."""
    rng = random.Random(seed)
    kinds = {"vor": "vorsteuer zurück", "war": "warranty", "del": "delivery", "rep": "repair"}
    asking = {"vor": "How do I get the VAT refund of", "war": "How long is the warranty of", "del": "When is the delivery of"}
    chunks = [(thing, kind) for thing in range(60) for kind in kinds]
    texts = [f"thing{thing} {kinds[kind]} {' '.join(rng.choices(FILLER, k=12))}" for thing, kind in chunks]
    asked = [(thing, kind) for thing in range(60) for kind in ("vor", ("war", "del")[thing % 2])]
    helped = rng.sample(asked, len(asked)) if shuffled else asked
    queries = tuple(
        JudgedQuery(f"q{thing}{kind}", f"{asking[kind]} thing{thing}?", {f"d{one}-{other}": 1.0}, {f"{one}-{other}": 1.0}, f"k{thing}")
        for (thing, kind), (one, other) in zip(asked, helped, strict=True)
    )
    vectors = np.full((len(chunks), 2), np.sqrt(0.5), dtype=np.float32)
    names = [f"{thing}-{kind}" for thing, kind in chunks]
    passages = Passages(tuple(names), tuple(f"d{name}" for name in names), texts, vectors)
    train, validation, given = queries[:70], queries[70:], vectors[:1]
    lexical, whole = Bm25.build(texts, ENGLISH), np.tile(given, (len(queries), 1))
    return Training(passages, lexical, train, validation, whole[:70], whole[70:], {}, NoEncoder(), SERVING, folder, seed)


def test_what_helpful_texts_say_instead_is_found_and_gains(tmp_path: Path) -> None:
    learnt = ExpansionLearner().learn(world(tmp_path), SERVING, Reports())
    assert learnt is not None and learnt.config.expansion is not None and learnt.numbers["gain"] > 0.2
    served = Expansion.load(tmp_path / learnt.config.expansion.path)
    added = served.expand("Where is my VAT refund?")
    assert "vorsteuer" in added and not {"warranti", "account"} & added.keys()
    assert replace(learnt.config, expansion=None) == SERVING


def test_shuffled_feedback_teaches_nothing(tmp_path: Path) -> None:
    """Of twenty worlds in which what helped was drawn by chance, an association that reaches the gate comes from one at most."""
    learnt = [ExpansionLearner().learn(world(tmp_path, shuffled=True, seed=seed), SERVING, Reports()) for seed in range(20)]
    assert sum(each is not None for each in learnt) <= 1


def test_the_same_feedback_makes_the_same_file(tmp_path: Path) -> None:
    files = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        learnt = ExpansionLearner().learn(world(tmp_path / name), SERVING, Reports())
        assert learnt is not None and learnt.config.expansion is not None
        files.append((tmp_path / name / learnt.config.expansion.path).read_bytes())
    assert files[0] == files[1]


def test_only_train_teaches_and_the_file_holds_terms_not_questions(tmp_path: Path) -> None:
    training = world(tmp_path)
    learnt = ExpansionLearner().learn(training, SERVING, Reports())
    assert learnt is not None and learnt.config.expansion is not None
    stored = orjson.loads((tmp_path / learnt.config.expansion.path).read_bytes())
    terms = {*stored["associations"], *(other for found in stored["associations"].values() for other, _ in found)}
    assert terms and not any(" " in term for term in terms)
    asked = [{term for query in queries for term in ENGLISH.terms(query.text)} for queries in (training.validation, training.train)]
    held_out = asked[0] - asked[1]
    assert held_out and not held_out & terms


def test_one_person_or_one_text_is_no_support(tmp_path: Path) -> None:
    training = world(tmp_path)
    by_one = tuple(replace(query, cluster="the same") for query in training.train)
    of_one = tuple(replace(query, chunks={"0-vor": 1.0}) for query in training.train)
    assert associations(training.train, training.passages, training.lexical)
    assert not associations(by_one, training.passages, training.lexical) and not associations(of_one, training.passages, training.lexical)


def test_what_did_not_help_teaches_nothing_nor_does_a_chunk_that_is_gone(tmp_path: Path) -> None:
    training = world(tmp_path)
    useless = tuple(replace(query, chunks=dict.fromkeys(query.chunks, 0.0)) for query in training.train)
    gone = tuple(replace(query, chunks={f"{chunk}-before": 1.0 for chunk in query.chunks}) for query in training.train)
    assert not associations(useless, training.passages, training.lexical) and not associations(gone, training.passages, training.lexical)


def test_no_feedback_ends_with_a_reason(tmp_path: Path) -> None:
    told = Reports()
    assert ExpansionLearner().learn(replace(world(tmp_path), train=()), SERVING, told) is None
    assert "no association" in told[-1][1]


def test_what_serves_already_gains_nothing_again(tmp_path: Path) -> None:
    training, told = world(tmp_path), Reports()
    learnt = ExpansionLearner().learn(training, SERVING, Reports())
    assert learnt is not None and learnt.config.expansion is not None
    assert ExpansionLearner(Expansion.load(tmp_path / learnt.config.expansion.path)).learn(training, learnt.config, told) is None
    assert "no gain" in told[-1][1]


def test_few_terms_are_added_and_none_that_is_said() -> None:
    many = Expansion(ENGLISH, 0.5, {"vat": tuple((f"t{number}", 1.0 - number / 100) for number in range(40)), "refund": (("vat", 1.0), ("t3", 0.995))})
    added = many.expand("VAT refund")
    assert list(added) == ["t0", "t3", *(f"t{number}" for number in (1, 2, 4, 5, 6, 7, 8, 9))] and len(added) == MOST_TERMS
    assert added["t3"] == pytest.approx(0.4975) and many.expand("nothing known") == {} == many.expand("")


@pytest.mark.parametrize(
    "stored",
    [
        {"format": 2},
        {"analyzer": "klingon-1"},
        {"strength": 7},
        {"strength": "much"},
        {"associations": []},
        {"associations": {"a": [["b"]]}},
        {"associations": {"a": [["b", -1]]}},
        b"{",
        b"[]",
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, stored: bytes | dict[str, object]) -> None:
    whole = {"format": 1, "analyzer": "english-1", "strength": 1, "associations": {"a": [["b", 1]]}}
    (tmp_path / "good.json").write_bytes(orjson.dumps(whole))
    assert Expansion.load(tmp_path / "good.json").associations == {"a": (("b", 1.0),)}
    (tmp_path / "expansion.json").write_bytes(stored if isinstance(stored, bytes) else orjson.dumps(whole | stored))
    with pytest.raises(LearningError):
        Expansion.load(tmp_path / "expansion.json")


def test_the_ratio_is_that_of_scipy() -> None:
    from scipy.stats import chi2_contingency

    for both, first, second, total in ((7, 20, 30, 200), (3, 3, 10, 50), (5, 5, 5, 5)):
        table = np.array([[both, first - both], [second - both, total - first - second + both]])
        expected = chi2_contingency(table, correction=False, lambda_="log-likelihood").statistic if table.sum(0).all() and table.sum(1).all() else 0.0
        assert log_likelihood_ratio(both, first, second, total) == pytest.approx(expected, abs=1e-9)
