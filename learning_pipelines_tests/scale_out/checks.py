"""What has to be true afterwards: nothing done twice, nothing missing; each by counts against what the rows say.

Belongs here: counting in the database, in Dagster's storage and in the artifact store. Not here: making it happen.
"""

from __future__ import annotations

import datetime as dt
import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

from learning_pipelines.examples.export_files import file_hash, located
from learning_pipelines.settings import Settings
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.store import Store
from learning_pipelines_tests.scale_out.installation import BATCHED, SINGLE, WORKER_TAG
from learning_pipelines_tests.scale_out.rows import APPROVED, CORRECTED, names

ASSETS = ("learning_examples", "duplicate_clusters", "annotation_agreement", "example_quality", "training_datasets", "preference_pairs", "dataset_exports")
PARTITION = "dagster/partition"


@dataclass(frozen=True)
class Check:
    """`found` has to equal `expected`."""

    name: str
    expected: int
    found: int

    @property
    def ok(self) -> bool:
        return self.expected == self.found


_EXAMPLES = "SELECT count(*) FROM learning_examples WHERE is_active AND source_type = 'user_feedback'"
_DATASETS = "SELECT count(*) FROM training_datasets"
_WHOLE = "SELECT count(*) FROM (SELECT 1 FROM dataset_examples GROUP BY organization_id, dataset_id HAVING count(*) = %s) AS whole"


def checks(instance: dg.DagsterInstance, agents: int, runs: int) -> list[Check]:
    """All of them, in the order of the story."""
    keys = {f"default/{name}" for name in names(agents)}
    with Store(Settings()).pipeline() as connection:
        found = _rows(connection, agents)
        found += _files(connection, agents)
    return [*found, *_runs(instance, keys, runs)]


def _rows(connection: Connection, agents: int) -> list[Check]:
    def count(query: str, *values: object) -> int:
        row = connection.execute(query, values).fetchone()  # type: ignore[arg-type]
        assert row is not None
        return int(row[0])

    once = "SELECT count(*) FROM (SELECT DISTINCT agent_id, content_hash FROM learning_examples WHERE source_type = 'user_feedback') AS one"
    return [
        Check("examples derived from feedback", agents * CORRECTED, count(_EXAMPLES)),
        Check("different ones among them", agents * CORRECTED, count(once)),
        Check("all examples", agents * (APPROVED + CORRECTED), count("SELECT count(*) FROM learning_examples")),
        Check("dataset versions", agents, count(_DATASETS)),
        Check("agents with a dataset", agents, count("SELECT count(DISTINCT a) FROM training_datasets, unnest(agent_ids) AS a")),
        Check("datasets with all of their approved examples", agents, count(_WHOLE, APPROVED)),
    ]


def _files(connection: Connection, agents: int) -> list[Check]:
    """Every exported file is in the store, to the byte; and no part of one."""
    artifacts = Settings().artifacts
    recorded = connection.execute("SELECT path, sha256, bytes FROM dataset_exports").fetchall()
    right = sum(file_hash(path) == (sha256, size) for path, sha256, size in recorded)
    system, root = located(artifacts)
    stored = len([path for path in system.find(root) if not path.rsplit("/", 1)[1].startswith(".")])
    owners = len({path.rsplit("/", 2)[0] for path, _, _ in recorded})
    return [
        Check("agents with exported files", agents, owners),
        Check("recorded files with their bytes in the store", len(recorded), right),
        Check("files in the store", len(recorded), stored),
    ]


def _runs(instance: dg.DagsterInstance, keys: set[str], wanted: int) -> list[Check]:
    runs = [run for run in instance.get_runs() if run.job_name in (BATCHED, SINGLE)]
    succeeded = Counter(run.tags[PARTITION] for run in runs if run.status is dg.DagsterRunStatus.SUCCESS)
    ended = sum(run.is_finished for run in runs)
    materialized = [set(instance.get_materialized_partitions(dg.AssetKey(name))) for name in ASSETS]
    return [
        Check("partitions of the job whose run succeeded", wanted, len(succeeded)),
        Check("runs that succeeded", wanted, succeeded.total()),
        Check("runs that have ended", len(runs), ended),
        *(Check(f"partitions of {name}", len(keys), len(keys & done)) for name, done in zip(ASSETS, materialized, strict=True)),
    ]


def repeated(instance: dg.DagsterInstance) -> dict[str, int]:
    """Materializations of an asset beyond one per partition: the step that a killed worker had recorded and not finished."""
    found = {}
    for name in ASSETS:
        counts = Counter(record.partition_key for record in materializations(instance, name))
        if more := counts.total() - len(counts):
            found[name] = more
    return found


def materializations(instance: dg.DagsterInstance, asset: str) -> Iterator[dg.EventLogRecord]:
    """All that were recorded of an asset."""
    cursor: str | None = None
    while True:
        page = instance.fetch_materializations(dg.AssetKey(asset), limit=1_000, cursor=cursor)
        yield from page.records
        if not page.has_more:
            return
        cursor = page.cursor


def throughput(instance: dg.DagsterInstance) -> list[dict[str, Any]]:
    """Per worker: agents that it finished, runs that succeeded and failed, seconds of a run, agents a minute between its first and its last."""
    by_worker: dict[str, list[Any]] = {}
    for record in instance.get_run_records():
        if record.dagster_run.job_name in (BATCHED, SINGLE) and record.start_time and record.end_time:
            by_worker.setdefault(record.dagster_run.tags.get(WORKER_TAG, "none"), []).append(record)
    agents = Counter(record.run_id for record in materializations(instance, ASSETS[-1]))
    return [_worker(name, records, agents) for name, records in sorted(by_worker.items())]


def _worker(name: str, records: Sequence[Any], agents: Mapping[str, int]) -> dict[str, Any]:
    good = [record for record in records if record.dagster_run.status is dg.DagsterRunStatus.SUCCESS]
    first, last = min(record.start_time for record in records), max((record.end_time for record in good), default=0.0)
    minutes = max(last - first, 1e-9) / 60
    finished = sum(agents.get(record.dagster_run.run_id, 0) for record in records)
    return {
        "worker": name, "agents": finished, "runs": len(good), "failed": len(records) - len(good),
        "agents_per_minute": round(finished / minutes, 1) if good else 0.0,
        "median_seconds": round(statistics.median([record.end_time - record.start_time for record in good]), 2) if good else None,
        "from": dt.datetime.fromtimestamp(first, dt.UTC).isoformat(timespec="seconds"),
        "to": dt.datetime.fromtimestamp(last, dt.UTC).isoformat(timespec="seconds") if good else None,
    }  # fmt: skip
