"""Demonstrations that prompts pick for each input, at hand: few examples are read once and compared in the worker, many are asked of the database.

Belongs here: keeping examples, looking again, the encoder and keeping it awake. Not here: what serves (served.py), comparing (prompts/nearest.py),
SQL (storage/demonstrations.py), guidance (guided.py).

A dataset version never changes but for a person who is taken out of it: prompts pick from its successor at once, and what was kept of it is dropped within
a minute if somebody still asks for it, else with the next sweep after it. What is kept is bounded in bytes; what finds no room is asked of the
database. Examples are read by the role of the service for one organization, and kept under its id.
"""

from __future__ import annotations

import datetime as dt
import logging
import threading
import time
from dataclasses import dataclass
from uuid import UUID

import numpy as np
import numpy.typing as npt

from learning_pipelines.encoder import EncoderClient, open_encoder
from learning_pipelines.errors import LearningError, Unavailable
from learning_pipelines.prompts.nearest import Pool
from learning_pipelines.prompts.prompt import Demonstration, Retrieval
from learning_pipelines.prompts.serving import POOLED_BYTES, among_many, pool
from learning_pipelines.settings import Settings
from learning_pipelines.storage import demonstrations, tenants
from learning_pipelines.storage.sessions import Acting, Sessions
from learning_pipelines.storage.tenants import AgentRef
from learning_pipelines.storage.vectors import as_half

MOST_BYTES = 128 * 2**20
"""Of all examples that a worker keeps: eight versions of the largest that are kept, or some 50 times 1,600 with vectors of 384 numbers."""
SETTLED_SECONDS = 60.0
SWEEP_SECONDS, _WANTED_SECONDS = 300.0, 3600.0
"""How often the encoder process (which ends after 15 idle minutes and takes seconds to start) hears from us, and how long after the last input."""
_MOST_KEPT = 10_000
log = logging.getLogger("learning_pipelines.api")
Key = tuple[UUID, UUID, UUID, str]


@dataclass(slots=True)
class _Version:
    """How a dataset version is searched, as it was `at` (monotonic seconds): one by one or by the index where its examples are not kept, and which answers
    count. `pool`: its examples, where they are kept; `too_large`: they never are; `no_room`: not before it is looked at again; `asked`: when somebody last
    picked from it."""

    at: float
    exact: bool
    labels: tuple[str, ...]
    emptied_at: dt.datetime | None
    pool: Pool | None = None
    bytes: int = 0
    too_large: bool = False
    no_room: bool = False
    asked: float = 0.0

    def same(self, other: _Version) -> bool:
        return (self.labels, self.emptied_at) == (other.labels, other.emptied_at)


