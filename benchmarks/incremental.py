"""What new feedback costs behind a long history: the metrics of the days that changed, and a tick of the sensor: `make bench-incremental`.

Belongs here: histories of several sizes, a few new rows behind each, timings, extrapolation. Not here: importing itself (loop.py), asserting anything.

A history is sixty days long, whatever its size, so a day of it has a sixtieth of the rows. Metrics are counted anew for the day of a feedback and for that
of its execution, which here lies in the history: that work follows the rows of a day. A tick must not depend on the history at all. `--rows 10000000` takes
half an hour, most of it the import. What stands for 10⁸ rows is no measurement: the line through the two largest sizes, for metrics over the rows, for ticks
over their logarithm, and marked so.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import math
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.loop import AGENTS, SPAN_SECONDS, START, command, cursor_at, machine, remove, write_rows
from benchmarks.record import record

ROUNDS, NEW = 7, 100
BEYOND = 10**8
OF_A_DAY = ("metrics of one new day, 100 feedbacks",)
"""What follows the rows of one day, and is extrapolated."""
CONSTANT = ("tick with one new feedback", "tick with 100 new feedbacks", "catch-up with nothing new")
"""What should not depend on the history, and is extrapolated."""


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    arguments.add_argument("--seed", type=int, default=1)
    chosen = arguments.parse_args()
    print(machine(), flush=True)
    medians: dict[str, dict[int, float]] = {}
    for rows in sorted(chosen.rows):
        folder = Path(tempfile.mkdtemp(prefix="learning-benchmark-", dir="/var/tmp"))
        os.environ["LEARNING_HOME"] = str(folder / "home")
        try:
            files = write_rows(folder, rows, chosen.seed)
            for kind in ("agents", "executions", "feedback"):
                command("import", kind, str(files[kind]))
            for name, times in measured(folder, rows).items():
                told(name, rows, times)
                medians.setdefault(name, {})[rows] = statistics.median(times)
        finally:
            remove(folder)
            shutil.rmtree(folder, ignore_errors=True)
    for name in OF_A_DAY:
        extrapolated(name, medians[name], float)
    for name in CONSTANT:
        extrapolated(name, medians[name], math.log)


def measured(folder: Path, rows: int) -> dict[str, list[float]]:
    """Milliseconds of every round, by what was done; the first of each warms up and does not count."""
    import dagster as dg

    from learning_pipelines.defs import sensors
    from learning_pipelines.feedback import statistics as metrics
    from learning_pipelines.feedback.importing import import_file, window_now
    from learning_pipelines.settings import Settings
    from learning_pipelines.storage.store import Store

    store = Store(Settings())
    zone = store.settings.timezone
    found: dict[str, list[float]] = {}
    numbers = iter(range(1_000_000))
    with dg.DagsterInstance.ephemeral() as instance, store.pipeline() as connection:

        def add(count: int, day: dt.datetime) -> None:
            made = [
                {"feedback_id": f"new-{next(numbers)}", "execution_id": f"execution-{AGENTS * n % max(1, rows // 10)}", "feedback_type": "thumbs_up",
                 "created_at": day.isoformat()} for n in range(count)
            ]  # fmt: skip
            path = folder / "new.jsonl"
            path.write_text("".join(json.dumps(one) + "\n" for one in made), encoding="utf-8")
            done = import_file(connection, "default", "feedback", path, window=window_now(dt.date(2015, 1, 5), dt.UTC))
            assert done.imported == count, done

        def timed(name: str, work: Callable[[], Any]) -> None:
            begun = time.perf_counter()
            work()
            found.setdefault(name, []).append(1000 * (time.perf_counter() - begun))

        def tick(cursor: str) -> None:
            sensors.new_feedback(dg.build_sensor_context(instance=instance, cursor=cursor, resources={"store": store}))

        begun = time.perf_counter()
        metrics.catch_up(connection, zone)
        found["metrics of the whole history"] = [0.0, 1000 * (time.perf_counter() - begun)]
        connection.execute("ANALYZE")
        new_day, old_day = START + dt.timedelta(seconds=SPAN_SECONDS + 2 * 86_400), START + dt.timedelta(days=30, hours=12)
        for _ in range(ROUNDS + 1):
            timed("catch-up with nothing new", lambda: metrics.catch_up(connection, zone))
            for count, day, name in (
                (1, new_day, "metrics of one new day, one feedback"), (NEW, new_day, f"metrics of one new day, {NEW} feedbacks"),
                (NEW, old_day, f"metrics of one changed day of the history, {NEW} feedbacks"),
            ):  # fmt: skip
                cursor = cursor_at(connection, 0)
                add(count, day)
                if day is new_day:
                    timed(f"tick with {count if count > 1 else 'one'} new feedback{'s' if count > 1 else ''}", lambda cursor=cursor: tick(cursor))  # type: ignore[misc]
                timed(name, lambda: metrics.catch_up(connection, zone))
    return {name: times[1:] for name, times in found.items()}


def told(name: str, rows: int, times: list[float]) -> None:
    print(f"{rows:>11,} rows: {name}: median {statistics.median(times):.1f} ms ({min(times):.1f} to {max(times):.1f})", flush=True)
    for one in times:
        record(f"{name}, behind {rows:,} rows", one, "ms")


def extrapolated(name: str, medians: dict[int, float], scale: Callable[[float], float]) -> None:
    """The line through the two largest sizes, over `scale` of the rows; nothing with one size alone."""
    if len(medians) > 1:
        (fewer, below), (more, above) = sorted(medians.items())[-2:]
        value = max(0.0, above + (above - below) / (scale(more) - scale(fewer)) * (scale(BEYOND) - scale(more)))
        print(f"{BEYOND:>11,} rows: {name}: {value:.1f} ms (extrapolated)", flush=True)
        record(f"{name}, behind {BEYOND:,} rows (extrapolated)", value, "ms")


if __name__ == "__main__":
    main()
