"""Guidance out of the database: the pieces for one input, the very same while guidance is scored and while it serves.

Belongs here: finding pieces, a Guide over stored examples and notes. Not here: choosing among them (guidance.py), SQL (storage/), the route (api/).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import numpy as np
import numpy.typing as npt

from learning_pipelines.behavior.guidance import EXAMPLE_TYPES, MOST, Guidance, Piece, Shown, Source, choose, playbook_note, rule_notes, with_steps
from learning_pipelines.encoder import Encoder
from learning_pipelines.errors import BadInput
from learning_pipelines.llm import Message
from learning_pipelines.prompts.prompt import Demonstration
from learning_pipelines.storage import behavior_versions, demonstrations
from learning_pipelines.storage import guidance as guidance_storage
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef, answers_of

Vector = npt.NDArray[np.float32]
_SPARE = 2
"""Pieces looked for beyond those that may be shown: some are shown by the prompt already, or too long."""


@dataclass(frozen=True)
class Notes:
    """Notes of playbooks and rules with a vector each (rows, length 1), encoded once."""

    pieces: tuple[Piece, ...]
    vectors: Vector

    def near(self, vector: Vector, sources: Mapping[Source, float]) -> list[Piece]:
        """Those of the sources with their relevance to a text."""
        if not self.pieces:
            return []
        found = zip(self.pieces, (self.vectors @ vector).tolist(), strict=True)
        return [Piece(one.source, one.id, round(relevance, 6), one.asked) for one, relevance in found if one.source in sources]


@dataclass(frozen=True)
class Way:
    """How pieces are looked up: which types of example are compared one by one, and the answers that count. Asked once."""

    exact: Mapping[Source, bool]
    labels: tuple[str, ...]


def stored_notes(connection: Connection, agent: AgentRef, playbooks: Sequence[int], rules: Sequence[int]) -> list[Piece]:
    """What the versions with these numbers say, each as notes; none for a version that is gone or says nothing that can be shown."""
    found: list[Piece] = []
    for number in playbooks:
        version = behavior_versions.version(connection, agent, "playbook", number)
        said = None if version is None else playbook_note({"task_type": version.topic, **version.config})
        found += [] if said is None else [Piece("playbooks", f"playbook/{number}", 0.0, said)]
    for number in rules:
        version = behavior_versions.version(connection, agent, "rules", number)
        lines = [] if version is None else rule_notes(version.config)
        found += [Piece("rules", f"rules/{number}/{place}", 0.0, line) for place, line in enumerate(lines)]
    return found


def encoded(notes: Sequence[Piece], encoder: Encoder) -> Notes:
    vectors = encoder.encode([one.asked for one in notes]) if notes else np.zeros((0, encoder.dimensions), dtype=np.float32)
    return Notes(tuple(notes), vectors)


def as_served(connection: Connection, agent: AgentRef, prompt: str, prompt_version: int, encoder: Callable[[], Encoder]) -> tuple[int, Guidance] | None:
    """(number, guidance) of what is really shown beside a prompt (its content hash): what serves, unless it is left out. The encoder is opened at need."""
    serving = guidance_storage.serving(connection, agent)
    stored = behavior_versions.version(connection, agent, "guidance", serving.guidance) if serving.guidance else None
    if stored is None:
        return None
    try:
        found = Guidance.from_json(stored.config)
    except BadInput:  # it is not shown, and the answers of the service say so
        return None
    now: dict[str, Any] = {"prompt": prompt, "prompt_version": prompt_version, "standing": serving.standing}
    if found.outdated(**now, encoder=found.encoder) is not None or found.encoder != encoder().name:
        return None
    return serving.guidance, found


def way_of(connection: Connection, agent: AgentRef, encoder: str) -> Way:
    exact = {source: demonstrations.few(connection, agent, encoder, kind) for source, kind in EXAMPLE_TYPES.items()}
    return Way(exact, answers_of(connection, agent)[1])


def pieces_for(
    connection: Connection, agent: AgentRef, guidance: Guidance, vector: Vector, notes: Notes, way: Way, *, without: frozenset[str] = frozenset()
) -> list[Piece]:
    """What may be shown for a text with this vector, of every source of the guidance."""
    found = notes.near(vector, guidance.sources)
    left_out = guidance.hidden | without
    for source in guidance.sources:
        if source not in EXAMPLE_TYPES:
            continue
        nearest = demonstrations.nearest(
            connection, agent, UUID(guidance.dataset_id), guidance.encoder, vector, MOST[source] + _SPARE, exact=way.exact[source], without=left_out,
            labels=way.labels, example_type=EXAMPLE_TYPES[source],
        )  # fmt: skip
        found += [Piece(source, one.example_id, round(one.similarity, 6), with_steps(one.input, one.actions), one.output) for one in nearest]
    return found


class StoredGuide:
    """Guide over the database, for pipelines (role learning_pipeline, autocommit). `given`: pieces that each input got, by its example's id."""

    def __init__(self, connection: Connection, agent: AgentRef, guidance: Guidance, encoder: Encoder) -> None:
        demonstrations.index_demonstrations(connection, agent, UUID(guidance.dataset_id), encoder)
        self._connection, self._agent, self._guidance, self._encoder = connection, agent, guidance, encoder
        self._notes = encoded(stored_notes(connection, agent, guidance.playbooks, guidance.rules), encoder)
        self._way = way_of(connection, agent, encoder.name)
        self.given: dict[str, tuple[Piece, ...]] = {}

    def __call__(self, text: str, id: str | None = None, also: Sequence[Demonstration] = ()) -> tuple[Message, ...]:
        shown = self.shown(text, id, also)
        if id is not None:
            self.given[id] = shown.pieces
        return shown.messages

    def shown(self, text: str, id: str | None = None, also: Sequence[Demonstration] = ()) -> Shown:
        vector = self._encoder.encode([text])[0]
        without = frozenset(name for name in (id, *(one.example_id for one in also)) if name is not None)
        pieces = pieces_for(self._connection, self._agent, self._guidance, vector, self._notes, self._way, without=without)
        return choose(self._guidance, pieces, {one.input for one in also})
