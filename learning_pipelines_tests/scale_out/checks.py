"""What has to be true afterwards: nothing done twice, nothing missing; each by counts against what the rows say.

Belongs here: counting in the database, in what Dagster recorded and in the artifact store. Not here: making it happen, reading Dagster (history.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from learning_pipelines.examples.export_files import file_hash, located
from learning_pipelines.storage.database import Connection
from learning_pipelines_tests.chaos import invariants
from learning_pipelines_tests.chaos.ledger import Ledger
from learning_pipelines_tests.scale_out.history import ASSETS, BATCHED, History
from learning_pipelines_tests.scale_out.rows import APPROVED, CORRECTED, FILES, names


@dataclass(frozen=True)
class Check:
    """`found` has to equal `expected`."""

    name: str
    expected: int
    found: int

    @property
    def ok(self) -> bool:
        return self.expected == self.found


@dataclass(frozen=True)
class Told:
    """What happened, as far as it says what has to be true: `runs` that were asked for, `cut`: ids of those whose worker was killed."""

    job: str
    agents: int
    runs: int
    cut: tuple[str, ...] = ()


def checks(connection: Connection, found: History, artifacts: str, told: Told) -> list[Check]:
    """All of them, in the order of the story. `connection` acts as the pipelines do."""
    in_rows = [*_rows(connection, told.agents), *_judged(connection), *_files(connection, artifacts, told.agents)]
    return [*in_rows, *_runs(found, told), *_materialized(found, told)]


_COUNTS = {
    "corrections stored": (CORRECTED, "SELECT count(*) FROM agent_feedback WHERE feedback_type = 'correction'"),
    "corrections that are in exactly one example": (
        CORRECTED,
        """SELECT count(*) FROM (SELECT s.feedback_id FROM example_sources s JOIN learning_examples e ON e.organization_id = s.organization_id
            AND e.id = s.example_id AND e.is_active JOIN agent_feedback f ON f.organization_id = s.organization_id AND f.id = s.feedback_id
            GROUP BY s.organization_id, s.feedback_id HAVING count(*) = 1) AS once""",
    ),
    "examples derived from them": (CORRECTED, "SELECT count(*) FROM learning_examples WHERE is_active AND source_type = 'user_feedback'"),
    "different ones among these": (
        CORRECTED,
        "SELECT count(*) FROM (SELECT DISTINCT agent_id, content_hash FROM learning_examples WHERE source_type = 'user_feedback') AS one",
    ),
    "all examples": (APPROVED + CORRECTED, "SELECT count(*) FROM learning_examples"),
    "dataset versions": (1, "SELECT count(*) FROM training_datasets"),
    "agents with a dataset": (1, "SELECT count(DISTINCT a) FROM training_datasets, unnest(agent_ids) AS a"),
    "datasets with all of their approved examples": (
        1,
        """SELECT count(*) FROM training_datasets d WHERE (d.total_examples, (SELECT count(*) FROM dataset_examples e
            WHERE e.organization_id = d.organization_id AND e.dataset_id = d.id)) = (%s, %s)""",
    ),
    "agents with metrics of their day": (1, "SELECT count(DISTINCT agent_id) FROM feedback_metrics WHERE executions > 0"),
    "corrections in the metrics": (CORRECTED, "SELECT sum(corrections) FROM feedback_metrics"),
}  # fmt: skip
"""Per agent so many, and how they are counted."""


def _rows(connection: Connection, agents: int) -> Iterator[Check]:
    for name, (each, query) in _COUNTS.items():
        row = connection.execute(query, [APPROVED, APPROVED] if "%s" in query else []).fetchone()  # type: ignore[arg-type]
        yield Check(name, agents * each, int(row[0] or 0) if row else 0)


def _judged(connection: Connection) -> Iterator[Check]:
    """What also has to hold after chaos: no source twice, datasets that hash to what is recorded, counters that equal a recount."""
    evidence = invariants.Evidence(connection, Ledger())
    for judge in (invariants.examples_once, invariants.datasets_whole, invariants.counters_equal_recounts):
        yield Check(f"faults: {judge.__name__.replace('_', ' ')}", 0, len(list(judge(evidence))))


def _files(connection: Connection, artifacts: str, agents: int) -> Iterator[Check]:
    """Every exported file is in the store, to the byte; and no part of one."""
    recorded = connection.execute("SELECT path, sha256, bytes FROM dataset_exports").fetchall()
    system, root = located(artifacts)
    stored = [path for path in system.find(root) if not path.rsplit("/", 1)[1].startswith(".")]
    yield Check("agents with exported files", agents, len({path.rsplit("/", 2)[0] for path, _, _ in recorded}))
    yield Check("recorded files", agents * FILES, len(recorded))
    yield Check("recorded files with their bytes in the store", agents * FILES, sum(file_hash(path) == (sha256, size) for path, sha256, size in recorded))
    yield Check("files in the store", agents * FILES, len(stored))


def _runs(found: History, told: Told) -> Iterator[Check]:
    good = [run for run in found.runs if run.status == "SUCCESS"]
    again = [run for run in good if run.after in told.cut]
    workers = {run.id: run.worker for run in found.runs}
    yield Check("runs", told.runs + len(told.cut), len(found.runs))
    yield Check("runs that succeeded", told.runs, len(good))
    yield Check("partitions of the job whose run succeeded", told.runs, len({run.partition for run in good}))
    yield Check("runs that failed, other than the killed ones", 0, len([run for run in found.runs if run.status != "SUCCESS" and run.id not in told.cut]))
    yield Check("runs that a worker began more than once", 0, len([run for run in found.runs if run.starts > 1]))
    yield Check("killed runs that another worker did again", len(told.cut), len([run for run in again if run.worker != workers[str(run.after)]]))


def _materialized(found: History, told: Told) -> Iterator[Check]:
    """One of each asset per agent, and one more of what a killed run had recorded of an agent that it did not finish."""
    keys = {f"default/{name}" for name in names(told.agents)}
    finished = {(one.run, one.partition) for one in found.of(ASSETS[-1])} if told.job == BATCHED else set()
    for asset in ASSETS:
        records = found.of(asset)
        unfinished = [one for one in records if one.run in told.cut and (one.run, one.partition) not in finished]
        counts = Counter(one.partition for one in records)
        yield Check(f"agents in {asset}", len(keys), len(keys & counts.keys()))
        yield Check(f"materializations of {asset}", len(keys) + len(unfinished), counts.total())
