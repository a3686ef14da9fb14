"""A suggestion as the API answers it: which policy serves, what it suggests and on what evidence, or why nothing is suggested.

Belongs here: the order of steps, the JSON of suggestions, hints. Not here: the route, what a policy thinks (policy/), loading it (loaded.py).

Evidence is ids and counts, and arguments are copied from the state that was asked about, or usual with several experts (policy/arguments.py): what one
person wrote in a demonstration stays with those who may read it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from learning_pipelines.behavior.loaded import Policies
from learning_pipelines.behavior.policy.policy import Suggestion, Suggestions
from learning_pipelines.behavior.task import State
from learning_pipelines.errors import LearningError
from learning_pipelines.retrieval.index import Artifact
from learning_pipelines.storage import behavior_versions, tenants
from learning_pipelines.storage.behavior_versions import BehaviorVersion
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef

MOST = 20
NOTHING = 0
OFF = "Learning is switched off for {agent}: nothing learnt is suggested. `learning-pipelines enable --agent {agent}` brings back what served."
Open = Callable[[], AbstractContextManager[Connection]]


@dataclass(frozen=True, slots=True)
class Answered:
    """`policy`: the number of the version that answered; 0: none serves, and `hint` says how to get one. `disabled`: learning is switched off."""

    agent: str
    policy: int
    suggestions: list[dict[str, Any]]
    abstained: bool = False
    reason: str | None = None
    hint: str | None = None
    disabled: bool = False

    def as_json(self) -> dict[str, Any]:
        return {
            "agent_id": self.agent, "suggestions": self.suggestions, "abstained": self.abstained, "reason": self.reason, "policy": self.policy,
            "hint": self.hint, "disabled": self.disabled,
        }  # fmt: skip


def answer(
    connect: Open, find: Callable[[Connection], AgentRef], policies: Policies, state: State, k: int, *, number: int | None = None
) -> Answered:  # fmt: skip
    """`connect` opens a transaction of whoever asks, in which `find` gives the agent. It is closed before anything is encoded, so that no connection
    waits for the encoder. `number`: by this version of the policy, 0 none (None: by what serves). Raises LookupError where there is no such version, and
    what `find`, loading and the encoder raise."""
    with connect() as connection:
        agent = find(connection)
        serving = _versions(connection, agent, number)
        off = not serving and tenants.switched_off(connection, agent.organization_id, agent.agent_id)
    if off:
        return Answered(agent.agent, NOTHING, [], hint=OFF.format(agent=agent.agent), disabled=True)
    if not serving:
        hint = f"No policy serves: `learning-pipelines run behavior_learning --agent {agent.agent}` learns one from demonstrations; approve what it proposes."
        return Answered(agent.agent, NOTHING, [], hint=hint)
    version = serving[0]
    return _answered(agent.agent, version, policies.policy(_artifact(version)).suggest(state, k))


def _versions(connection: Connection, agent: AgentRef, number: int | None) -> list[BehaviorVersion]:
    if number is None:
        return behavior_versions.serving(connection, agent.organization_id, agent.agent_id, "policy")
    if number == NOTHING:
        return []
    found = behavior_versions.version(connection, agent, "policy", number)
    if found is None:
        raise LookupError(number)
    return [found]


def _artifact(version: BehaviorVersion) -> Artifact:
    if version.artifact_path is None or version.artifact_sha256 is None:
        raise LearningError(f"Version {version.number} of the policy has no artifact.", "Roll it back: it cannot be asked.")
    return Artifact(version.artifact_path, version.artifact_sha256)


def _answered(agent: str, version: BehaviorVersion, found: Suggestions) -> Answered:
    if found.abstained:
        return Answered(agent, version.number, [], True, found.why)
    return Answered(agent, version.number, [_as_json(one, found.nearest) for one in found.ranked])


def _as_json(one: Suggestion, nearest: int) -> dict[str, Any]:
    return {
        "type": one.type, "confidence": round(one.probability, 4), "arguments": dict(one.arguments),
        "evidence": {"demonstrations": list(one.demonstrations), "agreeing": one.shown, "nearest": nearest},
    }  # fmt: skip
