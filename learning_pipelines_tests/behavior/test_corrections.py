"""Corrections are judged once, grouped by what they put right, and counted by people and weeks.

Belongs here: what is stored of corrections. Not here: single edits (test_significance.py), grouping without a database (test_clusters.py).
"""

from __future__ import annotations

import pytest

from learning_pipelines.storage.database import Connection
from learning_pipelines_tests.behavior.corrected import LABELS, Desk
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.examples.curated import WordEncoder
from learning_pipelines_tests.feedback.rows import table


@pytest.fixture
def desk(pipeline: Connection, load: Load) -> Desk:
    return Desk(pipeline, load)


@pytest.fixture
def classifier(pipeline: Connection, load: Load) -> Desk:
    return Desk(pipeline, load, LABELS)


def test_confused_labels_are_one_cluster_however_the_messages_are_worded_and_no_encoder_is_asked(classifier: Desk) -> None:
    for number, (user, text) in enumerate([("ada", "somebody took my card"), ("bob", "stolen at the station"), ("eve", "thief!")]):
        classifier.corrected(text, "card_lost", "Card_stolen." if number else "card_stolen", user)
    classifier.corrected("wrong pin thrice", "card_lost", "pin_blocked", "ada")
    done = classifier.refresh()
    assert (done.corrections, done.opened, classifier.encoder.seen) == (4, 2, [])
    first, second = classifier.clusters()
    assert (first.name, first.people, first.corrections, first.kinds, first.significance) == ("card_lost → card_stolen", 3, 3, {"label": 3}, 1.0)
    assert (second.name, second.people) == ("card_lost → pin_blocked", 1)


def test_corrections_of_one_fact_group_by_meaning_and_other_facts_do_not_join(desk: Desk) -> None:
    for user, asked in (("ada", "how long can I return my laptop"), ("bob", "how long can I return my phone"), ("eve", "return my laptop how long")):
        desk.corrected(asked, "You can return it within 14 days.", "You can return it within 30 days.", user)
    desk.corrected("how long can I return my laptop", "You can return it within 14 days.", "You can return it within 60 days.", "joe")
    desk.refresh()
    thirty, sixty = desk.clusters()
    assert (thirty.people, sixty.people) == (3, 1)
    assert thirty.name.startswith("«14 days» → «30 days»")
    assert "return" in thirty.name
    assert (thirty.wrong, thirty.right, thirty.kinds) == ("14 days", "30 days", {"number": 3})


def test_running_again_changes_nothing_and_costs_nothing(desk: Desk) -> None:
    desk.corrected("when do you open", "At 9.", "At 8.")
    desk.refresh()
    before, desk.encoder = table(desk.connection, "correction_clusters"), WordEncoder()
    done = desk.refresh()
    assert (done.corrections, done.opened, desk.encoder.seen) == (0, 0, [])
    assert table(desk.connection, "correction_clusters") == before


def test_one_by_one_or_all_at_once_gives_the_same_clusters(pipeline: Connection, load: Load) -> None:
    things = [(verb, thing, days) for verb in ("return", "repair") for thing in "abc" for days in (3, 9)]
    said = [(f"{verb} my {thing} how long", f"{days} days.", f"{days + 1} days.") for verb, thing, days in things]
    late, at_once = (Desk(pipeline, load, organization=name) for name in ("late", "once"))
    for asked, wrong, right in said:
        late.corrected(asked, wrong, right, days_ago=1)
        late.refresh()
    for asked, wrong, right in said:
        at_once.corrected(asked, wrong, right, days_ago=1)
    at_once.refresh(portion=5)

    def shape(desk: Desk) -> list[list[str]]:
        rows = table(pipeline, "correction_findings f JOIN learning_examples e ON (e.organization_id, e.id) = (f.organization_id, f.example_id)",
                     f"f.organization_id = '{desk.agent.organization_id}'")  # fmt: skip
        groups: dict[str, list[str]] = {}
        for row in sorted(rows, key=lambda row: (row["input_text"], row["expected_output"])):
            groups.setdefault(row["cluster_id"], []).append(row["input_text"] + row["expected_output"])
        return sorted(groups.values())

    assert shape(late) == shape(at_once)
    assert 1 < len(shape(late)) < len(said)


def test_one_person_is_one_voice_however_often_they_say_it(classifier: Desk) -> None:
    for number in range(6):
        classifier.corrected(f"message {number} of a spammer", "card_lost", "card_stolen", "spammer")
    for number in range(3):
        classifier.corrected(f"message {number} of nobody", "card_lost", "card_stolen", None)
    classifier.refresh()
    (found,) = classifier.clusters()
    assert (found.corrections, found.people) == (9, 2)
    assert [count for _, count in found.weeks] == [2]
    assert 0 < found.weight < 2


