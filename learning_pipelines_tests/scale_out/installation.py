"""The installation that hands out runs: `up` with nothing automatic, rows, a backfill, and what Dagster says about its runs.

Belongs here: GraphQL and Dagster's own storage. Not here: servers and workers (surroundings.py), what has to be true (checks.py).
"""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import dagster as dg
import httpx
import orjson
import psycopg

from learning_pipelines import run_tags
from learning_pipelines.defs.batches import batch_of
from learning_pipelines_tests.children import PROGRAM
from learning_pipelines_tests.cli.running import free_port, wait_for
from learning_pipelines_tests.scale_out.history import BATCHED
from learning_pipelines_tests.scale_out.rows import names, rows
from learning_pipelines_tests.scale_out.surroundings import Surroundings

METRICS = "metrics_refresh"
KINDS = ("agents", "executions", "feedback", "examples")
RECOVERS = "crashed_runs"
"""The sensor that stays on: it asks again for what a killed worker was in the middle of."""
QUIET_SECONDS = 10.0
_AUTOMATIC = """{ repositoriesOrError { ... on RepositoryConnection { nodes {
    sensors { name sensorState { id status } } schedules { scheduleState { id status } } } } } }"""
_BACKFILL = """mutation($what: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $what)
    { __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""


@dataclass
class Installation:
    around: Surroundings
    url: str
    instance: dg.DagsterInstance

    def query(self, text: str, **variables: Any) -> Any:
        answer = httpx.post(f"{self.url}/graphql", json={"query": text, "variables": variables}, timeout=120).json()
        assert "errors" not in answer, answer["errors"]
        return next(iter(answer["data"].values()))

    def nothing_automatic(self) -> None:
        """Sensors and schedules off, but one: every run is one of the backfill, or its second attempt.

        A tick that is going on writes the state of its sensor anew at its end, "running" too: looked at until nothing has run for a while.
        """
        quiet = time.monotonic()
        while time.monotonic() - quiet < QUIET_SECONDS:
            for mutation, identity in self.automatic():
                said = self.query(f"mutation($id: String!) {{ {mutation}(id: $id) {{ __typename }} }}", id=identity)
                assert "Error" not in said["__typename"], said
                quiet = time.monotonic()
            time.sleep(1)

    def automatic(self) -> list[tuple[str, str]]:
        """What would ask for runs by itself: how it is stopped, and its id."""
        (location,) = self.query(_AUTOMATIC)["nodes"]
        sensors = [("stopSensor", one["sensorState"]) for one in location["sensors"] if one["name"] != RECOVERS]
        schedules = [("stopRunningSchedule", one["scheduleState"]) for one in location["schedules"]]
        return [(mutation, state["id"]) for mutation, state in sensors + schedules if state["status"] == "RUNNING"]

    def fill(self, agents: int, seed: int) -> None:
        """Rows by the command line's import."""
        for kind in KINDS:
            path = self.around.folder / f"{kind}.jsonl"
            path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows(kind, agents, seed)))
            self.around.call("import", kind, path)

    def backfill(self, job: str, agents: int) -> int:
        """All partitions of the job that have an agent, as runs of a backfill; returns how many runs."""
        agent_keys = [f"default/{name}" for name in names(agents)]
        self.instance.add_dynamic_partitions("agents", agent_keys)
        return self._launched(job, sorted({batch_of(key) for key in agent_keys}) if job == BATCHED else agent_keys)

    def count_days(self) -> int:
        """The metrics of every day that has executions, by a worker; returns how many runs."""
        with psycopg.connect(self.around.variables["LEARNING_DATABASE_URL"]) as session:
            days = session.execute("SELECT DISTINCT (created_at AT TIME ZONE 'UTC')::date::text FROM learning.agent_executions").fetchall()
        return sum(self._launched(METRICS, [day]) for (day,) in sorted(days))

    def _launched(self, job: str, keys: list[str]) -> int:
        selector = {"repositorySelector": {"repositoryLocationName": "learning_pipelines", "repositoryName": "__repository__"}}
        said = self.query(_BACKFILL, what={"selector": {**selector, "partitionSetName": f"{job}_partition_set"}, "partitionNames": keys})
        assert said["__typename"] == "LaunchBackfillSuccess", said
        return len(keys)

    def states(self) -> Counter[str]:
        return Counter(run.status.value for run in self.instance.get_runs())

    def succeeded(self) -> int:
        return self.instance.get_runs_count(dg.RunsFilter(statuses=[dg.DagsterRunStatus.SUCCESS]))

    def connections(self) -> int:
        """To the server of PostgreSQL, all databases."""
        with psycopg.connect(self.around.variables["LEARNING_DATABASE_URL"]) as session:
            row = session.execute("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'").fetchone()
        return int(row[0]) if row else 0

    def at_work(self, worker: str) -> list[str]:
        """Runs that this worker is in the middle of."""
        started = self.instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))
        return [run.run_id for run in started if run.tags.get(run_tags.WORKER) == worker]


@contextlib.contextmanager
def installation(around: Surroundings) -> Iterator[Installation]:
    """`migrate` and `up`, at a home on this machine's disk."""
    import os

    from learning_pipelines.defs.instance import environment
    from learning_pipelines.settings import Settings
    from learning_pipelines.storage.database import open_database

    home = around.homes / "main"
    port = free_port()
    around.call("migrate")
    log = around.folder / "up.log"
    env = {**around.environment(home), "LEARNING_DAGSTER_PORT": str(port), "LEARNING_API_PORT": str(free_port())}
    with log.open("wb") as output:
        up = subprocess.Popen([PROGRAM, "up"], env=env, cwd="/", stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        wait_for(lambda: "(Ctrl-C" in log.read_text() or up.poll() is not None)
        assert up.poll() is None, log.read_text()
        os.environ.update(around.environment(home))
        settings = Settings()
        os.environ.update(environment(settings, open_database(settings)))
        with dg.DagsterInstance.get() as instance:
            yield Installation(around, f"http://127.0.0.1:{port}", instance)
    finally:
        up.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            up.wait(60)
        up.kill()
