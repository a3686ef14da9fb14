"""Which status follows which, and what a use by a training run leaves behind.

Belongs here: life cycle and uses. Not here: what a version contains.
"""

from __future__ import annotations

from contextlib import suppress
from itertools import permutations
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest

from learning_pipelines.behavior import guidance_learning
from learning_pipelines.behavior.fine_tuning import preparation as fine_tuning
from learning_pipelines.errors import BadInput
from learning_pipelines.examples.lifecycle import TRANSITIONS, Status, change_status, mark_used
from learning_pipelines.prompts import preparation as prompts
from learning_pipelines.settings import Settings
from learning_pipelines.storage.database import SESSION, Connection, Database
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.examples.approved import dataset, example, refresh
from learning_pipelines_tests.feedback.rows import AGENT, agent_ref, execution, table


@pytest.fixture
def ready(load: Load, pipeline: Connection) -> UUID:
    """The id of a sealed version of 20 examples."""
    load("agents", [AGENT])
    load("examples", [example(number) for number in range(20)])
    refresh(pipeline)
    return dataset(pipeline).id


def training_run(pipeline: Connection) -> UUID:
    row = pipeline.execute(
        "INSERT INTO training_runs (organization_id, training_type) VALUES (learning.organization_id('default'), 'fine_tuning') RETURNING id"
    ).fetchone()
    assert row is not None
    return UUID(str(row[0]))


def status(pipeline: Connection) -> str:
    (row,) = table(pipeline, "training_datasets")
    return str(row["status"])


def test_the_database_allows_the_same_transitions_as_the_rules(database: Database, load: Load, pipeline: Connection) -> None:
    load("agents", [AGENT])
    allowed: dict[Status, set[Status]] = {status: set() for status in TRANSITIONS}
    with psycopg.connect(database.admin_url, options=SESSION, autocommit=True) as owner:
        for number, (before, after) in enumerate(permutations(TRANSITIONS, 2), start=1):
            owner.execute(
                """INSERT INTO training_datasets (organization_id, name, version, status, content_hash)
                VALUES (learning.organization_id('default'), 'desk', %s, %s, '\\x00')""",
                [number, before],
            )
            with suppress(psycopg.errors.RestrictViolation):
                pipeline.execute("UPDATE training_datasets SET status = %s WHERE version = %s", [after, number])
                allowed[before].add(after)
    assert allowed == TRANSITIONS


def test_a_refused_status_says_what_may_follow(ready: UUID, pipeline: Connection) -> None:
    with pytest.raises(BadInput, match=r"ready cannot become draft\. It may become: archived, in_use\."):
        change_status(pipeline, agent_ref(pipeline), ready, "draft")
    assert status(pipeline) == "ready"


def test_the_same_status_again_changes_nothing(ready: UUID, pipeline: Connection) -> None:
    change_status(pipeline, agent_ref(pipeline), ready, "archived")
    change_status(pipeline, agent_ref(pipeline), ready, "archived")
    assert status(pipeline) == "archived"


def test_a_use_counts_on_the_examples_of_train_and_on_the_version(ready: UUID, pipeline: Connection) -> None:
    used = mark_used(pipeline, agent_ref(pipeline), ready, training_run(pipeline))
    splits = {row["example_id"]: row["split"] for row in table(pipeline, "dataset_examples")}
    times = {row["id"]: row["times_used_in_training"] for row in table(pipeline, "learning_examples")}
    dated = {row["id"] for row in table(pipeline, "learning_examples", "last_used_at IS NOT NULL")}
    assert times == {name: int(split == "train") for name, split in splits.items()}
    assert dated == {name for name, split in splits.items() if split == "train"}
    assert (used.counted, used.examples, status(pipeline)) == (True, 10, "in_use")


def test_a_run_counts_once_however_often_it_says_so(ready: UUID, pipeline: Connection) -> None:
    run = training_run(pipeline)
    assert [mark_used(pipeline, agent_ref(pipeline), ready, run).counted for _ in range(3)] == [True, False, False]
    assert {row["times_used_in_training"] for row in table(pipeline, "learning_examples")} == {0, 1}


def test_every_run_counts(ready: UUID, pipeline: Connection) -> None:
    for _ in range(3):
        mark_used(pipeline, agent_ref(pipeline), ready, training_run(pipeline), splits=("train", "validation"))
    assert sorted({row["times_used_in_training"] for row in table(pipeline, "learning_examples")}) == [0, 3]


def test_a_use_makes_no_new_version(ready: UUID, pipeline: Connection) -> None:
    mark_used(pipeline, agent_ref(pipeline), ready, training_run(pipeline))
    assert refresh(pipeline).is_new is False


def test_an_archived_version_may_be_used_and_stays_archived(ready: UUID, pipeline: Connection) -> None:
    change_status(pipeline, agent_ref(pipeline), ready, "archived")
    assert mark_used(pipeline, agent_ref(pipeline), ready, training_run(pipeline)).counted
    assert status(pipeline) == "archived"


def test_nothing_is_learnt_from_an_archived_version(load: Load, ready: UUID, pipeline: Connection, tmp_path: Path) -> None:
    load("executions", [execution("e1", user="ada")])
    agent, none = agent_ref(pipeline), "the agent has no dataset yet"
    settings = Settings(home=tmp_path, openai_api_key="k", task_model="m", finetune_engine="openai", min_executions=1, min_examples=1)

    def reasons() -> list[str]:
        found = [
            prompts.prepare(pipeline, agent, settings, model="m", issues={}), guidance_learning.prepare(pipeline, agent, settings, model="m"),
            fine_tuning.prepare(pipeline, agent, settings, "sft", lambda: pytest.fail("no encoder is needed")),
        ]  # fmt: skip
        return [str(getattr(one, "reason", "")) for one in found]

    assert not any(reason.startswith(none) for reason in reasons())
    change_status(pipeline, agent, ready, "archived")
    assert all(reason.startswith(none) for reason in reasons()), reasons()


def test_what_is_not_sealed_cannot_be_used(load: Load, pipeline: Connection) -> None:
    load("agents", [AGENT])
    row = pipeline.execute(
        """INSERT INTO training_datasets (organization_id, name, version, content_hash)
        VALUES (learning.organization_id('default'), 'desk', 1, '\\x00') RETURNING id"""
    ).fetchone()
    assert row is not None
    with pytest.raises(BadInput, match="is draft"):
        mark_used(pipeline, agent_ref(pipeline), row[0], training_run(pipeline))


def test_an_unknown_version_cannot_be_used(ready: UUID, pipeline: Connection) -> None:
    with pytest.raises(BadInput, match="has no dataset"):
        mark_used(pipeline, agent_ref(pipeline), uuid4(), training_run(pipeline))
    assert table(pipeline, "dataset_uses") == []
