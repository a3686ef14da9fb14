"""What a façade cannot do: change exactly what it must when its input is changed in a known way, and nothing else.

Belongs here: doubled input and a corrupted byte of the archive, which go through several nouns; and where the other checks of this kind stand. Not here:
those of one noun, which stand beside its other tests.
"""

from __future__ import annotations

import datetime as dt
from importlib import import_module
from pathlib import Path

import pytest

from learning_pipelines.examples.refresh import refresh_examples
from learning_pipelines.feedback.archive import checking
from learning_pipelines.feedback.archive.archiving import archive
from learning_pipelines.feedback.statistics import catch_up
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.store import Store
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.feedback.archive.conftest import APRIL, MARCH, NOW, Arrived, arrived, desk, store, up_to_date
from learning_pipelines_tests.feedback.rows import Row, agent_ref, execution, said, table

__all__ = ["arrived", "desk", "store"]  # fixtures

ELSEWHERE = {
    "shuffled labels": (
        "acceptance.test_null_task::test_with_labels_shuffled_nothing_is_promoted_and_as_they_are_the_same_search_wins_every_time",
        "defs.test_prompts::test_with_shuffled_answers_nothing_is_proposed", "defs.test_retrieval::test_what_was_learnt_from_shuffled_feedback_is_not_proposed",
        "defs.test_behavior::test_what_was_learnt_from_shuffled_demonstrations_is_not_proposed_and_leaves_nothing",
        "behavior.test_rules::test_shuffled_corrections_promote_no_rule", "examples.test_quality::test_shuffled_verdicts_cannot_be_predicted",
        "behavior.fine_tuning.test_local::test_the_control_with_shuffled_answers_passes_no_gate",
    ),
    "swapped arms": (
        "experiments.test_exact::test_swapping_the_arms_mirrors_everything_to_the_last_digit",
        "experiments.test_asymptotic::test_swapping_the_arms_mirrors_everything", "experiments.test_decision::test_swapping_the_arms_flips_every_verdict",
        "acceptance.test_paired::test_the_other_way_round_everything_is_mirrored",
    ),
    "a dropped policy": ("storage.test_every_policy::test_a_dropped_policy_shows",),
    "a constant model": (
        "prompts.test_evaluation::test_with_a_constant_for_a_model_the_score_falls_to_the_majority_class",
        "defs.test_prompts::test_a_constant_model_gets_the_share_of_its_label_whatever_the_prompt",
    ),
    "a corrupted byte": (
        "feedback.archive.test_crashes::test_a_byte_that_changes_before_the_file_is_read_back_keeps_the_rows",
        "defs.test_backup::test_a_damaged_part_is_named_before_anything_is_written",
        "acceptance.test_index_approval::test_a_version_whose_file_is_gone_or_damaged_is_refused",
    ),
}  # fmt: skip
COUNTED = (
    "executions", "executions_with_feedback", "latency_count", "latency_ms_sum", "tokens_sum", "cost_usd_sum", "feedback", "rating_count", "rating_sum",
    "rating_sum_squares", "thumbs_up", "thumbs_down", "corrections", "accuracy_count", "accuracy_sum",
)  # fmt: skip
DAY = dt.datetime(2026, 3, 2, 12, tzinfo=dt.UTC)


@pytest.mark.parametrize("name", [name for names in ELSEWHERE.values() for name in names])
def test_every_check_that_is_named_here_is_there(name: str) -> None:
    module, _, function = name.partition("::")
    assert callable(getattr(import_module(f"learning_pipelines_tests.{module}"), function))


def once(suffix: str) -> tuple[list[Row], list[Row]]:
    """Twelve executions and what was said about them, with ids and people of their own; numbers are dyadic, so that sums are exact."""
    at = DAY.isoformat()
    runs = [
        execution(f"e{n}{suffix}", user=f"u{n}{suffix}", latency_ms=2.5 * n, input_tokens=n, output_tokens=2, cost_usd=0.25, created_at=at)
        | {"input": f"What is due in month {n} of the year?", "output": f"Form {n} is due."}
        for n in range(12)
    ]
    spoken = [said(f"f{n}{suffix}", f"e{n}{suffix}", "thumbs_up" if n % 3 else "thumbs_down", user=f"u{n}{suffix}", created_at=at) for n in range(8)]
    spoken += [said(f"r{n}{suffix}", f"e{n}{suffix}", "star_rating", user=f"v{n}{suffix}", rating=1 + n % 5, dimensions={"accuracy": 3}, created_at=at)
               for n in range(6)]  # fmt: skip
    spoken += [said("c" + suffix, f"e9{suffix}", "correction", user=f"w{suffix}", correction_text="Nothing is due in September at all.", created_at=at)]
    return runs, spoken


def counted(connection: Connection, store: Store) -> Row:
    catch_up(connection, store.settings.timezone)
    (row,) = table(connection, "feedback_metrics")
    return row


def test_the_same_rows_again_change_nothing(desk: None, load: Load, pipeline: Connection, store: Store) -> None:
    def derived() -> list[list[Row]]:
        agent = agent_ref(pipeline)
        refresh_examples(pipeline, agent)
        pipeline.execute("UPDATE learning_examples SET review_status = 'approved' WHERE review_status = 'pending'")
        counted(pipeline, store)
        names = ("agent_executions", "agent_feedback", "feedback_metrics", "learning_examples", "example_sources", "training_datasets", "outbox")
        return [sorted(table(pipeline, name), key=str) for name in names]

    runs, spoken = once("")
    load("executions", runs), load("feedback", spoken)
    before = derived()
    assert (load("executions", runs).unchanged, load("feedback", spoken).unchanged) == (len(runs), len(spoken))
    assert derived() == before


def test_twice_as_many_rows_double_what_is_counted_and_leave_what_is_a_mean(desk: None, load: Load, pipeline: Connection, store: Store) -> None:
    runs, spoken = once("")
    load("executions", runs), load("feedback", spoken)
    single = counted(pipeline, store)
    runs, spoken = once("-again")
    load("executions", runs), load("feedback", spoken)
    double = counted(pipeline, store)
    assert {name: double[name] for name in COUNTED} == {name: 2 * single[name] for name in COUNTED}
    assert double["rating_sum"] / double["rating_count"] == single["rating_sum"] / single["rating_count"]
    assert all(single[name] for name in COUNTED), "what is zero doubles without being counted"


def test_a_corrupted_byte_changes_what_is_said_of_its_file_and_of_no_other(desk: None, arrived: Arrived, store: Store) -> None:
    for month, number in ((MARCH, 1), (APRIL, 2)):
        arrived(month, [execution(f"e{number}", user="ada")], [said(f"f{number}", f"e{number}", user="ada")])
    up_to_date(store)
    assert archive(store, now=NOW).files == 4
    assert checking.check(store).wrong == []
    (damaged,) = Path(store.settings.artifacts.removeprefix("file://")).glob("archive/agent_feedback/organization=default/month=2025-03/rows.parquet")
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(bytes(content))
    (wrong,) = checking.check(store).wrong
    assert "agent_feedback/organization=default/month=2025-03/rows.parquet" in wrong and "restore it" in wrong
    content[len(content) // 2] ^= 1
    damaged.write_bytes(bytes(content))
    assert checking.check(store).wrong == []
