"""The job agents_refresh: all agents of a batch in one run, and only what the run before it left undone.

Belongs here: what its runs do and record. Not here: several workers (scale_out/), the rules of examples and datasets.
"""

from __future__ import annotations

import dagster as dg
import pytest

from learning_pipelines import run_tags
from learning_pipelines.defs.batches import BATCHES, batch_of, batches
from learning_pipelines.examples.export_files import file_hash
from learning_pipelines.storage.database import Connection
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.defs.conftest import Materialize, asked
from learning_pipelines_tests.feedback.rows import AGENT, said, table

ASSETS = {
    "learning_examples", "duplicate_clusters", "annotation_agreement", "example_quality", "training_datasets", "preference_pairs", "dataset_exports",
}  # fmt: skip


def names_of_one_batch(count: int) -> list[str]:
    wanted = batch_of("default/agent-0")
    return [name for name in (f"agent-{number}" for number in range(40 * BATCHES)) if batch_of(f"default/{name}") == wanted][:count]


@pytest.fixture
def two(load: Load) -> list[str]:
    """Two agents of one batch and one of another, each with a correction and an approved example."""
    names = names_of_one_batch(2)
    other = next(f"other-{number}" for number in range(100) if batch_of(f"default/other-{number}") != batch_of("default/agent-0"))
    for name in (*names, other):
        load("agents", [AGENT | {"agent": name}])
        load("executions", [asked(f"{name}-e", f"Which form does {name} need?", agent=name, user="ada")])
        load("feedback", [said(f"{name}-f", f"{name}-e", "correction", correction_text="Form 12.", user="ada")])
        load("examples", [{
            "example_id": f"{name}-x", "agent": name, "input_text": f"When is the return of {name} due?", "expected_output": "On the 12th.",
            "user": "bob", "review_status": "approved",
        }])  # fmt: skip
    return names


def recorded(result: dg.ExecuteInProcessResult) -> set[tuple[str, str | None]]:
    return {(event.asset_key.to_user_string(), event.partition) for event in result.get_asset_materialization_events() if event.asset_key is not None}


def test_batches_hold_every_agent_once_and_about_as_many_each() -> None:
    found = [batch_of(f"acme/agent-{number}") for number in range(100 * BATCHES)]
    assert set(found) == set(batches.get_partition_keys())
    assert max(found.count(key) for key in set(found)) < 150


def test_a_run_brings_every_agent_of_its_batch_up_to_date_and_no_other(two: list[str], run_job: Materialize, pipeline: Connection) -> None:
    result = run_job("agents_refresh", batch_of("default/agent-0"))
    assert recorded(result) == {(asset, f"default/{name}") for asset in ASSETS for name in two}
    assert len(table(pipeline, "training_datasets")) == 2
    assert len(table(pipeline, "learning_examples", "source_type = 'user_feedback'")) == 2
    files = table(pipeline, "dataset_exports")
    assert files and all(file_hash(one["path"]) is not None for one in files)


def test_again_changes_nothing(two: list[str], run_job: Materialize, pipeline: Connection) -> None:
    run_job("agents_refresh", batch_of("default/agent-0"))
    before = [table(pipeline, name) for name in ("learning_examples", "training_datasets", "dataset_examples", "dataset_exports")]
    run_job("agents_refresh", batch_of("default/agent-0"))
    assert [table(pipeline, name) for name in ("learning_examples", "training_datasets", "dataset_examples", "dataset_exports")] == before


def test_a_run_that_repeats_another_does_what_that_had_not_finished(
    two: list[str], run_job: Materialize, pipeline: Connection, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    from learning_pipelines.defs import batches as module

    class Killed(BaseException):
        """As good as SIGKILL: nobody handles it."""

    real, calls = module.refresh_artifacts, list[str]()

    def dies_at_the_second(connection: Connection, agent: object, artifacts: str) -> object:
        calls.append(artifacts)
        if len(calls) == 2:
            raise Killed
        return real(connection, agent, artifacts)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "refresh_artifacts", dies_at_the_second)
    with pytest.raises(Killed):
        run_job("agents_refresh", batch_of("default/agent-0"))
    monkeypatch.setattr(module, "refresh_artifacts", real)
    (first,) = instance.get_runs()
    again = run_job("agents_refresh", batch_of("default/agent-0"), {run_tags.AFTER: first.run_id})
    assert {partition for _, partition in recorded(again)} == {f"default/{two[1]}"}
    assert len(table(pipeline, "training_datasets")) == 2


def test_an_agent_that_fails_fails_the_run_and_leaves_the_others_done(
    two: list[str], run_job: Materialize, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    from learning_pipelines.defs import batches as module
    from learning_pipelines.errors import LearningError

    real = module.refresh_artifacts

    def refuses_the_first(connection: Connection, agent: object, artifacts: str) -> object:
        if agent.agent == two[0]:  # type: ignore[attr-defined]
            raise LearningError("The store is full.", "Free space.")
        return real(connection, agent, artifacts)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "refresh_artifacts", refuses_the_first)
    result = run_job("agents_refresh", batch_of("default/agent-0"), raise_on_error=False)
    assert not result.success
    assert instance.get_materialized_partitions(dg.AssetKey("dataset_exports")) == {f"default/{two[1]}"}
