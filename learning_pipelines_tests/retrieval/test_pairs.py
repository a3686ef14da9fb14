"""Training pairs from what people said.

Belongs here: what becomes a pair, what doesn't, staying up to date. Not here: mining in blocks (test_negatives.py), leaks of test questions.
"""

from __future__ import annotations

from typing import Any

import pytest

from learning_pipelines.retrieval import mining
from learning_pipelines.retrieval.lexical import refresh_lexical
from learning_pipelines.retrieval.loaded import Loaded
from learning_pipelines.retrieval.pairs import RULES, mined_negatives, new_pairs, refresh_pairs
from learning_pipelines.settings import Settings
from learning_pipelines.storage import indexes
from learning_pipelines.storage.database import Connection
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.retrieval.judging import BY_BOTH, WordEncoder, World, world
from learning_pipelines_tests.retrieval.stored import put_base

DOCUMENTS: dict[str, Any] = {
    "vat": ["vat is declared and paid every month", "vat on books is lower than vat on cars"],
    "vat-copy": "vat is declared and paid every month !",
    "customs": "customs duty is declared and paid at the border every time",
    "tax": "income tax is declared once in the year and paid in march",
    "leave": "leave is taken in summer and agreed with the team",
    "train": "train tickets are booked by the office",
}
ASKED = "how is vat declared and paid"


@pytest.fixture
def desk(pipeline: Connection, load: Load) -> World:
    made = world(pipeline, load)
    made.documents(DOCUMENTS)
    made.embed()
    return made


def take_up(desk: World) -> None:
    desk.refresh(rule=BY_BOTH)
    desk.connection.execute("UPDATE retrieval_queries SET split = 'train' WHERE split IS NOT NULL AND text <> 'held out'")
    refresh_pairs(desk.connection, desk.agent)


def test_what_helped_is_positive_and_what_was_shown_and_did_not_is_negative(desk: World) -> None:
    desk.say({"query": ASKED, "retrieved": ["leave", "vat#0"], "relevant": ["vat#0"], "rating": 4})
    take_up(desk)
    assert {(ASKED, "vat#0", "positive"), (ASKED, "leave#0", "negative")} <= desk.pairs()
    rows = desk.connection.execute("SELECT weight, origin, source_feedback_id IS NOT NULL FROM embedding_training_pairs WHERE label = 'positive'").fetchall()
    assert rows == [(0.8, "feedback", True)]


def test_hard_negatives_are_near_and_neither_of_the_document_that_helped_nor_a_copy_of_it(desk: World) -> None:
    desk.say({"query": ASKED, "relevant": ["vat#0"]})
    take_up(desk)
    mined = [chunk for text, chunk, label in desk.pairs() if label == "hard_negative"]
    assert "customs#0" in mined and not {"vat#0", "vat#1", "vat-copy#0"} & set(mined)
    assert list(mined_negatives(desk.connection, desk.agent).values()) == [tuple(sorted(mined, key=lambda one: -similarity(desk, one)))]


def similarity(desk: World, chunk: str) -> float:
    row = desk.connection.execute("SELECT similarity FROM embedding_training_pairs WHERE chunk_id = %s", [chunk]).fetchone()
    assert row is not None
    return float(row[0])


def test_what_helped_with_nearly_the_same_question_is_no_negative(desk: World) -> None:
    desk.say({"query": ASKED, "relevant": ["vat#0"]}, {"query": f"{ASKED}?", "relevant": ["customs"]})
    take_up(desk)
    assert not {(ASKED, "customs#0", "hard_negative"), (f"{ASKED}?", "vat#0", "hard_negative")} & desk.pairs()
    assert (f"{ASKED}?", "customs#0", "positive") in desk.pairs()


def test_contradictory_words_make_no_pair_of_that_passage(desk: World) -> None:
    desk.say(*({"query": ASKED, "retrieved": ["vat#0"], "relevant": said, "user": user} for said, user in ((["vat#0"], "a"), ([], "b"), ([], "c"))))
    take_up(desk)
    assert not [one for one in desk.pairs() if one[1] == "vat#0"]


def test_questions_that_nothing_helped_with_give_negatives_alone(desk: World) -> None:
    desk.say({"query": "where do i park", "retrieved": ["leave", "train"], "relevant": []})
    desk.refresh(rule=BY_BOTH)
    done = refresh_pairs(desk.connection, desk.agent)
    assert desk.pairs() == {("where do i park", "leave#0", "negative"), ("where do i park", "train#0", "negative")} and done.without_positive == 1


def test_only_questions_of_the_split_train_make_pairs(desk: World) -> None:
    desk.say({"query": "held out", "relevant": ["tax"]}, {"query": ASKED, "relevant": ["vat#0"]})
    desk.refresh(rule=BY_BOTH)
    desk.connection.execute("UPDATE retrieval_queries SET split = CASE WHEN text = 'held out' THEN 'test' ELSE 'train' END")
    refresh_pairs(desk.connection, desk.agent)
    assert {text for text, _, _ in desk.pairs()} == {ASKED}


