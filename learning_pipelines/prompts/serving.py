"""Demonstrations picked at run time, out of the stored examples: the same lookup while a prompt is scored and while it serves.

Belongs here: Nearest over stored examples, few of them read once, many asked of the database. Not here: SQL (storage/demonstrations.py), comparing in
memory (nearest.py), how long a worker of the service keeps what it read (api/few_shot.py).
"""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import numpy as np
import numpy.typing as npt

from learning_pipelines.encoder import Encoder
from learning_pipelines.prompts.nearest import Pool
from learning_pipelines.prompts.prompt import Demonstration
from learning_pipelines.prompts.task import Nearest
from learning_pipelines.storage import demonstrations as storage
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef, answers_of
from learning_pipelines.storage.vectors import as_half

OpenEncoder = Callable[[], Encoder]
POOLED_BYTES = 16 * 2**20
"""Of one version's examples up to which they are compared in memory: some 9,000 with vectors of 384 numbers. With more PostgreSQL's index is faster."""


def stored_nearest(connection: Connection, agent: AgentRef, dataset_id: UUID, encoder: OpenEncoder) -> Nearest:
    """Nearest over the train split of a pinned dataset version, for pipelines (role learning_pipeline, autocommit).

    The first lookup opens the encoder and gives vectors to examples that have none yet, so that what was scored can be served.
    """
    ready: list[Lookup] = []

    def nearest(text: str, k: int, without: frozenset[str] = frozenset()) -> list[Demonstration]:
        if not ready:
            opened = encoder()
            storage.index_demonstrations(connection, agent, dataset_id, opened)
            ready.append(Lookup(connection, agent, dataset_id, opened))
        return ready[0](text, k, without)

    return nearest


class Lookup:
    """Nearest over vectors that are there. How it searches (in memory, exactly, by the index) and which answers count is asked once, when it is made."""

    def __init__(self, connection: Connection, agent: AgentRef, dataset_id: UUID, encoder: Encoder) -> None:
        self._connection, self._agent, self._dataset, self._encoder = connection, agent, dataset_id, encoder
        self._labels = answers_of(connection, agent)[1]
        self._exact = storage.few(connection, agent, encoder.name)
        pooled = storage.size(connection, agent, dataset_id, encoder.name) <= POOLED_BYTES
        self._pool = pool(connection, agent, dataset_id, encoder.name, encoder.dimensions, self._labels) if pooled else None

    def __call__(self, text: str, k: int, without: frozenset[str] = frozenset()) -> list[Demonstration]:
        vector = self._encoder.encode([text])[0]
        if self._pool is not None:
            return self._pool.nearest(as_half(vector), k, without)
        return among_many(
            self._connection, self._agent, self._dataset, self._encoder.name, vector, k, exact=self._exact, without=without, labels=self._labels
        )


def pool(connection: Connection, agent: AgentRef, dataset_id: UUID, encoder: str, dimensions: int, labels: tuple[str, ...] = ()) -> Pool:
    """Everything a prompt may pick from the version, to be compared with vectors as_half: it finds what the database would."""
    shown, vectors = storage.all_shown(connection, agent, dataset_id, encoder, dimensions, labels)
    return Pool([Demonstration(one.input, one.output, one.example_id) for one in shown], vectors)


def among_many(
    connection: Connection, agent: AgentRef, dataset_id: UUID, encoder: str, vector: npt.NDArray[np.float32], k: int, *,
    exact: bool = False, without: frozenset[str] = frozenset(), labels: tuple[str, ...] = (),
) -> list[Demonstration]:  # fmt: skip
    """The nearest examples as demonstrations, nearest first, as the database finds them: by its index, or `exact`ly."""
    found = storage.nearest(connection, agent, dataset_id, encoder, vector, k, exact=exact, without=without, labels=labels)
    return [Demonstration(one.input, one.output, one.example_id) for one in found]
