"""Durable requests a second of the feedback service, with the peers beside it: `make bench-service [ARGS="--peers --rounds 5"]`.

Belongs here: rounds, figures, the table, the check that every acknowledged record is there once. Not here: asserting goals.

Rounds are interleaved: every round measures every line once, so that what disturbs the machine disturbs all of them.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import httpx
import psutil

from benchmarks import load, peers, servers, targets
from benchmarks.loop import machine
from benchmarks.record import OURS, record
from benchmarks.without import FEATURES
from learning_pipelines.storage.database import Database
from learning_pipelines.storage.embedded import EmbeddedServer

CLIENTS = (8, 32)
BATCH_CLIENTS = 4
WARMUP = 0.5


@dataclasses.dataclass
class Line:
    """One line of the table: what is sent to which server by how many clients, and what every round of it found."""

    target: targets.Target
    server: servers.Server
    headers: dict[str, str]
    clients: int
    acknowledged: int = 0
    rounds: list[dict[str, float]] = dataclasses.field(default_factory=list)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--seconds", type=float, default=4.0, help="measured per line and round, after a warm-up of half a second")
    arguments.add_argument(
        "--peers", type=Path, nargs="?", const=Path(".venv-peer-servers"), help="MLflow and Phoenix too; their environment (make peer-servers)"
    )
    arguments.add_argument("--features", action="store_true", help="instead: what each feature costs, by leaving out one at a time (32 clients)")
    arguments.add_argument("--only", help="lines whose name contains this")
    arguments.add_argument("--json", type=Path, help="where the figures of every round go")
    chosen = arguments.parse_args()
    if chosen.peers and not (chosen.peers / "bin" / "mlflow").exists():
        arguments.error(f"{chosen.peers} has no MLflow: `make peer-servers` installs it.")
    folder = Path(tempfile.mkdtemp(prefix="learning-benchmark-", dir="/var/tmp"))
    with contextlib.ExitStack() as stack:
        one, server = stack.enter_context(servers.database(folder))
        postgres = psutil.Process(server.pid)
        lines = _features(stack, folder, one) if chosen.features else _lines(stack, folder, one, server, chosen.peers)
        lines = [line for line in lines if not chosen.only or chosen.only in line.target.name]
        disk = disk_milliseconds(server.data_dir.parent)
        measure(lines, postgres, chosen.rounds, chosen.seconds)
        stored = check(one, lines)
        met = check_units(one, lines)
    print(f"{machine()}; load average {os.getloadavg()[0]:.1f}; a write reaches the disk in {disk:.1f} ms.")
    print(f"{stored:,} acknowledged records: every one is there once, with its outbox and audit entry.")
    print(f"{met:,} units served in the experiment: every one is there once as met.\n")
    print(costs(lines) if chosen.features else table(lines))
    if chosen.json:
        figures = [{"target": line.target.name, "clients": line.clients, "rounds": line.rounds} for line in lines]
        chosen.json.write_text(json.dumps({"machine": machine(), "disk_ms": disk, "acknowledged": stored, "lines": figures}, indent=1))


def _lines(stack: contextlib.ExitStack, folder: Path, one: Database, postgres: EmbeddedServer, peer_servers: Path | None = None) -> list[Line]:
    floor = stack.enter_context(servers.uvicorn("benchmarks.noop:app", folder))
    ours = stack.enter_context(servers.uvicorn("learning_pipelines.api.app:app", folder))
    headers = {"Authorization": f"Bearer {servers.api_key(one)}"}
    seed(ours, headers)
    servers.experiment(one, targets.TRIAL)
    lines = [Line(targets.noop(), floor, {}, clients) for clients in CLIENTS]
    for target in (
        targets.feedback(), targets.feedback_with_text(), targets.executions(), targets.prompts(), targets.prompts_of_units()
    ):  # fmt: skip
        lines += [Line(target, ours, headers, clients) for clients in CLIENTS]
    lines += [Line(targets.feedback_batch(records), ours, headers, BATCH_CLIENTS) for records in (100, 1_000)]
    if peer_servers is not None:
        for peer in (peers.mlflow, peers.phoenix):
            target, server = stack.enter_context(peer(peer_servers, folder, postgres))
            lines += [Line(target, server, {}, clients) for clients in CLIENTS]
    return lines


def _features(stack: contextlib.ExitStack, folder: Path, one: Database) -> list[Line]:
    """The whole service, and one process for every feature that is left out."""
    headers = {"Authorization": f"Bearer {servers.api_key(one)}"}
    lines = []
    for feature in ("", *FEATURES):
        server = stack.enter_context(servers.uvicorn("benchmarks.without:app", folder, LEARNING_BENCHMARK_WITHOUT=feature))
        if not lines:
            seed(server, headers)
        target = targets.feedback(f"without-{len(lines)}")
        looked_up = target.table if not feature else ""  # without its ledgers a record cannot be there as it should
        name = f"without {feature}" if feature else "everything"
        lines.append(Line(dataclasses.replace(target, name=name, table=looked_up), server, headers, max(CLIENTS)))
    return lines


def seed(ours: servers.Server, headers: dict[str, str]) -> None:
    """The executions that feedback is about."""
    answer = httpx.post(f"http://127.0.0.1:{ours.port}/api/learning/executions/batch", headers=headers, json={"items": targets.seed_executions()}, timeout=60)
    assert answer.status_code == 200 and all(result["status"] == "stored" for result in answer.json()["results"]), answer.text[:500]


def measure(lines: list[Line], postgres: psutil.Process, rounds: int, seconds: float) -> None:
    """Every line once per round. Stops at the first request that is not answered as it must be."""
    numbers: defaultdict[str, int] = defaultdict(int)
    for _ in range(rounds):
        for line in lines:
            before = line.server.cpu(), servers.tree_cpu(postgres)
            share = 1.0 if line.target.records == 1 else 0.5  # batches fill the tables fastest, and the other lines meet what they leave
            found = load.run(line.target.load(line.server.port, line.headers, line.clients, share * seconds, WARMUP, numbers[line.target.name]))
            after = line.server.cpu(), servers.tree_cpu(postgres)
            numbers[line.target.name] = found.last
            if found.refused:
                raise SystemExit(f"{line.target.name}: {len(found.refused)} requests were not acknowledged, for example with\n{found.example}")
            if not found.requests:
                raise SystemExit(f"{line.target.name}: none of {line.clients} clients got an answer within {seconds:g} s: lengthen rounds (--seconds)")
            sent = found.last - found.first
            line.acknowledged += sent
            line.rounds.append({
                "requests_per_second": found.requests / found.seconds, "rows_per_second": found.requests * line.target.records / found.seconds,
                "p50": found.p50, "p95": found.p95, "p99": found.p99, "server_us": 1e6 * (after[0] - before[0]) / sent,
                "postgres_us": 1e6 * (after[1] - before[1]) / sent, "server_busy": 100 * (after[0] - before[0]) / found.elapsed,
                "postgres_busy": 100 * (after[1] - before[1]) / found.elapsed, "generator_busy": 100 * found.cpu, "load": os.getloadavg()[0],
            })  # fmt: skip
            note(line)
            print(f"{line.target.name} × {line.clients}: " + ", ".join(f"{key} {value:,.1f}" for key, value in line.rounds[-1].items()), file=sys.stderr)


def note(line: Line) -> None:
    """The newest round of a line; a peer's and the floor's stand beside our feedback."""
    of, who = line.target.name, {**targets.VERSIONS, "no-op endpoint": "an endpoint that does nothing"}.get(line.target.name, OURS)
    name, found = f"{of if who == OURS else 'feedback'}, {line.clients} clients", line.rounds[-1]
    record(name, found["requests_per_second"], "requests/s", who)
    for key in ("p50", "p99"):
        record(f"{name}, {key}", found[key], "ms", who)
    if line.target.records > 1:
        record(f"{name}, rows", found["rows_per_second"], "rows/s", who)
    for key in ("server_us", "postgres_us"):
        record(f"{name}, {key.removesuffix('_us')}", found[key], "µs of a core", who)


def disk_milliseconds(folder: Path) -> float:
    """Median time in which 8 KB, the least that a commit writes, reach the disk."""
    times = []
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(bytes(8192 * 100))
        os.fsync(file.fileno())
        for number in range(100):
            os.pwrite(file.fileno(), b"x" * 8192, 8192 * number)
            begun = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - begun)
    return 1000 * statistics.median(times)


def check(one: Database, lines: list[Line]) -> int:
    """Every acknowledged record is there exactly once, with its outbox and its audit entry. Returns how many there are."""
    expected: defaultdict[tuple[str, str], int] = defaultdict(int)
    for line in lines:
        if line.target.table:
            expected[line.target.table, line.target.ids] += line.acknowledged * line.target.records
    with one.connect("owner") as connection:
        for (table, ids), count in expected.items():
            for source, column in ((table, "id"), ("outbox", "row_id"), ("audit_log", "subject_id")):
                row = connection.execute(f"SELECT count(*), count(DISTINCT {column}) FROM {source} WHERE {column} ~ %s", [ids]).fetchone()
                if row != (count, count):
                    raise SystemExit(f"{source} has {row} records and different ids of {ids}, acknowledged were {count}")
    return sum(expected.values())


def check_units(one: Database, lines: list[Line]) -> int:
    """Every unit that was served a variant is there exactly once, as met in that variant. Returns how many there are."""
    served = sum(line.acknowledged for line in lines if line.target.path.startswith(f"/api/learning/prompts/{targets.TRIAL}"))
    deadline = time.monotonic() + 10
    with one.connect("owner") as connection:
        while (row := connection.execute("SELECT count(*), count(DISTINCT unit) FROM experiment_assignments").fetchone()) != (served, served):
            if time.monotonic() > deadline:
                raise SystemExit(f"there are {row} units as met, served were {served}")
            time.sleep(0.1)
    return served


def table(lines: list[Line]) -> str:
    """The figures as Markdown: medians over the rounds, for requests a second with the smallest and largest round."""
    text = [
        "| target | clients | requests/s (min–max) | rows/s | p50 ms | p95 ms | p99 ms | server µs (% of a core) | PostgreSQL µs (% of a core) |",
        "|---|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for line in lines:
        name, clients = line.target.name, line.clients
        of = {key: sorted(one[key] for one in line.rounds) for key in line.rounds[0]}
        middle = {key: statistics.median(values) for key, values in of.items()}
        rates = of["requests_per_second"]
        text.append(
            f"| {name} | {clients} | {middle['requests_per_second']:,.0f} ({rates[0]:,.0f}–{rates[-1]:,.0f}) | {middle['rows_per_second']:,.0f} "
            f"| {middle['p50']:.1f} | {middle['p95']:.1f} | {middle['p99']:.1f} "
            f"| {middle['server_us']:,.0f} ({middle['server_busy']:.0f}) | {middle['postgres_us']:,.0f} ({middle['postgres_busy']:.0f}) |"
        )
    return "\n".join([*text, "", *_against_peers(lines)])


def _against_peers(lines: list[Line]) -> list[str]:
    """How many times the faster peer's rate feedback is taken at, per number of clients."""
    said = []
    for clients in CLIENTS:
        rates = {line.target.name: statistics.median(one["requests_per_second"] for one in line.rounds) for line in lines if line.clients == clients}
        others = {name: rate for name, rate in rates.items() if name in targets.PEERS}
        if others and "feedback" in rates:
            faster = max(others, key=others.__getitem__)
            said.append(f"{clients} clients: {rates['feedback'] / others[faster]:.1f} times {faster}, the faster peer.")
    return said


def costs(lines: list[Line]) -> str:
    """What the service spends less without each feature, per request, as medians over the rounds."""
    text = ["| | requests/s | p99 ms | worker µs | PostgreSQL µs |", "|---|---|---|---|---|"]
    middle = [{key: statistics.median(one[key] for one in line.rounds) for key in line.rounds[0]} for line in lines]
    for line, of in zip(lines, middle, strict=True):
        less = [f" ({of[key] - middle[0][key]:+,.0f})" if of is not middle[0] else "" for key in ("server_us", "postgres_us")]
        text.append(
            f"| {line.target.name} | {of['requests_per_second']:,.0f} | {of['p99']:.1f} | {of['server_us']:,.0f}{less[0]} | {of['postgres_us']:,.0f}{less[1]} |"
        )
    return "\n".join(text)


if __name__ == "__main__":
    main()
