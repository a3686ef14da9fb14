"""A month of executions and feedback into the archive while applications go on sending: time, memory, latency of ingestion beside it, locks.

    `make bench-retention ARGS="--rows 1000000"`

Belongs here: made rows of many organizations, interleaved as they arrive, with ids in no order (the worst case of reading in the order of an index). Not
here: whether it is right (feedback/archive/).
"""

from __future__ import annotations

import argparse
import datetime as dt
import resource
import shutil
import statistics
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from benchmarks.record import record
from learning_pipelines.feedback.archive.archiving import archive
from learning_pipelines.feedback.identity import organization_id
from learning_pipelines.settings import Settings
from learning_pipelines.storage import embedded
from learning_pipelines.storage.database import Database, of_server
from learning_pipelines.storage.ingest import columns, store_batch
from learning_pipelines.storage.migrate import migrate
from learning_pipelines.storage.store import Store

NOW = dt.datetime(2025, 11, 10, tzinfo=dt.UTC)
ORGANIZATIONS = 50
FILL = {
    "agent_executions": """INSERT INTO agent_executions (organization_id, id, agent_id, user_id, session_id, input, output, tags, latency_ms, input_tokens,
            output_tokens, cost_usd, created_at, received_at)
        SELECT o.organization_id, md5('x' || n), o.agent_id, md5('u' || n %% 5000)::uuid, 's' || n / 5, repeat('What does form ' || n || ' say? ', 8),
            repeat('It says ' || md5(n::text) || '. ', 8), '{vat}', 100 + n %% 400, 200, 100, 0.001, at, at
        FROM generate_series(%(first)s::integer, %(last)s::integer) AS n JOIN owners o ON o.place = n %% %(organizations)s::integer,
        LATERAL (SELECT timestamptz '2025-03-01' + (n::float8 / %(rows)s::integer) * interval '30 days') AS t (at)""",
    "agent_feedback": """INSERT INTO agent_feedback (organization_id, id, execution_id, agent_id, user_id, feedback_type, rating, issue_categories,
            feedback_text, created_at, received_at)
        SELECT o.organization_id, md5('f' || n), md5('x' || n), o.agent_id, md5('u' || n %% 5000)::uuid,
            CASE n %% 3 WHEN 0 THEN 'thumbs_up' WHEN 1 THEN 'thumbs_down' ELSE 'star_rating' END, CASE WHEN n %% 3 = 2 THEN 1 + n %% 5 END, '{}',
            'It ' || md5(n::text), at + interval '1 minute', at + interval '1 minute'
        FROM generate_series(%(first)s::integer, %(last)s::integer) AS n JOIN owners o ON o.place = n %% %(organizations)s::integer,
        LATERAL (SELECT timestamptz '2025-03-01' + (n::float8 / %(rows)s::integer) * interval '30 days') AS t (at)""",
}


def fill(database: Database, rows: int) -> tuple[UUID, UUID]:
    """Fills March; returns an organization and an agent of it."""
    with database.connect("pipeline") as connection, database.connect("owner") as owner:
        for name in FILL:
            owner.execute("SELECT learning.make_partitions(%s, '2025-03-01', 1)", [name])
        connection.execute("CREATE TEMP TABLE owners (place integer PRIMARY KEY, organization_id uuid, agent_id uuid)")
        for place in range(ORGANIZATIONS):
            slug, agent = f"firm-{place}", uuid4()
            connection.execute("INSERT INTO organizations (organization_id, slug) VALUES (%s, %s)", [organization_id(slug), slug])
            connection.execute("INSERT INTO agents (organization_id, id, slug) VALUES (%s, %s, 'desk')", [organization_id(slug), agent])
            connection.execute("INSERT INTO owners VALUES (%s, %s, %s)", [place, organization_id(slug), agent])
        for first in range(0, rows, 250_000):
            for statement in FILL.values():
                values = {"first": first, "last": min(first + 250_000, rows) - 1, "rows": rows, "organizations": ORGANIZATIONS}
                connection.execute(statement, values)
        for name in FILL:
            owner.execute(f"ANALYZE {name}_2025_03")
        row = connection.execute("SELECT organization_id, agent_id FROM owners LIMIT 1").fetchone()
    assert row is not None
    return row[0], row[1]


