"""A refresh of a dataset reads nothing where nothing changed, and notices every kind of change: what it says is what reading everything would say.

Belongs here: deciding from stored state, contents taken over from the version before. Not here: what a version contains (test_versions.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from learning_pipelines.examples import datasets
from learning_pipelines.examples.datasets import DatasetVersion, refresh_dataset
from learning_pipelines.examples.refresh import refresh_examples
from learning_pipelines.examples.similarity import DuplicateRule
from learning_pipelines.examples.versions import rebuild
from learning_pipelines.storage import dataset_states
from learning_pipelines.storage.database import Connection, Database
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.examples.approved import SHARES, TEXT_ONLY, choice, correction, dataset, example, question, refresh
from learning_pipelines_tests.feedback.rows import AGENT, agent_ref, execution, said, table

Built = list[bool]


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> Built:
    """One entry per refresh that read the examples."""
    times: Built = []
    build = datasets._build

    def counted(*arguments: Any) -> Any:
        times.append(True)
        return build(*arguments)

    monkeypatch.setattr(datasets, "_build", counted)
    return times


@pytest.fixture
def settled(load: Load, pipeline: Connection) -> DatasetVersion:
    """Examples of every kind, and two rated answers to one question; a dataset is made of them."""
    load("agents", [AGENT])
    load("examples", [example(number, user=f"u{number % 9}", domain="tax") for number in range(18)])
    load("examples", [correction(number) for number in range(20, 24)] + [choice(24), choice(25, "B"), example(26, review_status="pending")])
    load("executions", [execution(name, user="asker") | {"input": "Which form is for VAT?"} for name in ("e1", "e2", "e3")])
    load("feedback", [said("f1", "e1", "star_rating", rating=5, user="ada"), said("f2", "e2", "star_rating", rating=1, user="bob")])
    refresh_examples(pipeline, agent_ref(pipeline))
    pipeline.execute("UPDATE learning_examples SET review_status = 'approved' WHERE source_type = 'user_feedback'")
    return refresh(pipeline)


def read_again(pipeline: Connection) -> DatasetVersion:
    """What a refresh says that takes nothing from before."""
    dataset_states.forget(pipeline, agent_ref(pipeline))
    return refresh(pipeline)


def test_a_refresh_without_a_change_reads_no_example(settled: DatasetVersion, built: Built, pipeline: Connection) -> None:
    assert [refresh(pipeline) for _ in range(3)] == [replace(settled, is_new=False)] * 3
    assert built == []


def test_the_answer_from_before_is_what_reading_everything_says(settled: DatasetVersion, built: Built, pipeline: Connection) -> None:
    assert refresh(pipeline) == read_again(pipeline)
    assert built == [True]


SAME_VERSION = {
    "a score that leaves the weight": "UPDATE learning_examples SET quality_score = 0.5, confidence_score = 0 WHERE id = 'x00003'",
    "another input under review": "UPDATE learning_examples SET input_text = 'Something else altogether?' WHERE id = 'x00026'",
    "a new example under review": "INSERT INTO learning_examples (organization_id, id, agent_id, example_type, source_type, input_text, content_hash, "
    "scrub_rules) SELECT organization_id, 'new', agent_id, example_type, source_type, 'New?', '\\x01', scrub_rules FROM learning_examples WHERE id = 'x00001'",
    "a rejection of what was never approved": "UPDATE learning_examples SET review_status = 'rejected' WHERE id = 'x00026'",
    "a person who ties nothing": "UPDATE learning_examples SET user_id = NULL WHERE id = 'x00003'",
    "a rater without ratings": "INSERT INTO users (organization_id, id, external_id) SELECT organization_id, id, 'nobody' "
    "FROM (SELECT organization_id, gen_random_uuid() AS id FROM organizations) o; INSERT INTO rater_weights (organization_id, user_id, weight, ratings, "
    "rules) SELECT organization_id, id, 0.9, 1, '1' FROM users WHERE external_id = 'nobody'",
    "an archived month": "INSERT INTO archived_partitions (organization_id, table_name, month, path, rows, sha256) "
    "SELECT organization_id, 'agent_feedback', '2020-01-01', 'x', 1, '\\x01' FROM organizations",
}
NEW_VERSION = {
    "an approval": "UPDATE learning_examples SET review_status = 'approved' WHERE id = 'x00026'",
    "a withdrawal": "UPDATE learning_examples SET review_status = 'needs_revision' WHERE id = 'x00003'",
    "an example switched off": "UPDATE learning_examples SET is_active = false WHERE id = 'x00003'",
    "an edited output": "UPDATE learning_examples SET expected_output = 'Better.' WHERE id = 'x00003'",
    "an edited input": "UPDATE learning_examples SET input_text = 'What about the moon and its eleven moths?' WHERE id = 'x00003'",
    "another type": "UPDATE learning_examples SET example_type = 'edge_case' WHERE id = 'x00003'",
    "another domain": "UPDATE learning_examples SET domain = 'wages' WHERE id = 'x00003'",
    "tags": "UPDATE learning_examples SET tags = '{x}' WHERE id = 'x00003'",
    "another context": "UPDATE learning_examples SET input_context = '{\"a\": 1}' WHERE id = 'x00003'",
    "where it comes from": "UPDATE learning_examples SET source_id = 'elsewhere' WHERE id = 'x00003'",
    "many edits at once": "UPDATE learning_examples SET complexity = 3",
    "a score": "UPDATE learning_examples SET quality_score = 0.9 WHERE id = 'x00003'",
    "a confidence": "UPDATE learning_examples SET quality_score = 0.9, confidence_score = 0.5 WHERE id = 'x00003'",
    "equal content": "UPDATE learning_examples SET content_hash = (SELECT content_hash FROM learning_examples WHERE id = 'x00001') WHERE id = 'x00003'",
    "a rater's weight": "INSERT INTO rater_weights (organization_id, user_id, weight, ratings, rules) "
    "SELECT organization_id, id, 0.1, 1, '1' FROM users WHERE external_id = 'ada'",
    "a deleted rating": "DELETE FROM agent_feedback WHERE id = 'f1'; DELETE FROM example_sources WHERE feedback_id = 'f1'",
    "another prompt in production": "INSERT INTO prompt_versions (organization_id, agent_id, version, origin, messages, content_hash) "
    "SELECT organization_id, agent_id, 9, 'written', '[{\"role\": \"system\", \"content\": \"Be brief.\"}]', '\\x09' FROM prompt_versions; "
    "UPDATE prompt_labels SET version = 9",
}  # fmt: skip


@pytest.mark.parametrize("change", [*SAME_VERSION, *NEW_VERSION])
def test_every_kind_of_change_is_noticed(change: str, settled: DatasetVersion, built: Built, pipeline: Connection) -> None:
    for statement in {**SAME_VERSION, **NEW_VERSION}[change].split("; "):
        pipeline.execute(statement)  # type: ignore[call-overload]
    found = refresh(pipeline)
    assert (built, found.is_new) == ([True], change in NEW_VERSION)
    assert read_again(pipeline) == replace(found, is_new=False) == refresh(pipeline)


def test_a_rating_of_an_answer_that_is_an_example_is_noticed_and_another_is_not(
    settled: DatasetVersion, built: Built, load: Load, pipeline: Connection
) -> None:
    load("feedback", [said("f3", "e3", "thumbs_down", user="cyd")])
    assert (refresh(pipeline).is_new, built) == (False, [])
    load("feedback", [said("f4", "e1", "star_rating", rating=1, user="ada")])
    assert (refresh(pipeline).pairs, built) != (settled.pairs, [])
    assert refresh(pipeline) == read_again(pipeline)


def test_a_person_who_turns_out_to_tie_two_splits_is_noticed(settled: DatasetVersion, pipeline: Connection) -> None:
    apart = {row["split"]: row["example_id"] for row in table(pipeline, "example_splits")}
    pipeline.execute(
        """INSERT INTO example_sources (organization_id, example_id, feedback_id, execution_id, user_id)
        SELECT e.organization_id, e.id, 'f-' || e.id, 'e-' || e.id, u.id FROM learning_examples e, users u
        WHERE e.id = ANY(%s) AND u.external_id = 'asker'""",
        [[apart["train"], apart["test"]]],
    )
    assert refresh(pipeline).left_out == {"linked late to another split": 1}


def test_another_question_is_not_answered_from_before(settled: DatasetVersion, built: Built, pipeline: Connection) -> None:
    agent = agent_ref(pipeline)
    refresh_dataset(pipeline, agent, rule=DuplicateRule(jaccard=0.7, cosine=None), shares=SHARES)
    refresh_dataset(pipeline, agent, rule=TEXT_ONLY, shares=(0.6, 0.2, 0.2))
    assert built == [True] * 2


def test_an_answer_does_not_stand_for_ever(settled: DatasetVersion, built: Built, pipeline: Connection) -> None:
    pipeline.execute("UPDATE dataset_states SET made_at = now() - interval '13 hours'")
    assert refresh(pipeline) == replace(settled, is_new=False)
    assert built == [True]


def commits_later(database: Database, pipeline: Connection, statement: str, meanwhile: Callable[[], Any]) -> Any:
    with database.connect("pipeline", autocommit=False) as other:
        other.execute(statement)  # type: ignore[call-overload]
        found = meanwhile()
        other.commit()
    return found


def test_what_commits_after_a_refresh_is_for_the_next_one(settled: DatasetVersion, database: Database, pipeline: Connection) -> None:
    """Whatever began before the refresh and commits after it: nothing of it may be lost."""
    approval = NEW_VERSION["an approval"]
    assert commits_later(database, pipeline, approval, lambda: read_again(pipeline)).examples == settled.examples
    assert refresh(pipeline).examples == settled.examples + 1


def test_a_refresh_that_fails_takes_up_nothing(settled: DatasetVersion, pipeline: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline.execute(NEW_VERSION["an edited output"])
    with monkeypatch.context() as broken:
        broken.setattr(datasets, "make_version", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            refresh(pipeline)
    assert refresh(pipeline).is_new


def test_too_many_edits_to_name_are_all_read_again(settled: DatasetVersion, database: Database, pipeline: Connection) -> None:
    with psycopg.connect(database.admin_url, options="-c search_path=learning -c session_replication_role=replica") as unnoticed:
        unnoticed.execute("UPDATE learning_examples SET expected_output = 'Edited.' WHERE id = 'x00003'")
        unnoticed.execute("INSERT INTO example_changes (organization_id, agent_id) SELECT organization_id, id FROM agents")
    assert refresh(pipeline).is_new
    assert read_again(pipeline).is_new is False


def test_what_came_in_after_the_search_is_for_the_next_refresh(settled: DatasetVersion, load: Load, pipeline: Connection, monkeypatch: Any) -> None:
    """Its approval is taken up although it cannot get in yet: the next refresh must not think that nothing happened."""
    load("examples", [example(50)])
    with monkeypatch.context() as searched_before:
        searched_before.setattr(datasets, "refresh_clusters", lambda *_: None)
        assert refresh(pipeline).examples == settled.examples
    assert refresh(pipeline).examples == settled.examples + 1


def test_an_edit_under_withdrawal_is_read_when_the_example_comes_back(settled: DatasetVersion, pipeline: Connection) -> None:
    pipeline.execute("UPDATE learning_examples SET review_status = 'needs_revision' WHERE review_status = 'approved'")
    assert refresh(pipeline).examples == 0
    pipeline.execute("UPDATE learning_examples SET expected_output = 'Edited.' WHERE id = 'x00003'")
    pipeline.execute("UPDATE learning_examples SET review_status = 'approved' WHERE review_status = 'needs_revision'")
    found = refresh(pipeline)
    assert found.is_new
    assert read_again(pipeline) == replace(found, is_new=False)


def test_contents_that_nobody_changed_are_taken_over_from_the_version_before(
    settled: DatasetVersion, database: Database, load: Load, pipeline: Connection
) -> None:
    """Told by an edit that nothing noted, which only the owner of the database can make: it is not read."""
    (before,) = table(pipeline, "dataset_examples", "example_id = 'x00003'")
    with psycopg.connect(database.admin_url, options="-c search_path=learning -c session_replication_role=replica") as unnoticed:
        unnoticed.execute("UPDATE learning_examples SET expected_output = 'Edited.' WHERE id = 'x00003'")
    load("examples", [example(60, input_text=question(60))])
    assert refresh(pipeline).examples == settled.examples + 1
    assert {row["content_hash"] for row in table(pipeline, "dataset_examples", "example_id = 'x00003'")} == {before["content_hash"]}


def test_a_content_that_is_gone_is_put_together_again(settled: DatasetVersion, database: Database, load: Load, pipeline: Connection) -> None:
    with psycopg.connect(database.admin_url, options="-c search_path=learning -c session_replication_role=replica") as past_all_guards:
        past_all_guards.execute("DELETE FROM example_contents WHERE content_hash = (SELECT content_hash FROM dataset_examples WHERE example_id = 'x00003')")
    load("examples", [example(60, input_text=question(60))])
    refresh(pipeline)
    assert rebuild(pipeline, agent_ref(pipeline), dataset(pipeline).id).examples == settled.examples + 1


def test_many_notes_of_changes_become_one_that_says_as_much(settled: DatasetVersion, load: Load, pipeline: Connection) -> None:
    for answer in ("One.", "Two.", "Three."):
        pipeline.execute("UPDATE learning_examples SET expected_output = %s WHERE id = 'x00003'", [answer])
    assert (dataset_states.prune(pipeline, most=3), dataset_states.prune(pipeline, most=2)) == (0, 2)
    assert [row["reworded"] for row in table(pipeline, "example_changes")] == [None]
    assert refresh(pipeline).is_new
    assert table(pipeline, "example_changes") == []
