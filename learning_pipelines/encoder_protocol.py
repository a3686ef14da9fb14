"""What an encoder is to everyone: the protocol, its errors, how texts are prepared and put together.

Belongs here: what travels, names of models, pure helpers. Not here: which encoder the settings mean and its client (encoder.py), the model (encoder_local.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from learning_pipelines.errors import BadInput, LearningError, Unavailable

Vectors = npt.NDArray[np.float32]

PACKAGED = "all-MiniLM-L6-v2"
_ALSO_PACKAGED = (PACKAGED, f"sentence-transformers/{PACKAGED}")
BATCH_TEXTS = 64
_AT_ONCE = 400_000
"""Numbers that are multiplied in one go. For a few more BLAS wakes its threads, and a busy machine has no core for them: 27 ms for 1,600 rows, not .1."""
MAX_CHARS = 200_000  # far beyond the window of any model; what lies behind it only costs time in the tokenizer


class EncoderDown(Unavailable):
    """The shared encoder process does not answer, also after it was started again."""


class EncoderStartFailed(Unavailable):
    """The shared encoder process ended or stayed silent while starting."""


class UnknownEncoder(BadInput):
    """The named model cannot be loaded."""

    def __init__(self, model: str, why: str) -> None:
        self.why = why
        super().__init__(
            f"The embedding model {model!r} cannot be loaded: {why.rstrip('.')}.",
            "Set LEARNING_EMBEDDING_MODEL to a sentence-transformers model or a folder that holds one, or unset it to use the packaged model.",
        )


class EncoderMismatch(LearningError):
    """Vectors of two models were about to be mixed."""


class Encoder(Protocol):
    """Turns texts into vectors of length 1. Vectors may be compared only if the `name` of their encoders is equal."""

    @property
    def name(self) -> str:
        """The model and what its weights are, for example all-MiniLM-L6-v2@0123456789ab; the same on every machine."""

    @property
    def dimensions(self) -> int: ...

    def encode(self, texts: Sequence[str], *, batch_size: int = BATCH_TEXTS) -> Vectors:
        """One row per text, in their order. A text keeps its vector (cosine > 0.9999) whatever it is encoded with."""


@dataclass(frozen=True)
class Serving:
    """A running encoder process: where it listens, the secret it asks for, the model it holds."""

    key: str
    url: str
    token: str = field(repr=False)
    pid: int
    name: str
    dimensions: int


def model_source(model: str | None) -> str:
    """PACKAGED, an absolute folder or the name of a model on the Hugging Face hub. Raises UnknownEncoder for a folder that is not there."""
    if model is None or model in _ALSO_PACKAGED:
        return PACKAGED
    folder = Path(model).expanduser()
    if folder.is_dir():
        return str(folder.resolve())
    if model.startswith((".", "~", "/")):
        raise UnknownEncoder(model, "there is no such folder")
    return model


def require_same(encoder: Encoder, name: str, dimensions: int) -> None:
    """Raises EncoderMismatch unless vectors of this encoder may be compared with stored ones of `name`."""
    if (encoder.name, encoder.dimensions) != (name, dimensions):
        raise EncoderMismatch(
            f"The stored vectors come from {name} ({dimensions} dimensions), the encoder is {encoder.name} ({encoder.dimensions} dimensions).",
            "Set LEARNING_EMBEDDING_MODEL back, or encode the texts again with the present model.",
        )


def prepared(texts: Sequence[str]) -> list[str]:
    """The texts as every encoder takes them: cut at MAX_CHARS, half surrogate pairs (which no tokenizer takes) replaced."""
    if isinstance(texts, str):
        raise TypeError("encode takes a sequence of texts, not one text")
    return [text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8") for text in (text[:MAX_CHARS] for text in texts)]


def inner_products(rows: npt.NDArray[Any], vector: npt.NDArray[np.float32]) -> Vectors:
    """(n,) of every row with a vector, on the core of whoever asks: one product is over before other threads would have begun. Rows may be halves."""
    step = max(1, _AT_ONCE // max(1, len(vector)))
    found = np.empty(len(rows), dtype=np.float32)
    for start in range(0, len(rows), step):
        found[start : start + step] = rows[start : start + step].astype(np.float32, copy=False) @ vector
    return found


def batches(texts: Sequence[str], most: int, chars: int) -> Iterator[list[int]]:
    """Positions of texts to encode together: of similar length (padding costs as much as text), at most `most` texts and about `chars` padded characters."""
    order = sorted(range(len(texts)), key=lambda position: len(texts[position]), reverse=True)
    start = 0
    while start < len(order):
        count = max(1, min(most, chars // max(1, len(texts[order[start]]))))
        yield order[start : start + count]
        start += count
