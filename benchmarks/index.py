"""How fast documents become an index, and what a change of 1 % costs: `make bench-index [ARGS="--chunks 10000 --encoder packaged"]`.

Belongs here: documents, timings, printing. Not here: assertions about time (there are none), the index itself (retrieval/knowledge.py).

Documents are made: Markdown with headings, paragraphs, a list and a table, of sentences that the Python documentation on this machine holds. With the
encoder `made` vectors follow from the text alone: what is left is cutting, postings and the database. `packaged` is the encoder process that everybody
uses; its processor time is that process's own, so other load on the machine moves the seconds and hardly the chunks per CPU second.
"""

from __future__ import annotations

import argparse
import datetime as dt
import hashlib
import json
import os
import random
import re
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any, cast

import numpy as np
import psutil

from benchmarks import servers
from benchmarks.loop import machine
from benchmarks.record import record
from learning_pipelines.encoder import BATCH_TEXTS, Encoder, EncoderClient, Vectors, open_encoder
from learning_pipelines.feedback.identity import organization_id
from learning_pipelines.feedback.importing import import_file, window_now
from learning_pipelines.retrieval.encoders import Encoders
from learning_pipelines.retrieval.knowledge import Refreshed, embed, ensure_base, refresh_chunks
from learning_pipelines.retrieval.lexical import refresh_lexical
from learning_pipelines.settings import Settings
from learning_pipelines.storage import chunk_vectors, chunks, indexes
from learning_pipelines.storage.database import Connection

OURS = organization_id(servers.ORGANIZATION)
CHUNKS_A_DOCUMENT = 13
LENGTH = 384


class Made:
    """An encoder whose vectors follow from the text alone, in no time worth naming."""

    name, dimensions = "made@1", LENGTH

    def encode(self, texts: Sequence[str], *, batch_size: int = BATCH_TEXTS) -> Vectors:
        seeds = (int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") for text in texts)
        rows = np.stack([np.random.default_rng(seed).standard_normal(LENGTH, dtype=np.float32) for seed in seeds])
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


class Named:
    """As retrieval.encoders.Encoders, for one encoder that is at hand."""

    def __init__(self, settings: Settings, encoder: Encoder) -> None:
        self.settings, self.encoder = settings, encoder

    def base(self) -> Encoder:
        return self.encoder

    def base_name(self) -> str:
        return self.encoder.name


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chunks", type=int, default=10_000)
    parser.add_argument("--encoder", choices=("packaged", "made"), default="packaged")
    chosen = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="learning-benchmark-", dir="/var/tmp"))
    with servers.database(folder) as (database, _), database.connect("pipeline") as connection:
        settings = Settings(home=folder / "home", database_url=None)
        encoder: Encoder = open_encoder(settings) if chosen.encoder == "packaged" else Made()
        encoder.encode(["The model is loaded."])
        print(json.dumps({"machine": machine(), "load": round(os.getloadavg()[0], 1), "encoder": encoder.name}), flush=True)
        run(connection, cast(Encoders, Named(settings, encoder)), folder, chosen.chunks)


