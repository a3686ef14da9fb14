"""Demonstrations picked at run time, out of the stored examples: the same lookup while a prompt is scored and while it serves.

Belongs here: Nearest over the database. Not here: SQL (storage/demonstrations.py), Nearest in memory (nearest.py), the route that serves (api/).
"""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import numpy as np
import numpy.typing as npt

from learning_pipelines.encoder import Encoder
from learning_pipelines.prompts.prompt import Demonstration
from learning_pipelines.prompts.task import Nearest
from learning_pipelines.storage import demonstrations as storage
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef, answers_of

OpenEncoder = Callable[[], Encoder]


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
    """Nearest over vectors that are there. How it searches (few: exactly) and which answers count is asked once, when it is made."""

    def __init__(self, connection: Connection, agent: AgentRef, dataset_id: UUID, encoder: Encoder) -> None:
        self._connection, self._agent, self._dataset, self._encoder = connection, agent, dataset_id, encoder
        self._exact = storage.few(connection, agent, encoder.name)
        self._labels = answers_of(connection, agent)[1]

    def __call__(self, text: str, k: int, without: frozenset[str] = frozenset()) -> list[Demonstration]:
        vector = self._encoder.encode([text])[0]
        return look_up(self._connection, self._agent, self._dataset, self._encoder.name, vector, k, exact=self._exact, without=without, labels=self._labels)


def look_up(
    connection: Connection, agent: AgentRef, dataset_id: UUID, encoder: str, vector: npt.NDArray[np.float32], k: int, *,
    exact: bool, without: frozenset[str] = frozenset(), labels: tuple[str, ...] = (),
) -> list[Demonstration]:  # fmt: skip
    """The nearest examples as demonstrations, nearest first."""
    found = storage.nearest(connection, agent, dataset_id, encoder, vector, k, exact=exact, without=without, labels=labels)
    return [Demonstration(one.input, one.output, one.example_id) for one in found]
