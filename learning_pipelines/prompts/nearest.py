"""Approved examples nearest to a text, in memory: for the train split during a search, and for tests.

Belongs here: Nearest over numpy. Not here: the stored lookup that serves (storage/), encoders.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from learning_pipelines.encoder import Encoder, Vectors
from learning_pipelines.errors import BadInput
from learning_pipelines.prompts.prompt import Demonstration
from learning_pipelines.prompts.task import Item, Nearest

Encode = Callable[[Sequence[str]], Vectors]


def nearest_in(items: Sequence[Item], vectors: Vectors, encode: Encode) -> Nearest:
    """Nearest over items whose vectors (one row each, length 1) are known: cosine, ties in the order of the items.

    A text that is one of the items is not encoded again; it does find itself unless its id is in `without`. Raises BadInput if the rows do not match.
    """
    if len(vectors) != len(items):
        raise BadInput(f"{len(items)} examples came with {len(vectors)} vectors.", "Encode all of them, in their order.")
    rows = {item.input: row for row, item in enumerate(items)}
    demonstrations = [Demonstration(item.input, item.expected, item.id) for item in items]

    def nearest(text: str, k: int, without: frozenset[str] = frozenset()) -> list[Demonstration]:
        if k < 1 or not items:
            return []
        vector = vectors[rows[text]] if text in rows else encode([text])[0]
        order = np.argsort(-(vectors @ vector), kind="stable")
        allowed = (demonstrations[row] for row in order.tolist() if demonstrations[row].example_id not in without)
        return [found for found, _ in zip(allowed, range(k), strict=False)]

    return nearest


def nearest_of(items: Sequence[Item], encoder: Encoder, also: Sequence[Item] = ()) -> Nearest:
    """Nearest over items, encoded in one batch. `also`: items that will be looked up (validation), encoded with them so that no lookup waits."""
    every = [item.input for item in (*items, *also)]
    encoded = encoder.encode(every) if every else np.zeros((0, encoder.dimensions), dtype=np.float32)
    ready = dict(zip(every, encoded, strict=True))

    def encode(texts: Sequence[str]) -> Vectors:
        unknown = [text for text in texts if text not in ready]
        fresh = dict(zip(unknown, encoder.encode(unknown), strict=True)) if unknown else {}
        return np.stack([ready[text] if text in ready else fresh[text] for text in texts])

    return nearest_in(items, encoded[: len(items)], encode)
