"""Near-duplicates at 10⁴, 10⁵ and 10⁶ examples: `make bench-duplicates [ARGS="--rows 10000 --seed 7"]`.

Belongs here: planting, timing, memory, recall and precision, each measure in a process of its own. Not here: asserting anything.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.record import record
from learning_pipelines.examples.clusters import OpenEncoder, refresh_clusters
from learning_pipelines.examples.components import Ints, UnionFind
from learning_pipelines.examples.conflicts import UNRELATED, contradiction, undecided
from learning_pipelines.examples.curation import answer_cosines
from learning_pipelines.examples.duplicates import near_duplicates, text_similarities
from learning_pipelines.examples.similarity import DuplicateRule
from learning_pipelines.examples.sketches import sketches, spanning_links
from learning_pipelines.storage import embedded, tenants
from learning_pipelines.storage.database import Connection, of_server
from learning_pipelines.storage.migrate import migrate
from learning_pipelines_tests.examples.planted import Planted, planted
from learning_pipelines_tests.examples.planted_conflicts import planted_pairs

EXACT_UP_TO = 100_000
"""The exact join of more needs several gigabytes."""

NEW = 1_000
NUMBER = "{:08}"


Figure = tuple[str, float, str]
"""Name, value, unit."""


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--encoder-rows", type=int, nargs="*", default=[10_000], help="Sizes at which the packaged encoder takes part.")
    arguments.add_argument("--conflicts", type=int, default=3_000, help="Planted pairs of answers.")
    arguments.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    chosen = arguments.parse_args()
    if chosen.one:
        print(json.dumps(MEASURES[chosen.one[0]](int(chosen.one[1]), chosen.seed)))
        return
    model = next((line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), platform.machine())
    print(f"{os.cpu_count()} × {model}, Python {platform.python_version()}, {dt.date.today():%Y-%m}, seed {chosen.seed}", flush=True)
    for rows in chosen.rows:
        for name in ("memory", "database"):
            report(name, rows, chosen.seed)
        if rows <= EXACT_UP_TO:
            report("exact", rows, chosen.seed)
    for rows in chosen.encoder_rows:
        report("encoder", rows, chosen.seed)
    report("conflicts", chosen.conflicts, chosen.seed)


def report(name: str, rows: int, seed: int) -> None:
    """Runs one measure in a process of its own, so that its peak memory is its own."""
    command = [sys.executable, "-m", __spec__.name if __spec__ else __name__, "--seed", str(seed), "--one", name, str(rows)]
    ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found = json.loads(ended.stdout.splitlines()[-1])
    for figure, value, unit in found.pop("figures"):
        record(f"{figure}, {rows:,} {'pairs of answers' if name == 'conflicts' else 'examples'}", value, unit)
    print(f"{name:9} {rows:>9,} | " + " · ".join(f"{key} {value}" for key, value in found.items()), flush=True)


def peak() -> str:
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB"


class Clock:
    """Seconds since it was made: on the wall, and of this process on a processor (other work on the machine lengthens the first alone)."""

    def __init__(self) -> None:
        self.wall, self.processor = time.monotonic(), time.process_time()

    def __str__(self) -> str:
        return f"{time.monotonic() - self.wall:.1f} s ({time.process_time() - self.processor:.1f} s CPU)"

    def figures(self, name: str) -> list[Figure]:
        return [(name, time.monotonic() - self.wall, "s"), (f"{name}, processor", time.process_time() - self.processor, "s of a core")]


def in_memory(rows: int, seed: int) -> dict[str, Any]:
    """5-grams of all texts at once."""
    made = planted(rows, seed)
    clock = Clock()
    found = sketches(made.texts)
    sketched = str(clock)
    labels = joined_by(made.texts, found)
    figures = [*clock.figures("5-gram search in memory"), *planted_figures("5-gram search", labels, made)]
    return {"sketches": sketched, "whole search": str(clock), "peak memory": peak(), **against_planted(labels, made), "figures": figures}


def joined_by(texts: list[str], found: Any) -> Ints:
    joined = UnionFind(len(texts))

    def compare(one: Ints, two: Ints) -> Any:
        needed, places = np.unique(np.concatenate([one, two]), return_inverse=True)
        return text_similarities([texts[place] for place in needed.tolist()], places[: len(one)], places[len(one) :])

    for _ in spanning_links(found, np.ones(len(texts), dtype=np.bool_), joined, compare, 0.8):
        pass
    return joined.labels()


def against_planted(labels: Ints, made: Planted) -> dict[str, str]:
    groups = np.asarray(made.groups)
    both = pairs(np.unique(np.stack([labels, groups]), axis=1, return_inverse=True)[1])
    return {"recall of planted": f"{both / pairs(groups):.4f}", "precision of planted": f"{both / pairs(labels):.4f}"}


def planted_figures(name: str, labels: Ints, made: Planted) -> list[Figure]:
    return [(f"{name}, {key}", float(value), "") for key, value in against_planted(labels, made).items()]


def pairs(labels: Ints) -> int:
    return sum(count * (count - 1) // 2 for count in Counter(labels.tolist()).values())


def exact(rows: int, seed: int) -> dict[str, Any]:
    """The definition's answer by the exact join (tests compare it with all pairs), and how much of it the search joins."""
    made = planted(rows, seed)
    labels = joined_by(made.texts, sketches(made.texts))
    clock = Clock()
    links = near_duplicates({NUMBER.format(number): text for number, text in enumerate(made.texts)})
    joined = [labels[int(one)] == labels[int(two)] for one, two, _ in links]
    true = UnionFind(rows)
    for one, two, _ in links:
        true.union(int(one), int(two))
    both = pairs(np.unique(np.stack([labels, true.labels()]), axis=1, return_inverse=True)[1])
    return {
        "exact join": str(clock), "peak memory": peak(), "links": len(links), "recall of links": f"{np.mean(joined):.5f}",
        "precision": f"{both / max(1, pairs(labels)):.5f}", "recall of pairs": f"{both / max(1, pairs(true.labels())):.5f}",
        "figures": [("5-gram search against the exact join, recall of pairs", both / max(1, pairs(true.labels())), "")],
    }  # fmt: skip


