"""What judged answers say about the passages they were made from.

Belongs here: the rule, and answers becoming words about passages. Not here: direct words (test_queries.py).
"""

from __future__ import annotations

import datetime as dt

import pytest

from learning_pipelines.retrieval.answers import gains
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.retrieval_answers import Answer
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.retrieval.judging import World, world

VAT, LEAVE = "Value added tax is declared monthly until the tenth day.", "Every employee has 25 days of paid leave in a year."
SHOWN = [("leave", LEAVE), ("vat", VAT)]
NOW = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)


def answer(output: str, approval: float | None, correction: str | None = None) -> Answer:
    return Answer("x1", "q1", [], output, correction, approval, SHOWN, NOW)


@pytest.mark.parametrize(
    ("output", "approval", "correction", "said"),
    [
        ("It is declared monthly, until the tenth day.", 1.0, None, {"vat": 0.5}),
        ("It is declared monthly, until the tenth day.", 0.75, None, {"vat": 0.375}),
        ("It is declared monthly, until the tenth day.", 0.5, None, {}),
        ("It is declared monthly, until the tenth day.", 0.0, None, {"leave": 0, "vat": 0}),
        ("Ask your accountant about the details of that.", 1.0, None, {}),
        ("Yes.", 1.0, None, {}),
        ("Twenty days.", 0.0, "You have 25 days of paid leave in a year.", {"leave": 0.5, "vat": 0}),
        ("Twenty days.", None, None, {}),
    ],
)
def test_an_answer_speaks_for_the_passage_its_words_are_from(output: str, approval: float | None, correction: str | None, said: dict[str, float]) -> None:
    assert gains(answer(output, approval, correction)) == said


@pytest.fixture
def desk(pipeline: Connection, load: Load) -> World:
    made = world(pipeline, load)
    made.documents({"vat": VAT, "leave": LEAVE})
    shown = [{"document_id": "leave", "rank": 1}, {"chunk_id": "vat#0", "rank": 2}]
    ran = {"agent": "help", "input": "When do I declare VAT?", "output": "It is declared monthly, until the tenth day.", "retrieved": shown, "user": "ada"}
    load("executions", [{"execution_id": "x1", **ran}, {"execution_id": "x2", **ran, "retrieved": None}])
    return made


def thumb(desk: World, kind: str, execution: str = "x1", at: str = "2026-03-01T00:00:00Z") -> None:
    desk.load("feedback", [{"execution_id": execution, "feedback_type": kind, "user": "bob", "created_at": at}])


def test_a_thumb_up_is_a_weak_word_and_taken_back_it_is_none(desk: World) -> None:
    thumb(desk, "thumbs_up"), thumb(desk, "thumbs_up", "x2")
    assert desk.refresh().answers == 1
    (one,) = desk.stored().values()
    assert one["documents"] == {"vat": 0.5} and one["chunks"] == {"vat#0": 0.5} and one["answers"] == 1 and len(one["people"]) == 2
    thumb(desk, "thumbs_down", at="2026-03-02T00:00:00Z")
    desk.refresh()
    (one,) = desk.stored().values()
    assert one["documents"] == {"vat": 0, "leave": 0}


def test_a_direct_word_weighs_four_times_as_much(desk: World) -> None:
    thumb(desk, "thumbs_up")
    desk.say({"query": "when do i declare vat?", "relevant": ["vat"]})
    desk.refresh()
    (one,) = desk.stored().values()
    assert one["documents"] == {"vat": 0.9} and one["events"] == 2
