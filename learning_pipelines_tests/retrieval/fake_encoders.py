"""An encoder without a model: words hashed into a few dimensions, and a count of what it was asked to encode.

Belongs here: what tests of building and keeping an index encode with. Not here: tests of how well anything is found.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import cast

import numpy as np

from learning_pipelines.encoder import BATCH_TEXTS, Encoder, Vectors
from learning_pipelines.errors import LearningError
from learning_pipelines.retrieval.encoders import Encoders
from learning_pipelines.settings import Settings
from learning_pipelines.storage.indexes import EncoderVersion


class WordEncoder:
    """Equal texts get equal vectors of length 1. `texts` are those that were encoded, in order."""

    def __init__(self, name: str = "words@1", dimensions: int = 16) -> None:
        self.name, self.dimensions = name, dimensions
        self.texts: list[str] = []

    def encode(self, texts: Sequence[str], *, batch_size: int = BATCH_TEXTS) -> Vectors:
        self.texts += texts
        vectors = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        for row, text in enumerate(texts):
            for word in text.lower().split():
                vectors[row, int.from_bytes(blake2b(word.encode(), digest_size=4).digest(), "big") % self.dimensions] += 1
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.float32(1e-12))


class FakeEncoders:
    """As retrieval.encoders.Encoders: `encoder` is the settings', `learnt` those of other versions by name. `opened` counts."""

    def __init__(self, encoder: WordEncoder | None = None, *learnt: WordEncoder) -> None:
        self.settings = Settings(home=Path("/nonexistent"))
        self.encoder = encoder or WordEncoder()
        self.learnt = {one.name: one for one in learnt}
        self.opened = 0

    def base(self) -> Encoder:
        self.opened += 1
        return self.encoder

    def base_name(self) -> str:
        return self.encoder.name

    def of(self, version: EncoderVersion) -> Encoder:
        self.opened += 1
        if version.name not in (self.encoder.name, *self.learnt):
            raise LearningError(f"The model of {version.name} is gone.", "Restore it.")
        return self.encoder if version.name == self.encoder.name else self.learnt[version.name]


def fake_encoders(*encoders: WordEncoder) -> tuple[FakeEncoders, Encoders]:
    """The same thing twice: to look into, and as what the code takes."""
    fake = FakeEncoders(*encoders)
    return fake, cast(Encoders, fake)
