"""How long a search takes and how much of the exact answer it finds: `make bench-search [ARGS="--chunks 20000"]`.

Belongs here: rows, timings, the swap under load, printing. Not here: assertions about time (there are none), search itself (retrieval/searcher.py).

Five tenants share the tables, one has 5 % of the rows. Texts are made: words of a vocabulary that follows Zipf's law, about 110 a chunk. Vectors are
made too: 384 numbers in loose groups, about as spread as sentence vectors are. `direct` is the searcher as the role of the service, with vectors at
hand; `http` is the service with one worker, whose questions the encoder process encodes. The index of vectors is built after the rows are in.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import numpy as np
import numpy.typing as npt
import psutil
import psycopg

from benchmarks import servers
from benchmarks.loop import machine
from benchmarks.record import record_numbers
from learning_pipelines.api.keys import new_key
from learning_pipelines.encoder import PACKAGED, EncoderClient, open_encoder
from learning_pipelines.feedback.identity import user_id
from learning_pipelines.retrieval.index import IndexConfig
from learning_pipelines.retrieval.lexical import StoredLexical, refresh_lexical
from learning_pipelines.retrieval.loaded import Loaded, Question
from learning_pipelines.retrieval.searcher import Searcher
from learning_pipelines.settings import Settings
from learning_pipelines.storage import api_keys, indexes, vector_search
from learning_pipelines.storage.database import Connection, Database, snapshot
from learning_pipelines.storage.lexical import Scope
from learning_pipelines.storage.sessions import Acting, act_as
from learning_pipelines.storage.tenants import AgentRef
from learning_pipelines_tests.retrieval.stored import agent, organization, put_chunks, put_vectors

SHARES = {"five": 0.05, "ten": 0.10, "fifteen": 0.15, "twenty": 0.20, "fifty": 0.50}
WORDS, GROUPS, LENGTH, K = 60_000, 400, 384, 10
PORTION = 10_000
Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Tenant:
    agent: AgentRef
    encoder_id: UUID
    key: str
    chunks: int


class Corpus:
    """Texts and vectors as they are drawn, by a seed."""

    def __init__(self, seed: int = 7) -> None:
        self._random = np.random.default_rng(seed)
        letters = list("aabcdeeefghiiklmnnooprrssttuvw")
        self.words = ["".join(self._random.choice(letters, size=size)) for size in self._random.integers(3, 11, size=WORDS)]
        weights = 1 / (np.arange(WORDS) + 2.7)
        self._shares = np.cumsum(weights / weights.sum())
        self._directions = self._random.standard_normal((48, LENGTH)).astype(np.float32)
        self._groups = self._random.standard_normal((GROUPS, 48)).astype(np.float32)

    def texts(self, count: int, least: int = 70, most: int = 150) -> list[str]:
        lengths = self._random.integers(least, most, size=count)
        drawn = np.searchsorted(self._shares, self._random.random(int(lengths.sum())))
        ends = np.cumsum(lengths).tolist()
        return [" ".join(map(self.words.__getitem__, drawn[end - length : end].tolist())) for end, length in zip(ends, lengths.tolist(), strict=True)]

    def vectors(self, count: int) -> Vectors:
        inner = self._groups[self._random.integers(GROUPS, size=count)] + 0.7 * self._random.standard_normal((count, 48)).astype(np.float32)
        rows = inner @ self._directions + 0.5 * self._random.standard_normal((count, LENGTH)).astype(np.float32)
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chunks", type=int, default=100_000)
    parser.add_argument("--searches", type=int, default=300, help="measured per tenant")
    parser.add_argument("--swap-seconds", type=float, default=30.0)
    parser.add_argument("--no-http", action="store_true", help="Only the searcher: the encoder process is not asked.")
    chosen = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="learning-benchmark-", dir="/var/tmp"))
    with servers.database(folder) as (database, _):
        settings = Settings(home=folder / "home", database_url=None)
        encoder = None if chosen.no_http else open_encoder(settings)
        corpus = Corpus()
        tenants, filled = fill(database, corpus, chosen.chunks, encoder.name if encoder else "made@1")
        print(json.dumps({"machine": machine(), "load": round(os.getloadavg()[0], 1), "chunks": chosen.chunks, **filled}, indent=1), flush=True)
        for tenant in tenants.values():
            told(f"direct, {tenant.chunks:,} of {chosen.chunks:,} chunks", direct(database, corpus, tenant, chosen.searches))
        if encoder is not None:
            told("encoding one question", encoding(encoder, corpus))
            with servers.uvicorn("learning_pipelines.api.app:app", folder) as server:
                url = f"http://127.0.0.1:{server.port}/api/learning/search"
                for name in ("five", "fifty"):
                    for clients in (1, 2):
                        of = f"HTTP, {clients} client{'s' if clients > 1 else ''}, {tenants[name].chunks:,} of {chosen.chunks:,} chunks"
                        told(of, http(url, corpus, tenants[name], chosen.searches, clients))
                told("versions swapped under load", swapping(url, database, corpus, tenants["fifty"], chosen.swap_seconds))


def told(name: str, found: dict[str, Any]) -> None:
    print(json.dumps({name: found}), flush=True)
    record_numbers(name, found)


def fill(database: Database, corpus: Corpus, chunks: int, encoder: str) -> tuple[dict[str, Tenant], dict[str, Any]]:
    tenants: dict[str, Tenant] = {}
    seconds = {"lexical": 0.0, "vectors_by_row": 0.0}
    with psycopg.connect(database.admin_url, autocommit=True) as owner, database.connect("pipeline") as connection:
        owner.execute(f"DROP INDEX learning.chunk_embeddings_{LENGTH}")
        for name, share in SHARES.items():
            who = agent(connection, "desk", name)
            tenant = organization(connection, name)
            identity = indexes.add_encoder(connection, tenant, name=encoder, model=PACKAGED, dimensions=LENGTH)
            indexes.put_base(connection, tenant, identity, IndexConfig().as_json())
            numbers = itertools.count()
            for start in range(0, round(share * chunks), PORTION):
                count = min(PORTION, round(share * chunks) - start)
                names = [f"{name}{next(numbers):07}" for _ in range(count)]
                put_chunks(connection, tenant, dict(zip(names, corpus.texts(count), strict=True)))
                begun = time.perf_counter()
                put_vectors(connection, tenant, identity, names, corpus.vectors(count))
                seconds["vectors_by_row"] += time.perf_counter() - begun
            begun = time.perf_counter()
            refresh_lexical(connection, tenant, "english")
            seconds["lexical"] += time.perf_counter() - begun
            key, hashed = new_key(name)
            api_keys.create(connection, tenant, hashed, "user", None, user_id)
            tenants[name] = Tenant(who, identity, key, round(share * chunks))
        begun = time.perf_counter()
        owner.execute("SET maintenance_work_mem = '512MB'")
        owner.execute(
            f"""CREATE INDEX chunk_embeddings_{LENGTH} ON learning.chunk_embeddings USING hnsw ((embedding::halfvec({LENGTH})) halfvec_ip_ops)
            WHERE vector_dims(embedding) = {LENGTH}"""
        )
        built = time.perf_counter() - begun
        owner.execute("VACUUM ANALYZE")
        size = owner.execute("SELECT pg_total_relation_size('learning.lexical_postings')").fetchone()
    assert size is not None
    return tenants, {
        "lexical_chunks_per_second": round(chunks / seconds["lexical"]), "seconds_to_index_vectors": round(built, 1),
        "postings_mb": round(size[0] / 1e6), "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1000,
    }  # fmt: skip


@contextmanager
def acting(connection: Connection, tenant: Tenant) -> Iterator[None]:
    with snapshot(connection):
        act_as(connection, Acting(tenant.agent.organization_id))
        yield


def direct(database: Database, corpus: Corpus, tenant: Tenant, searches: int) -> dict[str, Any]:
    """The searcher as the role of the service, and its vector leg beside the exact one."""
    organization_of, loaded = tenant.agent.organization_id, Loaded(Settings(home=Path("/nonexistent"), database_url=None))
    questions = [Question(text, vector) for text, vector in zip(corpus.texts(searches + 20, 4, 10), corpus.vectors(searches + 20), strict=True)]
    with database.connect("api") as connection:
        with acting(connection, tenant):
            version = indexes.serving(connection, organization_of, tenant.agent.agent_id)
        assert version is not None

        def search(question: Question) -> Any:
            with acting(connection, tenant):
                return Searcher(connection, organization_of, tenant.agent.agent_id, version, loaded).search(question, K)

        figures = timed(connection, search, questions)
        legs: dict[str, Callable[[Question], Any]] = {
            "lexical": lambda one: list(StoredLexical(connection, Scope(organization_of)).scores([(one.text, None)])),
            "vectors": lambda one: nearest(connection, tenant, one.vector, 100, None),
        }
        with acting(connection, tenant):
            for leg, look in legs.items():
                figures[f"{leg}_p50_ms"] = spread([_milliseconds(partial(look, one)) for one in questions[:60]])["p50_ms"]
        found = []
        with acting(connection, tenant):
            for one in questions[:100]:
                found.append([nearest(connection, tenant, one.vector, k, exact) for k in (K, 100) for exact in (None, True)])
    recall = {f"recall@{k}": round(sum(len(set(row[at]) & set(row[at + 1])) for row in found) / (k * len(found)), 4) for k, at in ((K, 0), (100, 2))}
    return {**figures, **recall, "short": sum(len(row[0]) < K for row in found)}


def nearest(connection: Connection, tenant: Tenant, vector: Vectors, k: int, exact: bool | None) -> list[str]:
    scope = Scope(tenant.agent.organization_id, tenant.agent.agent_id)
    exactly = vector_search.compares_all(connection, tenant.chunks) if exact is None else exact
    return vector_search.nearest(connection, scope, tenant.encoder_id, vector, k, exact=exactly)


def timed(connection: Connection, search: Callable[[Question], Any], questions: Sequence[Question]) -> dict[str, Any]:
    row = connection.execute("SELECT pg_backend_pid()").fetchone()
    assert row is not None
    processes = {"postgres_cpu_ms": psutil.Process(row[0]), "own_cpu_ms": psutil.Process()}
    for question in questions[:20]:
        search(question)
    before = {name: process.cpu_times() for name, process in processes.items()}
    times = [_milliseconds(partial(search, one)) for one in questions[20:]]
    spent = {}
    for name, process in processes.items():
        now = process.cpu_times()
        spent[name] = round(1000 * (now.user + now.system - before[name].user - before[name].system) / len(times), 2)
    return {**spread(times), **spent}


def encoding(encoder: EncoderClient, corpus: Corpus) -> dict[str, float]:
    return spread([_milliseconds(partial(encoder.encode, [text])) for text in corpus.texts(200, 4, 10)][20:])


def http(url: str, corpus: Corpus, tenant: Tenant, searches: int, clients: int) -> dict[str, Any]:
    """Different questions over the service's socket, by so many clients at once."""
    texts, times, bad = iter(corpus.texts(searches + 20 * clients, 4, 10)), list[float](), list[int]()
    lock = threading.Lock()

    def client() -> None:
        with httpx.Client(headers={"Authorization": f"Bearer {tenant.key}"}, timeout=60) as session:
            for number in itertools.count():
                with lock:
                    text = next(texts, None)
                if text is None:
                    return
                begun = time.perf_counter()
                answer = session.get(url, params={"q": text, "agent": "desk", "k": K})
                if answer.status_code != 200 or len(answer.json()["results"]) != K:
                    bad.append(answer.status_code)
                if number >= 20:
                    times.append(1000 * (time.perf_counter() - begun))

    run([client] * clients)
    return {**spread(times), "bad": len(bad)}


