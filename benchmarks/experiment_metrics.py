"""What an hourly run costs that keeps the metrics of many running experiments up and decides, over a long history: `make bench-experiment-metrics`.

Belongs here: rows in bulk, timings, printing. Not here: assertions about time (there are none), what is counted (learning_pipelines_tests/experiments).

Every feedback has an execution of its own. A share of the executions carries one of the experiments; the others are those of the same users without one.
--ingest prints what the index of executions that carry an experiment costs at import.
"""

from __future__ import annotations

import argparse
import datetime as dt
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import psutil
import psycopg

from benchmarks.record import record
from learning_pipelines.experiments.collecting import Collected, collect
from learning_pipelines.experiments.hour import look_at_all
from learning_pipelines.experiments.metrics import GUARDRAILS
from learning_pipelines.feedback.identity import organization_id
from learning_pipelines.feedback.importing import import_file, window_now
from learning_pipelines.settings import Settings
from learning_pipelines.storage import embedded
from learning_pipelines.storage.database import SESSION, Connection, Database, of_server
from learning_pipelines.storage.migrate import migrate
from learning_pipelines.storage.tenants import ensure_organization

AGENTS = 100
CHUNK = 500_000
"""Executions per transaction of the bulk load."""

_AGENTS = "INSERT INTO agents (organization_id, slug) SELECT %(organization)s, 'agent-' || n FROM generate_series(0, %(agents)s - 1) n"
_EXPERIMENTS = """INSERT INTO learning_experiments (organization_id, id, agent_id, name, status, unit, arms, guardrails, started_at)
    SELECT %(organization)s, md5('experiment' || n)::uuid, a.id, 'experiment-' || n, 'running', 'user',
        '[{"variant": "control", "version": 1, "weight": 0.5}, {"variant": "treatment", "version": 2, "weight": 0.5}]', %(guardrails)s,
        now() - interval '20 days'
    FROM generate_series(0, %(experiments)s - 1) n JOIN agents a ON a.organization_id = %(organization)s AND a.slug = 'agent-' || n %% %(agents)s"""
_EPOCHS = """INSERT INTO experiment_epochs (organization_id, experiment_id, epoch, ranges, started_at)
    SELECT organization_id, id, 1, '{"control": [[0, 0.5]], "treatment": [[0.5, 1]]}', started_at FROM learning_experiments"""
# Unit u<n>: user n of the experiment n % experiments.
_USERS = """INSERT INTO users (organization_id, id, external_id)
    SELECT %(organization)s, md5('u' || n)::uuid, 'u' || n FROM generate_series(0, %(units)s - 1) n"""
_ASSIGNMENTS = """INSERT INTO experiment_assignments (organization_id, experiment_id, unit, variant, epoch, exposed_at)
    SELECT %(organization)s, md5('experiment' || n %% %(experiments)s)::uuid, 'u' || n,
        CASE WHEN hashint8(n) & 1 = 0 THEN 'control' ELSE 'treatment' END, 1, now() - interval '15 days' FROM generate_series(0, %(units)s - 1) n"""
_NUMBERS = """CREATE TEMP TABLE numbers ON COMMIT DROP AS
    SELECT n, abs(hashint8(n)::bigint) %% %(units)s AS u, abs(hashint8(n + 7)::bigint) %% 1000 < %(carried)s * 1000 AS carries,
        abs(hashint8(n + 13)::bigint) %% 1000 AS chance,
        now() - (interval '14 days' * (1 - (n - %(first)s)::float8 / %(count)s)) * %(past)s AS moment
    FROM generate_series(%(first)s::bigint, %(first)s::bigint + %(count)s - 1) n"""
_EXECUTIONS = """INSERT INTO agent_executions (organization_id, id, agent_id, user_id, input, output, context, latency_ms, cost_usd, created_at, received_at)
    SELECT %(organization)s, 'e' || n, a.id, md5('u' || u)::uuid, 'How do I file this?', 'Open the form, fill in the year and send it off. ' || n,
        CASE WHEN carries THEN jsonb_build_object('experiment', md5('experiment' || u %% %(experiments)s)::uuid, 'unit', 'u' || u,
            'variant', CASE WHEN hashint8(u) & 1 = 0 THEN 'control' ELSE 'treatment' END) ELSE '{}' END,
        500 + chance, 0.001 * chance, moment, moment
    FROM numbers JOIN agents a ON a.organization_id = %(organization)s AND a.slug = 'agent-' || (u %% %(experiments)s) %% %(agents)s"""
