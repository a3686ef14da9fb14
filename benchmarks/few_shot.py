"""Looking up demonstrations for an input: time and recall by rows, tenants and settings, as the role of the service. `make bench-few-shot`.

Belongs here: rows, timings, printing. Not here: assertions about time (there are none), the lookup itself (storage/demonstrations.py).

Several tenants share the table: one has 5 % of the rows, one 15 %, one 80 %. Vectors are made, not encoded: 384 numbers of which 48 directions
matter, in loose groups, about as spread as sentence vectors are. With --encode the real encoder process is asked as well (its model: seconds).
A tenth of the examples are corrections and a hundredth demonstrations: guidance looks up both for an input, and chooses among them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil

from benchmarks.record import OURS, record, record_numbers
from learning_pipelines.api.few_shot import FewShot
from learning_pipelines.behavior.guidance import Guidance, choose
from learning_pipelines.behavior.guidance_lookup import encoded, pieces_for, way_of
from learning_pipelines.encoder import open_encoder
from learning_pipelines.feedback.identity import organization_id
from learning_pipelines.settings import Settings
from learning_pipelines.storage import embedded
from learning_pipelines.storage.database import Connection, Database, of_server
from learning_pipelines.storage.demonstrations import few, index_demonstrations, nearest
from learning_pipelines.storage.migrate import migrate
from learning_pipelines.storage.sessions import Acting, Sessions, act_as
from learning_pipelines.storage.tenants import AgentRef, agents, ensure_organization

Vectors = npt.NDArray[np.float32]
SHARES = {"five": 0.05, "fifteen": 0.15, "eighty": 0.80}
K, LOOKUPS = 8, 300
ROUNDS, EACH = 7, 60
"""Beside the peer: rounds in turns, and lookups of each in a round."""
EXAMPLES = """
INSERT INTO learning_examples (organization_id, id, agent_id, example_type, source_type, input_text, expected_output, content_hash, scrub_rules, review_status)
SELECT %(organization)s, 'e' || n, %(agent)s, CASE WHEN n %% 10 = 0 THEN 'correction' WHEN n %% 100 = 1 THEN 'demonstration' ELSE 'positive' END, 'imported',
    %(name)s || ' input ' || n, 'answer ' || n %% 16, sha256(n::text::bytea), '1', 'approved'
