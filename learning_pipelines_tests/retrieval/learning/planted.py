"""A small world with a known secret: what can be learnt from its questions, and by whom.

Belongs here: planted chunks and judged questions. Not here: tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from learning_pipelines.retrieval.bm25 import Bm25
from learning_pipelines.retrieval.index import IndexConfig
from learning_pipelines.retrieval.task import JudgedQuery, Passages, Training

SIZE = 16
CHUNKS = 160


def world(
    folder: Path, *, turned: float = 0.0, headed: bool = False, shuffled: bool = False, seed: int = 0, train: int = 110, validation: int = 40
) -> Training:
    """`turned`: how far questions lie from their chunks, all in one way that an adapter can undo. `headed`: the words of a question stand in the
    heading of its chunk and in the text of others. `shuffled`: what helped is drawn by chance."""
    rng = np.random.default_rng(seed)
    words = np.array([f"w{number}" for number in range(120)])
    headings = [" ".join(rng.choice(words, 3, replace=False)) for _ in range(CHUNKS)]
    bodies = [" ".join(rng.choice(words, 14)) for _ in range(CHUNKS)]
    ids = tuple(f"c{number:03}" for number in range(CHUNKS))
    vectors = _unit(rng.normal(size=(CHUNKS, SIZE)))
    texts = [f"{heading}\n{body}" for heading, body in zip(headings, bodies, strict=True)]
    passages = Passages(ids, tuple(f"d{number:03}" for number in range(CHUNKS)), texts, vectors, headings)
    turn = np.eye(SIZE) + turned * rng.normal(size=(SIZE, SIZE)) / np.sqrt(SIZE)
    golds = rng.permutation(np.arange(train + validation) % CHUNKS)
    asked = _unit(vectors[golds] @ turn.T + 0.2 * rng.normal(size=(len(golds), SIZE)))
    said = [_question(rng, words, headings[gold].split() if headed else bodies[gold].split()) for gold in golds]
    helped = rng.permutation(golds) if shuffled else golds
    queries = tuple(
        JudgedQuery(f"q{number}", text, {f"d{gold:03}": 1.0}, {ids[gold]: 1.0}, f"d{gold:03}")
        for number, (text, gold) in enumerate(zip(said, helped, strict=True))
    )
    return Training(passages, Bm25.build(texts), queries[:train], queries[train:], asked[:train], asked[train:], {}, NoEncoder(), IndexConfig(), folder, seed)


class NoEncoder:
    """Nothing cheap encodes anything."""

    name, dimensions = "none", SIZE

    def encode(self, texts: Any, *, batch_size: int = 64) -> Any:
        raise AssertionError("a cheap learner encodes nothing")


class Reports(list[tuple[float, str, Mapping[str, float]]]):
    """A Progress that remembers."""

    def __call__(self, share: float, line: str, numbers: Mapping[str, float]) -> None:
        self.append((share, line, numbers))


def _question(rng: np.random.Generator, words: Any, known: list[str]) -> str:
    return " ".join([*rng.choice(known, 2, replace=False), *rng.choice(words, 2)])


def _unit(vectors: Any) -> Any:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
