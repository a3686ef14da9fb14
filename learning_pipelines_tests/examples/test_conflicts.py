"""Contradictory answers to the same question are found, wait for adjudication, and are settled by a rejection, an edit or an adjudicator.

Belongs here: the decision on a pair, and conflicts as stored. Not here: which questions are the same (test_clusters.py).
"""

from __future__ import annotations

from typing import Any

import pytest

from learning_pipelines.encoder import Encoder
from learning_pipelines.examples.conflicts import FIELDS, LABELS, NEGATION, NUMBERS, VERDICTS, Side, contradiction, undecided
from learning_pipelines.examples.curation import Curated, refresh_curation
from learning_pipelines.examples.dismissal import dismiss
from learning_pipelines.examples.experts import Refused
from learning_pipelines.examples.similarity import DuplicateRule
from learning_pipelines.storage.curation import count_conflicts, open_conflicts
from learning_pipelines.storage.database import Connection
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.examples.curated import WordEncoder, approved
from learning_pipelines_tests.examples.planted_conflicts import planted_pairs
from learning_pipelines_tests.feedback.rows import AGENT, agent_ref, table

TEXT_ONLY = DuplicateRule(cosine=None)
QUESTION = "How long may I return my new laptop?"


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_planted_contradictions_are_found_and_other_wordings_are_not(seed: int) -> None:
    """By texts alone: an answer to something else takes vectors (benchmarks/duplicates.py measures that with the packaged encoder)."""
    pairs = planted_pairs(600, seed)
    found = [contradiction(pair.one, pair.two) is not None for pair in pairs]
    true = [pair.conflict for pair in pairs]
    tellable = [pair.conflict and pair.kind != "an answer to something else" for pair in pairs]
    assert sum(tellable) > 200 and sum(true) < 0.7 * len(pairs)
    hits = sum(a and b for a, b in zip(found, true, strict=True))
    assert hits / sum(found) >= 0.95
    assert sum(a and b for a, b in zip(found, tellable, strict=True)) / sum(tellable) >= 0.95
    assert all(undecided(pair.one, pair.two) for pair, one in zip(pairs, found, strict=True) if pair.kind == "an answer to something else" and not one)


@pytest.mark.parametrize(
    ("one", "two", "reason"),
    [
        ("card_lost", "card_stolen", LABELS),
        ("card_lost", " Card_Lost.", None),
        ("Yes", "Yes, please", None),
        ("refund", "no refund", LABELS),
        ("Within 14 days.", "Within 30 days.", LABELS),
        ("You may return it within 14 days of delivery.", "You may return it within 30 days of delivery.", NUMBERS),
        ("It costs 1,000 euros for each year of use.", "It costs 1000 euros for each year of use!", None),
        ("It takes 3 days by standard mail.", "It takes 3 days by standard mail, or 1 day by express for 9 euros.", None),
        ("You can return it after use.", "You can't return it after use.", NEGATION),
        ("Yes, you can send it back to us.", "No, sending goods back is impossible with this offer.", NEGATION),
        ('{"urgency": "low", "topic": "vat"}', '{"topic": "VAT", "urgency": "high"}', FIELDS),
        ('{"urgency": "low"}', '{"urgency": "low", "topic": "vat"}', None),
        ('{"tags": ["a", "b"]}', '{"tags": ["b", "a"]}', None),
    ],
)
def test_what_counts_as_contradiction(one: str, two: str, reason: str | None) -> None:
    assert contradiction(Side(QUESTION, one, None), Side(QUESTION, two, None)) == reason
    assert contradiction(Side(QUESTION, two, None), Side(QUESTION, one, None)) == reason


def test_of_a_closed_answer_set_every_other_answer_contradicts() -> None:
    one, two = Side(QUESTION, "return a product that was bought", None), Side(QUESTION, "return a product that was bought online", None)
    assert contradiction(one, two) is None
    assert contradiction(one, two, labels=[str(one.expected), str(two.expected)]) == LABELS


@pytest.mark.parametrize(("first", "second"), [("Cancel order 12", "Cancel order 13"), ("Can I return it?", "Can't I return it?")])
def test_inputs_that_differ_in_a_number_or_a_negation_ask_something_else(first: str, second: str) -> None:
    assert contradiction(Side(first, "refund", None), Side(second, "change", None)) is None


def test_what_one_holds_to_be_right_and_another_to_be_wrong_contradicts() -> None:
    assert contradiction(Side(QUESTION, "Fourteen days.", None), Side(QUESTION, None, "fourteen days")) == VERDICTS
    assert contradiction(Side(QUESTION, None, "Fourteen days."), Side(QUESTION, None, "Fourteen days.")) is None


# As stored


@pytest.fixture
def desk(load: Load) -> None:
    load("agents", [AGENT])


def curated(connection: Connection, rule: DuplicateRule = TEXT_ONLY, encoder: Encoder | None = None) -> Curated:
    return refresh_curation(connection, agent_ref(connection), rule, None if encoder is None else lambda: encoder)


def waiting(connection: Connection) -> list[tuple[str, str]]:
    return [(row["first"]["example_id"], row["second"]["example_id"]) for row in found(connection)]


def found(connection: Connection, **options: Any) -> list[dict[str, Any]]:
    agent = agent_ref(connection)
    return open_conflicts(connection, agent.organization_id, agent_id=agent.agent_id, **{"limit": 100, **options})


def dismissed(connection: Connection, one: str, other: str, notes: str | None = None) -> None:
    with connection.transaction():
        dismiss(connection, agent_ref(connection).organization_id, (one, other), notes, by=None, actor="operator")


def answered(name: str, answer: str, question: str = QUESTION, **more: Any) -> dict[str, Any]:
    return approved(name, question, expected_output=answer, **more)


