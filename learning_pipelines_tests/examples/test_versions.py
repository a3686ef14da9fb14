"""A dataset version cannot be changed, and is rebuilt from its recipe whatever happened to its examples since.

Belongs here: sealing, rebuilding, statistics, weights. Not here: use and life cycle (test_lifecycle.py), who gets in (defs/test_datasets.py).
"""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import psycopg
import pytest

from learning_pipelines.errors import BadInput, LearningError
from learning_pipelines.examples.versions import rebuild
from learning_pipelines.examples.weights import example_weight
from learning_pipelines.storage import versions as storage
from learning_pipelines.storage.database import SESSION, Connection, Database
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.examples.approved import choice, correction, dataset, example, refresh
from learning_pipelines_tests.feedback.rows import AGENT, agent_ref, table

Refused = (psycopg.errors.RestrictViolation, psycopg.errors.InsufficientPrivilege, psycopg.errors.ForeignKeyViolation)
"""A sealed version's contents may be deleted by the pipeline once no row of a version is left that refers to them, which only an erasure brings about."""


@pytest.fixture
def thirty(load: Load) -> None:
    load("agents", [{**AGENT, "system_prompt": "You help with taxes."}])
    load("examples", [example(number) for number in range(20)] + [correction(number) for number in range(20, 27)] + [choice(27), choice(28, "B"), choice(29)])


def act(connection: Connection) -> None:
    """As an admin over the API; without effect for the pipeline."""
    connection.execute("SELECT set_config('app.current_organization_id', learning.organization_id('default')::text, true)")
    connection.execute("SELECT set_config('app.current_role', 'admin', true)")


CHANGES = (
    "UPDATE dataset_examples SET weight = 2",
    "UPDATE dataset_examples SET split = 'train'",
    "DELETE FROM dataset_examples",
    "INSERT INTO dataset_examples (organization_id, dataset_id, example_id, split, content_hash) "
    "SELECT d.organization_id, d.id, e.id, 'train', (SELECT min(content_hash) FROM example_contents) FROM training_datasets d, learning_examples e "
    "WHERE NOT EXISTS (SELECT FROM dataset_examples m WHERE m.example_id = e.id)",
    "UPDATE dataset_pairs SET weight = 2",
    "DELETE FROM dataset_pairs",
    "UPDATE example_contents SET content = '{}'",
    "DELETE FROM example_contents",
    "UPDATE training_datasets SET content_hash = '\\x00'",
    "UPDATE training_datasets SET total_examples = 1",
    "UPDATE training_datasets SET recipe = '{}'",
    "UPDATE training_datasets SET version = 9, status = 'archived'",
    "DELETE FROM training_datasets",
    "TRUNCATE training_datasets CASCADE",
)


@pytest.mark.parametrize("role", ["pipeline", "api"])
def test_nobody_changes_a_sealed_version(thirty: None, load: Load, pipeline: Connection, database: Database, role: Any) -> None:
    refresh(pipeline)
    load("examples", [example(99)])
    names = ("training_datasets", "dataset_examples", "dataset_pairs", "example_contents")
    before = {name: table(pipeline, name) for name in names}
    with database.connect(role, autocommit=False) as connection:
        for change in CHANGES:
            act(connection)
            with pytest.raises(Refused):
                connection.execute(change)  # type: ignore[call-overload]
            connection.rollback()
    assert {name: table(pipeline, name) for name in names} == before


def test_a_version_that_counts_wrong_is_not_sealed(thirty: None, pipeline: Connection) -> None:
    pipeline.execute(
        """INSERT INTO training_datasets (organization_id, name, version, status, total_examples, content_hash)
        VALUES (learning.organization_id('default'), 'desk', 7, 'processing', 3, '\\x00')"""
    )
    with pytest.raises(psycopg.errors.RestrictViolation, match="counts 3 examples and 0 pairs but holds 0 and 0"):
        pipeline.execute("UPDATE training_datasets SET status = 'ready'")


def test_no_version_begins_sealed(thirty: None, pipeline: Connection) -> None:
    with pytest.raises(psycopg.errors.RestrictViolation, match="begins as draft"):
        pipeline.execute(
            """INSERT INTO training_datasets (organization_id, name, version, status, content_hash)
            VALUES (learning.organization_id('default'), 'desk', 7, 'ready', '\\x00')"""
        )


def test_a_content_cannot_be_filed_under_another_hash(thirty: None, pipeline: Connection) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        pipeline.execute("INSERT INTO example_contents (organization_id, content_hash, content) VALUES (learning.organization_id('default'), '\\x00', '{}')")


def change_everything(pipeline: Connection, load: Load) -> None:
    """A reviewer edits, another withdraws, a third approves; ratings of quality and the prompt change as well."""
    pipeline.execute("UPDATE learning_examples SET expected_output = 'Edited later.', quality_score = 0.1 WHERE id IN ('x00001', 'x00021')")
    pipeline.execute("UPDATE learning_examples SET review_status = 'rejected' WHERE id IN ('x00002', 'x00022')")
    pipeline.execute("UPDATE learning_examples SET is_active = false WHERE id = 'x00003'")
    pipeline.execute("UPDATE learning_examples SET preferred_output = 'B' WHERE id = 'x00027'")
    load("examples", [correction(number) for number in range(40, 50)])
    load("agents", [{**AGENT, "system_prompt": "You help with everything."}])


