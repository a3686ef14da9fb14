"""Building a dataset version and exporting it at 10⁴, 10⁵ and 10⁶ examples, time, CPU and peak memory: `make bench-datasets [ARGS="--examples 10000"]`.

Belongs here: making examples, timing the real refresh and the real exports, each in a process of its own. Not here: asserting anything.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.loop import machine, remove
from benchmarks.record import record

FORMATS = ("openai-chat", "openai-dpo", "trl-dpo", "triples", "parquet")
STEPS = ("duplicates", "version", "unchanged", "add", "100 new", "rebuild", *FORMATS)
"""`add` approves 100 more and is not printed."""
TYPES = ("positive", "positive", "positive", "correction", "correction", "demonstration", "edge_case", "negative", "preference", "failure")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--examples", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    chosen = arguments.parse_args()
    if chosen.step:
        print(json.dumps(step(chosen.step)))
        return
    print(machine(), flush=True)
    print("| examples | step | seconds | CPU s, process | CPU s, database | rows | rows/s | peak memory MB |\n|---|---|---|---|---|---|---|---|")
    for count in chosen.examples:
        folder = Path(tempfile.mkdtemp(prefix="learning-benchmark-", dir="/var/tmp"))
        os.environ["LEARNING_HOME"] = str(folder / "home")
        try:
            fill(count, chosen.seed)
            for name in STEPS:
                found = in_child(name)
                if name != "add":
                    print(f"| {count:,} {line(name, found)}", flush=True)
                    record(f"{name}, {count:,} examples", found["seconds"], "s")
                    record(f"{name}, {count:,} examples, processor", found["cpu"] + found["database"], "s of a core")
                    record(f"{name}, {count:,} examples, memory", found["memory"], "MB")
        finally:
            remove(folder)
            shutil.rmtree(folder, ignore_errors=True)


def line(name: str, found: dict[str, Any]) -> str:
    seconds = f"{found['seconds']:.2f} | {found['cpu']:.2f} | {found['database']:.2f}"
    return f"| {name} | {seconds} | {found['rows']:,} | {found['rows'] / found['seconds']:,.0f} | {found['memory']:.0f} |"


def rows(count: int, seed: int) -> Iterator[tuple[Any, ...]]:
    """Examples of 30 to 60 words in and 40 to 90 out, of a vocabulary of 20,000: near-duplicates are rare."""
    chance = random.Random(seed)
    letters = "abcdefghijklmnopqrstuvwxyz"
    vocabulary = ["".join(chance.choices(letters, k=chance.randint(3, 9))) for _ in range(20_000)]

    def words(least: int, most: int) -> str:
        return " ".join(chance.choices(vocabulary, k=chance.randint(least, most)))

    for number in range(count):
        kind = chance.choice(TYPES)
        expected, original = words(40, 90), words(40, 90) if kind in ("correction", "failure", "negative") else None
        outputs = (words(40, 90), words(40, 90), "A") if kind == "preference" else (None, None, None)
        yield (f"x{number:08}", kind, words(30, 60), original, expected, *outputs, chance.random(), chance.random())


def fill(count: int, seed: int) -> None:
    """One agent with so many approved examples, straight into the table: the import is measured by `make bench-loop`."""
    from learning_pipelines.settings import Settings
    from learning_pipelines.storage.installation import ready_store

    store = ready_store(Settings())
    with store.pipeline() as connection:
        connection.execute("INSERT INTO organizations (organization_id, slug) VALUES (organization_id('default'), 'default') ON CONFLICT DO NOTHING")
        connection.execute("INSERT INTO agents (organization_id, slug) VALUES (organization_id('default'), 'desk')")
        approve(connection, rows(count, seed))
        connection.execute("ANALYZE learning_examples")


def approve(connection: Any, made: Iterator[tuple[Any, ...]]) -> None:
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute("""CREATE TEMP TABLE made (id text, example_type text, input_text text, original_output text, expected_output text, output_a text,
            output_b text, preferred_output text, quality_score double precision, confidence_score double precision) ON COMMIT DROP""")
        with cursor.copy("COPY made FROM STDIN") as copy:
            for row in made:
                copy.write_row(row)
        cursor.execute("""INSERT INTO learning_examples (organization_id, agent_id, id, example_type, source_type, input_text, original_output,
                expected_output, output_a, output_b, preferred_output, quality_score, confidence_score, review_status, content_hash, scrub_rules)
            SELECT a.organization_id, a.id, m.id, m.example_type, 'imported', m.input_text, m.original_output, m.expected_output, m.output_a, m.output_b,
                m.preferred_output, m.quality_score, m.confidence_score, 'approved', sha256(convert_to(m.id, 'UTF8')), '1' FROM made m, agents a""")


def in_child(name: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.datasets", "--step", name]
    return dict(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1]))


def step(name: str) -> dict[str, Any]:
    """One step in this process: seconds of the work alone, rows, and the peak of the process as a whole."""
    from learning_pipelines.examples.clusters import refresh_clusters
    from learning_pipelines.examples.datasets import refresh_dataset
    from learning_pipelines.examples.exporting import export_dataset
    from learning_pipelines.examples.similarity import DuplicateRule
    from learning_pipelines.examples.versions import rebuild
    from learning_pipelines.settings import Settings
    from learning_pipelines.storage.store import Store
    from learning_pipelines.storage.tenants import agents
    from learning_pipelines.storage.versions import find_version

    settings, rule = Settings(), DuplicateRule(cosine=None)  # by text alone: vectors are the encoder's time
    with Store(settings).pipeline() as connection:
        (agent,) = agents(connection)
        dataset = find_version(connection, agent)
        begun, server = time.monotonic(), Path(f"/proc/{connection.info.backend_pid}/stat")
        if name == "add":
            approve(connection, ((f"n{row[0]}", *row[1:]) for row in rows(100, 99)))
            return {}
        before = server_seconds(server), time.process_time()
        if name == "duplicates":
            refresh_clusters(connection, agent, rule, None)
            count = connection.execute("SELECT count(*) FROM learning_examples").fetchone()[0]  # type: ignore[index]
        elif name in ("version", "unchanged", "100 new"):
            count = refresh_dataset(connection, agent, rule=rule, shares=settings.split_shares).examples
        elif name == "rebuild":
            assert dataset is not None
            count = rebuild(connection, agent, dataset.id).examples
        else:
            assert dataset is not None
            target = str(Path(os.environ["LEARNING_HOME"]) / name)
            count = export_dataset(connection, agent, dataset, name, target, split="all").rows  # type: ignore[arg-type]
        seconds, cpu, database = time.monotonic() - begun, time.process_time() - before[1], server_seconds(server) - before[0]
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": seconds, "cpu": cpu, "database": database, "rows": count, "memory": memory}


def server_seconds(stat: Path) -> float:
    """CPU seconds of our connection's server process."""
    user, system = stat.read_text().rsplit(") ", 1)[1].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
