"""Approved examples nearest to a text, in memory: few examples are read once and compared here, wherever a prompt picks from them.

Belongs here: Nearest over numpy. Not here: the lookup among many (storage/demonstrations.py), which of the two (serving.py, api/few_shot.py), encoders.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from learning_pipelines.encoder import Encoder, Vectors
from learning_pipelines.encoder_protocol import inner_products
from learning_pipelines.errors import BadInput
from learning_pipelines.prompts.prompt import Demonstration
from learning_pipelines.prompts.task import Item, Nearest

Encode = Callable[[Sequence[str]], Vectors]
_ROUGHLY = 1e-4
"""More than what a product of single precision is off."""


class Pool:
    """Demonstrations with a vector each (a row, length 1), compared with one vector at a time. Of equally near ones the first comes first.

    Threads may share it.
    """

    def __init__(self, demonstrations: Sequence[Demonstration], vectors: Vectors) -> None:
        if len(vectors) != len(demonstrations):
            raise BadInput(f"{len(demonstrations)} examples came with {len(vectors)} vectors.", "Encode all of them, in their order.")
        self._demonstrations, self._vectors = tuple(demonstrations), vectors

    def __len__(self) -> int:
        return len(self._demonstrations)

    @property
    def bytes(self) -> int:
        """About what it takes of memory."""
        return self._vectors.nbytes + sum(len(one.input) + len(one.output) + len(one.example_id or "") + 200 for one in self._demonstrations)

    def nearest(self, vector: npt.NDArray[np.float32], k: int, without: frozenset[str] = frozenset()) -> list[Demonstration]:
        """The `k` nearest by inner product, nearest first; `without`: ids left out.

        Those that may be among them are found in single precision and ordered in double: equal rows are equally near, wherever they stand.
        """
        wanted = min(k + len(without), len(self))
        if k < 1 or not wanted:
            return []
        roughly = inner_products(self._vectors, vector)
        least = np.partition(roughly, -wanted)[-wanted] - _ROUGHLY
        places = np.flatnonzero(roughly >= least)
        exactly = (self._vectors[places].astype(np.float64) * vector).sum(axis=1)
        ordered = (self._demonstrations[place] for place in places[np.argsort(-exactly, kind="stable")].tolist())
        return [one for one in ordered if one.example_id not in without][:k]


def nearest_in(items: Sequence[Item], vectors: Vectors, encode: Encode) -> Nearest:
    """Nearest over items that no database holds (benchmarks, tests) and whose vectors (one row each, length 1) are known: cosine, ties in their order.

    A text that is one of the items is not encoded again; it does find itself unless its id is in `without`. Raises BadInput if the rows do not match.
    """
    pool = Pool([Demonstration(item.input, item.expected, item.id) for item in items], vectors)
    rows = {item.input: row for row, item in enumerate(items)}

    def nearest(text: str, k: int, without: frozenset[str] = frozenset()) -> list[Demonstration]:
        if k < 1 or not items:
            return []
        return pool.nearest(vectors[rows[text]] if text in rows else encode([text])[0], k, without)

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
