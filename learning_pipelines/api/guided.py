"""Guidance of what serves, at hand: for an input the turns that are shown beside the prompt, or why there are none.

Belongs here: keeping, looking again. Not here: what is chosen (behavior/guidance.py), the lookup (behavior/guidance_lookup.py), the route (prompts.py).

A prompt answers without its guidance rather than not at all, and says so: guidance that was measured with another prompt, with notes that no longer serve
or by another encoder is not shown, nor is any while the encoder is away. Approving and rolling back are seen within FRESH_SECONDS.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

from learning_pipelines.behavior.guidance import Guidance, choose
from learning_pipelines.behavior.guidance_lookup import Notes, Way, encoded, pieces_for, stored_notes, way_of
from learning_pipelines.encoder import EncoderClient
from learning_pipelines.errors import BadInput, LearningError
from learning_pipelines.llm import Message
from learning_pipelines.prompts.prompt import Demonstration
from learning_pipelines.storage import behavior_versions, demonstrations, guidance
from learning_pipelines.storage.guidance import Serving
from learning_pipelines.storage.sessions import Acting, Sessions
from learning_pipelines.storage.tenants import AgentRef

FRESH_SECONDS = 0.5
_SETTLED_SECONDS = 60.0
_MOST_KEPT = 10_000
Key = tuple[UUID, UUID]


@dataclass(frozen=True, slots=True)
class Turns:
    """What is shown for one input. `version`: of the guidance, None where none is shown; `problem`: why not, where guidance serves all the same."""

    messages: tuple[Message, ...] = ()
    version: int | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class _Known:
    at: float
    serving: Serving
    guidance: Guidance | None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class _Ready:
    """What a lookup needs, for one version; `problem`: why it cannot be made."""

    at: float
    version: int
    notes: Notes | None
    way: Way | None
    problem: str | None


_Kept = TypeVar("_Kept", _Known, _Ready)


class Guided:
    """One per worker; threads may call it. `encoder` opens the shared encoder process, or raises what is wrong with it."""

    def __init__(self, sessions: Sessions, encoder: Callable[[], EncoderClient]) -> None:
        self._sessions, self._encoder = sessions, encoder
        self._known: dict[Key, _Known] = {}
        self._ready: dict[Key, _Ready] = {}

    def for_input(self, agent: AgentRef, prompt: str, prompt_version: int, text: str, also: Sequence[Demonstration]) -> Turns:
        """The turns for one input. `prompt`: content hash of the prompt they are shown with; `also`: what it demonstrates itself."""
        known = self._look(agent)
        if known.guidance is None:
            return Turns(problem=known.problem)
        try:
            encoder = self._encoder()
            outdated = known.guidance.outdated(
                prompt=prompt, prompt_version=prompt_version, standing=known.serving.standing, encoder=encoder.name
            )
            if outdated is not None:
                return Turns(problem=f"Guidance {known.serving.guidance} is not shown. {outdated} The job behavior_learning measures it anew.")
            ready = self._made_ready(agent, known, encoder)
            if ready.problem is not None or ready.notes is None or ready.way is None:
                return Turns(problem=ready.problem)
            vector = encoder.encode([text])[0]
        except LearningError as error:  # whatever is wrong with the encoder: the prompt itself can be had
            return Turns(problem=f"Guidance {known.serving.guidance} is not shown: {error.cause}")
        without = frozenset(one.example_id for one in also if one.example_id is not None)
        with self._sessions.acting(_acting(agent)) as connection:
            pieces = pieces_for(connection, agent, known.guidance, vector, ready.notes, ready.way, without=without)
        shown = choose(known.guidance, pieces, {one.input for one in also})
        return Turns(shown.messages, known.serving.guidance)

    def forget(self, organization_id: UUID) -> None:
        """What serves in an organization was changed through this worker."""
        for key in [key for key in list(self._known) if key[0] == organization_id]:
            self._known.pop(key, None)

    def _look(self, agent: AgentRef) -> _Known:
        key = (agent.organization_id, agent.agent_id)
        kept = self._known.get(key)
        if kept is not None and time.monotonic() - kept.at < FRESH_SECONDS:
            return kept
        at = time.monotonic()
        with self._sessions.acting(_acting(agent)) as connection:
            serving = guidance.serving(connection, agent)
            if kept is not None and kept.serving.guidance == serving.guidance:
                return _keep(self._known, key, _Known(at, serving, kept.guidance, kept.problem))
            stored = behavior_versions.version(connection, agent, "guidance", serving.guidance) if serving.guidance else None
        try:
            known = _Known(at, serving, None if stored is None else Guidance.from_json(stored.config))
        except BadInput as error:
            known = _Known(at, serving, None, f"Guidance {serving.guidance} is not shown: {error.cause}")
        return _keep(self._known, key, known)

    def _made_ready(self, agent: AgentRef, known: _Known, encoder: EncoderClient) -> _Ready:
        assert known.guidance is not None
        key, guided = (agent.organization_id, agent.agent_id), known.guidance
        kept = self._ready.get(key)
        same = kept is not None and kept.version == known.serving.guidance
        if kept is not None and same and time.monotonic() - kept.at < _SETTLED_SECONDS:
            return kept
        at = time.monotonic()
        with self._sessions.acting(_acting(agent)) as connection:
            complete = kept is not None and same and kept.problem is None  # vectors go with their examples only
            missing = 0 if complete else demonstrations.unindexed(connection, agent, UUID(guided.dataset_id), encoder.name)
            notes = stored_notes(connection, agent, guided.playbooks, guided.rules)
            way = way_of(connection, agent, encoder.name)
        if missing:
            problem = f"Guidance {known.serving.guidance} is not shown: {missing} of its examples have no vector of the encoder {encoder.name}."
            return _keep(self._ready, key, _Ready(at, known.serving.guidance, None, None, problem))
        return _keep(self._ready, key, _Ready(at, known.serving.guidance, encoded(notes, encoder), way, None))


def _acting(agent: AgentRef) -> Acting:
    """Examples are for trainers, but what guidance shows of them is for whoever it serves."""
    return Acting(agent.organization_id, role="trainer")


def _keep(kept: dict[Key, _Kept], key: Key, value: _Kept) -> _Kept:
    if len(kept) >= _MOST_KEPT:
        kept.clear()
    kept[key] = value
    return value
