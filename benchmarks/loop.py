"""Import rate, tick time and memory of the main loop at 10⁵, 10⁶ and 10⁷ feedback rows: `make bench-loop [ARGS="--rows 100000"]`.

Belongs here: making rows, timing the real commands and the real sensor. Not here: asserting anything.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import random
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from benchmarks.record import record
from learning_pipelines_tests.children import PROGRAM, with_this_code

AGENTS = 5
TYPES = ("thumbs_up", "thumbs_down", "star_rating", "detailed_feedback", "correction", "report_issue")
START = dt.datetime(2026, 9, 1, tzinfo=dt.UTC)
SPAN_SECONDS = 60 * 86_400


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000, 10_000_000])
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--keep", type=Path, help="Keep the home in this folder instead of a temporary one.")
    chosen = arguments.parse_args()
    print(machine(), flush=True)
    print("| feedback rows | executions/s | feedback/s | again/s | import memory MB | first tick ms | idle tick ms | busy tick ms |")
    print("|---|---|---|---|---|---|---|---|")
    for rows in chosen.rows:
        folder = chosen.keep or Path(tempfile.mkdtemp(prefix="learning-benchmark-", dir="/var/tmp"))
        try:
            found = measure(folder, rows, chosen.seed)
            print(line(found), flush=True)
            note(found)
        finally:
            if chosen.keep is None:
                remove(folder)


def machine() -> str:
    model = next((text.split(":")[1].strip() for text in Path("/proc/cpuinfo").read_text().splitlines() if text.startswith("model name")), platform.machine())
    return f"{os.cpu_count()} × {model}, Python {platform.python_version()}, {dt.date.today():%Y-%m}"


def line(found: dict[str, Any]) -> str:
    return (
        f"| {found['rows']:,} | {found['executions']:,.0f} | {found['feedback']:,.0f} | {found['again']:,.0f} | {found['memory']:.0f} "
        f"| {found['first_tick']:.0f} | {found['idle_tick']:.0f} | {found['busy_tick']:.0f} |"
    )


def note(found: dict[str, Any]) -> None:
    units = {
        "executions": ("executions imported", "rows/s"), "feedback": ("feedback imported", "rows/s"), "again": ("the first 100,000 again", "rows/s"),
        "memory": ("memory of the import", "MB"), "first_tick": ("first tick", "ms"), "idle_tick": ("tick with nothing new", "ms"),
        "busy_tick": ("tick over a full batch", "ms"),
    }  # fmt: skip
    for key, (name, unit) in units.items():
        record(f"{name}, {found['rows']:,} feedback rows", found[key], unit)


def measure(folder: Path, rows: int, seed: int) -> dict[str, Any]:
    """Imports through the command line, then evaluates the sensor new_feedback in this process against the same database."""
    os.environ["LEARNING_HOME"] = str(folder / "home")
    files = write_rows(folder, rows, seed)
    command("import", "agents", str(files["agents"]))
    executions = command("import", "executions", str(files["executions"]))
    feedback = command("import", "feedback", str(files["feedback"]))
    again = command("import", "feedback", str(files["again"]))
    return {
        "rows": rows, "executions": executions["rate"], "feedback": feedback["rate"], "again": again["rate"], "memory": feedback["memory"],
        **ticks(),
    }  # fmt: skip


def command(*arguments: str) -> dict[str, float]:
    """Runs `learning-pipelines …` and returns rows a second over the whole process, start included, and its peak memory in MB."""
    begun = time.monotonic()
    process = subprocess.Popen([PROGRAM, *arguments, "--json"], env=with_this_code(os.environ), stdout=subprocess.PIPE)
    assert process.stdout is not None
    answer = json.loads(process.stdout.read())
    _, status, usage = os.wait4(process.pid, 0)
    if status or answer["rejected"]:
        raise SystemExit(f"import failed: {answer}")
    return {"rate": answer["read"] / (time.monotonic() - begun), "memory": usage.ru_maxrss / 1024}


def ticks() -> dict[str, float]:
    """The first tick over everything, a tick with nothing new behind all rows, and one right before the newest full batch; medians of 5."""
    import dagster as dg

    from learning_pipelines.defs import sensors
    from learning_pipelines.settings import Settings
    from learning_pipelines.storage.store import Store

    store = Store(Settings())  # read anew: every size has a home of its own
    with dg.DagsterInstance.ephemeral() as instance, store.pipeline() as connection:

        def tick(cursor: str | None) -> float:
            begun = time.monotonic()
            sensors.new_feedback(dg.build_sensor_context(instance=instance, cursor=cursor, resources={"store": store}))
            return 1000 * (time.monotonic() - begun)

        tick(None)
        starts = {"first_tick": None, "idle_tick": cursor_at(connection, 0), "busy_tick": cursor_at(connection, sensors.ENTRIES_PER_TICK)}
        return {name: sorted(tick(start) for _ in range(5))[2] for name, start in starts.items()}


def cursor_at(connection: Any, back: int) -> str:
    """The sensor's cursor with so many entries of the outbox behind it that it has not read."""
    from learning_pipelines.storage import outbox

    row = connection.execute("SELECT xid::text, id FROM outbox ORDER BY outbox.xid DESC, id DESC OFFSET %s LIMIT 1", [back]).fetchone()
    assert row is not None
    return json.dumps({"xid": int(row[0]), "id": row[1], "cluster": outbox.cluster(connection), "days": []})


