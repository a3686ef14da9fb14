"""Which feedback is in force when the same person says several things about one execution, and what then counts in the metrics.

Belongs here: facets, newest wins, history. Not here: the examples that follow from it (examples/test_candidates.py).
"""

from __future__ import annotations

import pytest

from learning_pipelines.feedback.statistics import catch_up
from learning_pipelines.storage import metrics
from learning_pipelines.storage.database import Connection
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.feedback.rows import AGENT, execution, said, table

MORNING, NOON, EVENING = ("2026-03-02T08:00:00Z", "2026-03-02T12:00:00Z", "2026-03-02T20:00:00Z")
THUMB, RATING, DIMENSIONS, ISSUES, CORRECTION = 1, 2, 4, 8, 16


@pytest.fixture(autouse=True)
def _ground(load: Load) -> None:
    load("agents", [AGENT])
    load("executions", [execution("e1", created_at="2026-03-01T08:00:00Z"), execution("e2")])


def in_force(connection: Connection) -> dict[str, int]:
    """Feedback id to the facets that still count."""
    return {row["id"]: row["facets_in_force"] for row in table(connection, "feedback_in_force")}


def test_the_newest_of_one_person_wins(load: Load, pipeline: Connection) -> None:
    load("feedback", [said("f1", "e1", user="ada", created_at=MORNING), said("f2", "e1", "thumbs_down", user="ada", created_at=NOON)])
    assert in_force(pipeline) == {"f1": 0, "f2": THUMB}


def test_a_late_older_row_does_not_displace_a_newer_one(load: Load, pipeline: Connection) -> None:
    load("feedback", [said("new", "e1", user="ada", created_at=NOON)])
    load("feedback", [said("old", "e1", "thumbs_down", user="ada", created_at=MORNING)])
    assert in_force(pipeline) == {"new": THUMB, "old": 0}


def test_of_two_with_the_same_time_the_later_arrival_wins(load: Load, pipeline: Connection) -> None:
    load("feedback", [said("z", "e1", user="ada", created_at=NOON), said("a", "e1", "thumbs_down", user="ada", created_at=NOON)])
    assert in_force(pipeline) == {"z": 0, "a": THUMB}


def test_of_two_without_a_time_the_later_line_wins(load: Load, pipeline: Connection) -> None:
    load("feedback", [said("z", "e1", user="ada"), said("a", "e1", "thumbs_down", user="ada")])
    assert in_force(pipeline) == {"z": 0, "a": THUMB}


def test_history_stays(load: Load, pipeline: Connection) -> None:
    load("feedback", [said("f1", "e1", user="ada", created_at=MORNING), said("f2", "e1", user="ada", created_at=NOON)])
    assert {row["id"] for row in table(pipeline, "agent_feedback")} == {"f1", "f2"}


def test_anonymous_feedback_never_supersedes(load: Load, pipeline: Connection) -> None:
    load("feedback", [said("f1", "e1", created_at=MORNING), said("f2", "e1", "thumbs_down", created_at=NOON)])
    assert in_force(pipeline) == {"f1": THUMB, "f2": THUMB}


def test_anonymous_feedback_does_not_displace_that_of_a_person(load: Load, pipeline: Connection) -> None:
    load("feedback", [said("f1", "e1", user="ada", created_at=MORNING), said("f2", "e1", created_at=NOON)])
    assert in_force(pipeline)["f1"] == THUMB


@pytest.mark.parametrize("other", [{"user": "bob"}, {"execution_id": "e2"}])
def test_another_person_or_execution_stands_beside(load: Load, pipeline: Connection, other: dict[str, str]) -> None:
    load("feedback", [said("f1", "e1", user="ada", created_at=MORNING), said("f2", "e1", user="ada", created_at=NOON) | other])
    assert in_force(pipeline) == {"f1": THUMB, "f2": THUMB}


@pytest.mark.parametrize(
    ("more", "facets"),
    [
        ({"feedback_type": "thumbs_down"}, THUMB),
        ({"feedback_type": "star_rating", "rating": 3}, RATING),
        ({"feedback_type": "detailed_feedback", "dimensions": {"clarity": 2}}, DIMENSIONS),
        ({"feedback_type": "detailed_feedback", "issue_categories": ["tone"]}, ISSUES),
        ({"feedback_type": "report_issue"}, ISSUES),
        ({"feedback_type": "correction", "correction_text": "so"}, CORRECTION),
        ({"feedback_type": "detailed_feedback", "feedback_text": "well"}, 0),
        ({"feedback_type": "thumbs_up", "rating": 5, "dimensions": {"accuracy": 5}, "correction_text": "so"}, THUMB | RATING | DIMENSIONS | CORRECTION),
    ],
)
def test_what_a_feedback_says_something_about(load: Load, pipeline: Connection, more: dict[str, object], facets: int) -> None:
    load("feedback", [said("f1", "e1") | more])
    assert in_force(pipeline) == {"f1": facets}