def test_the_same_correction_by_several_people_counts_each_of_them_in_their_week(classifier: Desk) -> None:
    for user, days in (("ada", 15), ("bob", 15), ("eve", 1)):
        classifier.corrected("somebody took my card", "card_lost", "card_stolen", user, days_ago=days)
    classifier.refresh()
    (found,) = classifier.clusters()
    assert (found.corrections, found.people, [count for _, count in found.weeks]) == (1, 3, [2, 1])
    assert (found.last_at - found.first_at).days == 14
    classifier.corrected("somebody took my card", "card_lost", "card_stolen", "joe")
    classifier.refresh()
    assert classifier.clusters()[0].people == 4, "support that came later is counted without a new finding"


def test_what_review_turned_down_or_was_taken_back_no_longer_counts(classifier: Desk) -> None:
    for user in ("ada", "bob"):
        classifier.corrected(f"message of {user}", "card_lost", "card_stolen", user)
    classifier.refresh()
    classifier.connection.execute("UPDATE learning_examples SET review_status = 'rejected' WHERE input_text = 'message of bob'")
    assert classifier.clusters()[0].people == 1
    classifier.connection.execute("UPDATE learning_examples SET is_active = false")
    assert classifier.clusters() == []


def test_an_edited_correction_is_judged_again(classifier: Desk) -> None:
    classifier.corrected("somebody took my card", "card_lost", "card_stolen")
    classifier.refresh()
    classifier.connection.execute("UPDATE learning_examples SET expected_output = 'pin_blocked', content_hash = sha256('edited')")
    done = classifier.refresh()
    assert (done.forgotten, done.corrections, done.dropped) == (1, 1, 1)
    assert [found.name for found in classifier.clusters()] == ["card_lost → pin_blocked"]


def test_with_another_encoder_clusters_stay_and_take_up_what_is_alike(desk: Desk) -> None:
    desk.corrected("how long can I return my laptop", "14 days.", "30 days.", "ada")
    desk.refresh()
    desk.encoder = WordEncoder(name="other words@2", dimensions=128)
    desk.corrected("how long can I return my laptop please", "14 days.", "30 days.", "bob")
    desk.refresh()
    (found,) = desk.clusters()
    assert found.people == 2
    assert {row["encoder"] for row in table(desk.connection, "correction_clusters")} == {"other words@2"}


def test_corrections_of_another_tenant_never_mix(pipeline: Connection, load: Load) -> None:
    ours, theirs = (Desk(pipeline, load, LABELS, organization=name) for name in ("ours", "theirs"))
    for desk in (ours, theirs):
        desk.corrected("somebody took my card", "card_lost", "card_stolen", "ada")
    theirs.corrected("thief!", "card_lost", "card_stolen", "bob")
    ours.refresh()
    assert [row["organization_id"] for row in table(pipeline, "correction_findings")] == [ours.agent.organization_id]
    theirs.refresh()
    assert ([one.people for one in ours.clusters()], [one.people for one in theirs.clusters()]) == ([1], [2])


def test_names_hold_no_personal_data(desk: Desk) -> None:
    for user in ("ada", "bob"):
        asked = f"mail for {user}: who answers eve.smith@example.com"
        desk.corrected(asked, "Write to joe@example.com please.", "Write to eve.smith@example.com please.", user)
    desk.refresh()
    (found,) = desk.clusters()
    assert "example.com" not in found.name + found.wrong + found.right
    assert "<EMAIL_" in found.right


def test_an_expert_who_approved_a_correction_stands_behind_it_without_being_another_occurrence(classifier: Desk, load: Load) -> None:
    classifier.corrected("wrong pin thrice", "card_lost", "pin_blocked", "expert")
    row = {"example_id": "x1", "agent": "desk", "input_text": "somebody took it", "original_output": "card_lost", "expected_output": "card_stolen"}
    load("examples", [row])
    classifier.refresh()
    before = next(one for one in classifier.clusters() if one.right == "card_stolen")
    classifier.connection.execute(
        """INSERT INTO expert_annotations (organization_id, example_id, expert_id, approved)
        SELECT u.organization_id, 'x1', u.id, true FROM users u JOIN example_sources s ON s.user_id = u.id LIMIT 1"""
    )
    after = next(one for one in classifier.clusters() if one.right == "card_stolen")
    assert (before.people, after.people) == (1, 2)
    assert [count for _, count in before.weeks] == [count for _, count in after.weeks] == [1]