def in_database(rows: int, seed: int) -> dict[str, Any]:
    """5-grams through the database: everything at first, then a day's newcomers."""
    return through_database(rows, seed, DuplicateRule(cosine=None), None)


def with_encoder(rows: int, seed: int) -> dict[str, Any]:
    """Both legs with the packaged encoder."""
    from learning_pipelines.encoder_local import LocalEncoder

    encoder = LocalEncoder()
    return through_database(rows, seed, DuplicateRule(), lambda: encoder)


def through_database(rows: int, seed: int, rule: DuplicateRule, open_encoder: OpenEncoder | None) -> dict[str, Any]:
    home = Path(tempfile.mkdtemp(prefix="learning-benchmark-", dir="/var/tmp"))
    name = "near-duplicates by 5-grams" if open_encoder is None else "near-duplicates by 5-grams and encoder"
    try:
        database = of_server(embedded.ensure_running(home))
        migrate(database)
        made = planted(rows + NEW, seed)
        with database.connect("pipeline") as connection:
            insert(connection, made.texts[:rows], 0)
            (agent,) = tenants.agents(connection, "default", "desk")
            clock = Clock()
            refresh_clusters(connection, agent, rule, open_encoder)
            first, figures = str(clock), clock.figures(f"{name}, all at once")
            insert(connection, made.texts[rows:], rows)
            clock = Clock()
            refresh_clusters(connection, agent, rule, open_encoder)
            later, figures = str(clock), [*figures, *clock.figures(f"{name}, {NEW:,} more")]
            labels = np.asarray([row[0] for row in connection.execute("SELECT cluster FROM example_sketches ORDER BY example_id").fetchall()])
            size = connection.execute("SELECT pg_size_pretty(sum(pg_total_relation_size(c)::numeric)) FROM unnest(%s::regclass[]) c", [TABLES]).fetchone()
        assert size is not None
        return {"all": first, f"{NEW:,} more": later, "peak memory": peak(), "stored": size[0], **against_planted(labels, made), "figures": figures}
    finally:
        base = embedded.place_of(home).base
        embedded.stop(home)
        shutil.rmtree(base, ignore_errors=True)
        shutil.rmtree(home, ignore_errors=True)


TABLES = ["learning.example_sketches", "learning.example_embeddings", "learning.duplicate_links"]


def insert(connection: Connection, texts: list[str], begin: int) -> None:
    """Approved examples as they would stand after import and review."""
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute("INSERT INTO organizations (organization_id, slug) VALUES (learning.organization_id('default'), 'default') ON CONFLICT DO NOTHING")
        cursor.execute("INSERT INTO agents (organization_id, slug) VALUES (learning.organization_id('default'), 'desk') ON CONFLICT DO NOTHING")
        cursor.execute("CREATE TEMP TABLE IF NOT EXISTS made (id text, input_text text) ON COMMIT DELETE ROWS")
        with cursor.copy("COPY made FROM STDIN") as copy:
            for number, text in enumerate(texts, begin):
                copy.write_row((NUMBER.format(number), text))
        cursor.execute(
            """INSERT INTO learning_examples (organization_id, id, agent_id, example_type, source_type, input_text, review_status, content_hash, scrub_rules)
            SELECT a.organization_id, m.id, a.id, 'positive', 'imported', m.input_text, 'approved', sha256(m.id::bytea), '1' FROM made m, agents a"""
        )
    connection.execute("ANALYZE learning_examples")


def conflicts(count: int, seed: int) -> dict[str, Any]:
    """Planted contradictions, with the packaged encoder for what texts do not tell."""
    from learning_pipelines.encoder_local import LocalEncoder

    made = planted_pairs(count, seed)
    found = [contradiction(pair.one, pair.two) is not None for pair in made]
    places = [place for place, pair in enumerate(made) if not found[place] and undecided(pair.one, pair.two)]
    cosines = answer_cosines([(str(made[place].one.expected), str(made[place].two.expected)) for place in places], LocalEncoder())
    for place, cosine in zip(places, cosines, strict=True):
        found[place] = cosine < UNRELATED
    hits = sum(one and pair.conflict for one, pair in zip(found, made, strict=True))
    missed = Counter(pair.kind for one, pair in zip(found, made, strict=True) if pair.conflict != one)
    return {
        "precision": f"{hits / sum(found):.4f}", "recall": f"{hits / sum(pair.conflict for pair in made):.4f}", "told by vectors": len(places),
        "wrong": dict(missed),
        "figures": [("contradictions, precision", hits / sum(found), ""), ("contradictions, recall", hits / sum(pair.conflict for pair in made), "")],
    }  # fmt: skip


MEASURES = {"memory": in_memory, "exact": exact, "database": in_database, "encoder": with_encoder, "conflicts": conflicts}


if __name__ == "__main__":
    main()
