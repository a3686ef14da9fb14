"""What learning sees of demonstrations: scrubbed words, whose count, whose do not.

Belongs here: from stored rows to values. Not here: capture (feedback/), splits (test_demonstration_splits.py).
"""

from __future__ import annotations

import contextlib

import orjson
import pytest

from learning_pipelines.behavior.demonstrations import load as loaded
from learning_pipelines.behavior.task import Action, Shown
from learning_pipelines.examples.refresh import refresh_examples
from learning_pipelines.storage.behavior_demonstrations import not_counting
from learning_pipelines.storage.database import Connection, Database
from learning_pipelines.storage.sessions import Acting, act_as, open_connection
from learning_pipelines_tests.behavior.shown import demonstration, shown_by
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.feedback.rows import AGENT, agent_ref


def seen(pipeline: Connection, organization: str = "default") -> list[Shown]:
    return loaded(pipeline, agent_ref(pipeline, organization=organization))


def names(pipeline: Connection, organization: str = "default") -> list[str]:
    return [one.id for one in seen(pipeline, organization)]


def test_a_demonstration_is_seen_whole(load: Load, pipeline: Connection) -> None:
    steps = [{"type": "open", "arguments": {"year": 2026}, "context": "The year is closed."}, {"type": "file"}]
    row = demonstration("d1", actions=steps, task_type="vat", input_state={"b": 1, "a": [None]}, reasoning="Law asks for it.", expert="eve")
    shown_by(load, pipeline, [row])
    (one,) = seen(pipeline)
    assert one.actions == (Action("open", {"year": 2026}, "The year is closed."), Action("file"))
    assert (one.id, one.task, one.task_type, one.given, one.reasoning, one.final_output, one.outcome, one.approved, one.split) == (
        "d1", "Task of d1 and of nothing else", "vat", '{"a":[null],"b":1}', "Law asks for it.", "Result of d1.", "success", False, None
    )  # fmt: skip
    assert one.expert is not None


def test_learning_never_sees_personal_data(load: Load, pipeline: Connection) -> None:
    mail = "ada@example.org"
    step = {"type": "write", "arguments": {"to": mail}, "context": f"{mail} waits"}
    row = demonstration("d1", task=f"Write to {mail}", actions=[step], input_state={"from": mail}, reasoning=f"{mail} asked", final_output=f"Sent to {mail}")
    shown_by(load, pipeline, [row])
    (one,) = seen(pipeline)
    assert mail not in repr(one)
    assert (one.task, one.actions[0].arguments, one.given) == ("Write to <EMAIL_1>", {"to": "<EMAIL_1>"}, '{"from":"<EMAIL_1>"}')


def test_one_without_its_example_has_not_been_scrubbed_and_waits(load: Load, pipeline: Connection) -> None:
    load("agents", [AGENT])
    load("demonstrations", [demonstration("d1")])
    assert names(pipeline) == []
    refresh_examples(pipeline, agent_ref(pipeline))
    assert names(pipeline) == ["d1"]


@pytest.mark.parametrize(("status", "counts"), [("pending", True), ("in_review", True), ("approved", True), ("rejected", False), ("needs_revision", False)])
def test_what_a_reviewer_turned_down_is_not_learnt_from(load: Load, pipeline: Connection, status: str, counts: bool) -> None:
    shown_by(load, pipeline, [demonstration("d1"), demonstration("d2")])
    pipeline.execute("UPDATE learning_examples SET review_status = %s WHERE source_id = 'd1'", [status])
    assert names(pipeline) == (["d1", "d2"] if counts else ["d2"])
    assert [one.id for one in seen(pipeline) if one.approved] == (["d1"] if status == "approved" else [])


def test_an_answer_corrected_in_review_is_the_one_that_counts(load: Load, pipeline: Connection) -> None:
    shown_by(load, pipeline, [demonstration("d1")])
    pipeline.execute("UPDATE learning_examples SET expected_output = 'Better.' WHERE source_id = 'd1'")
    assert seen(pipeline)[0].final_output == "Better."


