"""How demonstrations come in: what a sequence of actions may be, failures, new versions, whose right to demonstrate counts.

Belongs here: capture by file. Not here: HTTP (api/), what learning sees (behavior/), rules that all kinds share (test_bad_lines.py).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from learning_pipelines.behavior.demonstrations import load as loaded
from learning_pipelines.behavior.demonstrations import teachers
from learning_pipelines.behavior.task import END
from learning_pipelines.examples.refresh import refresh_examples
from learning_pipelines.feedback import importing, kinds
from learning_pipelines.storage.database import Connection, Database
from learning_pipelines_tests.behavior.shown import demonstration, shown_by
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.feedback.rows import AGENT, Row, agent_ref, execution, table


@pytest.fixture(autouse=True)
def _ground(load: Load) -> None:
    load("agents", [AGENT, AGENT | {"agent": "other"}])


def refused(load: Load, row: Row) -> tuple[str | None, str]:
    result = load("demonstrations", [demonstration("before"), row, demonstration("after")])
    assert (result.read, result.rejected) == (3, 1)
    (error,) = result.errors
    assert error["line"] == 2
    return error["field"], error["reason"]


def versions(pipeline: Connection) -> dict[str, tuple[int, bool, str | None]]:
    return {row["id"]: (row["version"], row["is_active"], row["replaces"]) for row in table(pipeline, "demonstrations")}


@pytest.mark.parametrize(
    ("actions", "field", "words"),
    [
        ([], "actions", "are none; a demonstration has at least one action"),
        ([{"type": "step"}] * 10_000, "actions", "are 10,000, and a demonstration has at most 1,000; split it into one demonstration per task"),
        ([{"type": "look"}, {"type": " \t"}], "actions.1.type", "must not be blank"),
        ([{"type": ""}], "actions.0.type", "must not be blank"),
        ([{"type": "look"}, {"type": "<end>"}], "actions.1.type", "<end> is reserved for the end, which every demonstration has by itself; leave"),
        ([{"type": " <end> "}], "actions.0.type", "<end> is reserved"),
        ([{"type": 5}], "actions.0.type", "should be a valid string"),
        (["look"], "actions.0", "should be a valid dictionary"),
        ("look", "actions", "should be a valid list"),
    ],
)  # fmt: skip
def test_a_sequence_that_nothing_can_be_learnt_from_is_refused_in_words(load: Load, pipeline: Connection, actions: Any, field: str, words: str) -> None:
    at, reason = refused(load, demonstration("bad", actions=actions))
    assert at == field
    assert reason.startswith(words)
    assert set(versions(pipeline)) == {"before", "after"}
    assert not table(pipeline, "ingest_keys", "external_id = 'bad'")
    assert not table(pipeline, "outbox", "row_id = 'bad'")


def test_the_longest_sequence_that_is_allowed_is_stored_and_learnt_from(load: Load, pipeline: Connection) -> None:
    shown_by(load, pipeline, [demonstration("d1", *["step"] * 1000)])
    assert len(loaded(pipeline, agent_ref(pipeline))[0].actions) == 1000


def test_the_reserved_type_is_the_one_that_policies_end_with() -> None:
    assert kinds.END == END


def test_space_around_a_type_is_no_other_type(load: Load, pipeline: Connection) -> None:
    shown_by(load, pipeline, [demonstration("d1", " look ")])
    assert [action.type for action in loaded(pipeline, agent_ref(pipeline))[0].actions] == ["look"]


def test_a_failed_demonstration_makes_a_failure_and_never_an_answer_or_a_teacher(load: Load, pipeline: Connection) -> None:
    shown_by(
        load, pipeline, [demonstration("bad", "guess", outcome="failure", final_output="Mailed jo@example.org."), demonstration("good", outcome="success")]
    )
    (example,) = table(pipeline, "learning_examples", "source_id = 'bad'")
    assert (example["example_type"], example["original_output"], example["expected_output"]) == ("failure", "Mailed <EMAIL_1>.", None)
    assert example["input_context"] == {"actions": [{"type": "guess"}]}
    assert {one.id: (one.outcome, one.final_output) for one in loaded(pipeline, agent_ref(pipeline))} == {
        "bad": ("failure", "Mailed <EMAIL_1>."), "good": ("success", "Result of good."),
    }  # fmt: skip
    pipeline.execute("INSERT INTO demonstration_splits SELECT organization_id, agent_id, id, 'train', '', id FROM demonstrations")
    assert [one.id for one in teachers(pipeline, agent_ref(pipeline))] == ["good"]


def test_an_outcome_is_success_or_failure(load: Load) -> None:
    assert refused(load, demonstration("bad", outcome="so so"))[0] == "outcome"


def test_a_new_version_takes_the_place_of_the_one_it_replaces(load: Load, pipeline: Connection) -> None:
    shown_by(load, pipeline, [demonstration("v1", "old")])
    pipeline.execute("UPDATE learning_examples SET review_status = 'approved'")
    shown_by(load, pipeline, [demonstration("v2", "new", replaces="v1")])
    assert versions(pipeline) == {"v1": (1, False, None), "v2": (2, True, "v1")}
    assert [one.actions[0].type for one in loaded(pipeline, agent_ref(pipeline))] == ["new"]
    assert {row["source_id"]: row["is_active"] for row in table(pipeline, "learning_examples")} == {"v1": False, "v2": True}


@pytest.mark.parametrize("batch", [1, 2, 10_000])
def test_a_chain_of_versions_leaves_its_newest_however_the_file_is_cut(load: Load, pipeline: Connection, monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    monkeypatch.setattr(importing, "BATCH_ROWS", batch)
    chain = [demonstration("v1"), *(demonstration(f"v{n}", replaces=f"v{n - 1}") for n in (2, 3, 4))]
    assert load("demonstrations", chain).imported == 4
    assert versions(pipeline) == {"v1": (1, False, None), "v2": (2, False, "v1"), "v3": (3, False, "v2"), "v4": (4, True, "v3")}
    assert load("demonstrations", chain).unchanged == 4
    assert versions(pipeline)["v4"] == (4, True, "v3")
    refresh_examples(pipeline, agent_ref(pipeline))
    assert [row["source_id"] for row in table(pipeline, "learning_examples")] == ["v4"]


@pytest.mark.parametrize("batch", [1, 10_000])
@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (demonstration("v2", replaces="nothing"), "'nothing' is not a demonstration of this agent"),
        (demonstration("v2", replaces="v2"), "'v2' is not a demonstration of this agent"),
        (demonstration("v2", replaces="v1", agent="other"), "'v1' is not a demonstration of this agent"),
        (demonstration("v2", replaces="after"), "'after' is not a demonstration of this agent; a new version comes after the one it replaces"),
        (demonstration("v2", replaces="v0"), "'v0' was replaced by another one already; name the newest version"),
    ],
)
def test_a_version_of_nothing_is_refused_and_changes_nothing(
    load: Load, pipeline: Connection, monkeypatch: pytest.MonkeyPatch, row: Row, reason: str, batch: int
) -> None:
    load("demonstrations", [demonstration("v0"), demonstration("v1", replaces="v0")])
    before = versions(pipeline)
    monkeypatch.setattr(importing, "BATCH_ROWS", batch)
    field, said = refused(load, row)
    assert field == "replaces"
    assert said.startswith(reason)
    assert versions(pipeline) == before | {"before": (1, True, None), "after": (1, True, None)}


def test_of_two_that_replace_one_the_first_does(load: Load, pipeline: Connection) -> None:
    result = load(
        "demonstrations", [demonstration("v1"), demonstration("a", replaces="v1"), demonstration("b", replaces="v1"), demonstration("c", replaces="b")]
    )
    assert [(error["line"], error["reason"].split(";")[0]) for error in result.errors] == [
        (3, "'v1' was replaced by another one already"), (4, "'b' is not a demonstration of this agent"),
    ]  # fmt: skip
    assert versions(pipeline) == {"v1": (1, False, None), "a": (2, True, "v1")}


def test_a_refused_version_does_not_stand_in_the_way_of_a_good_one(load: Load, pipeline: Connection) -> None:
    rows = [
        demonstration("early", replaces="v1"),
        demonstration("v1"),
        demonstration("foreign", replaces="v1", agent="other"),
        demonstration("v2", replaces="v1"),
    ]
    assert load("demonstrations", rows).imported == 2
    assert versions(pipeline) == {"v1": (1, False, None), "v2": (2, True, "v1")}


def test_the_same_id_with_another_version_to_replace_is_a_conflict_and_replaces_nothing(load: Load, pipeline: Connection) -> None:
    load("demonstrations", [demonstration("v1"), demonstration("v2")])
    result = load("demonstrations", [demonstration("v2", replaces="v1")])
    assert result.errors[0]["reason"].startswith("conflict:")
    assert versions(pipeline) == {"v1": (1, True, None), "v2": (1, True, None)}


def test_of_many_that_replace_one_at_once_one_does(load: Load, database: Database, pipeline: Connection) -> None:
    load("demonstrations", [demonstration("v1")])

    def replace(number: int) -> int:
        with database.connect("pipeline") as connection:
            return load("demonstrations", [demonstration(f"new{number}", replaces="v1")], connection=connection).imported

    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(replace, range(4))) == 1
    assert sorted(version for version, active, _ in versions(pipeline).values() if active) == [2]


def roles(pipeline: Connection) -> dict[str, str]:
    return {row["external_id"]: row["role"] for row in table(pipeline, "users")}


def test_who_was_a_plain_user_is_an_expert_once_they_demonstrate(load: Load, pipeline: Connection) -> None:
    load("executions", [execution("e1", user="ada"), execution("e2", user="tom")])
    pipeline.execute("UPDATE users SET role = 'trainer' WHERE external_id = 'tom'")
    load("demonstrations", [demonstration("d1", expert="ada"), demonstration("d2", expert="tom"), demonstration("d3", expert="new")])
    assert roles(pipeline) == {"ada": "expert", "tom": "trainer", "new": "expert"}


def test_whose_right_was_withdrawn_is_refused_and_stays_a_user(load: Load, pipeline: Connection) -> None:
    load("demonstrations", [demonstration("d1", expert="eve")])
    pipeline.execute("UPDATE users SET role = 'user', expertise_withdrawn_at = now()")
    field, reason = refused(load, demonstration("d2", expert="eve"))
    assert (field, reason.split(";")[0]) == ("expert", "the right of 'eve' to demonstrate was withdrawn")
    assert load("demonstrations", [demonstration("d1", expert="eve")]).unchanged == 1
    assert roles(pipeline) == {"eve": "user"}
