"""How fast the vectors of a corpus are made anew, as after an approved encoder: `make bench-embedding [ARGS="--chunks 10000 --static 100000"]`.

Belongs here: made-up chunks in a database of their own, the product's `embed` with the shared encoder process, printing. Not here: assertions.

Chunks are sentences of the demo's articles put together by chance, about 150 tokens each as chunking makes them. Processor seconds are those of the
encoder process, of this one and of the database's, which puts every vector into the HNSW index: about 3 ms each. Sizes above what was run are
extrapolated and marked so: the work per chunk hardly depends on how many there are.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.record import record
from learning_pipelines.demo.desk import read_rows
from learning_pipelines.encoder import PACKAGED, EncoderClient, open_encoder
from learning_pipelines.encoder_server import encoder_running, stop_encoder
from learning_pipelines.feedback.identity import organization_id
from learning_pipelines.retrieval.chunking import tokens
from learning_pipelines.retrieval.knowledge import embed
from learning_pipelines.retrieval.learning.encoder_training import Request
from learning_pipelines.retrieval.learning.pool import Pool
from learning_pipelines.retrieval.learning.static import RECIPE, static_model
from learning_pipelines.retrieval.learning.triples import Triples
from learning_pipelines.settings import Settings
from learning_pipelines.storage import embedded, indexes
from learning_pipelines.storage.database import Connection, of_server
from learning_pipelines.storage.migrate import migrate
from learning_pipelines.storage.tenants import ensure_organization

SENTENCES = 7
SHOWN = (10_000, 100_000, 1_000_000)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--chunks", type=int, default=10_000, help="Encoded with the packaged encoder (0: not).")
    arguments.add_argument("--static", type=int, default=100_000, help="Encoded with a static one (0: not).")
    arguments.add_argument("--json", type=Path, help="Where the raw numbers go.")
    chosen = arguments.parse_args()
    home = Path(tempfile.mkdtemp(prefix="embedding-"))
    settings = Settings(home=home, database_url=None)
    found: list[dict[str, Any]] = []
    try:
        database = of_server(embedded.ensure_running(home))
        migrate(database)
        with database.connect("pipeline") as connection:
            for name, count in (("packaged", chosen.chunks), ("static", chosen.static)):
                if count:
                    found.append(measured(connection, settings, name, count))
                    print(line(found[-1]), flush=True)
                    record(f"chunks encoded and stored, {name} encoder, {count:,}", count / sum(found[-1]["cpu"]), "chunks/s of a core")
                    record(f"chunks encoded and stored, {name} encoder, {count:,}, by the clock", count / found[-1]["wall"], "chunks/s")
    finally:
        stop_encoder(settings)
        embedded.stop(home)
        shutil.rmtree(home, ignore_errors=True)
    if chosen.json:
        chosen.json.write_text(json.dumps(found, indent=1))


def measured(connection: Connection, settings: Settings, name: str, count: int) -> dict[str, Any]:
    tenant = ensure_organization(connection, organization_id(name), name)
    length = fill(connection, tenant, count)
    model = PACKAGED if name == "packaged" else str(distilled(settings.home))
    encoder = open_encoder(settings, model)
    version = _version(connection, tenant, encoder, model)
    encoder.encode(["the first call loads what is loaded late"] * 2)
    serving = encoder_running(settings, model)
    assert serving is not None
    backend = connection.execute("SELECT pg_backend_pid()").fetchone()
    assert backend is not None
    processes = [psutil.Process(serving.pid), psutil.Process(), psutil.Process(backend[0])]
    before, begun = [_spent(process) for process in processes], time.perf_counter()
    stored = embed(connection, tenant, version, encoder)
    wall, spent = time.perf_counter() - begun, [_spent(process) - start for process, start in zip(processes, before, strict=True)]
    assert stored == count
    resident = processes[0].memory_info().rss
    encoder.close()
    return {"encoder": encoder.name, "chunks": count, "tokens": length, "wall": wall, "cpu": spent, "resident": resident}


def line(one: dict[str, Any]) -> str:
    cpu = sum(one["cpu"])
    sizes = ", ".join(f"{size:,}: {cpu * size / one['chunks']:,.0f} CPU s{'' if size <= one['chunks'] else ' (extrapolated)'}" for size in SHOWN)
    rate = f"{one['chunks'] / cpu:,.0f} chunks a CPU second, {one['chunks'] / one['wall']:,.0f} a second of wall time"
    parts = "encoder {:.0f}, here {:.0f}, database {:.0f}".format(*one["cpu"])
    return f"{one['encoder']}: {one['chunks']:,} chunks of about {one['tokens']:.0f} tokens ({parts} CPU s), {rate}, {one['resident'] / 2**20:.0f} MiB; {sizes}"


def fill(connection: Connection, tenant: Any, count: int) -> float:
    """Chunks of one document; returns their mean number of tokens."""
    known = [sentence for row in read_rows("documents") for sentence in row["text"].replace("\n", " ").split(". ") if len(sentence.split()) > 6]
    rng = np.random.default_rng(0)
    connection.execute("INSERT INTO documents (organization_id, id, text, content_hash) VALUES (%s, 'all', '', '')", [tenant])
    lengths = []
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE made (id text, position int, text text) ON COMMIT DROP")
        with cursor.copy("COPY made FROM STDIN") as copy:
            for number in range(count):
                text = ". ".join(known[place] for place in rng.integers(0, len(known), SENTENCES))
                lengths.append(tokens(text) if number < 1_000 else 0)
                copy.write_row((f"c{number:08d}", number, text))
        cursor.execute(
            """INSERT INTO knowledge_chunks (organization_id, id, document_id, position, heading, text, content_hash)
            SELECT %s, id, 'all', position, 'Article', text, sha256(convert_to(text, 'UTF8')) FROM made""",
            [tenant],
        )
    return float(np.mean([length for length in lengths if length]))


def distilled(home: Path) -> Path:
    """A static model as the learner makes it before tuning: how fast it is does not depend on what it has learnt."""
    texts = [row["text"] for row in read_rows("documents")]
    pool = Pool(texts, texts, [], [], np.zeros((0, len(texts)), dtype=np.float32), [])
    begun = time.process_time()
    request = Request(PACKAGED, 384, 0, "benchmark", RECIPE, Triples(texts, [], [], [], []), pool, home / "static", "static")
    model = static_model(request, lambda share, said, numbers: None)
    assert model is not None
    model.save_pretrained(str(home / "static" / "model-static"), create_model_card=False)
    print(f"distilled in {time.process_time() - begun:.0f} CPU s", flush=True)
    return home / "static" / "model-static"


def _version(connection: Connection, tenant: Any, encoder: EncoderClient, model: str) -> indexes.EncoderVersion:
    made = indexes.add_encoder(connection, tenant, name=encoder.name, model=model, dimensions=encoder.dimensions)
    return indexes.EncoderVersion(made, encoder.name, model, encoder.dimensions, None, None)


def _spent(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


if __name__ == "__main__":
    main()
