"""What Dagster recorded of runs over agents: which, how they ended, how often each began, what each materialized and where.

Belongs here: reading Dagster's storage; throughput and recovery, which are read off it. Not here: what has to be true of it (checks.py).
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

from learning_pipelines import run_tags

BATCHED, SINGLE = "agents_refresh", "dataset_refresh"
"""Jobs over the same assets: a run for a batch of agents, a run for each."""
ASSETS = ("learning_examples", "duplicate_clusters", "annotation_agreement", "example_quality", "training_datasets", "preference_pairs", "dataset_exports")
_NONE = "none"


@dataclass(frozen=True)
class Run:
    """One run. Times are seconds since 1970, None where it did not come so far; `starts`: how often a worker began it."""

    id: str
    partition: str
    status: str
    worker: str
    after: str | None
    asked: float
    started: float | None
    ended: float | None
    starts: int


@dataclass(frozen=True)
class Materialized:
    asset: str
    partition: str
    run: str


@dataclass(frozen=True)
class History:
    runs: tuple[Run, ...]
    materialized: tuple[Materialized, ...]

    def of(self, asset: str) -> list[Materialized]:
        return [one for one in self.materialized if one.asset == asset]


def history(instance: dg.DagsterInstance, job: str) -> History:
    """Runs of the job, and every materialization of the assets, whoever recorded it."""
    runs = [_run(instance, record) for record in instance.get_run_records(dg.RunsFilter(job_name=job), ascending=True)]
    return History(tuple(runs), tuple(one for asset in ASSETS for one in _materialized(instance, asset)))


def _run(instance: dg.DagsterInstance, record: Any) -> Run:
    run = record.dagster_run
    starts = len(instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.RUN_START).records)
    return Run(
        run.run_id, run.tags.get(run_tags.PARTITION, _NONE), run.status.value, run.tags.get(run_tags.WORKER, _NONE), run.tags.get(run_tags.AFTER),
        record.create_timestamp.timestamp(), record.start_time, record.end_time, starts,
    )  # fmt: skip


def _materialized(instance: dg.DagsterInstance, asset: str) -> Iterator[Materialized]:
    cursor: str | None = None
    while True:
        page = instance.fetch_materializations(dg.AssetKey(asset), limit=1_000, cursor=cursor)
        yield from (Materialized(asset, str(record.partition_key), record.run_id) for record in page.records)
        if not page.has_more:
            return
        cursor = page.cursor


def throughput(found: History) -> list[dict[str, Any]]:
    """Per worker: agents that it finished, runs that succeeded and failed, seconds of a run, agents a minute between its first start and its last end."""
    agents = Counter(one.run for one in found.of(ASSETS[-1]))
    workers = sorted({run.worker for run in found.runs if run.started and run.ended})
    return [_worker(name, [run for run in found.runs if run.worker == name and run.started and run.ended], agents) for name in workers]


def _worker(name: str, runs: Sequence[Run], agents: Counter[str]) -> dict[str, Any]:
    good = [run for run in runs if run.status == "SUCCESS"]
    took = [(run.ended or 0.0) - (run.started or 0.0) for run in good]
    # A killed run "ends" when it is noticed, which is none of the worker's time: until its last good run it worked.
    last = max((run.ended or 0.0 for run in good), default=0.0)
    busy = last - min(run.started or 0.0 for run in runs)
    inside = sum(agents[run.id] for run in good)
    return {
        "worker": name, "agents": sum(agents[run.id] for run in runs), "runs": len(good), "failed": len(runs) - len(good),
        "agents_per_minute": round(60 * inside / busy, 1) if good else 0.0,
        "median_seconds": round(statistics.median(took), 2) if good else None, "working_seconds": round(busy, 1) if good else 0.0,
    }  # fmt: skip


def recovery(found: History, cut: Sequence[str], killed: float) -> list[dict[str, Any]]:
    """Of each run that was cut off: seconds from the kill until it counted as failed, was asked for again, was at work again, and was done; and by whom."""
    return [_recovered(found, run, killed) for run in found.runs if run.id in cut]


def _recovered(found: History, run: Run, killed: float) -> dict[str, Any]:
    again = next((one for one in found.runs if one.after == run.id), None)
    moments = {"noticed": run.ended, "asked_again": again and again.asked, "at_work_again": again and again.started, "done": again and again.ended}
    return {
        "run": run.id, "partition": run.partition, "killed_worker": run.worker, "by": again.worker if again else None,
        **{f"{name}_seconds": None if moment is None else round(moment - killed, 1) for name, moment in moments.items()},
    }  # fmt: skip