def test_again_changes_nothing_and_a_new_word_only_its_question(desk: World) -> None:
    desk.say({"query": ASKED, "relevant": ["vat#0"]}, {"query": "when is income tax paid", "relevant": ["tax"]})
    take_up(desk)
    before = desk.connection.execute("SELECT id, updated_at FROM embedding_training_pairs ORDER BY id").fetchall()
    assert refresh_pairs(desk.connection, desk.agent).questions == 0
    assert desk.connection.execute("SELECT id, updated_at FROM embedding_training_pairs ORDER BY id").fetchall() == before
    desk.say({"query": "when is income tax paid", "retrieved": ["leave"], "relevant": []})
    desk.refresh(rule=BY_BOTH)
    assert refresh_pairs(desk.connection, desk.agent).questions == 1
    assert ("when is income tax paid", "leave#0", "negative") in desk.pairs()


def test_pairs_of_a_document_that_is_gone_are_withdrawn(desk: World) -> None:
    desk.say({"query": ASKED, "relevant": ["vat#0"]})
    take_up(desk)
    desk.connection.execute("UPDATE knowledge_chunks SET is_active = false WHERE document_id = 'customs'")
    take_up(desk)
    assert "customs#0" not in {chunk for _, chunk, _ in desk.pairs()} and (ASKED, "vat#0", "positive") in desk.pairs()


def test_without_vectors_there_are_no_hard_negatives_and_once_there_are_the_question_is_looked_at_again(desk: World) -> None:
    desk.connection.execute("DELETE FROM chunk_embeddings")
    desk.say({"query": ASKED, "relevant": ["vat#0"]})
    desk.refresh(rule=BY_BOTH)
    assert refresh_pairs(desk.connection, desk.agent).without_vectors == 1
    desk.embed()
    assert refresh_pairs(desk.connection, desk.agent).questions == 1 and mined_negatives(desk.connection, desk.agent)


def test_new_pairs_are_those_that_people_gave_in_the_last_days(desk: World) -> None:
    desk.say({"query": ASKED, "retrieved": ["leave"], "relevant": ["vat#0"]})
    take_up(desk)
    assert new_pairs(desk.connection, desk.agent) == 2
    desk.connection.execute("UPDATE retrieval_queries SET split = 'test'")
    assert new_pairs(desk.connection, desk.agent) == 2  # what is held out is news too: it chooses and tests
    desk.connection.execute("UPDATE retrieval_queries SET updated_at = now() - interval '8 days'")
    assert new_pairs(desk.connection, desk.agent) == 0 and new_pairs(desk.connection, desk.agent, days=30) == 2


def served(desk: World, **config: Any) -> Loaded:
    """A base index that serves, with postings and vectors by WordEncoder."""
    put_base(desk.connection, desk.agent.organization_id, WordEncoder(), {"lexical_weight": 0.5, **config})
    refresh_lexical(desk.connection, desk.agent.organization_id)
    return Loaded(Settings(), encoder_of=lambda version: WordEncoder())


@pytest.mark.parametrize("searched", [True, False], ids=["searched", "in blocks"])
def test_hard_negatives_are_mined_from_the_index_that_serves(desk: World, searched: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not searched:
        monkeypatch.setattr(mining, "SEARCHED", 0)
    desk.say({"query": ASKED, "retrieved": ["vat-copy"], "relevant": ["vat#0"]})
    desk.refresh(rule=BY_BOTH)
    refresh_pairs(desk.connection, desk.agent, loaded=served(desk))
    found = {chunk: label for _, chunk, label in desk.pairs()}
    assert found["vat#0"] == "positive" and found["customs#0"] == "hard_negative" and not {"vat#1", "vat-copy#0"} & set(found)


def test_another_serving_index_mines_again(desk: World) -> None:
    desk.say({"query": ASKED, "relevant": ["vat#0"]})
    desk.refresh(rule=BY_BOTH)
    loaded = served(desk)
    assert refresh_pairs(desk.connection, desk.agent, loaded=loaded).questions == 1 and refresh_pairs(desk.connection, desk.agent, loaded=loaded).questions == 0
    base = indexes.base(desk.connection, desk.agent.organization_id)
    assert base is not None
    number = indexes.add(
        desk.connection, desk.agent, encoder_id=base.encoder.id, kind="index", parent=0, config={"lexical_weight": 1.0}, metrics={}, training_run_id=None
    )  # fmt: skip
    indexes.move_serving(desk.connection, desk.agent, number, None)
    assert refresh_pairs(desk.connection, desk.agent, loaded=loaded).questions == 1
    assert desk.connection.execute("SELECT DISTINCT rules FROM embedding_training_pairs").fetchall() == [(f"{RULES}/index 1",)]