class Beside(threading.Thread):
    """Stores one execution after the other through the real merge, and notes how long each took; looks for exclusive locks on the tables meanwhile."""

    def __init__(self, database: Database, organization: UUID, agent: UUID) -> None:
        super().__init__(daemon=True)
        self.database, self.organization, self.agent = database, organization, agent
        self.phase, self.ended = "before", False
        self.seconds: dict[str, list[float]] = {}
        self.locks: Counter[str] = Counter()

    def run(self) -> None:
        names = columns("executions")
        with self.database.connect("pipeline") as connection, self.database.connect("owner") as looking:
            number = 0
            while not self.ended:
                number += 1
                row: dict[str, Any] = dict.fromkeys(names)
                row |= {"line": 1, "id": f"new-{number}", "content_hash": b"x" * 32, "agent_id": self.agent, "input": "q", "output": "a", "tags": []}
                row["context"] = "{}"
                begun = time.perf_counter()
                store_batch(connection, self.organization, "executions", [tuple(row[name] for name in names)])
                self.seconds.setdefault(self.phase, []).append(time.perf_counter() - begun)
                held = looking.execute(
                    """SELECT c.relname || ' ' || l.mode FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
                    WHERE c.relname IN ('agent_executions', 'agent_feedback') AND l.granted AND l.mode IN ('AccessExclusiveLock', 'ExclusiveLock',
                        'ShareRowExclusiveLock', 'ShareLock')"""
                ).fetchall()
                self.locks.update(name for (name,) in held)
                time.sleep(0.02)


def told(seconds: list[float]) -> str:
    ordered = sorted(seconds)
    middle, late = statistics.median(ordered), ordered[int(len(ordered) * 0.99)]
    return f"{len(ordered):6} stored, median {1000 * middle:6.1f} ms, 99 % {1000 * late:7.1f} ms, longest {1000 * ordered[-1]:7.1f} ms"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000, help="Executions, and as many feedback rows.")
    rows = parser.parse_args().rows
    home = Path(tempfile.mkdtemp(prefix="retention-"))
    server = embedded.ensure_running(home)
    try:
        database = of_server(server)
        migrate(database)
        begun = time.perf_counter()
        organization, agent = fill(database, rows)
        print(f"{rows:,} executions and {rows:,} feedback of {ORGANIZATIONS} organizations made in {time.perf_counter() - begun:.0f} s", flush=True)
        beside = Beside(database, organization, agent)
        beside.start()
        time.sleep(10)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        beside.phase, last, steps = "while archiving", time.perf_counter(), []
        begun = last

        def step(name: str) -> None:
            nonlocal last
            now = time.perf_counter()
            steps.append((name, now - last))
            last = now

        cpu = time.process_time()
        done = archive(Store(Settings(home=home, database_url=None), database), now=NOW, step=step)
        seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
        beside.ended = True
        beside.join()
        assert sum(done.rows.values()) == 2 * rows, done
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"archived in {seconds:.0f} s ({2 * rows / seconds:,.0f} rows a second; {cpu:.0f} s of this process's CPU), {done.files} files, "
              f"{done.bytes / 1e6:.0f} MB, peak memory {peak:.0f} MB ({memory / 1024:.0f} before)")  # fmt: skip
        record(f"archiving, {2 * rows:,} rows", 2 * rows / seconds, "rows/s")
        record(f"memory of archiving, {2 * rows:,} rows", peak, "MB")
        print("steps: " + ", ".join(f"{name} {spent:.1f} s" for name, spent in steps))
        for phase, values in beside.seconds.items():
            record(f"ingestion {phase}, median", 1000 * statistics.median(values), "ms")
            print(f"ingestion {phase:16} {told(values)}")
        looks = sum(len(values) for values in beside.seconds.values())
        print(f"exclusive or share locks on the tables seen in {looks} looks: {dict(beside.locks) or 'none'}")
    finally:
        embedded.stop(home)
        shutil.rmtree(server.data_dir.parent, ignore_errors=True)
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