def write_rows(folder: Path, rows: int, seed: int) -> dict[str, Path]:
    """agents, executions (a tenth of the rows), feedback, and the first 100,000 feedback rows once more."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(seed)
    files = {name: folder / f"{name}.jsonl" for name in ("agents", "executions", "feedback", "again")}
    write(files["agents"], ({"agent": f"agent-{number}", "system_prompt": "Answer.", "domain": "tax"} for number in range(AGENTS)))
    write(files["executions"], executions(max(1, rows // 10), rng))
    write(files["feedback"], feedback(rows, max(1, rows // 10), rng))
    with files["feedback"].open("rb") as source, files["again"].open("wb") as target:
        for _, text in zip(range(100_000), source, strict=False):
            target.write(text)
    return files


def write(path: Path, records: Iterator[dict[str, Any]]) -> None:
    with path.open("wb") as target:
        for record in records:
            target.write(orjson.dumps(record) + b"\n")


def executions(count: int, rng: random.Random) -> Iterator[dict[str, Any]]:
    for number in range(count):
        yield {
            "execution_id": f"execution-{number}", "agent": f"agent-{number % AGENTS}", "user": f"user-{rng.randrange(1 + count // 10)}",
            "input": f"How do I file form {rng.randrange(10_000)} for quarter {number % 4}? I have tried it twice and it does not work.",
            "output": f"Please use portal {rng.randrange(100)} and upload the form before day {number % 28} of the month.",
            "latency_ms": rng.random() * 1000, "created_at": moment(number, count, 0),
        }  # fmt: skip


def feedback(count: int, known: int, rng: random.Random) -> Iterator[dict[str, Any]]:
    for number in range(count):
        kind = TYPES[rng.randrange(len(TYPES))]
        record: dict[str, Any] = {
            "feedback_id": f"feedback-{number}", "execution_id": f"execution-{rng.randrange(known)}", "feedback_type": kind,
            "user": f"user-{rng.randrange(1 + known // 10)}", "created_at": moment(number, count, 3600),
        }  # fmt: skip
        if kind in ("star_rating", "detailed_feedback"):
            record["rating"] = rng.randrange(1, 6)
        if kind == "detailed_feedback":
            record |= {
                "dimensions": {"accuracy": rng.randrange(1, 6), "clarity": rng.randrange(1, 6)},
                "feedback_text": "It is fine but could be clearer about deadlines.",
            }
        if kind == "correction":
            record["correction_text"] = f"Use portal {rng.randrange(100)}; the form must be there by the 10th."
        if kind == "report_issue":
            record["issue_categories"] = ["incorrect"]
        yield record


def moment(number: int, count: int, later: int) -> str:
    return (START + dt.timedelta(seconds=later + number * SPAN_SECONDS / count)).isoformat()


def remove(folder: Path) -> None:
    """Stops the server of the benchmark's home and deletes its data, wherever that lies."""
    from learning_pipelines.storage import embedded

    server = embedded.running(folder / "home")
    embedded.stop(folder / "home")
    if server is not None and folder not in server.data_dir.parents:
        shutil.rmtree(server.data_dir.parent)
    shutil.rmtree(folder)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    main()