FROM generate_series(1, %(rows)s) AS n"""
CONTENTS = """
INSERT INTO example_contents (organization_id, content_hash, content)
SELECT e.organization_id, sha256(convert_to(example_content(e)::text, 'UTF8')), example_content(e) FROM learning_examples e
WHERE organization_id = %(organization)s"""
MEMBERS = """
INSERT INTO dataset_examples (organization_id, dataset_id, example_id, split, content_hash)
SELECT e.organization_id, %(dataset)s, e.id, 'train', sha256(convert_to(example_content(e)::text, 'UTF8')) FROM learning_examples e
WHERE organization_id = %(organization)s"""


class Made:
    """An encoder whose vectors follow from the text alone."""

    name, dimensions = "made@1", 384

    def __init__(self) -> None:
        rng = np.random.default_rng(7)
        self._directions = rng.standard_normal((48, self.dimensions)).astype(np.float32)
        self._groups = rng.standard_normal((400, 48)).astype(np.float32)

    def encode(self, texts: Sequence[str], *, batch_size: int = 64) -> Vectors:
        rows = np.empty((len(texts), self.dimensions), dtype=np.float32)
        for at, text in enumerate(texts):
            rng = np.random.default_rng(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big"))
            inner = self._groups[rng.integers(len(self._groups))] + 0.7 * rng.standard_normal(48).astype(np.float32)
            rows[at] = inner @ self._directions + 0.5 * rng.standard_normal(self.dimensions).astype(np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--encode", action="store_true", help="Also with the real encoder process.")
    parser.add_argument(
        "--peer", type=Path, nargs="?", const=Path(".venv-peer-optimizers"), help="dspy's KNN on the same vectors; its environment (make peer-optimizers)"
    )
    chosen = parser.parse_args()
    if chosen.peer and not (chosen.peer / "bin" / "python").exists():
        parser.error(f"{chosen.peer} is not there: `make peer-optimizers` installs it.")
    for size in chosen.sizes:
        home = Path(tempfile.mkdtemp(prefix="few-shot-"))
        try:
            database = of_server(embedded.ensure_running(home))
            migrate(database)
            settings = Settings(home=home, database_url=None) if chosen.encode else None
            found = measure(database, size, settings, chosen.peer)
            print(json.dumps({"rows": size, **found}, indent=1), flush=True)
            record(f"vectors made and indexed, {size:,} examples", found.pop("seconds_to_index"), "s")
            for name, numbers in found.items():
                record_numbers(f"{name}, {size:,} examples", numbers)
        finally:
            embedded.stop(home)
            shutil.rmtree(home, ignore_errors=True)


def measure(database: Database, size: int, encoding: Settings | None, peer: Path | None) -> dict[str, Any]:
    encoder, found = Made(), dict[str, Any]()
    with database.connect("pipeline") as connection:
        sets = {name: fill(connection, name, round(share * size)) for name, share in SHARES.items()}
        begun = time.perf_counter()
        for agent, dataset in sets.values():
            index_demonstrations(connection, agent, dataset, encoder)
        found["seconds_to_index"] = round(time.perf_counter() - begun, 1)
    with database.connect("owner") as connection:
        connection.execute("ANALYZE")
    for name, (agent, dataset) in sets.items():
        with database.connect("api", autocommit=False) as connection:
            found[f"{name} ({SHARES[name]:.0%})"] = lookups(connection, encoder, agent, dataset)
            found[f"{name}, guidance"] = guided(connection, encoder, agent, dataset)
            if encoding is not None:
                found[f"{name} with encoding"] = with_encoding(connection, encoding, agent, dataset)
        if peer is not None:
            beside(database, encoder, agent, dataset, peer, [f"{name} input {number}" for number in range(1, round(SHARES[name] * size) + 1)])
    return found


def fill(connection: Connection, name: str, rows: int) -> tuple[AgentRef, Any]:
    """A tenant with one agent and one dataset version; its texts are its own."""
    tenant = ensure_organization(connection, organization_id(name), name)
    connection.execute("INSERT INTO agents (organization_id, slug) VALUES (%s, 'desk')", [tenant])
    agent = agents(connection, name)[0]
    values = {"organization": tenant, "agent": agent.agent_id, "name": name, "rows": rows}
    row = connection.execute(
        "INSERT INTO training_datasets (organization_id, name, version, status, content_hash) VALUES (%s, 'desk', 1, 'collecting', '') RETURNING id", [tenant]
    ).fetchone()
    assert row is not None
    for statement in (EXAMPLES, CONTENTS, MEMBERS):
        connection.execute(statement, {**values, "dataset": row[0]})
    return agent, row[0]


def lookups(connection: Connection, encoder: Made, agent: AgentRef, dataset: Any) -> dict[str, Any]:
    """Times of lookups as the service makes them, and the share of the true nearest among what they find."""
    exactly: list[list[str]] = []
    queries = encoder.encode([f"question {number}" for number in range(LOOKUPS)])
    exact = acting(connection, agent, lambda: few(connection, agent, encoder.name))

    def look(vector: Vectors, exact: bool) -> list[str]:
        return [one.example_id for one in nearest(connection, agent, dataset, encoder.name, vector, K, exact=exact)]

    times, found = [], []
    server = server_of(connection)
    before = server.cpu_times()
    for vector in queries:
        begun = time.perf_counter()
        found.append(acting(connection, agent, lambda vector=vector: look(vector, exact)))  # type: ignore[misc]
        times.append(1000 * (time.perf_counter() - begun))
    spent = cpu_ms(server, before, len(queries))
    for vector in queries[:100]:
        exactly.append(acting(connection, agent, lambda vector=vector: look(vector, True)))  # type: ignore[misc]
    hits = sum(len(set(one) & set(other)) for one, other in zip(found, exactly, strict=False))
    recall, short = round(hits / (100 * K), 4), sum(len(one) < K for one in found)
    return {"exact": exact, **spread(times[20:]), "postgres_cpu_ms": spent, f"recall@{K}": recall, "short": short}


def guided(connection: Connection, encoder: Made, agent: AgentRef, dataset: Any) -> dict[str, Any]:
    """Times of what guidance does for an input once it is encoded: both lookups, and the choice."""
    guidance = Guidance(str(dataset), "", 1, encoder.name, {"corrections": 0.2, "demonstrations": 0.1}, 600)
    way = acting(connection, agent, lambda: way_of(connection, agent, encoder.name))
    notes, times, shown = encoded([], encoder), [], 0
    queries = encoder.encode([f"question {number}" for number in range(LOOKUPS)])
    server = server_of(connection)
    before = server.cpu_times()
    for vector in queries:
        begun = time.perf_counter()
        pieces = acting(connection, agent, lambda vector=vector: pieces_for(connection, agent, guidance, vector, notes, way))  # type: ignore[misc]
        shown += len(choose(guidance, pieces).pieces)
        times.append(1000 * (time.perf_counter() - begun))
    return {"exact": dict(way.exact), **spread(times[20:]), "postgres_cpu_ms": cpu_ms(server, before, len(queries)), "shown": round(shown / LOOKUPS, 1)}


def beside(database: Database, encoder: Made, agent: AgentRef, dataset: Any, peer: Path, texts: list[str]) -> None:
    """Rounds of ours and of dspy's KNN in turns: the same examples, vectors and queries, a vector at hand for each query. dspy compares with every vector in
    memory; ours is what a worker of the service does: few examples are read once and compared in memory, many are asked of the database."""
    queries = encoder.encode([f"question {number}" for number in range(ROUNDS * EACH)])
    sessions = Sessions(lambda: database)
    sessions.open()
    try:
        with database.connect("api") as connection, Peer(peer, encoder.encode(texts), queries) as other:
            picking, servers = FewShot(sessions, Settings(home=Path("unused"), database_url=None)), server_of(connection).parent()
            assert servers is not None
            begun = time.perf_counter()
            picking.nearest_to(agent, dataset, encoder.name, queries[0], K)
            record(f"first lookup of {K} among {len(texts):,}", 1000 * (time.perf_counter() - begun), "ms", OURS)
            for start in range(0, len(queries), EACH):
                times, before, own = [], spent_by(servers), time.process_time()
                for vector in queries[start : start + EACH]:
                    begun = time.perf_counter()
                    picking.nearest_to(agent, dataset, encoder.name, vector, K)
                    times.append(1000 * (time.perf_counter() - begun))
                own = time.process_time() - own  # before the servers are asked: reading their times takes 10 ms
                spent = 1000 * (spent_by(servers) - before + own) / EACH
                theirs, their_spent = other.lookups(start, EACH)
                for who, taken, processor in ((OURS, times, spent), (f"dspy {other.version}'s KNN, in memory", theirs, their_spent)):
                    record(f"lookup of {K} among {len(texts):,}, processor", processor, "ms of a core", who)
                    record(f"lookup of {K} among {len(texts):,}, p50", sorted(taken)[EACH // 2], "ms", who)
                    record(f"lookup of {K} among {len(texts):,}, most of {EACH}", max(taken), "ms", who)
                    print(
                        f"{len(texts):,} examples, {who}: p50 {sorted(taken)[EACH // 2]:.2f} ms, most {max(taken):.2f}, {processor:.2f} of a core", flush=True
                    )
            record("calls of the model for one answer by KNNFewShot", other.calls, "calls", f"dspy {other.version}'s KNNFewShot")
    finally:
        sessions.close()


def spent_by(servers: psutil.Process) -> float:
    """Seconds of a core that PostgreSQL has taken, all of its processes."""
    total = 0.0
    for process in (servers, *servers.children()):
        with suppress(psutil.NoSuchProcess):
            taken = process.cpu_times()
            total += taken.user + taken.system
    return total


class Peer:
    """dspy's KNN in a process and an environment of its own (few_shot_peer.py)."""

    def __init__(self, environment: Path, examples: Vectors, queries: Vectors) -> None:
        self._folder = tempfile.TemporaryDirectory()
        for name, rows in (("examples", examples), ("queries", queries)):
            np.save(Path(self._folder.name) / f"{name}.npy", rows)
        command = [str(environment / "bin" / "python"), str(Path(__file__).with_name("few_shot_peer.py")), self._folder.name, str(K)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        said = self._answer()
        self.version, self.calls = said["version"], said["calls"]

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)
        self._folder.cleanup()

    def lookups(self, start: int, count: int) -> tuple[list[float], float]:
        """Milliseconds of each, and what one took of a core."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([start, count]) + "\n")
        self._process.stdin.flush()
        times, spent = self._answer()
        return times, spent

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        if not (line := self._process.stdout.readline()):
            raise SystemExit("dspy's process ended; it said why above")
        return json.loads(line)


def server_of(connection: Connection) -> psutil.Process:
    """The process behind a connection."""
    row = connection.execute("SELECT pg_backend_pid()").fetchone()
    assert row is not None
    return psutil.Process(row[0])


def cpu_ms(server: psutil.Process, before: Any, count: int) -> float:
    after = server.cpu_times()
    return round(1000 * (after.user + after.system - before.user - before.system) / count, 2)


def with_encoding(connection: Connection, settings: Settings, agent: AgentRef, dataset: Any) -> dict[str, float]:
    """The same with a text that the encoder process has to encode; stored vectors are compared whatever made them."""
    encoder = open_encoder(settings)
    exact = acting(connection, agent, lambda: few(connection, agent, Made.name))
    times = []
    for number in range(120):
        begun = time.perf_counter()
        vector = encoder.encode([f"When is the return number {number} of my firm due, and where do I file it?"])[0]
        acting(connection, agent, lambda vector=vector: nearest(connection, agent, dataset, Made.name, vector, K, exact=exact))  # type: ignore[misc]
        times.append(1000 * (time.perf_counter() - begun))
    encoder.close()
    return spread(times[20:])


def acting(connection: Connection, agent: AgentRef, work: Callable[[], Any]) -> Any:
    """One transaction as the service has it."""
    with connection.transaction():
        act_as(connection, Acting(agent.organization_id, role="trainer"))
        return work()


def spread(times: list[float]) -> dict[str, float]:
    ordered = sorted(times)
    return {"least_ms": round(ordered[0], 2), "p50_ms": round(ordered[len(ordered) // 2], 2), "p99_ms": round(ordered[int(0.99 * len(ordered))], 2)}


if __name__ == "__main__":
    main()
