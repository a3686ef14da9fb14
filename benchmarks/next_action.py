"""How long GET /agents/{agent_id}/next-action takes at 100,000 demonstrated steps: `make bench-next-action [ARGS="--requests 400"]`.

Belongs here: the service with one worker over a real database, its policy and the packaged encoder, timings, printing. Not here: the policy alone
(behavior_latency.py), assertions about time (there are none), how good suggestions are (behavior.py).

Every task is new, so each request encodes two texts; the encoder's share is measured beside it. `load` says how busy the machine was with others.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import httpx

from benchmarks import servers
from benchmarks.behavior_latency import STEPS, policy_of
from benchmarks.loop import machine
from benchmarks.record import record_numbers
from benchmarks.search import run, spread
from learning_pipelines.acceptance.approval import OPERATOR, approve
from learning_pipelines.acceptance.behavior_proposing import propose
from learning_pipelines.behavior.policy.files import save
from learning_pipelines.encoder import EncoderClient, open_encoder
from learning_pipelines.retrieval.artifacts import put_folder
from learning_pipelines.settings import Settings
from learning_pipelines.storage.database import Database
from learning_pipelines.storage.tenants import agents

TYPES = 20


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=400)
    chosen = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="learning-benchmark-", dir="/var/tmp"))
    with servers.database(folder) as (database, _):
        settings = Settings(home=folder / "home", database_url=None)
        encoder = open_encoder(settings)
        megabytes = serve(database, settings, encoder, folder)
        print(json.dumps({"machine": machine(), "load": round(os.getloadavg()[0], 1), "steps": STEPS, "artifact_mb": megabytes}), flush=True)
        print(json.dumps({"encoding two texts": encoding(encoder, chosen.requests)}), flush=True)
        with servers.uvicorn("learning_pipelines.api.app:app", folder) as server:
            url, key = f"http://127.0.0.1:{server.port}/api/learning/agents/desk/next-action", servers.api_key(database)
            begun = time.perf_counter()
            httpx.get(url, params={"task": "first"}, headers={"Authorization": f"Bearer {key}"}, timeout=300).raise_for_status()
            print(json.dumps({"first request, which loads the policy": round(time.perf_counter() - begun, 2)}), flush=True)
            for clients in (1, 2):
                found = http(url, key, chosen.requests, clients, server)
                print(json.dumps({f"http, clients {clients}": found}), flush=True)
                record_numbers(f"next action over HTTP, {clients} client{'s' if clients > 1 else ''}, {STEPS:,} steps", found)


def serve(database: Database, settings: Settings, encoder: EncoderClient, folder: Path) -> float:
    """Makes a policy of STEPS steps serve; the size of its folder in MB."""
    made = folder / "policy"
    save(replace(policy_of(TYPES).learnt, encoder=encoder.name, dimensions=encoder.dimensions), made)
    with database.connect("pipeline") as connection:
        (agent,) = agents(connection, servers.ORGANIZATION, "desk")
        _, proposal = propose(
            connection, agent, settings, kind="policy", subject_kind="policy", config={}, metrics={}, evidence={}, artifact=put_folder(settings, agent, made)
        )  # fmt: skip
        approve(connection, agent.organization_id, proposal, "immediate", OPERATOR, settings=settings)
    return round(sum(path.stat().st_size for path in made.iterdir()) / 1e6, 1)


def encoding(encoder: EncoderClient, count: int) -> dict[str, float]:
    times = []
    for number in range(count):
        begun = time.perf_counter()
        encoder.encode([f"a customer asks about order {number}", f"t1, arguments: a: {number}"])
        times.append(1000 * (time.perf_counter() - begun))
    return spread(times[20:])


def http(url: str, key: str, count: int, clients: int, server: servers.Server) -> dict[str, Any]:
    """Different tasks by so many clients at once; `own_cpu_ms`: what the worker spent on each, the encoder's process apart."""
    times, bad, numbers = list[float](), list[int](), itertools.count(1)
    before = server.cpu()

    def client() -> None:
        with httpx.Client(headers={"Authorization": f"Bearer {key}"}, timeout=60) as session:
            while (number := next(numbers)) <= count:
                history = json.dumps([{"type": f"t{number % TYPES}", "arguments": {"a": number}}, {"type": f"t{(number + 1) % TYPES}", "arguments": {"a": 1}}])
                begun = time.perf_counter()
                answer = session.get(url, params={"task": f"somebody {clients} wants item {number}", "history": history})
                times.append(1000 * (time.perf_counter() - begun))
                if answer.status_code != 200 or answer.json()["policy"] != 1:
                    bad.append(answer.status_code)

    run([client] * clients)
    return {**spread(times), "own_cpu_ms": round(1000 * (server.cpu() - before) / count, 1), "bad": len(bad)}


if __name__ == "__main__":
    main()