def test_a_version_is_rebuilt_after_its_examples_changed(thirty: None, load: Load, pipeline: Connection) -> None:
    made = refresh(pipeline)
    first = dataset(pipeline)
    change_everything(pipeline, load)
    assert refresh(pipeline).version == 2
    rebuilt = rebuild(pipeline, agent_ref(pipeline), first.id)
    assert (rebuilt.content_hash.hex(), rebuilt.examples, rebuilt.pairs) == (made.content_hash, 30, 10)


def test_statistics_come_out_the_same_from_what_is_stored(thirty: None, load: Load, pipeline: Connection) -> None:
    refresh(pipeline)
    first = dataset(pipeline)
    change_everything(pipeline, load)
    again = storage.version_statistics(pipeline, agent_ref(pipeline), first.id)
    assert {name: first.statistics[name] for name in again} == again
    assert sum(sum(splits.values()) for splits in again["types"].values()) == 30
    assert again["input_characters"]["p5"] <= again["input_characters"]["p50"] <= again["input_characters"]["max"]


def test_an_edit_makes_a_new_version_and_keeps_the_old_text(thirty: None, pipeline: Connection) -> None:
    refresh(pipeline)
    pipeline.execute("UPDATE learning_examples SET expected_output = 'Edited later.' WHERE id = 'x00001'")
    assert refresh(pipeline).version == 2
    texts = [
        row["content"]["expected_output"]
        for version in (1, 2)
        for row in table(
            pipeline,
            "dataset_examples d JOIN example_contents c USING (organization_id, content_hash)",
            f"example_id = 'x00001' AND dataset_id = '{dataset(pipeline, version).id}'",
        )
    ]
    assert texts == ["Answer 1.", "Edited later."]


def test_the_same_content_again_is_stored_once(thirty: None, load: Load, pipeline: Connection) -> None:
    refresh(pipeline)
    before = len(table(pipeline, "example_contents"))
    load("examples", [example(60)])
    refresh(pipeline)
    assert (before, len(table(pipeline, "example_contents"))) == (30, 31)


def test_another_system_prompt_makes_a_new_version(thirty: None, load: Load, pipeline: Connection) -> None:
    refresh(pipeline)
    load("agents", [{**AGENT, "system_prompt": "You help with everything."}])
    assert refresh(pipeline).is_new
    assert [dataset(pipeline, number).recipe["prompt"]["system"] for number in (1, 2)] == ["You help with taxes.", "You help with everything."]


@pytest.mark.parametrize(
    ("fault", "named"),
    [
        ("DELETE FROM dataset_examples WHERE example_id = 'x00004'", "content hash differs"),
        ("UPDATE dataset_examples SET split = CASE split WHEN 'train' THEN 'test' ELSE 'train' END WHERE example_id = 'x00004'", "content hash differs"),
        ("UPDATE dataset_examples SET weight = 1.5 WHERE example_id = 'x00004'", "weights that do not follow"),
        ("DELETE FROM dataset_pairs WHERE pair_id = (SELECT min(pair_id) FROM dataset_pairs)", "content hash differs"),
        ("UPDATE training_datasets SET recipe = jsonb_set(recipe, '{prompt,system}', '\"Other\"')", "content hash differs"),
    ],
)
def test_what_the_owner_changed_is_found_when_rebuilding(thirty: None, pipeline: Connection, database: Database, fault: str, named: str) -> None:
    refresh(pipeline)
    with psycopg.connect(database.admin_url, options=SESSION, autocommit=True) as owner:
        owner.execute(fault)  # type: ignore[call-overload]
    with pytest.raises(LearningError, match=named):
        rebuild(pipeline, agent_ref(pipeline), dataset(pipeline).id)


def test_erased_contents_are_named_when_rebuilding(thirty: None, pipeline: Connection, database: Database) -> None:
    refresh(pipeline)
    with psycopg.connect(database.admin_url, options=SESSION, autocommit=True) as owner:
        owner.execute("SET session_replication_role = replica")
        owner.execute("DELETE FROM example_contents WHERE content ->> 'expected_output' = 'Answer 4.'")
    with pytest.raises(LearningError, match=r"contents gone \(1\)"):
        rebuild(pipeline, agent_ref(pipeline), dataset(pipeline).id)


def test_an_unknown_version_cannot_be_rebuilt(thirty: None, pipeline: Connection) -> None:
    with pytest.raises(BadInput, match="has no dataset"):
        rebuild(pipeline, agent_ref(pipeline), uuid4())


def test_the_dataset_of_another_tenant_cannot_be_rebuilt(thirty: None, load: Load, pipeline: Connection) -> None:
    load("agents", [AGENT], "other")
    refresh(pipeline)
    with pytest.raises(BadInput, match="has no dataset"):
        rebuild(pipeline, agent_ref(pipeline, organization="other"), dataset(pipeline).id)


def test_quality_becomes_weight(thirty: None, pipeline: Connection) -> None:
    pipeline.execute("UPDATE learning_examples SET quality_score = 0.9, confidence_score = 0.5 WHERE id = 'x00001'")
    refresh(pipeline)
    weights = {row["example_id"]: row["weight"] for row in table(pipeline, "dataset_examples")}
    assert (weights["x00001"], weights["x00002"]) == (1.4, 1.0)


def test_weights_rise_with_quality_and_never_vanish() -> None:
    steps = [number / 20 for number in range(21)]
    for confidence in (None, 0.0, 0.3, 1.0):
        weights = [example_weight(quality, confidence) for quality in steps]
        assert weights == sorted(weights)
        assert 0.1 <= weights[0] <= weights[-1] <= 2.0
    assert example_weight(None, None) == example_weight(None, 1.0) == example_weight(0.2, 0.0) == 1.0
