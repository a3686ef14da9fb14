"""What people say about search results, counted per agent and question.

Belongs here: gains, people, what is left out and counted. Not here: splits (test_query_splits.py), pairs, relevance.
"""

from __future__ import annotations

import datetime as dt

import pytest

from learning_pipelines.retrieval.judged import judged_queries
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.outbox_pruning import prune
from learning_pipelines.storage.tenants import known_agent
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.retrieval.judging import BY_BOTH, World, world


@pytest.fixture
def desk(pipeline: Connection, load: Load) -> World:
    made = world(pipeline, load)
    made.documents({"vat": "VAT is due monthly.", "travel": ["Trains are paid.", "Meals are paid per day."], "leave": "Leave is 25 days."})
    return made


def test_the_same_question_in_other_writing_is_one_question(desk: World) -> None:
    asked = ("When is VAT due?", "  when is  vat DUE?", "ＷＨＥＮ is VAT due?")
    desk.say(*({"query": text, "relevant": ["vat"], "created_at": f"2026-03-0{day}T00:00:00Z"} for day, text in enumerate(asked, start=1)))
    desk.refresh()
    assert {text: one["events"] for text, one in desk.stored().items()} == {"When is VAT due?": 3}


def test_what_was_shown_and_not_named_gains_nothing_and_stars_scale_what_was_named(desk: World) -> None:
    desk.say({"query": "meals?", "retrieved": ["vat", "travel#1", "leave"], "relevant": ["travel#1"], "rating": 4, "user": "ada"})
    desk.refresh()
    (one,) = desk.stored().values()
    assert one["documents"] == {"travel": 0.8, "vat": 0, "leave": 0} and one["chunks"] == {"travel#1": 0.8}


def test_nothing_helped_is_said_of_everything_shown_unless_something_did_and_it_is_not_known_what(desk: World) -> None:
    desk.say(
        {"query": "pension?", "retrieved": ["vat", "leave"], "relevant": [], "helped": False},
        {"query": "bonus?", "retrieved": ["vat"], "relevant": [], "helped": True},
    )
    desk.refresh()
    assert {text: one["documents"] for text, one in desk.stored().items()} == {"pension?": {"vat": 0, "leave": 0}}


def test_several_people_give_the_mean_and_a_person_counts_once_with_the_last_word(desk: World) -> None:
    early, late = "2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z"
    desk.say(
        {"query": "vat?", "retrieved": ["vat"], "relevant": [], "user": "ada", "created_at": early},
        {"query": "vat?", "retrieved": ["vat"], "relevant": ["vat"], "user": "ada", "created_at": late},
        {"query": "vat?", "retrieved": ["vat"], "relevant": [], "user": "bob", "created_at": early},
    )
    desk.refresh()
    (one,) = desk.stored().values()
    assert one["documents"] == {"vat": 0.5} and one["contradictions"] == 1 and len(one["people"]) == 2 and one["events"] == 3


def test_passages_that_are_gone_are_left_out_and_counted_and_come_back_with_their_document(desk: World) -> None:
    desk.say({"query": "vat?", "relevant": ["vat", "no-such-document"]})
    desk.connection.execute("UPDATE documents SET is_active = false WHERE id = 'vat'")
    desk.refresh()
    (gone,) = desk.stored().values()
    assert gone["documents"] == {} and gone["unknown"] == {"vat": 1, "no-such-document": 1} and gone["split"] is None
    desk.connection.execute("UPDATE documents SET is_active = true WHERE id = 'vat'")
    desk.refresh()
    (back,) = desk.stored().values()
    assert back["documents"] == {"vat": 1} and back["unknown"] == {"no-such-document": 1} and back["split"] == "train"


def test_an_event_without_an_agent_counts_for_whoever_has_its_passages(desk: World) -> None:
    desk.load("agents", [{"agent": "other"}])
    desk.documents({"secret": "Only of the other agent."}, agent="other")
    desk.load("retrieval_feedback", [{"query": "shared?", "relevant": ["vat"]}, {"query": "own?", "relevant": ["secret"]}])
    other = World(desk.connection, desk.load, known_agent(desk.connection, "default", "other"))
    desk.refresh(), other.refresh()
    assert list(desk.stored()) == ["shared?"] and sorted(other.stored()) == ["own?", "shared?"]


def test_only_new_events_are_looked_at_and_a_second_refresh_changes_nothing(desk: World) -> None:
    desk.say({"query": "vat?", "relevant": ["vat"]}, {"query": "leave?", "relevant": ["leave"]})
    assert (first := desk.refresh()).new == 2 and first.questions == 2
    before = desk.stored()
    assert desk.refresh().questions == 0 and desk.stored() == before
    desk.load("retrieval_feedback", [{"query": "vat?", "retrieved": ["vat"], "relevant": []}])
    assert (again := desk.refresh()).questions == 1 and again.changed == 1
    assert desk.stored()["vat?"]["documents"] == {"vat": 0.5}


def test_questions_are_kept_without_personal_data(desk: World) -> None:
    desk.say({"query": "Why did jane.roe@example.com not get the VAT form?", "relevant": ["vat"]})
    assert desk.refresh().scrubbed == 1
    assert list(desk.stored()) == ["Why did <EMAIL_1> not get the VAT form?"]


def test_a_document_named_without_a_chunk_stands_for_the_one_that_fits_best(desk: World) -> None:
    desk.say({"query": "who pays my meals on the way?", "retrieved": ["leave"], "relevant": ["travel"]})
    desk.refresh()
    (one,) = judged_queries(desk.connection, desk.agent, "train")
    assert one.chunks == {"travel#1": 1, "leave#0": 0} and one.documents == {"travel": 1, "leave": 0}


def test_where_there_are_vectors_the_nearest_chunk_stands_for_the_document(desk: World) -> None:
    desk.say({"query": "who pays my meals on the way?", "relevant": ["travel"]})
    desk.refresh()
    connection, organization = desk.connection, desk.agent.organization_id
    encoder = connection.execute(
        "INSERT INTO encoder_versions (organization_id, model, name, dimensions) VALUES (%s, 'tiny', 'tiny@1', 2) RETURNING id", [organization]
    ).fetchone()
    connection.execute("UPDATE retrieval_queries SET encoder = 'tiny@1', embedding = '[1,0]'")
    for chunk, vector in (("travel#0", "[1,0]"), ("travel#1", "[0,1]")):
        connection.execute("INSERT INTO chunk_embeddings VALUES (%s, %s, %s, %s)", [organization, encoder[0] if encoder else None, chunk, vector])
    (one,) = judged_queries(connection, desk.agent, "train")
    assert one.chunks == {"travel#0": 1}


def test_a_rule_with_a_cosine_wants_an_encoder(desk: World) -> None:
    with pytest.raises(ValueError, match="encoder"):
        desk.refresh(rule=BY_BOTH, open_encoder=None)


def test_events_that_no_agent_has_counted_since_its_last_count_are_not_pruned(desk: World) -> None:
    desk.load("retrieval_feedback", [{"query": "vat?", "relevant": ["vat"]}])
    prune(desk.connection, dt.timedelta(0))
    desk.refresh()  # the first count reads events, whatever was pruned
    desk.load("retrieval_feedback", [{"query": "leave?", "relevant": ["leave"]}])
    desk.say({"query": "trains?", "relevant": ["travel#0"]})
    prune(desk.connection, dt.timedelta(0), readers=())
    desk.refresh()
    assert sorted(desk.stored()) == ["leave?", "trains?", "vat?"]
    assert prune(desk.connection, dt.timedelta(0), readers=()) > 0