@pytest.fixture
def two(desk: None, load: Load, pipeline: Connection) -> None:
    load("examples", [answered("a", "card_lost"), answered("b", "card_stolen", QUESTION.lower())])
    assert curated(pipeline).opened == 1


def test_a_contradiction_waits_with_all_that_an_adjudicator_needs(two: None, pipeline: Connection) -> None:
    (row,) = found(pipeline)
    assert (row["agent"], row["first"]["example_id"], row["second"]["example_id"], row["reason"]) == ("desk", "a", "b", LABELS)
    assert (row["first"]["input_text"], row["first"]["expected_output"], row["second"]["expected_output"]) == (QUESTION, "card_lost", "card_stolen")
    assert count_conflicts(pipeline, agent_ref(pipeline)) == (1, 1)


def test_a_second_refresh_compares_nothing_again(two: None, pipeline: Connection) -> None:
    again = curated(pipeline)
    assert (again.compared, again.opened, again.resolved) == (0, 0, 0)
    assert waiting(pipeline) == [("a", "b")]


@pytest.mark.parametrize(
    "change", ["review_status = 'rejected'", "is_active = false", "expected_output = 'card_lost'"], ids=["rejected", "withdrawn", "corrected"]
)
def test_a_rejection_or_an_edit_settles_it_at_once(two: None, pipeline: Connection, change: str) -> None:
    pipeline.execute(f"UPDATE learning_examples SET {change} WHERE id = 'b'")  # type: ignore[arg-type]
    assert waiting(pipeline) == []
    assert curated(pipeline).resolved == 1
    assert table(pipeline, "example_conflicts")[0]["status"] == "resolved"


def test_an_edit_that_contradicts_again_opens_it_again(two: None, pipeline: Connection) -> None:
    pipeline.execute("UPDATE learning_examples SET expected_output = 'card_broken' WHERE id = 'b'")
    assert waiting(pipeline) == []
    curated(pipeline)
    assert waiting(pipeline) == [("a", "b")]


def test_an_adjudicator_may_leave_both_until_one_changes(two: None, pipeline: Connection) -> None:
    dismissed(pipeline, "b", "a", "Both happen, says eve@example.org.")
    curated(pipeline)
    assert waiting(pipeline) == []
    (row,) = table(pipeline, "example_conflicts")
    assert (row["status"], row["notes"], row["settled_at"] is not None) == ("dismissed", "Both happen, says <EMAIL_1>.", True)
    with pytest.raises(Refused, match="no open conflict"):
        dismissed(pipeline, "a", "b")
    pipeline.execute("UPDATE learning_examples SET expected_output = 'card_broken' WHERE id = 'b'")
    curated(pipeline)
    assert waiting(pipeline) == [("a", "b")]


def test_what_an_edit_settled_cannot_be_dismissed_before_it_is_compared_again(two: None, pipeline: Connection) -> None:
    """Nobody has seen the two as they are now."""
    pipeline.execute("UPDATE learning_examples SET expected_output = 'card_broken' WHERE id = 'b'")
    with pytest.raises(Refused, match="no open conflict"):
        dismissed(pipeline, "a", "b")
    curated(pipeline)
    assert waiting(pipeline) == [("a", "b")]


def test_conflicts_are_read_page_by_page(desk: None, load: Load, pipeline: Connection) -> None:
    load("examples", [answered(f"{letter}{side}", side * 9, f"Where is {letter * 12}?") for letter in "abcde" for side in "xy"])
    curated(pipeline)
    whole, pages, after = waiting(pipeline), [], None
    while page := found(pipeline, limit=2, after=after):
        pages += [(row["first"]["example_id"], row["second"]["example_id"]) for row in page]
        after = (page[-1]["found_at"], pages[-1])
    assert len(whole) == 5 and pages == whole


def test_many_that_agree_stand_behind_the_oldest(desk: None, load: Load, pipeline: Connection) -> None:
    load("examples", [answered(f"l{place}", "card_lost") for place in range(5)] + [answered(f"s{place}", "card_stolen") for place in range(4)])
    assert curated(pipeline).opened == 1
    pipeline.execute("UPDATE learning_examples SET review_status = 'rejected' WHERE id IN ('l0', 's0')")
    assert (waiting(pipeline), curated(pipeline).opened) == ([], 1)
    assert waiting(pipeline) == [("l1", "s1")]


def test_a_contradiction_in_a_cluster_too_large_to_list_is_found(desk: None, load: Load, pipeline: Connection) -> None:
    load("examples", [answered(f"l{place:03}", "card_lost") for place in range(120)] + [answered("odd", "card_stolen")])
    curated(pipeline)
    assert waiting(pipeline) == [("l000", "odd")]


def test_answers_that_say_different_things_are_told_by_their_vectors(desk: None, load: Load, pipeline: Connection) -> None:
    load("examples", [
        answered("a", "You can hand it in at any of our shops in town."), answered("b", "Please open the settings and choose another language."),
        answered("c", "In town you can hand it in at any of our shops."),
    ])  # fmt: skip
    curated(pipeline, DuplicateRule(), WordEncoder())
    assert waiting(pipeline) == [("a", "b"), ("b", "c")]


def test_feedback_that_calls_an_approved_answer_wrong_is_a_conflict(desk: None, load: Load, pipeline: Connection) -> None:
    corrected = {"original_output": "Fourteen days.", "example_type": "correction", "review_status": None}
    load("examples", [answered("a", "Fourteen days."), answered("b", "Thirty days, as written.", **corrected)])
    curated(pipeline)
    assert [row["reason"] for row in found(pipeline)] == [VERDICTS]
    assert count_conflicts(pipeline, agent_ref(pipeline)) == (1, 0)
