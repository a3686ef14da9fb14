"""What tests of assets, jobs, sensors and schedules share: the code location, a store on the test's database, an instance in memory.

Belongs here: fixtures, rows of the small example week. Not here: assertions.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin

from learning_pipelines.definitions import defs
from learning_pipelines.settings import Settings
from learning_pipelines.storage.database import Database
from learning_pipelines.storage.store import Store
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.feedback.rows import AGENT, execution

RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
Materialize = Callable[..., dg.ExecuteInProcessResult]


@pytest.fixture(scope="session")
def location() -> dg.Definitions:
    """The code location, loaded once."""
    return defs()


@pytest.fixture
def store(database: Database, tmp_path: Path) -> Store:
    """Without an encoder: near-duplicates by 5-grams alone, so that no test waits for a model it does not look at."""
    return Store(Settings(home=tmp_path / "home", timezone="UTC", duplicate_cosine=None), database)


@pytest.fixture
def berlin_store(database: Database, tmp_path: Path) -> Store:
    """The same database seen by an installation whose days begin at midnight in Berlin."""
    return Store(Settings(home=tmp_path / "home", timezone="Europe/Berlin", duplicate_cosine=None), database)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as one:
        yield one


@pytest.fixture
def desk(load: Load) -> None:
    """One agent, `default/desk`."""
    load("agents", [AGENT])


@pytest.fixture
def run_job(location: dg.Definitions, instance: dg.DagsterInstance, store: Store) -> Materialize:
    """`run_job("dataset_refresh", partition="default/desk", tags={…})` runs a job of the location on the test's database."""

    def run(job: str, partition: str | None = None, tags: dict[str, Any] | None = None, raise_on_error: bool = True) -> dg.ExecuteInProcessResult:
        if partition is not None and "/" in partition:
            instance.add_dynamic_partitions("agents", [partition])
        return location.resolve_job_def(job).execute_in_process(
            instance=instance, partition_key=partition, tags=tags, resources={"store": store}, raise_on_error=raise_on_error
        )

    return run


def checks_of(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    """Name of each check that the run evaluated, and whether it passed."""
    return {check.check_name: check.passed for check in result.get_asset_check_evaluations()}


def metadata_of(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, Any]:
    """Metadata of the only materialization of an asset in a run, as plain values."""
    (event,) = [event for event in result.get_asset_materialization_events() if event.asset_key == dg.AssetKey(asset)]
    return {name: value.value for name, value in event.materialization.metadata.items()}


def asked(name: str, question: str, **more: Any) -> dict[str, Any]:
    """An execution with an input of its own words (near-duplicates would share a split)."""
    return execution(name, **more) | {"input": question}


def queued(instance: dg.DagsterInstance, job: dg.JobDefinition, tags: dict[str, str] | None = None) -> dg.DagsterRun:
    """A run that waits in the queue, as the code location's."""
    origin = RemoteJobOrigin(RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("learning_pipelines"), "__repository__"), job.name)
    code = JobPythonOrigin(job.name, RepositoryPythonOrigin(sys.executable, ModuleCodePointer("learning_pipelines.definitions", "defs")))
    return instance.create_run_for_job(job, status=dg.DagsterRunStatus.QUEUED, tags=tags, remote_job_origin=origin, job_code_origin=code)
