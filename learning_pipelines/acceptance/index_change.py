"""What approving, proposing and rolling back means for an agent's index: the labels serving, candidate and previous.

Belongs here: what an index version needs before it may serve, moving its labels. Not here: the state of proposals (approval.py), SQL, searching.

Index, re-ranker, expansion and chunk edit are all changes of the one configuration that a version is: one label says which version serves all of
it. All of it is part of the caller's transaction, under the lock of the agent's row; searches see the old version or the new one, never both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from learning_pipelines.acceptance.reviewing import Reason, Refused, Reviewer
from learning_pipelines.errors import LearningError
from learning_pipelines.retrieval.artifacts import fetch
from learning_pipelines.retrieval.index import BASE, Artifact, IndexConfig
from learning_pipelines.retrieval.loaded import Loaded
from learning_pipelines.settings import Settings
from learning_pipelines.storage import audit, chunk_vectors, indexes
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.indexes import IndexVersion
from learning_pipelines.storage.tenants import AgentRef


def described(version: IndexVersion) -> dict[str, Any]:
    """What a proposal calls a version: its number and what it answers by. The base keeps its number when it is built anew, not its description."""
    return {"version": version.number, "encoder": version.encoder.name, "config": version.config}


def offer(connection: Connection, agent: AgentRef, version: int) -> None:
    """The version is proposed: it gets the label candidate."""
    indexes.point(connection, agent, "candidate", version, None)


def require(connection: Connection, agent: AgentRef, number: int, incumbent: Mapping[str, Any], settings: Settings) -> None:
    """Raises Refused unless the version may take the place of what serves: measured against what no longer serves, vectors or artifacts missing."""
    _require_incumbent(connection, agent, incumbent, number)
    require_servable(connection, agent, number, settings)


def serve(
    connection: Connection, agent: AgentRef, number: int, incumbent: Mapping[str, Any], who: Reviewer, settings: Settings
) -> tuple[int, int]:  # fmt: skip
    """(version that serves now, version before; 0 is the base). Raises Refused as `require` does."""
    require(connection, agent, number, incumbent, settings)
    before = indexes.move_serving(connection, agent, number, who.user_id)
    _moved(connection, agent, who, before, number)
    return number, before


def take_back(connection: Connection, agent: AgentRef, who: Reviewer, settings: Settings) -> tuple[int, int | None]:
    """(version that serves now, version before; None if nothing had to be moved). Raises Refused where nothing learnt served, or what did is gone."""
    serving, target = (indexes.label_target(connection, agent, label) for label in ("serving", "previous"))
    if target is None or serving is None:
        raise Refused(Reason.STATE, "There is nothing to roll back: no learnt index ever served, the base index does.", "Nothing was changed.")
    if serving == target:
        return target, None
    require_servable(connection, agent, target, settings)
    indexes.point(connection, agent, "serving", target, who.user_id)
    _moved(connection, agent, who, serving, target, "rolled back")
    return target, serving


def require_servable(connection: Connection, agent: AgentRef, number: int, settings: Settings) -> IndexVersion:
    """The version, if it can answer: vectors of its encoder for every chunk of the agent's corpus, its artifacts as they were stored and loadable here.

    Raises Refused with the cause; what serves stays.
    """
    found = indexes.version(connection, agent, number)
    if found is None and (instead := indexes.successor(connection, agent, number)) is not None:
        cause = f"Version {number} held words of a person who was erased."
        raise Refused(Reason.STATE, cause, f"{_named(instead).capitalize()} took its place.")
    if found is None:
        raise Refused(Reason.STATE, f"There is no version {number} of {agent.agent}'s index.", f"{_again(agent)} to learn another one.")
    if found.status == "retired":
        raise Refused(Reason.STATE, f"Version {number} of {agent.agent}'s index was pruned: its vectors are gone.", f"{_again(agent)} to learn it anew.")
    if missing := chunk_vectors.count_unembedded(connection, agent.organization_id, found.encoder.id, agent.agent_id):
        cause = f"Version {number} is not complete: {missing} chunks have no vector of its encoder."
        raise Refused(Reason.STATE, cause, f"`learning-pipelines run index_refresh --agent {agent.agent}` makes them; then do this again.")
    try:
        config = IndexConfig.from_json(found.config)
        for artifact in artifacts_of(found, config):
            fetch(settings, artifact)
        _load(Loaded(settings), found, config)
    except LearningError as error:
        raise Refused(Reason.STATE, f"Version {number} cannot be served: {error.cause}", error.advice) from error
    return found


def artifacts_of(version: IndexVersion, config: IndexConfig) -> list[Artifact]:
    """Every learnt file that the version needs."""
    named = {one for one in (config.encoder, config.adapter, config.reranker, config.expansion) if one is not None}
    if version.encoder.artifact_path is not None:
        named.add(Artifact(version.encoder.artifact_path, version.encoder.sha256 or ""))
    return sorted(named, key=lambda one: one.path)


def _load(loaded: Loaded, version: IndexVersion, config: IndexConfig) -> None:
    """Loads all but the encoder, as a search will. Raises LearningError: damaged, learnt for another size or other features, no LightGBM here."""
    if config.adapter is not None:
        loaded.adapter(config.adapter, version.encoder.dimensions)
    if config.reranker is not None:
        loaded.reranker(config.reranker)
    if config.expansion is not None:
        loaded.expansion(config.expansion)


def _require_incumbent(connection: Connection, agent: AgentRef, measured: Mapping[str, Any], number: int) -> None:
    """Raises Refused unless what serves is what the candidate was measured against."""
    serving = indexes.serving(connection, agent.organization_id, agent.agent_id)
    if serving is None:
        raise Refused(Reason.STATE, "The organization has no base index.", f"`learning-pipelines run index_refresh --agent {agent.agent}` builds it.")
    if serving.number == number:
        return
    before, now = int(measured["version"]), described(serving)
    if serving.number != before:
        there = "the base index serves now" if serving.number == BASE else f"version {serving.number} serves now"
        cause = f"Version {number} was measured against {_named(before)}, but {there}."
    elif any(measured.get(name, now[name]) != now[name] for name in ("encoder", "config")):
        cause = f"Version {number} was measured against {_named(before)}, which was changed since."
    else:
        return
    raise Refused(Reason.STATE, cause, f"{_again(agent)} to measure against what serves.")


def _named(number: int) -> str:
    return "the base index" if number == BASE else f"version {number}"


def _again(agent: AgentRef) -> str:
    return f"Run `learning-pipelines run rag_training --agent {agent.agent}`"


def _moved(connection: Connection, agent: AgentRef, who: Reviewer, before: int, after: int, action: str = "moved") -> None:
    audit.record(
        connection, agent.organization_id, actor=who.actor, action=action, kind="index_label", subject=f"{agent.agent}/serving",
        fields=["version"], before=before, after=after,
    )  # fmt: skip