_FEEDBACK = """INSERT INTO agent_feedback (organization_id, id, execution_id, agent_id, user_id, feedback_type, issue_categories, created_at, received_at)
    SELECT %(organization)s, 'f' || n, 'e' || n, a.id, md5('u' || u)::uuid,
        CASE WHEN chance < 700 THEN 'thumbs_up' WHEN chance < 950 THEN 'thumbs_down' ELSE 'report_issue' END,
        CASE WHEN chance >= 950 THEN ARRAY['incorrect'] ELSE '{}' END, moment, moment
    FROM numbers JOIN agents a ON a.organization_id = %(organization)s AND a.slug = 'agent-' || (u %% %(experiments)s) %% %(agents)s"""
_OUTBOX = """INSERT INTO outbox (organization_id, agent_id, kind, row_id, execution_id, happened_at, execution_at, received_at)
    SELECT %(organization)s, a.id, kind, prefix || n, 'e' || n, moment, moment, moment
    FROM numbers CROSS JOIN (VALUES ('executions', 'e'), ('feedback', 'f')) AS kinds (kind, prefix)
    JOIN agents a ON a.organization_id = %(organization)s AND a.slug = 'agent-' || (u %% %(experiments)s) %% %(agents)s ORDER BY n"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiments", type=int, default=1_000)
    parser.add_argument("--feedback", type=int, default=500_000, help="Feedback rows of history, each with an execution.")
    parser.add_argument("--carried", type=float, default=0.5, help="Share of the executions that carry an experiment.")
    parser.add_argument("--new", type=int, default=10_000, help="New events of an hour: half executions, half feedback.")
    parser.add_argument("--ingest", action="store_true", help="Only what the index costs at import.")
    chosen = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="benchmark-experiments-"))
    server = embedded.ensure_running(home)
    try:
        database = of_server(server, "benchmark")
        migrate(database)
        if chosen.ingest:
            _ingest(database, home)
        else:
            _hourly(database, home, chosen)
    finally:
        embedded.stop(home)
        shutil.rmtree(server.data_dir.parent, ignore_errors=True)
        shutil.rmtree(home, ignore_errors=True)


def _hourly(database: Database, home: Path, chosen: argparse.Namespace) -> None:
    values = {
        "organization": organization_id("default"), "agents": AGENTS, "experiments": chosen.experiments, "carried": chosen.carried,
        "guardrails": list(GUARDRAILS), "units": max(chosen.experiments, chosen.feedback // 5),
    }  # fmt: skip
    with psycopg.connect(database.admin_url, options=SESSION, autocommit=True) as owner, database.connect("pipeline") as connection:
        ensure_organization(connection, values["organization"], "default")
        server = psutil.Process(connection.info.backend_pid)
        _timed("load", lambda: _load(owner, values, chosen.feedback))
        _print(_timed("first catch-up", lambda: collect(connection), server))
        owner.execute("VACUUM ANALYZE")
        for hour in range(3):
            _rows(owner, values, chosen.feedback + hour * chosen.new, chosen.new // 2, past=0)
            _print(_timed(f"hourly run over {chosen.feedback:,} feedback rows, {chosen.new:,} new events", lambda: collect(connection), server))
        _print(_timed("hourly run with nothing new", lambda: collect(connection), server))
        settings = Settings(home=home)
        for what in ("the first look at every experiment", "a look that sees nothing new"):
            hour = _timed(what, lambda: look_at_all(connection, settings), server)
            print(f"  {len(hour.looks):,} experiments looked at, {hour.decisions}, {len(hour.failed)} failed", flush=True)
        print("sizes:", ", ".join(f"{name} {size}" for name, size in owner.execute(_SIZES).fetchall()))


_SIZES = """SELECT relname, pg_size_pretty(pg_total_relation_size(oid)) FROM pg_class WHERE relnamespace = 'learning'::regnamespace
    AND relname LIKE 'experiment%' AND relkind = 'r' ORDER BY 1"""


def _load(owner: Connection, values: dict[str, Any], feedback: int) -> None:
    owner.execute("ALTER SYSTEM SET max_wal_size = '8GB'")
    owner.execute("SELECT pg_reload_conf()")
    owner.execute("SELECT learning.make_partitions(name, (now() - interval '2 months')::date, 6) FROM unnest(ARRAY['agent_executions', 'agent_feedback']) name")
    for statement in (_AGENTS, _EXPERIMENTS, _EPOCHS, _USERS, _ASSIGNMENTS):
        owner.execute(statement, values)  # type: ignore[call-overload]
    for first in range(0, feedback, CHUNK):
        _rows(owner, values, first, min(CHUNK, feedback - first), past=1 - first / feedback)
    owner.execute("VACUUM ANALYZE")


def _rows(owner: Connection, values: dict[str, Any], first: int, count: int, past: float) -> None:
    with owner.transaction():
        for statement in (_NUMBERS, _EXECUTIONS, _FEEDBACK, _OUTBOX):
            owner.execute(statement, values | {"first": first, "count": count, "past": past})  # type: ignore[call-overload]


def _ingest(database: Database, home: Path, rows: int = 20_000, rounds: int = 5) -> None:
    """Imports without and with the index, in turns; the first round warms up. Seconds of a core in the server: other work shares the machine."""
    seconds: dict[str, list[float]] = {"without the index": [], "with it, no experiment": [], "with it, every row in one": []}
    with psycopg.connect(database.admin_url, options=SESSION, autocommit=True) as owner, database.connect("pipeline") as connection:
        server, path = psutil.Process(connection.info.backend_pid), home / "agents.jsonl"
        path.write_bytes(orjson.dumps({"agent": "desk", "system_prompt": "Answer."}))
        window = window_now(dt.date(2015, 1, 5), dt.UTC)
        import_file(connection, "default", "agents", path, window=window)
        row = owner.execute("SELECT pg_get_indexdef('learning.agent_executions_experiment'::regclass)").fetchone()
        assert row is not None
        for number in range(rounds + 1):
            for name in seconds:
                owner.execute("DROP INDEX IF EXISTS learning.agent_executions_experiment")
                if name != "without the index":
                    owner.execute(row[0])
                context = {"experiment" if name.endswith("one") else "channel": str(UUID(int=0)), "variant": "control"}
                said = {"agent": "desk", "input": "How?", "output": "So.", "context": context}
                path.write_bytes(b"\n".join(orjson.dumps(said | {"execution_id": f"{name}-{number}-{n}"}) for n in range(rows)))
                used = _cores(server)[1]
                import_file(connection, "default", "executions", path, window=window)
                seconds[name].append(_cores(server)[1] - used)
    for name, taken in seconds.items():
        each = sorted(1e6 * one / rows for one in taken[1:])
        print(f"import of executions, {name}: {each[0]:.1f} to {each[-1]:.1f}, median {statistics.median(each):.1f} µs of a core in the server a row")


def _timed(what: str, work: Callable[[], Any], server: psutil.Process | None = None) -> Any:
    """Prints what the work took: by the clock, and of a core here and in the server's process for this connection (other work shares the machine)."""
    begun, used = time.perf_counter(), _cores(server)
    made = work()
    after = _cores(server)
    record(what, time.perf_counter() - begun, "s")
    record(f"{what}, processor", after[0] - used[0] + after[1] - used[1], "s of a core")
    print(f"{what}: {time.perf_counter() - begun:.2f} s ({after[0] - used[0]:.2f} s of a core here, {after[1] - used[1]:.2f} s in the server)", flush=True)
    return made


def _cores(server: psutil.Process | None) -> tuple[float, float]:
    times = server.cpu_times() if server is not None else None
    return time.process_time(), 0.0 if times is None else times.user + times.system


def _print(done: Collected) -> None:
    print(
        f"  {done.entries:,} entries, {done.executions:,} executions counted, {done.units:,} units moved, {done.first_values:,} first values,"
        f" {done.states:,} states changed, {done.refused.total():,} refused", flush=True,
    )  # fmt: skip


if __name__ == "__main__":
    main()