def test_each_facet_is_superseded_by_itself(load: Load, pipeline: Connection) -> None:
    load("feedback", [said("f1", "e1", rating=5, user="ada", created_at=MORNING)])
    load("feedback", [said("f2", "e1", "star_rating", rating=2, user="ada", created_at=NOON)])
    load("feedback", [said("f3", "e1", "correction", correction_text="so", user="ada", created_at=EVENING)])
    assert in_force(pipeline) == {"f1": THUMB, "f2": RATING, "f3": CORRECTION}


def test_a_comment_supersedes_nothing(load: Load, pipeline: Connection) -> None:
    load("feedback", [said("f1", "e1", user="ada", created_at=MORNING)])
    load("feedback", [said("f2", "e1", "detailed_feedback", feedback_text="well", user="ada", created_at=NOON)])
    assert in_force(pipeline) == {"f1": THUMB, "f2": 0}


def counted(connection: Connection) -> dict[str, tuple[int, int, int]]:
    """Day to feedback, thumbs up and thumbs down, brought up to date."""
    catch_up(connection, "UTC")
    return {str(row["day"]): (row["feedback"], row["thumbs_up"], row["thumbs_down"]) for row in table(connection, "feedback_metrics", "feedback > 0")}


def test_only_what_is_in_force_counts(load: Load, pipeline: Connection) -> None:
    load("feedback", [said("f1", "e1", user="ada", created_at=MORNING), said("f2", "e1", "thumbs_down", user="ada", created_at=NOON)])
    assert counted(pipeline) == {"2026-03-02": (1, 0, 1)}


def test_a_day_whose_feedback_is_superseded_later_is_counted_again(load: Load, pipeline: Connection) -> None:
    load("feedback", [said("f1", "e1", user="ada", created_at="2026-05-05T08:00:00Z")])
    assert counted(pipeline) == {"2026-05-05": (1, 1, 0)}
    load("feedback", [said("f2", "e1", "thumbs_down", user="ada", created_at="2026-08-05T08:00:00Z")])
    assert counted(pipeline) == {"2026-08-05": (1, 0, 1)}


def test_what_is_in_force_of_an_execution_is_looked_up_without_what_its_rater_said_elsewhere(pipeline: Connection) -> None:
    """Tables without statistics: a plan must not take the index of raters, whose rows can be very many."""
    with pipeline.transaction(force_rollback=True):
        pipeline.execute("SET LOCAL enable_seqscan = off")
        plan = pipeline.execute("EXPLAIN SELECT * FROM feedback_in_force WHERE organization_id = learning.organization_id('default') AND execution_id = 'e1'")
        text = "\n".join(str(line) for (line,) in plan.fetchall())
    assert "organization_id_execution_id_idx" in text and "user_id_created_at_idx" not in text


@pytest.mark.parametrize(
    ("user", "days"), [("ada", ["2026-03-01", "2026-05-05", "2026-08-05"]), ("bob", ["2026-03-01", "2026-08-05"]), (None, ["2026-03-01", "2026-08-05"])]
)
def test_days_are_counted_again_on_which_the_same_person_spoke_and_no_day_between(
    load: Load, pipeline: Connection, user: str | None, days: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of an execution that many speak of for months, each new word would otherwise count months again."""
    load("feedback", [said("f1", "e1", user="ada", created_at="2026-05-05T08:00:00Z"), said("f2", "e1", user="cy", created_at="2026-05-25T08:00:00Z")])
    catch_up(pipeline, "UTC")
    computed: list[str] = []
    monkeypatch.setattr(metrics, "compute_days", lambda connection, first, last, zone: computed.extend([str(first), str(last)]))
    load("feedback", [said("f3", "e1", "thumbs_down", created_at="2026-08-05T08:00:00Z") | ({"user": user} if user else {})])
    assert [str(day) for day in catch_up(pipeline, "UTC")] == days
    assert computed == [day for day in days for _ in range(2)]
