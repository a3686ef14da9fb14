"""What was learnt and is corrected again raises an alert, and what has halved does not, however often one looks.

Belongs here: the test's error rates by simulation, alerts as stored. Not here: grouping corrections (test_corrections.py).
"""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest

from learning_pipelines.behavior.corrections.recurrence import LEVEL, TOLERATED, Counted, due, look
from learning_pipelines.storage import behavior_versions, learnt_corrections
from learning_pipelines.storage.database import Connection
from learning_pipelines_tests.behavior.corrected import LABELS, NOW, Desk
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.feedback.rows import table


def alarmed(rate_after: float, seed: int, *, rate: float = 2.0, weeks_before: int = 12, weeks_after: int = 26) -> bool:
    """Whether a look at every week's end ever raises the alert; rates are corrections per week, 100 executions in each."""
    random = np.random.default_rng(seed)
    before = int(random.poisson(rate * weeks_before))
    after, looked_at, looks = 0, 0, 0
    for week in range(1, weeks_after + 1):
        after += int(random.poisson(rate_after))
        if due(after, looked_at):
            looked_at, looks = after, looks + 1
            if look(Counted(before, 100 * weeks_before, after, 100 * week), looks).recurs:
                return True
    return False


def test_half_a_year_of_looks_at_a_rate_that_halved_raises_few_false_alarms() -> None:
    """At the very rate that is tolerated; 500 clusters, so the bound lies two standard errors above the level."""
    share = np.mean([alarmed(TOLERATED * 2.0, seed) for seed in range(500)])
    assert share <= LEVEL + 2 * np.sqrt(LEVEL * (1 - LEVEL) / 500)


def test_what_almost_vanished_is_never_called_recurring() -> None:
    assert np.mean([alarmed(0.1, seed) for seed in range(300)]) <= 0.01


def test_a_rule_that_changed_nothing_is_found_out_within_half_a_year_in_about_half_of_all_cases() -> None:
    """At two corrections a week; the level is kept at the price of that."""
    assert np.mean([alarmed(2.0, seed) for seed in range(200)]) >= 0.4


def test_a_mistake_that_became_twice_as_frequent_is_found_out() -> None:
    assert np.mean([alarmed(4.0, seed, weeks_after=8) for seed in range(200)]) >= 0.95


def test_without_exposure_nothing_is_said() -> None:
    assert not look(Counted(0, 0, 50, 10), 1).recurs
    assert not look(Counted(5, 10, 0, 10), 1).recurs


@pytest.fixture
def classifier(pipeline: Connection, load: Load) -> Desk:
    """Three people corrected one confusion over four weeks of 100 executions each."""
    desk = Desk(pipeline, load, LABELS)
    for week in range(5, 9):
        desk.executed(100, days_ago=7.0 * week)
    for user, days in (("ada", 60), ("bob", 50), ("eve", 45)):
        desk.corrected(f"message of {user}", "card_lost", "card_stolen", user, days_ago=days)
    desk.refresh()
    return desk


def learn(desk: Desk, *, days_ago: float) -> str:
    """Rules about the only cluster serve since then; its id."""
    (found,) = desk.clusters()
    number = behavior_versions.add(desk.connection, desk.agent, "rules", topic=found.id, config={"text": "…"}, metrics={})
    behavior_versions.move_serving(desk.connection, desk.agent, "rules", number, None, found.id)
    moved = NOW - dt.timedelta(days=days_ago)
    desk.connection.execute("UPDATE behavior_labels SET moved_at = %s WHERE label = 'serving'", [moved])
    return found.id


def test_a_cluster_is_learnt_since_its_rules_serve_and_open_again_when_they_are_taken_back(classifier: Desk) -> None:
    learn(classifier, days_ago=30)
    assert classifier.refresh().learnt == 1
    (found,) = classifier.clusters()
    assert (found.state, found.learnt_by, found.recurrences) == ("learnt", "rules/1", 0)
    behavior_versions.point(classifier.connection, classifier.agent, "rules", "serving", 0, None, found.id)
    assert classifier.refresh().learnt == 1
    assert (classifier.clusters()[0].state, classifier.clusters()[0].learnt_at) == ("open", None)


def test_a_learnt_correction_that_comes_back_raises_one_alert_with_an_entry_in_the_audit_log(classifier: Desk) -> None:
    cluster = learn(classifier, days_ago=30)
    classifier.executed(100, days_ago=20)
    assert classifier.refresh().recurring == ()
    for number in range(12):
        classifier.corrected(f"later message {number}", "card_lost", "card_stolen", f"user{number}", days_ago=10)
    assert classifier.refresh().recurring == (cluster,)
    (found,) = classifier.clusters()
    assert (found.state, found.recurrences) == ("recurring", 12)
    assert found.last_look["p_value"] <= found.last_look["level"]
    assert learnt_corrections.recurring(classifier.connection) == [("default/desk", cluster, 12)]
    assert classifier.refresh().recurring == (), "it is said once"
    entries = [row for row in table(classifier.connection, "audit_log") if row["action"] == "recurred"]
    assert [entry["subject_id"] for entry in entries] == [f"desk/{cluster}"]


def test_one_person_who_says_it_again_and_again_raises_no_alert(classifier: Desk) -> None:
    learn(classifier, days_ago=30)
    classifier.executed(100, days_ago=20)
    for number in range(15):
        classifier.corrected(f"spam {number}", "card_lost", "card_stolen", "spammer", days_ago=10)
    assert classifier.refresh().recurring == ()
    assert classifier.clusters()[0].recurrences == 1


def test_a_new_version_of_the_rules_starts_the_watch_again(classifier: Desk) -> None:
    learn(classifier, days_ago=30)
    classifier.executed(100, days_ago=20)
    for number in range(12):
        classifier.corrected(f"later message {number}", "card_lost", "card_stolen", f"user{number}", days_ago=10)
    classifier.refresh()
    learn(classifier, days_ago=5)
    classifier.refresh()
    (found,) = classifier.clusters()
    assert (found.state, found.learnt_by, found.recurrences) == ("learnt", "rules/2", 0)


def test_a_cluster_is_learnt_too_when_guidance_serves_that_shows_its_corrections(classifier: Desk) -> None:
    agent, connection = classifier.agent, classifier.connection
    row = connection.execute(
        "INSERT INTO training_datasets (organization_id, name, version, content_hash) VALUES (%s, 'desk', 1, %s) RETURNING id",
        [agent.organization_id, b"x" * 32],
    ).fetchone()
    assert row is not None
    connection.execute("INSERT INTO example_contents (organization_id, content_hash, content) VALUES (%s, sha256('{}'), '{}')", [agent.organization_id])
    for sources, expected in (({"playbooks": 0.5}, "open"), ({"corrections": 0.5}, "learnt")):
        number = behavior_versions.add(connection, agent, "guidance", config={"dataset_id": str(row[0]), "sources": sources}, metrics={})
        behavior_versions.move_serving(connection, agent, "guidance", number, None)
        connection.execute(
            """INSERT INTO dataset_examples (organization_id, dataset_id, example_id, split, content_hash)
            SELECT organization_id, %s, id, 'train', sha256('{}') FROM learning_examples ON CONFLICT DO NOTHING""",
            [row[0]],
        )
        classifier.refresh()
        assert classifier.clusters()[0].state == expected
    assert classifier.clusters()[0].learnt_by == "guidance/2"
