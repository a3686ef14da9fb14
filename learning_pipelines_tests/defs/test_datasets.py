"""The asset training_datasets with real rows: what gets in, when there is a new version, splits that stay, checks that can fail.

Belongs here: the asset over several refreshes. Not here: choosing splits (examples/test_splits.py), finding duplicates.
"""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from learning_pipelines.storage.database import SESSION, Connection, Database
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.defs.conftest import Materialize, asked, checks_of, metadata_of
from learning_pipelines_tests.feedback.rows import agent_ref, said, table

DESK = "default/desk"
WORDS = ("anchor", "barley", "copper", "damson", "ember", "falcon", "garnet", "hazel", "indigo", "juniper", "kettle", "lantern", "marble", "nutmeg", "oyster")


def example(number: int, **more: Any) -> dict[str, Any]:
    """An approved example unlike every other one."""
    first, second = WORDS[number % len(WORDS)], WORDS[(number * 7 + number // len(WORDS)) % len(WORDS)]
    text = f"{first} {number} {second} {number * 31} question {number * number}"
    return {"example_id": f"x{number:03}", "agent": "desk", "input_text": text, "expected_output": f"Answer {number}", "review_status": "approved", **more}


def examples(*numbers: int, **more: Any) -> list[dict[str, Any]]:
    return [example(number, **more) for number in numbers]


def splits(pipeline: Connection) -> dict[str, str | None]:
    return {row["example_id"]: row["split"] for row in table(pipeline, "example_splits")}


def members(pipeline: Connection, version: int) -> dict[str, str]:
    """Example and split of a dataset version."""
    return {
        row["example_id"]: row["split"]
        for row in table(pipeline, "dataset_examples", f"dataset_id = (SELECT id FROM training_datasets WHERE version = {version})")
    }


def versions(pipeline: Connection) -> list[int]:
    return sorted(row["version"] for row in table(pipeline, "training_datasets"))


def plant(database: Database, fault: str) -> None:
    """Changes a sealed version past its guards, which only the owner of the database can."""
    with psycopg.connect(database.admin_url, options=SESSION, autocommit=True) as session:
        session.execute(fault)  # type: ignore[arg-type]


@pytest.fixture
def forty(desk: None, load: Load) -> None:
    load("examples", examples(*range(40)))


def test_only_approved_examples_get_in(desk: None, load: Load, run_job: Materialize, pipeline: Connection) -> None:
    load("examples", examples(1, 2, 3) + examples(4, review_status="pending") + examples(5, review_status="rejected") + examples(6, review_status=None))
    run_job("dataset_refresh", DESK)
    assert set(members(pipeline, 1)) == {"x001", "x002", "x003"}


def test_an_agent_without_approved_examples_has_no_dataset(desk: None, load: Load, run_job: Materialize, pipeline: Connection) -> None:
    load("examples", examples(1, review_status="pending"))
    metadata = metadata_of(run_job("dataset_refresh", DESK), "training_datasets")
    assert (metadata["dagster/row_count"], metadata["version"], versions(pipeline)) == (0, 0, [])


def test_feedback_goes_all_the_way_once_an_expert_approved(desk: None, load: Load, run_job: Materialize, pipeline: Connection) -> None:
    load("executions", [asked("e1", "How do I file VAT?", user="ada")])
    load("feedback", [said("f1", "e1", "thumbs_up", user="bob")])
    run_job("dataset_refresh", DESK)
    assert versions(pipeline) == []
    pipeline.execute("UPDATE learning_examples SET review_status = 'approved'")
    run_job("dataset_refresh", DESK)
    assert len(members(pipeline, 1)) == 1


def test_a_refresh_without_news_makes_no_version(forty: None, run_job: Materialize, pipeline: Connection) -> None:
    run_job("dataset_refresh", DESK)
    before = (splits(pipeline), members(pipeline, 1))
    metadata = metadata_of(run_job("dataset_refresh", DESK), "training_datasets")
    assert (metadata["version"], metadata["new_version"], versions(pipeline)) == (1, False, [1])
    assert (splits(pipeline), members(pipeline, 1)) == before


def test_a_version_is_new_when_its_content_is(forty: None, load: Load, run_job: Materialize, pipeline: Connection) -> None:
    run_job("dataset_refresh", DESK)
    load("examples", examples(41))
    run_job("dataset_refresh", DESK)
    assert versions(pipeline) == [1, 2]
    assert set(members(pipeline, 2)) - set(members(pipeline, 1)) == {"x041"}


def test_what_is_no_longer_approved_leaves_the_next_version_only(forty: None, run_job: Materialize, pipeline: Connection) -> None:
    run_job("dataset_refresh", DESK)
    pipeline.execute("UPDATE learning_examples SET review_status = 'rejected' WHERE id = 'x007'")
    run_job("dataset_refresh", DESK)
    assert "x007" in members(pipeline, 1)
    assert "x007" not in members(pipeline, 2)


def test_the_data_version_is_the_hash_of_the_content(forty: None, load: Load, run_job: Materialize, pipeline: Connection) -> None:
    def data_version() -> str:
        (event,) = run_job("dataset_refresh", DESK).asset_materializations_for_node("training_datasets")
        return str(event.tags["dagster/data_version"])

    first, second = data_version(), data_version()
    load("examples", examples(41))
    assert first == second != data_version()
    assert first == next(bytes(row["content_hash"]).hex() for row in table(pipeline, "training_datasets", "version = 1"))


def test_metadata_tell_splits_and_types_of_the_version(forty: None, run_job: Materialize) -> None:
    metadata = metadata_of(run_job("dataset_refresh", DESK), "training_datasets")
    assert (metadata["dagster/row_count"], metadata["dagster/table_name"], metadata["type_positive"]) == (40, "learning.dataset_examples", 40)
    assert "weight" in {column.name for column in metadata["dagster/column_schema"].columns}
    assert [metadata[f"split_{name}"] for name in ("train", "validation", "test")] == [20, 8, 12]


def test_splits_stay_while_newcomers_arrive(forty: None, load: Load, run_job: Materialize, pipeline: Connection) -> None:
    seen: dict[str, str | None] = {}
    for first in (50, 80, 110):
        run_job("dataset_refresh", DESK)
        now = splits(pipeline)
        assert seen.items() <= now.items()
        seen = now
        load("examples", examples(*range(first, first + 30)))
    run_job("dataset_refresh", DESK)
    assert seen.items() <= splits(pipeline).items()
    assert len(members(pipeline, 4)) == 130


def test_a_person_is_on_one_side_only(desk: None, load: Load, run_job: Materialize, pipeline: Connection) -> None:
    load("examples", [example(number, user=f"person-{number % 20}") for number in range(60)])
    run_job("dataset_refresh", DESK)
    sides: dict[int, set[str | None]] = {}
    for name, side in splits(pipeline).items():
        sides.setdefault(int(name[1:]) % 20, set()).add(side)
    assert {len(found) for found in sides.values()} == {1}


def test_a_newcomer_joins_the_split_of_its_person(forty: None, load: Load, run_job: Materialize, pipeline: Connection) -> None:
    load("examples", examples(41, user="ada"))
    run_job("dataset_refresh", DESK)
    load("examples", examples(42, 43, 44, user="ada"))
    run_job("dataset_refresh", DESK)
    assert len({splits(pipeline)[f"x{number:03}"] for number in (41, 42, 43, 44)}) == 1


def test_of_a_link_found_late_what_is_not_in_train_is_left_out(forty: None, load: Load, run_job: Materialize, pipeline: Connection) -> None:
    run_job("dataset_refresh", DESK)
    before = splits(pipeline)
    train = next(name for name, side in before.items() if side == "train")
    test = next(name for name, side in before.items() if side == "test")
    load("executions", [asked("e1", "Anything at all", user="ada")])  # makes the user
    pipeline.execute("UPDATE learning_examples SET user_id = (SELECT id FROM users WHERE external_id = 'ada') WHERE id IN (%s, %s)", [train, test])
    result = run_job("dataset_refresh", DESK)
    assert splits(pipeline) == {**before, test: None}
    assert set(members(pipeline, 1)) - set(members(pipeline, 2)) == {test}
    assert metadata_of(result, "training_datasets")["left_out: linked late to another split"] == 1
    assert checks_of(result)["splits_disjoint"] is True


def test_checks_pass_on_sound_rows(forty: None, run_job: Materialize) -> None:
    found = checks_of(run_job("dataset_refresh", DESK))
    assert (found["splits_disjoint"], found["only_approved"]) == (True, True)


def test_a_person_on_two_sides_fails_the_check(desk: None, load: Load, run_job: Materialize, database: Database) -> None:
    load("examples", examples(*range(30), user="ada") + examples(*range(30, 60)))
    run_job("dataset_refresh", DESK)
    plant(
        database,
        """UPDATE dataset_examples SET split = CASE split WHEN 'test' THEN 'train' ELSE 'test' END
        WHERE example_id = (SELECT min(d.example_id) FROM dataset_examples d JOIN learning_examples e ON e.id = d.example_id WHERE e.user_id IS NOT NULL)""",
    )
    result = run_job("dataset_refresh", DESK, raise_on_error=False)
    assert (checks_of(result)["splits_disjoint"], result.success) == (False, False)


def test_an_unapproved_example_in_the_newest_version_fails_the_check(forty: None, load: Load, run_job: Materialize, database: Database) -> None:
    load("examples", examples(99, review_status="pending"))
    run_job("dataset_refresh", DESK)
    plant(
        database,
        """INSERT INTO dataset_examples (organization_id, dataset_id, example_id, split, weight, content_hash)
        SELECT organization_id, id, 'x099', 'train', 1, (SELECT min(content_hash) FROM example_contents) FROM training_datasets""",
    )
    result = run_job("dataset_refresh", DESK, raise_on_error=False)
    assert (checks_of(result)["only_approved"], result.success) == (False, False)


def test_the_dataset_belongs_to_its_agent(forty: None, run_job: Materialize, pipeline: Connection) -> None:
    run_job("dataset_refresh", DESK)
    (dataset,) = table(pipeline, "training_datasets")
    assert (dataset["name"], dataset["agent_ids"], dataset["status"]) == ("desk", [agent_ref(pipeline).agent_id], "ready")
