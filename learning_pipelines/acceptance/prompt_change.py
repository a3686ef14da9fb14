"""What approving, proposing and rolling back means for an agent's prompt: the labels production, candidate and previous.

Belongs here: what a prompt version needs before it may serve, moving its labels. Not here: the state of proposals (approval.py), SQL.

All of it is part of the caller's transaction, under the lock of the agent's row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from learning_pipelines.acceptance.reviewing import Reason, Refused, Reviewer
from learning_pipelines.storage import audit, behavior_versions, demonstrations, guidance, prompts
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef


def offer(connection: Connection, agent: AgentRef, version: int) -> None:
    """The version is proposed: it gets the label candidate."""
    prompts.move_label(connection, agent, prompts.CANDIDATE, version, None)


def require(connection: Connection, agent: AgentRef, version: int, incumbent: Mapping[str, Any]) -> int | None:
    """The version that serves, if this one may take its place. `incumbent`: what it was measured against.

    Raises Refused: measured against what no longer serves, demonstrations that cannot be looked up.
    """
    before = _require_incumbent(connection, agent, incumbent, version)
    _require_guidance(connection, agent, incumbent, version)
    require_servable(connection, agent, version)
    return before


def serve(connection: Connection, agent: AgentRef, version: int, incumbent: Mapping[str, Any], who: Reviewer) -> tuple[int, int | None]:
    """(version that serves now, version before). Raises Refused as `require` does."""
    before = require(connection, agent, version, incumbent)
    prompts.move_label(connection, agent, prompts.PRODUCTION, version, who.user_id)
    _moved(connection, agent, who, before, version)
    return version, before


def take_back(connection: Connection, agent: AgentRef, who: Reviewer) -> tuple[int, int | None]:
    """(version that serves now, version before; None if nothing had to be moved). Raises Refused where nothing served before."""
    serving, target = (prompts.label_target(connection, agent, label) for label in (prompts.PRODUCTION, prompts.PREVIOUS))
    if target is None:
        there = "It has no prompt" if serving is None else f"Version {serving} is the first that serves"
        raise Refused(Reason.STATE, f"There is nothing to roll back: {there[:1].lower()}{there[1:]}.", "Nothing was changed.")
    if serving == target:
        return target, None
    require_whole(connection, agent, target)
    prompts.point(connection, agent, prompts.PRODUCTION, target, who.user_id)
    _moved(connection, agent, who, serving, target, "rolled back")
    return target, serving


def _require_incumbent(connection: Connection, agent: AgentRef, incumbent: Mapping[str, Any], version: int) -> int | None:
    """The version that serves, if it is the one the candidate was measured against: the same number, or the same content under another one."""
    serving = prompts.labelled(connection, agent)
    measured = int(incumbent["version"])
    if serving is not None and serving.version in (measured, version):
        return serving.version
    known = prompts.version(connection, agent, measured)
    if serving is not None and known is not None and known.content_hash == serving.content_hash:
        return serving.version
    there = "no version serves now" if serving is None else f"version {serving.version} serves now"
    raise Refused(
        Reason.STATE, f"Version {version} was measured against version {measured}, but {there}.",
        f"Run `learning-pipelines run prompt_optimization --agent {agent.agent}` to measure against what serves, or point production at {measured} again.",
    )  # fmt: skip


def _require_guidance(connection: Connection, agent: AgentRef, incumbent: Mapping[str, Any], version: int) -> None:
    """Guidance is left out with any other prompt than its own: whoever approves one must know that it is better than the old one with its guidance."""
    serving, number = prompts.labelled(connection, agent), guidance.serving(connection, agent).guidance
    stored = behavior_versions.version(connection, agent, "guidance", number) if number else None
    shown = stored is not None and serving is not None and serving.version != version and stored.config.get("prompt") == serving.content_hash.hex()
    if shown and incumbent.get("guidance") != number:
        cause = f"Version {version} was measured against the prompt without the guidance {number} that serves now, and would take its place too."
        raise Refused(Reason.STATE, cause, f"Run `learning-pipelines run prompt_optimization --agent {agent.agent}` to measure against what serves.")


def require_servable(connection: Connection, agent: AgentRef, number: int) -> None:
    """A prompt that picks demonstrations needs the vectors of the examples it picks from, or every request with an input would fail."""
    found = prompts.version(connection, agent, number)
    if found is None:
        raise Refused(Reason.STATE, f"There is no version {number} of {agent.agent}'s prompt.", "Run the job again.")
    require_whole(connection, agent, number)
    retrieval = found.serving.get("retrieval")
    if retrieval is not None and (retrieval.get("dataset_id") is None or not demonstrations.servable(connection, agent, UUID(retrieval["dataset_id"]))):
        again = f"Run `learning-pipelines run prompt_optimization --agent {agent.agent}` again: it encodes them."
        raise Refused(Reason.STATE, f"The examples that version {number} picks demonstrations from have no vectors.", again)


def require_whole(connection: Connection, agent: AgentRef, number: int) -> None:
    """Raises Refused for a tombstone: a version that held words of an erased person."""
    found = prompts.version(connection, agent, number)
    if found is not None and found.erased:
        erased = prompts.Tombstone(number, found.successor)
        raise Refused(Reason.STATE, erased.cause, erased.advice)


def _moved(connection: Connection, agent: AgentRef, who: Reviewer, before: int | None, after: int, action: str = "moved") -> None:
    audit.record(
        connection, agent.organization_id, actor=who.actor, action=action, kind="prompt_label", subject=f"{agent.agent}/{prompts.PRODUCTION}",
        fields=["version"], before=before, after=after,
    )  # fmt: skip
