"""What is said about archived executions: their rows come back, and everything is as if they had never gone.

Belongs here: late feedback, changes of mind, repeated ids, metrics of archived days. Not here: archiving itself (test_archiving.py).
"""

from __future__ import annotations

from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.store import Store
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.feedback.archive.conftest import MARCH, Arrived, clean_up, computed_again, metrics, up_to_date
from learning_pipelines_tests.feedback.rows import execution, said, table


def test_a_change_of_mind_about_an_archived_execution_supersedes_what_was_said_then(store: Store, march: None, load: Load, pipeline: Connection) -> None:
    clean_up(store)
    load("feedback", [said("f4", "e1", "thumbs_up", user="ada", created_at="2025-11-01T10:00:00Z")])
    returned = up_to_date(store)
    assert (returned.executions, returned.rows) == (1, 4)
    assert {row["id"]: row["facets_in_force"] for row in table(pipeline, "feedback_in_force")} == {"f1": 0, "f2": 0, "f3": 26, "f4": 1}


def test_metrics_after_a_late_row_are_those_of_a_database_that_never_archived(store: Store, march: None, load: Load, pipeline: Connection) -> None:
    late = [said("f4", "e1", "thumbs_up", user="ada", created_at="2025-03-20T10:00:00Z"), said("f5", "e2", "star_rating", rating=4, user="bob")]
    clean_up(store)
    load("feedback", late)
    up_to_date(store)
    with_archive = metrics(pipeline)
    assert computed_again(store) == with_archive
    # The same rows as they would be without an archive: everything back, nothing kept.
    pipeline.execute("DELETE FROM archived_metrics WHERE executions = 0 AND feedback = 0")
    assert not table(pipeline, "archived_metrics", "executions > 0 OR feedback > 0")
    assert sum(row["feedback"] for row in with_archive) == 3
    assert sum(row["executions_with_feedback"] for row in with_archive) == 2


def test_what_came_back_is_archived_again_with_what_was_said_last(store: Store, march: None, load: Load, pipeline: Connection) -> None:
    clean_up(store)
    load("feedback", [said("f4", "e1", "thumbs_up", user="ada")])
    up_to_date(store)
    before = metrics(pipeline)
    pipeline.execute("UPDATE agent_executions SET received_at = received_at")  # where it is now
    assert {row["execution_id"] for row in table(pipeline, "archived_returns")} == {"e1"}
    assert computed_again(store) == before
    assert up_to_date(store).executions == 0


def test_the_same_id_sent_again_after_archiving_is_unchanged_and_other_content_a_conflict(store: Store, march: None, load: Load) -> None:
    clean_up(store)
    row = said("f1", "e1", "thumbs_up", user="ada", created_at="2025-03-15T12:01:00Z")
    again = load("feedback", [row, {**row, "rating": 1}])
    assert (again.imported, again.unchanged, again.rejected) == (0, 1, 1)
    assert load("executions", [execution("e2", user="bob", cost_usd=1e-7, created_at="2025-03-15T12:00:00+00:00")]).unchanged == 1


def test_an_example_of_an_archived_execution_stays_whatever_is_said_before_its_rows_are_back(
    store: Store, march: None, load: Load, pipeline: Connection
) -> None:
    from learning_pipelines.examples.refresh import refresh_examples
    from learning_pipelines_tests.feedback.rows import agent_ref

    clean_up(store)
    before = table(pipeline, "learning_examples")
    assert any(row["example_type"] == "correction" for row in before)
    load("feedback", [said("f4", "e1", "thumbs_up", user="cyd")])
    refresh_examples(pipeline, agent_ref(pipeline))
    assert table(pipeline, "learning_examples") == before


def test_a_late_correction_of_an_archived_execution_becomes_an_example(store: Store, march: None, load: Load, pipeline: Connection) -> None:
    clean_up(store)
    load("feedback", [said("f9", "e2", "correction", user="cyd", correction_text="Better answer of e2")])
    up_to_date(store)
    assert [row["input_text"] for row in table(pipeline, "learning_examples", "expected_output = 'Better answer of e2'")] == ["Question of e2"]


def test_two_organizations_with_the_same_ids_do_not_meet(store: Store, march: None, load: Load, arrived: Arrived, pipeline: Connection) -> None:
    from learning_pipelines_tests.feedback.rows import AGENT

    load("agents", [AGENT], "other")
    arrived(MARCH, [execution("e1", user="eve", output="Theirs")], [said("f1", "e1", user="eve")], "other")
    clean_up(store)
    load("feedback", [said("f2", "e1", "thumbs_down", user="eve")], "other")
    up_to_date(store)
    assert [row["output"] for row in table(pipeline, "agent_executions")] == ["Theirs"]