def test_one_that_was_replaced_or_whose_expert_lost_the_right_is_not_learnt_from(load: Load, pipeline: Connection) -> None:
    shown_by(load, pipeline, [demonstration("d1", expert="eve"), demonstration("d2", expert="bob"), demonstration("d3"), demonstration("d4")])
    pipeline.execute("UPDATE users SET expertise_withdrawn_at = now() WHERE external_id = 'bob'")
    pipeline.execute("UPDATE demonstrations SET is_active = false WHERE id = 'd3'")
    assert names(pipeline) == ["d1", "d4"]
    pipeline.execute("UPDATE users SET expertise_withdrawn_at = NULL WHERE external_id = 'bob'")
    assert names(pipeline) == ["d1", "d2", "d4"]


def test_each_organization_sees_its_own(load: Load, pipeline: Connection) -> None:
    for organization in ("ours", "theirs"):
        shown_by(load, pipeline, [demonstration("d1", task=f"What {organization} do")], organization)
    assert [one.task for one in seen(pipeline, "ours")] == ["What ours do"]


@pytest.mark.parametrize("kind", ["  ", "<end>"])
def test_a_sequence_stored_before_its_types_were_checked_is_left_out(load: Load, pipeline: Connection, kind: str) -> None:
    shown_by(load, pipeline, [demonstration("d1"), demonstration("d2")])
    pipeline.execute(
        "UPDATE learning_examples SET input_context = jsonb_set(input_context, '{actions,0,type}', to_jsonb(%s::text)) WHERE source_id = 'd1'", [kind]
    )
    assert names(pipeline) == ["d2"]


def test_who_does_not_count_is_counted_by_reason(load: Load, pipeline: Connection) -> None:
    shown_by(
        load, pipeline, [demonstration("d1"), demonstration("d2", expert="eve"), demonstration("d3"), demonstration("d4", replaces="d3"), demonstration("d5")]
    )
    pipeline.execute("UPDATE users SET expertise_withdrawn_at = now() WHERE external_id = 'eve'")
    pipeline.execute("UPDATE learning_examples SET review_status = 'rejected' WHERE source_id = 'd5'")
    load("demonstrations", [demonstration("d6")])
    assert names(pipeline) == ["d1", "d4"]
    assert not_counting(pipeline, agent_ref(pipeline)) == {"expert_withdrawn": 1, "replaced": 1, "turned_down": 1, "waiting": 1}


def test_the_service_reads_demonstrations_of_its_organization_alone_and_only_as_a_trainer(load: Load, pipeline: Connection, database: Database) -> None:
    for organization in ("ours", "theirs"):
        shown_by(load, pipeline, [demonstration("d1", task=f"What {organization} do")], organization)
    agents = {organization: agent_ref(pipeline, organization=organization) for organization in ("ours", "theirs")}
    ours = agents["ours"].organization_id
    with contextlib.closing(open_connection(database)) as connection:
        for role, agent, seen in (("trainer", "ours", ["What ours do"]), ("trainer", "theirs", []), ("user", "ours", [])):
            with connection.transaction():
                act_as(connection, Acting(ours, role=role))
                assert [one.task for one in loaded(connection, agents[agent])] == seen


def test_a_whole_number_beyond_64_bits_stops_nobody(load: Load, pipeline: Connection) -> None:
    """The database keeps 1e20 as a whole number; not every reader of JSON takes that."""
    shown_by(load, pipeline, [demonstration("d1", actions=[{"type": "pay", "arguments": {"amounts": [1e20, -(2.0**70), 7]}, "context": {"total": 1e20}}])])
    (one,) = seen(pipeline)
    assert one.actions == (Action("pay", {"amounts": [1e20, -(2.0**70), 7]}, {"total": 1e20}),)
    assert orjson.dumps([one.actions[0].arguments, one.actions[0].context])
