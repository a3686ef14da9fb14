"""The right to demonstrate: what leaves with it and comes back.

Belongs here: the decision as stored. Not here: the verbs (cli/test_experts.py), what learning sees then (behavior/test_demonstrations.py).
"""

from __future__ import annotations

from learning_pipelines.behavior.demonstrations import load as loaded
from learning_pipelines.examples.refresh import refresh_examples
from learning_pipelines.storage import overview
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.experts import Changed, listed, set_right
from learning_pipelines_tests.behavior.shown import demonstration, shown_by
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.feedback.rows import agent_ref, table


def right(pipeline: Connection, user: str, *, withdrawn: bool, organization: str = "default") -> Changed | None:
    return set_right(pipeline, agent_ref(pipeline, organization=organization).organization_id, user, "operator", withdrawn=withdrawn)


def active(pipeline: Connection) -> set[str]:
    return {row["source_id"] for row in table(pipeline, "learning_examples", "is_active")}


def test_the_examples_of_an_expert_leave_with_the_right_and_come_back_with_it(load: Load, pipeline: Connection) -> None:
    shown_by(load, pipeline, [demonstration("d1", expert="eve"), demonstration("d2", expert="bob"), demonstration("v2", expert="eve", replaces="d1")])
    shown_by(load, pipeline, [demonstration("d3", expert="eve")])
    pipeline.execute("UPDATE learning_examples SET review_status = 'approved' WHERE source_id = 'd3'")
    assert right(pipeline, "eve", withdrawn=True) == Changed(True, 2)
    assert (active(pipeline), [one.id for one in loaded(pipeline, agent_ref(pipeline))]) == ({"d2"}, ["d2"])
    assert right(pipeline, "eve", withdrawn=False) == Changed(True, 2)
    assert active(pipeline) == {"d2", "v2", "d3"}
    assert {one.id: one.approved for one in loaded(pipeline, agent_ref(pipeline))} == {"d2": False, "v2": False, "d3": True}


def test_an_example_that_is_made_after_the_right_was_withdrawn_is_withdrawn_too(load: Load, pipeline: Connection) -> None:
    shown_by(load, pipeline, [demonstration("d1", expert="bob")])
    load("demonstrations", [demonstration("late", expert="eve")])
    right(pipeline, "eve", withdrawn=True)
    refresh_examples(pipeline, agent_ref(pipeline))
    assert active(pipeline) == {"d1"}
    right(pipeline, "eve", withdrawn=False)
    assert active(pipeline) == {"d1", "late"}


def test_other_roles_stay_and_the_same_decision_again_changes_nothing(load: Load, pipeline: Connection) -> None:
    shown_by(load, pipeline, [demonstration("d1", expert="eve")])
    pipeline.execute("UPDATE users SET role = 'trainer'")
    done = [right(pipeline, "eve", withdrawn=withdrawn) for withdrawn in (False, True, True, False)]
    assert [one.changed for one in done if one is not None] == [False, True, False, True]
    assert [row["role"] for row in table(pipeline, "users")] == ["trainer"]
    assert len(table(pipeline, "audit_log")) == 2


def test_a_name_of_another_organization_is_nobody_here(load: Load, pipeline: Connection) -> None:
    shown_by(load, pipeline, [demonstration("d1", expert="eve")], "ours")
    shown_by(load, pipeline, [demonstration("d1", expert="tom")], "theirs")
    assert right(pipeline, "tom", withdrawn=True, organization="ours") is None
    assert [one["user"] for one in listed(pipeline, agent_ref(pipeline, organization="ours").organization_id)] == ["eve"]


def test_what_is_seen_of_demonstrations_counts_outcomes_versions_and_experts(load: Load, pipeline: Connection) -> None:
    shown_by(load, pipeline, [demonstration("d1", expert="eve"), demonstration("d2", outcome="failure", expert="eve"), demonstration("v2", replaces="d1")])
    (seen,) = [one for one in overview.written(pipeline) if one.name == "demonstrations"]
    assert (seen.rows, seen.counts) == (3, {"successes": 1, "failures": 1, "replaced": 1, "experts": 1})
