"""Real questions about real passages, as learners get them and as they are graded: feedbackqa_dev/uk, feedbackqa_dev/us_cdc, tatqa.

Belongs here: reading, chunking, encoding (vectors are kept), the split of what may be learnt from. Not here: learning, grading (retrieval.py).

Learnt from: the train and valid files and feedback_valid (ratings of answers, graded). Graded on: the test file. feedback_test is not read. A
question that is asked in the test file, however it is written, is left out of what is learnt from.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from learning_pipelines.encoder import Encoder
from learning_pipelines.examples.components import UnionFind
from learning_pipelines.retrieval.bm25 import Bm25
from learning_pipelines.retrieval.chunking import chunk, indexed
from learning_pipelines.retrieval.index import IndexConfig
from learning_pipelines.retrieval.task import Floats, JudgedQuery, Passages, Training

DATA = Path(os.environ.get("LEARNING_TEST_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
SETS = ("feedbackqa_dev/uk", "feedbackqa_dev/us_cdc", "tatqa")
RATINGS = {"Excellent": 1.0, "Acceptable": 0.5, "Could be Improved": 0.0, "Bad": 0.0}
TRAIN = 5 / 7
"""Of what may be learnt from; the rest is validation, as the product's 50 : 20."""


@dataclass(frozen=True)
class Asked:
    """A question of a file: document id -> gain 0..1."""

    id: str
    text: str
    gains: Mapping[str, float]


@dataclass(frozen=True)
class Corpus:
    """`documents`: id, title with section headers, text."""

    name: str
    documents: tuple[tuple[str, str, str], ...]
    known: tuple[Asked, ...]
    test: tuple[Asked, ...]


@dataclass(frozen=True)
class Prepared:
    """What the learners get, and the test questions with their vectors, which they do not."""

    training: Training
    test: tuple[JudgedQuery, ...]
    test_vectors: Floats


def read(name: str, *, ratings: bool = True) -> Corpus:
    """Raises FileNotFoundError where the data is not there. `ratings`: with feedback_valid."""
    folder = DATA / name
    documents = tuple((row["_id"], _heading(row), row["text"]) for row in _lines(folder / "corpus.jsonl.gz"))
    texts = {row["_id"]: row["text"] for row in _lines(folder / "queries.jsonl.gz")}
    parts = {part: _judged(folder / "qrels" / f"{part}.tsv", texts) for part in ("train", "valid", "test") if (folder / "qrels" / f"{part}.tsv").exists()}
    rated = _rated(folder / "feedback_valid.jsonl") if ratings and (folder / "feedback_valid.jsonl").exists() else []
    asked = {said(one.text) for one in parts["test"]}
    known = [one for one in (*parts["train"], *parts.get("valid", []), *rated) if said(one.text) not in asked]
    return Corpus(name, documents, tuple(known), tuple(parts["test"]))


def said(text: str) -> str:
    """A question however it is written."""
    return " ".join("".join(sign if sign.isalnum() else " " for sign in text.casefold()).split())


def prepared(corpus: Corpus, encoder: Encoder, folder: Path, kept: Path, seed: int) -> Prepared:
    """Chunks, vectors and splits. `kept`: where vectors are kept between runs, by the encoder and the texts."""
    passages = _passages(corpus, encoder, kept)
    known, vectors = _questions(corpus.known, passages, encoder, kept)
    test, test_vectors = _questions(corpus.test, passages, encoder, kept)
    known = clustered(known)
    names = sorted({query.cluster for query in known})
    teach = set(np.random.default_rng(seed).permutation(names)[: round(TRAIN * len(names))].tolist())
    train = np.array([query.cluster in teach for query in known])
    training = Training(
        passages=passages,
        lexical=Bm25.build(passages.texts),
        train=tuple(query for query, taken in zip(known, train, strict=True) if taken),
        validation=tuple(query for query, taken in zip(known, train, strict=True) if not taken),
        train_vectors=vectors[train],
        validation_vectors=vectors[~train],
        negatives={},
        encoder=encoder,
        serving=IndexConfig(),
        folder=folder,
        seed=seed,
    )
    return Prepared(training, test, test_vectors)


def clustered(queries: Sequence[JudgedQuery]) -> tuple[JudgedQuery, ...]:
    """Questions that share a passage that helped are of one cluster."""
    sets, first = UnionFind(len(queries)), dict[str, int]()
    for place, query in enumerate(queries):
        for document in (document for document, gain in query.documents.items() if gain > 0):
            sets.union(first.setdefault(document, place), place)
    return tuple(
        JudgedQuery(query.id, query.text, query.documents, query.chunks, f"k{label}") for query, label in zip(queries, sets.labels().tolist(), strict=True)
    )


def _passages(corpus: Corpus, encoder: Encoder, kept: Path) -> Passages:
    parts = [(document, one) for document, title, text in corpus.documents for one in chunk(document, title, text).chunks]
    texts = [indexed(one.heading, one.text) for _, one in parts]
    return Passages(
        tuple(one.id for _, one in parts), tuple(document for document, _ in parts), texts, encoded(texts, encoder, kept), [one.heading for _, one in parts]
    )


def _questions(asked: Sequence[Asked], passages: Passages, encoder: Encoder, kept: Path) -> tuple[tuple[JudgedQuery, ...], Floats]:
    """A document that helped is stood for by its nearest chunk."""
    vectors = encoded([one.text for one in asked], encoder, kept)
    chunks: dict[str, list[int]] = defaultdict(list)
    for place, document in enumerate(passages.document_ids):
        chunks[document].append(place)
    queries = []
    for one, vector in zip(asked, vectors, strict=True):
        best = {document: chunks[document][int(np.argmax(passages.vectors[chunks[document]] @ vector))] for document in one.gains if document in chunks}
        gains = {passages.ids[place]: one.gains[document] for document, place in best.items()}
        queries.append(JudgedQuery(one.id, one.text, one.gains, gains, one.id))
    return tuple(queries), vectors


def encoded(texts: Sequence[str], encoder: Encoder, kept: Path) -> Floats:
    name = hashlib.sha256("\0".join([encoder.name, *texts]).encode()).hexdigest()[:24]
    path = kept / f"{name}.npy"
    if not path.exists():
        kept.mkdir(parents=True, exist_ok=True)
        np.save(path, encoder.encode(texts))
    vectors: Floats = np.load(path)
    return vectors


def _heading(row: Mapping[str, Any]) -> str:
    return " > ".join(part for part in (row.get("title") or "", *(row["metadata"].get("section_headers") or [])) if part)


def _judged(path: Path, texts: Mapping[str, str]) -> list[Asked]:
    gains: dict[str, dict[str, float]] = defaultdict(dict)
    with path.open(newline="") as lines:
        for row in csv.DictReader(lines, delimiter="\t"):
            gains[row["query-id"]][row["corpus-id"]] = float(row["score"])
    return [Asked(query, texts[query], known) for query, known in gains.items()]


def _rated(path: Path) -> list[Asked]:
    """Each answer's gain is the mean of what its raters said."""
    asked: dict[str, dict[str, float]] = defaultdict(dict)
    for line in path.read_bytes().splitlines():
        row = orjson.loads(line)
        asked[row["question"].strip()][row["passage_id"]] = float(np.mean([RATINGS[rating] for rating in row["rating"]]))
    return [Asked(f"rated-{number}", question, gains) for number, (question, gains) in enumerate(asked.items())]


def _lines(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rb") as lines:
        return [orjson.loads(line) for line in lines]
