"""The same code on several workers: many agents, one worker killed in the middle: `make scale-out [ARGS="--agents 1000 --workers 2"]`.

Belongs here: the order of things, what is printed and written. Not here: servers (surroundings.py), Dagster (installation.py), counting (checks.py).

Workers have homes of their own, on file systems that the others do not see where this user may mount one; they share one PostgreSQL, one broker (Redis) and
one artifact store, which is moto's server of the S3 API: it keeps objects in its memory and is spoken to over HTTP, as a real one is.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.loop import machine
from learning_pipelines.settings import Settings
from learning_pipelines.storage.store import Store
from learning_pipelines_tests.scale_out.checks import Told, checks
from learning_pipelines_tests.scale_out.history import BATCHED, SINGLE, history, recovery, throughput
from learning_pipelines_tests.scale_out.installation import Installation, installation
from learning_pipelines_tests.scale_out.surroundings import Surroundings, lacking, surroundings

REPLACED_AFTER_SECONDS = 30.0
STILL_SECONDS = 300.0
"""So long without a run that ended, and the story ends as it is: something hangs."""
UNFINISHED = ("NOT_STARTED", "QUEUED", "STARTING", "STARTED", "CANCELING")


def main() -> int:
    return run()[0]


def run() -> tuple[int, dict[str, Any]]:
    """Exit code (1 where a count is wrong) and what was found. Raises SystemExit where it cannot run here, or hangs."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--agents", type=int, default=1_000)
    arguments.add_argument("--workers", type=int, default=2)
    arguments.add_argument("--concurrency", type=int, default=1, help="Runs at once in a worker.")
    arguments.add_argument("--job", choices=(BATCHED, SINGLE), default=BATCHED, help="Runs for batches of agents, or a run for each.")
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--kill-after", type=float, default=0.33, metavar="SHARE", help="Share of the runs after which the first worker is killed.")
    arguments.add_argument("--no-encoder", action="store_true", help="Near-duplicates by text alone: no encoder process beside each worker.")
    arguments.add_argument("--json", type=Path, help="Where the numbers are written too.")
    chosen = arguments.parse_args()
    if reason := lacking():
        raise SystemExit(f"Not tried: {reason}.")
    folder = Path(tempfile.mkdtemp(prefix="learning-scale-out-", dir="/var/tmp"))
    settings = {"LEARNING_DUPLICATE_COSINE": "off"} if chosen.no_encoder else {}
    try:
        with surroundings(folder, settings) as around, installation(around) as installed:
            found = told(around, installed, chosen)
    except BaseException:
        print(f"Its logs are kept in {folder}.", file=sys.stderr)
        raise
    print(report(found))
    if chosen.json:
        chosen.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    if all(one["ok"] for one in found["checks"]):
        shutil.rmtree(folder)
        return 0, found
    print(f"Its logs are kept in {folder}.", file=sys.stderr)
    return 1, found


def told(around: Surroundings, installed: Installation, chosen: argparse.Namespace) -> dict[str, Any]:
    """Rows, workers, the backfill, the kill, a worker in its place, the end; what was counted then."""
    installed.nothing_automatic()
    begun = time.monotonic()
    installed.fill(chosen.agents, chosen.seed)
    say(f"{chosen.agents} agents imported in {time.monotonic() - begun:.0f} s; file systems of workers are {'separate' if around.separate else 'one'}.")
    for number in range(chosen.workers):
        around.start_worker(f"worker-{number + 1}", chosen.concurrency)
    begun, used = time.monotonic(), {**around.processor_seconds(), "workers": 0.0}
    load = [os.getloadavg()[0]]
    runs = installed.backfill(chosen.job, chosen.agents)
    killed = kill_in_the_middle(around, installed, chosen, runs, load)
    wait_for_the_end(installed, runs, load)
    seconds, connections = time.monotonic() - begun, installed.connections()
    took = {name: round(now - used[name], 1) for name, now in around.processor_seconds().items()}
    wait_for_the_end(installed, runs + installed.count_days(), load)
    around.stop_workers()
    if awake := installed.automatic():
        raise SystemExit(f"{len(awake)} sensors or schedules ran on: what they asked for is not the backfill's.")
    say("Counting …")
    store, found = Store(Settings()), history(installed.instance, chosen.job)
    with store.pipeline() as connection:
        right = checks(connection, found, store.settings.artifacts, Told(chosen.job, chosen.agents, runs, tuple(killed["runs_at_work"])))
    return {
        "git": _git(), "machine": machine(), "when": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"), "seed": chosen.seed, "job": chosen.job,
        "agents": chosen.agents, "runs": runs, "workers": chosen.workers, "concurrency": chosen.concurrency, "encoder": not chosen.no_encoder,
        "separate_file_systems": around.separate, "artifact_store": "moto's server of the S3 API", "load_average": [round(one, 1) for one in load],
        "seconds": round(seconds, 1), "agents_per_minute": round(60 * chosen.agents / seconds, 1), "killed": killed,
        "recovery": recovery(found, killed["runs_at_work"], killed["at"]), "processor_seconds": took, "connections": connections,
        "throughput": throughput(found), "checks": [{**asdict(one), "ok": one.ok} for one in right],
    }  # fmt: skip


