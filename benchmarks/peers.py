"""The servers of MLflow and Phoenix for the load benchmark, each with a database of its own on the benchmark's PostgreSQL.

Belongs here: starting and seeding them. Not here: what is sent to them (targets.py). Their environment: `make peer-servers`.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg

from benchmarks import targets
from benchmarks.servers import Server, free_port, serving
from learning_pipelines.storage.embedded import EmbeddedServer

SEEDS = 20


@contextlib.contextmanager
def mlflow(environment: Path, folder: Path, postgres: EmbeddedServer) -> Iterator[tuple[targets.Target, Server]]:
    """A tracking server with one worker and some traces to assess."""
    port = free_port()
    store = _database(postgres, "mlflow").replace("postgresql://", "postgresql+psycopg2://")
    command = [str(environment / "bin" / "mlflow"), "server", "--backend-store-uri", store, "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    settings = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    with serving([*command, "--artifacts-destination", str(folder / "artifacts")], port, folder / "mlflow.log", settings) as server:
        traces = [f"tr-{secrets.token_hex(16)}" for _ in range(SEEDS)]
        for trace in traces:
            info = {
                "trace_id": trace, "trace_location": {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "0"}}, "state": "OK",
                "request_time": dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"), "execution_duration": "0.1s",
            }  # fmt: skip
            answer = httpx.post(f"http://127.0.0.1:{port}/api/3.0/mlflow/traces", json={"trace": {"trace_info": info}}, timeout=60)
            assert answer.status_code == 200, answer.text
        yield targets.mlflow(traces), server


@contextlib.contextmanager
def phoenix(environment: Path, folder: Path, postgres: EmbeddedServer) -> Iterator[tuple[targets.Target, Server]]:
    """A server with some spans to annotate."""
    port = free_port()
    settings = {
        "PHOENIX_SQL_DATABASE_URL": _database(postgres, "phoenix"), "PHOENIX_HOST": "127.0.0.1", "PHOENIX_PORT": str(port),
        "PHOENIX_GRPC_PORT": str(free_port()), "PHOENIX_TELEMETRY_ENABLED": "false", "PHOENIX_WORKING_DIR": str(folder / "phoenix"),
    }  # fmt: skip
    with serving([str(environment / "bin" / "phoenix"), "serve"], port, folder / "phoenix.log", settings) as server:
        spans, now = [secrets.token_hex(8) for _ in range(SEEDS)], dt.datetime.now(dt.UTC).isoformat()
        rows = [
            {"name": "answer", "context": {"trace_id": secrets.token_hex(16), "span_id": span}, "span_kind": "LLM", "start_time": now, "end_time": now,
             "status_code": "OK", "attributes": {"input.value": "hi", "output.value": "ok"}} for span in spans
        ]  # fmt: skip
        answer = httpx.post(f"http://127.0.0.1:{port}/v1/projects/default/spans", json={"data": rows}, timeout=60)
        assert answer.status_code < 300, answer.text
        wait_for_spans(port, spans[0])
        yield targets.phoenix(spans), server


def wait_for_spans(port: int, span: str) -> None:
    """Phoenix stores spans in the background: an annotation is refused until they are there."""
    url = f"http://127.0.0.1:{port}/v1/span_annotations?sync=true"
    body = {"data": [{"span_id": span, "name": "first", "annotator_kind": "HUMAN", "result": {"label": "up"}}]}
    with httpx.Client(transport=httpx.HTTPTransport(retries=3), timeout=60) as client:
        for _ in range(60):
            if (answer := client.post(url, json=body)).status_code == 200:
                return
            time.sleep(0.5)
    raise SystemExit(f"Phoenix does not take annotations: {answer.text}")


def _database(postgres: EmbeddedServer, name: str) -> str:
    with psycopg.connect(postgres.url(), autocommit=True) as session:
        session.execute(f"CREATE DATABASE {name}")  # type: ignore[arg-type]
    return postgres.url(name)
