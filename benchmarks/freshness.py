"""From inserting feedback to its example while everything runs, and the work that a thousand make: `make bench-freshness [ARGS="--singles 20"]`.

Belongs here: `up` as a process, feedback over HTTP, waiting for examples, processor time. Not here: asserting anything, ticks alone (loop.py, incremental.py).

A correction is sent at a moment of chance between two ticks; it has arrived when its example is in the database, looked for every 20 ms. The work of a batch
is told twice: how long Dagster's step took that made its examples, and the processor time of all processes and of PostgreSQL until the metrics of its day
were computed too, above what they take in as many seconds with nothing new (measured before and after).
"""

from __future__ import annotations

import argparse
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psutil

from benchmarks.loop import machine
from benchmarks.record import record
from benchmarks.servers import tree_cpu
from learning_pipelines.storage import embedded
from learning_pipelines.storage.database import Connection
from learning_pipelines_tests.cli.command_line import call, database_of, remove, write_rows
from learning_pipelines_tests.cli.running import Up, family, start

PATIENCE = 900.0
STEPS = """query($job: String!) { runsOrError(filter: {pipelineName: $job}) { ... on Runs { results { runId status creationTime
    stepStats { stepKey startTime endTime } } } } }"""


class Running:
    """What runs, with a key to its service and a connection to its database."""

    def __init__(self, up: Up, key: str, connection: Connection) -> None:
        self.up, self.connection = up, connection
        server = embedded.running(up.home)
        assert server is not None
        self._trees = [psutil.Process(up.process.pid), psutil.Process(server.pid)]
        self._client = httpx.Client(base_url=f"http://127.0.0.1:{up.api_port}/api/learning", headers={"Authorization": f"Bearer {key}"}, timeout=60)

    def send(self, mark: str, count: int) -> None:
        """So many executions, then a correction of each; all of them are stored when this returns."""
        ran = [{"execution_id": f"{mark}-{n}", "agent": "desk", "input": f"How do I file form {mark} {n}?", "output": "By post."} for n in range(count)]
        said = [
            {"feedback_id": f"{mark}-{n}", "execution_id": f"{mark}-{n}", "user": f"user-{n % 50}", "feedback_type": "correction",
             "correction_text": f"Use portal {n} before the 10th."} for n in range(count)
        ]  # fmt: skip
        for kind, items in (("executions", ran), ("feedback", said)):
            answer = self._client.post(f"/{kind}/batch", json={"items": items})
            assert answer.status_code == 200 and all(one["status"] == "stored" for one in answer.json()["results"]), answer.text[:500]

    def examples(self, mark: str) -> int:
        row = self.connection.execute("SELECT count(*) FROM learning_examples WHERE source_id LIKE %s", [f"{mark}-%"]).fetchone()
        return int(row[0]) if row else 0

    def corrections_counted(self) -> int:
        row = self.connection.execute("SELECT coalesce(sum(corrections), 0) FROM feedback_metrics").fetchone()
        return int(row[0]) if row else 0

    def spent(self) -> float:
        return sum(tree_cpu(process) for process in self._trees)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--singles", type=int, default=20, help="corrections sent one at a time")
    arguments.add_argument("--batch", type=int, default=1_000, help="corrections sent at once")
    arguments.add_argument("--batches", type=int, default=3)
    arguments.add_argument("--seed", type=int, default=0, help="of the moments at which they are sent")
    chosen = arguments.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="learning-benchmark-", dir="/var/tmp"))
    home = folder / "home"
    print(machine(), flush=True)
    try:
        up = start(home, "up")
        call(home, "import", "agents", write_rows(folder / "agents.jsonl", [{"agent": "desk", "system_prompt": "Answer."}]))
        key = str(call(home, "keys", "create", "--role", "user", "--json").document["key"])
        with database_of(home).connect("pipeline") as connection:
            running = Running(up, key, connection)
            running.send("first", 1)  # everything is loaded by now
            waited(lambda: running.examples("first") == 1)
            singles(running, chosen.singles, random.Random(chosen.seed))
            batches(running, chosen.batch, chosen.batches)
        call(home, "down")
    finally:
        for process in family(home):
            process.kill()
        remove(home)
        shutil.rmtree(folder, ignore_errors=True)


def singles(running: Running, count: int, chance: random.Random) -> None:
    seconds = []
    for number in range(count):
        time.sleep(6 * chance.random())
        running.send(f"single{number}", 1)
        seconds.append(waited(lambda number=number: running.examples(f"single{number}") == 1))  # type: ignore[misc]
        record("from insert to example", seconds[-1], "s")
        print(f"from insert to example: {seconds[-1]:.1f} s", flush=True)
    if seconds:
        print(f"median of {count}: {statistics.median(seconds):.1f} s (goal: 15)", flush=True)


def batches(running: Running, size: int, count: int) -> None:
    before = idle(running)
    for number in range(count):
        counted, known = running.corrections_counted(), {run["runId"] for run in finished(running.up)}
        begun, spent = time.monotonic(), running.spent()
        running.send(f"batch{number}", size)
        seconds = waited(lambda number=number: running.examples(f"batch{number}") == size)  # type: ignore[misc]
        waited(lambda counted=counted: running.corrections_counted() == counted + size)  # type: ignore[misc]
        quiet(running)
        spent, lasted = running.spent() - spent, time.monotonic() - begun
        step = sum(one["endTime"] - one["startTime"] for run in finished(running.up) if run["runId"] not in known for one in run["stepStats"])
        after = idle(running)
        above = spent - lasted * (before + after) / 2
        record(f"from insert to the last of {size:,} examples", seconds, "s")
        record(f"work of {size:,} feedbacks, the step that makes examples", step, "s")
        record(f"work of {size:,} feedbacks, processor time of everything above idle", above, "s of a core")
        record("with nothing new, everything that runs", after, "of a core")
        print(f"{size:,} feedbacks: examples after {seconds:.1f} s, the step took {step:.2f} s; processor time of everything in {lasted:.0f} s: {spent:.1f} s, "
              f"{above:.1f} above what it is with nothing new ({before:.2f} and {after:.2f} of a core)", flush=True)  # fmt: skip
        before = after


def idle(running: Running, seconds: float = 30.0) -> float:
    """What everything takes of a core with nothing new."""
    quiet(running)
    begun, before = time.monotonic(), running.spent()
    time.sleep(seconds)
    return (running.spent() - before) / (time.monotonic() - begun)


def quiet(running: Running) -> None:
    """Waits until no run is under way any more, and the one tick that could still start one is over."""
    under_way = """{ runsOrError(filter: {statuses: [QUEUED, NOT_STARTED, STARTING, STARTED, CANCELING]}) { ... on Runs { results { runId } } } }"""
    for _ in range(2):
        waited(lambda: not running.up.query(under_way)["results"])
        time.sleep(6)
    waited(lambda: not running.up.query(under_way)["results"])


def finished(up: Up) -> list[dict[str, Any]]:
    return [run for run in up.query(STEPS, job="examples_refresh")["results"] if run["status"] == "SUCCESS"]


def waited(what: Callable[[], bool]) -> float:
    """Seconds until it was so."""
    begun = time.monotonic()
    while not what():
        if time.monotonic() - begun > PATIENCE:
            raise SystemExit(f"it did not happen within {PATIENCE:.0f} s")
        time.sleep(0.02)
    return time.monotonic() - begun


if __name__ == "__main__":
    main()