class FewShot:
    """One per worker; threads may call it. The encoder's client is opened with the first input; what hardly changes is asked once a minute."""

    def __init__(self, sessions: Sessions, settings: Settings) -> None:
        self._sessions, self._settings = sessions, settings
        self._opening = threading.Lock()
        self._closing = threading.Event()
        self._asked = 0.0
        self._encoder: EncoderClient | None = None
        self._versions: dict[Key, _Version] = {}
        self._keeping = threading.Lock()
        self._reading: set[Key] = set()

    def nearest(self, agent: AgentRef, retrieval: Retrieval, text: str) -> list[Demonstration]:
        """The `k` examples nearest to a text. Raises Unavailable where they cannot be looked up."""
        if retrieval.dataset_id is None:
            raise Unavailable("The prompt that serves names no examples to pick demonstrations from.", "Roll it back, or move the label.")
        try:
            encoder = self.client()
            vector = encoder.encode([text])[0]
        except LearningError as error:  # whatever is wrong with the encoder, it is not the request
            raise Unavailable(error.cause, error.advice) from error
        return self.nearest_to(agent, UUID(retrieval.dataset_id), encoder.name, vector, retrieval.k)

    def nearest_to(self, agent: AgentRef, dataset: UUID, encoder: str, vector: npt.NDArray[np.float32], k: int) -> list[Demonstration]:
        """The same for a vector of this encoder."""
        key = (agent.organization_id, agent.agent_id, dataset, encoder)
        version = self._version(key, agent)
        version.asked = time.monotonic()
        kept = version.pool or (None if version.too_large or version.no_room else self._read(key, agent, version, len(vector)))
        if kept is not None:
            return kept.nearest(as_half(vector), k)
        with self._sessions.acting(demonstrating(agent)) as connection:
            return among_many(connection, agent, dataset, encoder, vector, k, exact=version.exact, labels=version.labels)

    def client(self) -> EncoderClient:
        """The encoder, kept ready from now on. Raises LearningError where it cannot be opened."""
        self._asked = time.monotonic()
        with self._opening:
            if self._encoder is None:
                self._encoder = open_encoder(self._settings)
                threading.Thread(target=self._watch, name="learning-encoder-warm", daemon=True).start()
            return self._encoder

    def close(self) -> None:
        self._closing.set()
        if self._encoder is not None:
            self._encoder.close()

    def _watch(self) -> None:
        while not self._closing.wait(SWEEP_SECONDS):
            self._drop_idle()
            if self._encoder is not None and time.monotonic() - self._asked < _WANTED_SECONDS:
                try:
                    self._encoder.encode(["still", "there"])  # two: one text alone would be remembered and not asked
                except (LearningError, RuntimeError) as error:  # RuntimeError: closed by another thread in mid-request
                    if not self._closing.is_set():
                        log.warning("the encoder cannot be kept ready: %s", error)

    def _version(self, key: Key, agent: AgentRef) -> _Version:
        """How the version is searched. Raises Unavailable where examples have no vectors of this encoder."""
        known, at = self._versions.get(key), time.monotonic()
        if known is not None and at - known.at < SETTLED_SECONDS:
            return known
        *_, dataset, encoder = key
        with self._sessions.acting(demonstrating(agent)) as connection:
            if known is None and (missing := demonstrations.unindexed(connection, agent, dataset, encoder)):
                raise Unavailable(
                    f"{missing} of the examples that this prompt picks from have no vector of the encoder {encoder}.",
                    f"Run `learning-pipelines run prompt_optimization --agent {agent.agent}`, or set LEARNING_EMBEDDING_MODEL back.",
                )
            emptied = demonstrations.emptied_at(connection, agent, dataset)  # first: what is read later may only be newer
            found = _Version(at, demonstrations.few(connection, agent, encoder), tenants.answers_of(connection, agent)[1], emptied, asked=at)
        if known is not None and found.same(known):
            found.pool, found.bytes, found.too_large = known.pool, known.bytes, known.too_large
        if len(self._versions) >= _MOST_KEPT:
            self._versions.clear()
        self._versions[key] = found
        return found

    def _read(self, key: Key, agent: AgentRef, version: _Version, dimensions: int) -> Pool | None:
        """The version's examples, kept from now on; None where they are too many, there is no room, or another thread reads them already."""
        with self._keeping:
            if key in self._reading:
                return None
            self._reading.add(key)
        try:
            *_, dataset, encoder = key
            with self._sessions.acting(demonstrating(agent)) as connection:
                wanted = demonstrations.size(connection, agent, dataset, encoder)
                version.too_large = wanted > POOLED_BYTES
                version.no_room = not version.too_large and not self._room_for(wanted)
                if version.too_large or version.no_room:
                    return None
                found = pool(connection, agent, dataset, encoder, dimensions, version.labels)
            version.pool, version.bytes = found, found.bytes
            return found
        finally:
            self._reading.discard(key)

    def _room_for(self, wanted: int) -> bool:
        """Whether so many bytes more may be kept. Examples that nobody picked from for a while make room; those in use never take turns."""
        with self._keeping:
            kept = sorted((one for one in list(self._versions.values()) if one.pool is not None), key=lambda one: one.asked)
            total = wanted + sum(one.bytes for one in kept)
            for one in kept:
                if total <= MOST_BYTES or time.monotonic() - one.asked < SETTLED_SECONDS:
                    break
                one.pool, total, one.bytes = None, total - one.bytes, 0
            return total <= MOST_BYTES

    def _drop_idle(self) -> None:
        for key, version in list(self._versions.items()):
            if time.monotonic() - version.asked >= SETTLED_SECONDS:
                self._versions.pop(key, None)


def demonstrating(agent: AgentRef) -> Acting:
    """Who looks demonstrations up: examples are for trainers, but what a prompt that serves shows of them is for whoever it serves."""
    return Acting(agent.organization_id, role="trainer")