def run(connection: Connection, encoders: Encoders, folder: Path, count: int) -> None:
    encoder, texts = encoders.base(), Texts()
    documents = [texts.document(number) for number in range(max(1, count // CHUNKS_A_DOCUMENT))]
    with timed("import", len(documents)) as out:
        load(connection, folder, documents)
    with chunks.locked(connection, OURS), timed("chunk", len(documents)) as out:
        made = refresh_chunks(connection, OURS)
        out["chunks"] = made.written.added
    with timed("postings", made.written.added) as out:
        refresh_lexical(connection, OURS)
    version = indexes.EncoderVersion(
        indexes.add_encoder(connection, OURS, name=encoder.name, model="m", dimensions=LENGTH), encoder.name, "m", LENGTH, None, None
    )
    with timed("embed", made.written.added, process_of(encoder)) as out:
        embed(connection, OURS, version, encoder, progress=lambda share, line, _: print(line, file=sys.stderr, flush=True))
    indexes.put_base(connection, OURS, version.id, {})
    with timed("again, nothing changed", len(documents)) as out:
        said(out, ensure_base(connection, OURS, encoders))
    few = max(1, len(documents) // 100)
    with timed("one paragraph of 1 % of the documents changed", few, process_of(encoder)) as out:
        load(connection, folder, [texts.edited(document) for document in documents[:: len(documents) // few][:few]])
        said(out, ensure_base(connection, OURS, encoders))
    print(json.dumps({"vectors": chunk_vectors.counts(connection, OURS), "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}))


def said(out: dict[str, Any], done: Refreshed) -> None:
    written = done.chunking.written
    out.update(documents=done.chunking.documents, added=written.added, kept=written.kept, removed=written.removed, encoded=sum(done.vectors.values()))


def process_of(encoder: Encoder) -> psutil.Process | None:
    """The process that encodes, where it is another one."""
    return psutil.Process(encoder._serving.pid) if isinstance(encoder, EncoderClient) else None


@contextmanager
def timed(what: str, count: int, other: psutil.Process | None = None) -> Iterator[dict[str, Any]]:
    """Prints seconds, processor seconds of this process and of the encoder's, and how many of `count` a second."""
    cpu: Callable[[], float] = lambda: sum(other.cpu_times()[:2]) if other is not None else 0.0  # noqa: E731
    out: dict[str, Any] = {}
    begun, own, encoding = time.perf_counter(), time.process_time(), cpu()
    yield out
    seconds, mine, theirs = time.perf_counter() - begun, time.process_time() - own, cpu() - encoding
    numbers = {"count": count, "seconds": round(seconds, 2), "per_second": round(count / seconds, 1), "cpu_seconds": round(mine, 2)}
    encoder = {"encoder_cpu_seconds": round(theirs, 1), "per_encoder_cpu_second": round(count / theirs, 1)} if theirs else {}
    print(json.dumps({what: numbers | encoder | out}), flush=True)
    record(f"{what}, {count:,}", seconds, "s")
    record(f"{what}, {count:,}, rate", count / seconds, "1/s")
    record(f"{what}, {count:,}, processor", mine + theirs, "s of a core")


def load(connection: Connection, folder: Path, documents: Sequence[dict[str, Any]]) -> None:
    path = folder / "documents.jsonl"
    path.write_text("".join(json.dumps(document) + "\n" for document in documents), encoding="utf-8")
    import_file(connection, servers.ORGANIZATION, "documents", path, window=window_now(dt.date(2015, 1, 5), dt.UTC))


class Texts:
    """Documents by number, from sentences of prose."""

    def __init__(self) -> None:
        prose = (paragraph for text in topics.values() for paragraph in re.split(r"\n\s*\n", text))
        sentences = (" ".join(sentence.split()) for paragraph in prose for sentence in re.split(r"(?<=[.!?])\s+", paragraph))
        self._sentences = [sentence for sentence in sentences if 40 < len(sentence) < 250 and sentence[0].isupper()]

    def document(self, number: int) -> dict[str, Any]:
        picker = random.Random(number)
        parts = [f"# {self._words(picker, 5)}", self._paragraph(picker)]
        for _ in range(4):
            parts += [f"## {self._words(picker, 4)}", *(self._paragraph(picker) for _ in range(3))]
            parts.append("\n".join(f"- {picker.choice(self._sentences)}" for _ in range(4)))
        rows = "\n".join(f"| {self._words(picker, 2)} | {picker.randrange(100_000)} |" for _ in range(12))
        parts.append(f"| Item | Amount |\n|---|---|\n{rows}")
        return {"document_id": f"d{number:07}", "title": self._words(picker, 4), "text": "\n\n".join(parts)}

    def edited(self, document: dict[str, Any]) -> dict[str, Any]:
        """One paragraph in the middle says something more."""
        parts = document["text"].split("\n\n")
        paragraphs = [at for at, part in enumerate(parts) if part[0] not in "#-|"]
        parts[paragraphs[len(paragraphs) // 2]] += " This was added later, on the day after the first."
        return {**document, "text": "\n\n".join(parts)}

    def _paragraph(self, picker: random.Random) -> str:
        return " ".join(picker.choice(self._sentences) for _ in range(picker.randint(2, 5)))

    def _words(self, picker: random.Random, count: int) -> str:
        return " ".join(picker.choice(self._sentences).split()[0] for _ in range(count))


if __name__ == "__main__":
    main()
