"""A process that builds an index and is killed: what it stored stays, the next one goes on, and no text is encoded twice.

Belongs here: real processes and kill -9. Not here: what is built (test_knowledge.py).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from learning_pipelines.feedback.identity import organization_id
from learning_pipelines.retrieval.knowledge import ensure_base, incomplete
from learning_pipelines.storage import chunk_vectors, indexes
from learning_pipelines.storage.database import Connection, Database
from learning_pipelines_tests.conftest import Load
from learning_pipelines_tests.retrieval.fake_encoders import fake_encoders

OURS = organization_id("default")
PORTION = 8
BUILDER = f"""
import sys, time
from learning_pipelines.retrieval import knowledge
from learning_pipelines.storage.database import Database
from learning_pipelines_tests.retrieval.fake_encoders import WordEncoder, fake_encoders
from learning_pipelines.feedback.identity import organization_id

class Slow(WordEncoder):
    def encode(self, texts, **more):
        time.sleep(0.2)
        with open(sys.argv[2], "a") as said:
            said.writelines(text.replace(chr(10), " ") + chr(10) for text in texts)
        return super().encode(texts)

knowledge.PORTION_CHUNKS = {PORTION}
database = Database(sys.argv[1], sys.argv[1], {{"pipeline": sys.argv[1]}}, True)
with database.connect("pipeline") as connection:
    knowledge.ensure_base(connection, organization_id("default"), fake_encoders(Slow())[1])
"""


def test_a_build_that_is_killed_goes_on_where_it_was(load: Load, pipeline: Connection, database: Database, tmp_path: Path) -> None:
    load("documents", [{"document_id": f"d{number}", "text": f"Text number {number}."} for number in range(60)])
    said = tmp_path / "encoded.txt"
    builder = subprocess.Popen([sys.executable, "-c", BUILDER, database.role_urls["pipeline"], str(said)], env=dict(os.environ))
    try:
        until = time.monotonic() + 120
        while sum(chunk_vectors.counts(pipeline, OURS).values()) < 2 * PORTION:
            assert builder.poll() is None and time.monotonic() < until
            time.sleep(0.02)
    finally:
        builder.send_signal(signal.SIGKILL)
        builder.wait()
    stored = sum(chunk_vectors.counts(pipeline, OURS).values())
    first = said.read_text().splitlines()
    assert stored < 60 and indexes.base(pipeline, OURS) is None  # nothing serves before all of it is there
    fake, encoders = fake_encoders()
    done = ensure_base(pipeline, OURS, encoders)
    assert (done.chunking.documents, done.new_base, done.vectors["words@1"]) == (0, True, 60 - stored)
    again = set(first) & {text.replace("\n", " ") for text in fake.encoder.texts}
    assert len(again) <= PORTION  # what was encoded and not stored yet
    assert incomplete(pipeline, OURS) == {} and sum(chunk_vectors.counts(pipeline, OURS).values()) == 60


def test_two_builders_at_once_encode_every_text_once(load: Load, pipeline: Connection, database: Database, tmp_path: Path) -> None:
    load("documents", [{"document_id": f"d{number}", "text": f"Text number {number}."} for number in range(3 * PORTION)])
    said = tmp_path / "encoded.txt"
    command = [sys.executable, "-c", BUILDER, database.role_urls["pipeline"], str(said)]
    builders = [subprocess.Popen(command, env=dict(os.environ)) for _ in range(2)]
    assert [builder.wait(timeout=120) for builder in builders] == [0, 0]
    encoded = said.read_text().splitlines()
    assert len(encoded) == len(set(encoded)) == 3 * PORTION


