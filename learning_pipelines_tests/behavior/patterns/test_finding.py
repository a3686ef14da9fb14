"""Patterns of an agent in the database: found in what teaches, task type by task type, replaced as a whole."""

from __future__ import annotations

from typing import Any

from learning_pipelines.behavior.demonstration_splits import refresh_splits
from learning_pipelines.behavior.patterns import finding
from learning_pipelines.settings import load_settings
from learning_pipelines.storage import behavior_patterns
from learning_pipelines.storage.database import Connection
from learning_pipelines_tests.behavior.shown import demonstration, shown_by
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.feedback.rows import agent_ref


def desk(load: Load, pipeline: Connection, rows: list[dict[str, Any]]) -> Any:
    shown_by(load, pipeline, rows)
    agent = agent_ref(pipeline)
    refresh_splits(pipeline, agent, load_settings())
    return agent


def test_patterns_and_transitions_are_stored_per_task_type_and_replaced_as_a_whole(load: Load, pipeline: Connection) -> None:
    rows = [demonstration(f"r{number}", "look", "pay", "tell", task_type="refund") for number in range(12)]
    agent = desk(load, pipeline, [*rows, *(demonstration(f"o{number}", "look", "tell") for number in range(8))])
    groups = finding.refresh(pipeline, agent, "run 1")
    teaching = {group.task_type: len(group.succeeded) for group in groups}
    assert set(teaching) == {"refund", ""} and 0 < teaching["refund"] < 12  # those of validation and test are not looked at
    (pattern,) = behavior_patterns.listed(pipeline, agent, "pattern", "refund")
    assert (pattern.types, pattern.support, pattern.total) == (["look", "pay", "tell"], teaching["refund"], teaching["refund"])
    assert ["look", "pay"] in [one.types for one in behavior_patterns.listed(pipeline, agent, "transition", "refund")]
    before = len(behavior_patterns.listed(pipeline, agent))
    finding.refresh(pipeline, agent, "run 2")
    assert len(behavior_patterns.listed(pipeline, agent)) == before
    assert pipeline.execute("SELECT DISTINCT computed_by FROM behavior_patterns").fetchall() == [("run 2",)]


def test_what_failed_makes_anti_patterns_and_so_do_examples_that_hold_actions(load: Load, pipeline: Connection) -> None:
    agent = desk(load, pipeline, [demonstration(f"g{number:02}", "look", "ask", "pay", "tell") for number in range(40)])
    load("examples", [
        {"example_id": f"x{number}", "agent": "desk", "input_text": f"Case {number}", "expected_output": "", "original_output": "Paid.",
         "example_type": "failure", "input_context": {"actions": [{"type": "look"}, {"type": "pay"}, {"type": "tell"}]}}
        for number in range(8)
    ] + [{"example_id": "odd", "agent": "desk", "input_text": "?", "expected_output": "", "original_output": "no", "example_type": "negative",
          "input_context": {"actions": ["not an action"]}}])  # fmt: skip
    (group,) = finding.refresh(pipeline, agent, None)
    assert len(group.failed) == 8 and all(one.id.startswith(finding.EXAMPLE) for one in group.failed)
    stored = behavior_patterns.listed(pipeline, agent, "anti")
    assert next((one.how, one.types, one.support, one.total, one.times) for one in stored) in [
        ("done", ["look", "pay"], 8, 8, 0), ("omitted", ["ask"], 8, 8, 0)
    ]  # fmt: skip
    assert stored[0].q is not None and stored[0].q < 0.01 and set(stored[0].evidence) == {f"{finding.EXAMPLE}x{number}" for number in range(8)}


def test_a_demonstration_that_failed_counts_as_a_failure_once(load: Load, pipeline: Connection) -> None:
    rows = [demonstration(f"g{number:02}", "look", "ask", "pay") for number in range(30)]
    agent = desk(load, pipeline, [*rows, *(demonstration(f"b{number:02}", "look", "pay") for number in range(30))])
    pipeline.execute("UPDATE demonstrations SET outcome = 'failure' WHERE id LIKE 'b%'")
    pipeline.execute("UPDATE learning_examples SET example_type = 'failure' WHERE source_id LIKE 'b%'")
    (group,) = finding.read(pipeline, agent)
    assert 0 < len(group.failed) < 30 and not any(one.id.startswith(finding.EXAMPLE) for one in group.failed)
    assert all(one.outcome == "success" for one in group.succeeded)


def test_names_of_255_characters_and_any_sign_are_stored(load: Load, pipeline: Connection) -> None:
    name = ("\\\t{}\"',;NULL→送金 " * 20)[:250].strip()
    agent = desk(load, pipeline, [demonstration(f"d{number}", name, "b") for number in range(12)])
    finding.refresh(pipeline, agent, None)
    assert [name, "b"] in [one.types for one in behavior_patterns.listed(pipeline, agent, "transition")]
