"""Preference pairs of stored examples: made once, in step with edits, withdrawals, splits, ratings and raters' weights.

Belongs here: pairs over several refreshes on real rows. Not here: the rules (test_preferences.py), files.
"""

from __future__ import annotations

from typing import Any

import pytest

from learning_pipelines.examples.refresh import refresh_examples
from learning_pipelines.storage.database import Connection
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.examples.approved import choice, correction, dataset, example, question, refresh
from learning_pipelines_tests.feedback.rows import AGENT, agent_ref, execution, said, table


@pytest.fixture
def agent(load: Load) -> None:
    load("agents", [AGENT])


def active(pipeline: Connection) -> list[dict[str, Any]]:
    return table(pipeline, "preference_pairs", "state = 'active'")


def sealed(pipeline: Connection, version: int | None = None) -> list[dict[str, Any]]:
    return table(pipeline, "dataset_pairs", f"dataset_id = '{dataset(pipeline, version).id}'")


def rate(load: Load, pipeline: Connection, *answers: tuple[str, str, int], text: str = "Which form is for VAT?") -> None:
    """(output, user, stars) to the same question; what becomes an example is approved."""
    start = len(table(pipeline, "agent_executions"))
    rows = [(f"e{start + number}", *answer) for number, answer in enumerate(answers)]
    load("executions", [execution(name) | {"input": text, "output": output} for name, output, _, _ in rows])
    load("feedback", [said(f"f-{name}", name, "star_rating", rating=stars, user=user) for name, _, user, stars in rows])
    refresh_examples(pipeline, agent_ref(pipeline))
    pipeline.execute("UPDATE learning_examples SET review_status = 'approved' WHERE review_status = 'pending'")


def test_corrections_and_choices_make_pairs_that_are_sealed_with_the_version(agent: None, load: Load, pipeline: Connection) -> None:
    load("examples", [correction(number) for number in range(5)] + [choice(number) for number in range(5, 8)] + [example(8)])
    made = refresh(pipeline)
    assert sorted(row["source"] for row in sealed(pipeline)) == ["choice"] * 3 + ["correction"] * 5
    assert sum(made.pairs.values()) == 8


def test_a_pair_has_the_split_of_its_example(agent: None, load: Load, pipeline: Connection) -> None:
    load("examples", [correction(number) for number in range(30)])
    refresh(pipeline)
    splits = {row["example_id"]: row["split"] for row in table(pipeline, "example_splits")}
    assert {row["chosen_example_id"]: row["split"] for row in sealed(pipeline)} == splits
    assert set(splits.values()) == {"train", "validation", "test"}


def test_a_refresh_without_news_writes_no_pair(agent: None, load: Load, pipeline: Connection) -> None:
    load("examples", [correction(number) for number in range(5)])
    refresh(pipeline)
    before = table(pipeline, "preference_pairs")
    assert refresh(pipeline).is_new is False
    assert table(pipeline, "preference_pairs") == before


def test_an_edited_correction_replaces_its_pair_and_leaves_the_old_version_alone(agent: None, load: Load, pipeline: Connection) -> None:
    load("examples", [correction(number) for number in range(3)])
    refresh(pipeline)
    first = sealed(pipeline)
    pipeline.execute("UPDATE learning_examples SET expected_output = 'Better.' WHERE id = 'x00001'")
    refresh(pipeline)
    assert (len(active(pipeline)), len(table(pipeline, "preference_pairs", "state = 'withdrawn'"))) == (3, 1)
    assert sealed(pipeline, 1) == first
    assert {row["pair_id"] for row in sealed(pipeline, 2)} != {row["pair_id"] for row in first}


def test_a_withdrawn_example_takes_its_pair_along_and_brings_it_back(agent: None, load: Load, pipeline: Connection) -> None:
    load("examples", [correction(number) for number in range(3)])
    refresh(pipeline)
    pipeline.execute("UPDATE learning_examples SET review_status = 'rejected' WHERE id = 'x00001'")
    refresh(pipeline)
    assert {row["chosen_example_id"] for row in active(pipeline)} == {"x00000", "x00002"}
    pipeline.execute("UPDATE learning_examples SET review_status = 'approved' WHERE id = 'x00001'")
    refresh(pipeline)
    assert len(active(pipeline)) == 3


def test_the_better_rated_answer_to_the_same_question_is_preferred(agent: None, load: Load, pipeline: Connection) -> None:
    rate(load, pipeline, ("Form 5.", "ada", 5), ("Form 9.", "bob", 1))
    refresh(pipeline)
    (pair,) = active(pipeline)
    outputs = {row["id"]: row["original_output"] for row in table(pipeline, "learning_examples")}
    assert (outputs[pair["chosen_example_id"]], outputs[pair["rejected_example_id"]]) == ("Form 5.", "Form 9.")
    assert (pair["source"], pair["strength"], pair["weight"]) == ("rating", 1.0, 0.5)


def test_raters_count_with_their_weight(agent: None, load: Load, pipeline: Connection) -> None:
    rate(load, pipeline, ("Form 5.", "ada", 5), ("Form 9.", "bob", 1))
    pipeline.execute(
        """INSERT INTO rater_weights (organization_id, user_id, weight, ratings, rules)
        SELECT organization_id, id, CASE external_id WHEN 'ada' THEN 0.9 ELSE 0.2 END, 1, 'test' FROM users WHERE external_id IN ('ada', 'bob')"""
    )
    refresh(pipeline)
    assert [row["weight"] for row in active(pipeline)] == [0.2]


def test_ratings_of_other_questions_are_not_compared(agent: None, load: Load, pipeline: Connection) -> None:
    rate(load, pipeline, ("Form 5.", "ada", 5), text="Which form is for VAT in 2023?")
    rate(load, pipeline, ("Form 9.", "bob", 1), text="Which form is for VAT in 2024?")
    rate(load, pipeline, ("No.", "cleo", 1), text=question(7))
    refresh(pipeline)
    assert active(pipeline) == []


def test_a_person_who_changes_their_mind_takes_the_pair_back(agent: None, load: Load, pipeline: Connection) -> None:
    rate(load, pipeline, ("Form 5.", "ada", 5), ("Form 9.", "bob", 1))
    refresh(pipeline)
    load("feedback", [said("f-new", "e1", "star_rating", rating=4, user="bob")])
    refresh_examples(pipeline, agent_ref(pipeline))
    pipeline.execute("UPDATE learning_examples SET review_status = 'approved' WHERE review_status = 'pending'")
    refresh(pipeline)
    assert [row for row in active(pipeline) if row["source"] == "rating"] == []


def test_equal_and_opposite_judgements_both_stay_out_until_one_is_outvoted(agent: None, load: Load, pipeline: Connection) -> None:
    same = {"input_text": "Which form is for VAT?", "output_a": "Form 5.", "output_b": "Form 9."}
    load("examples", [{**choice(1, "A"), **same, "expected_output": "Five."}, {**choice(2, "B"), **same, "expected_output": "Nine."}])
    refresh(pipeline)
    assert sorted(row["state"] for row in table(pipeline, "preference_pairs")) == ["contradicted", "contradicted"]
    load("examples", [{**choice(3, "A"), **same, "expected_output": "Five, I say."}])
    refresh(pipeline)
    assert sorted(row["state"] for row in table(pipeline, "preference_pairs")) == ["active", "active", "outvoted"]
    assert len(sealed(pipeline)) == 2