def kill_in_the_middle(around: Surroundings, installed: Installation, chosen: argparse.Namespace, runs: int, load: list[float]) -> dict[str, Any]:
    """SIGKILL for the first worker once enough runs are done and it is in the middle of one; another takes its place on an empty file system."""
    wanted = max(1, int(chosen.kill_after * runs))
    watch = Watch(installed)
    while watch.ended() < wanted:
        load.append(os.getloadavg()[0])
        time.sleep(2)
    victim = around.workers[0]
    while not (at_work := installed.at_work(victim.name)):
        watch.ended()
        time.sleep(0.05)
    at, processes = time.time(), victim.kill()
    say(f"{victim.name} killed ({processes} processes) after {watch.last} runs, in the middle of {len(at_work)}.")
    time.sleep(min(REPLACED_AFTER_SECONDS, runs))
    other = around.start_worker(f"worker-{len(around.workers) + 1}", chosen.concurrency)
    return {"worker": victim.name, "replaced_by": other.name, "processes": processes, "at": at, "after_runs": watch.last, "runs_at_work": at_work}


def wait_for_the_end(installed: Installation, runs: int, load: list[float]) -> None:
    """Until nothing is under way and every partition has had its run, or nothing moves any more."""
    watch = Watch(installed)
    while True:
        done = watch.ended()
        states = installed.states()
        if states["SUCCESS"] >= runs and not any(states[name] for name in UNFINISHED):
            return
        load.append(os.getloadavg()[0])
        say(f"  {done} of {runs} runs …")
        time.sleep(10 if runs > 20 else 2)


class Watch:
    """Runs that succeeded; raises where their number stands still for too long."""

    def __init__(self, installed: Installation) -> None:
        self._installed, self.last, self._moved = installed, 0, time.monotonic()

    def ended(self) -> int:
        now = self._installed.succeeded()
        if now != self.last:
            self.last, self._moved = now, time.monotonic()
        if time.monotonic() - self._moved > STILL_SECONDS:
            raise SystemExit(f"Nothing has moved for {STILL_SECONDS:.0f} s: {dict(self._installed.states())}.")
        return now


def report(found: dict[str, Any]) -> str:
    """As people read it."""
    lines = [
        f"{found['machine']}, load {found['load_average'][0]} to {max(found['load_average'])}; {found['agents']:,} agents, {found['workers']} workers: "
        f"{found['seconds']:,.0f} s, {found['agents_per_minute']} agents a minute in {found['runs']} runs of {found['job']}.",
        "", "| worker | agents | runs | ended early | agents a minute | seconds of a run, median |", "|---|---:|---:|---:|---:|---:|",
    ]  # fmt: skip
    lines += [
        f"| {one['worker']} | {one['agents']} | {one['runs']} | {one['failed']} | {one['agents_per_minute']} | {one['median_seconds'] or '–'} |"
        for one in found["throughput"]
    ]
    lines += ["", "| what | expected | found |", "|---|---:|---:|"]
    lines += [f"| {one['name']} | {one['expected']:,} | {one['found']:,}{'' if one['ok'] else ' **wrong**'} |" for one in found["checks"]]
    lines += ["", *(
        f"Batch {one['partition']} of {one['killed_worker']}: failed {one['noticed_seconds']} s after the kill, asked for again after "
        f"{one['asked_again_seconds']}, at work on {one['by']} after {one['at_work_again_seconds']}, done after {one['done_seconds']}."
        for one in found["recovery"]
    )]  # fmt: skip
    took = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in found["processor_seconds"].items())
    lines += [f"Processor: {took} (workers that lived at the end). Connections to PostgreSQL at the end: {found['connections']}."]
    return "\n".join(lines)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _git() -> str:
    return subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False, cwd=Path(__file__).parent).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