def swapping(url: str, database: Database, corpus: Corpus, tenant: Tenant, seconds: float) -> dict[str, Any]:
    """Four clients ask the same question all the time while two versions take turns: answers that failed, were empty or no version's own."""
    with database.connect("pipeline") as connection:
        numbers = [
            indexes.add(
                connection, tenant.agent, encoder_id=tenant.encoder_id, kind="index", parent=0, config=IndexConfig(lexical_weight=weight).as_json(),
                metrics={}, training_run_id=None,
            )
            for weight in (0.9, 0.1)
        ]  # fmt: skip
        question, key = corpus.texts(1, 6, 7)[0], {"Authorization": f"Bearer {tenant.key}"}
        params = {"q": question, "agent": "desk", "k": str(K)}
        own = {}
        for number in numbers:
            indexes.move_serving(connection, tenant.agent, number, None)
            own[number] = httpx.get(url, params=params, headers=key, timeout=60).json()["results"]
        counts, done = {"answers": 0, "failed": 0, "empty": 0, "mixed": 0, "swaps": 0}, threading.Event()

        def client() -> None:
            with httpx.Client(headers=key, timeout=60) as session:
                while not done.is_set():
                    answer = session.get(url, params=params)
                    said = answer.json() if answer.status_code == 200 else {"results": None, "index": None}
                    counts["answers"] += 1
                    counts["failed"] += answer.status_code != 200
                    counts["empty"] += said["results"] == []
                    counts["mixed"] += bool(said["results"]) and said["results"] != own.get(said["index"])

        def swap() -> None:
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                indexes.move_serving(connection, tenant.agent, numbers[counts["swaps"] % 2], None)
                counts["swaps"] += 1
                time.sleep(0.05)
            done.set()

        run([client] * 4 + [swap])
    return counts


def run(works: Sequence[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _milliseconds(work: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - begun)


def spread(times: list[float]) -> dict[str, float]:
    there = sorted(times)
    return {f"p{share}_ms": round(there[min(len(there) - 1, len(there) * share // 100)], 1) for share in (50, 95, 99)}


if __name__ == "__main__":
    main()
