"""The versions that the arms of an experiment serve: which serves now, whether one can be served.

Belongs here: one question for prompts, indexes and policies. Not here: what each kind needs (acceptance/), arms and weights (plans.py).
"""

from __future__ import annotations

from collections.abc import Sequence

from learning_pipelines.acceptance import behavior_change, index_change, prompt_change
from learning_pipelines.acceptance.reviewing import Reason, Refused
from learning_pipelines.settings import Settings
from learning_pipelines.storage import behavior_versions, indexes, prompts
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.experiment_rows import Arm, Subject
from learning_pipelines.storage.tenants import AgentRef


def serving(connection: Connection, agent: AgentRef, subject: Subject) -> int | None:
    """The version that serves (0: the base index, or nothing learnt); None for an agent without a prompt."""
    if subject == "prompt":
        return prompts.label_target(connection, agent, prompts.PRODUCTION)
    if subject == "index":
        return indexes.label_target(connection, agent, "serving") or 0
    return behavior_versions.label_target(connection, agent, "policy", "serving") or 0


def require_servable(connection: Connection, agent: AgentRef, subject: Subject, arms: Sequence[Arm], settings: Settings, reason: Reason) -> None:
    """Raises Refused for the first arm whose version is not there or cannot be served; what serves stays."""
    for arm in arms:
        try:
            _require(connection, agent, subject, arm.version, settings)
        except Refused as error:
            raise Refused(reason, f"{arm.variant}: {error.cause}", error.advice, "arms") from error


def require_serving(connection: Connection, agent: AgentRef, subject: Subject, arms: Sequence[Arm]) -> None:
    """Raises Refused unless what serves is among what is compared: whoever takes no part gets it, and a winner over others says nothing about it."""
    now = serving(connection, agent, subject)
    if now is not None and now in {arm.version for arm in arms}:
        return
    if subject == "prompt" and _same_prompt(connection, agent, now, arms):
        return
    there = "No version" if now is None else f"Version {now}"
    raise Refused(
        Reason.STATE, f"{there} of {agent.agent}'s {subject} serves, which is none of the arms ({', '.join(str(arm.version) for arm in arms)}).",
        f"Make an experiment whose control is {'what serves' if now is None else now}.", "arms",
    )  # fmt: skip


def _same_prompt(connection: Connection, agent: AgentRef, now: int | None, arms: Sequence[Arm]) -> bool:
    """Whether an arm has the content of what serves, under another number."""
    hashes = [found.content_hash for number in (now, *(arm.version for arm in arms)) if number and (found := prompts.version(connection, agent, number))]
    return bool(now) and hashes[0] in hashes[1:]


def _require(connection: Connection, agent: AgentRef, subject: Subject, number: int, settings: Settings) -> None:
    if subject == "prompt":
        if prompts.version(connection, agent, number) is None:
            advice = f"`learning-pipelines prompts {agent.agent}` lists its versions."
            raise Refused(Reason.STATE, f"There is no version {number} of {agent.agent}'s prompt.", advice)
        prompt_change.require_servable(connection, agent, number)
    elif subject == "index":
        index_change.require_servable(connection, agent, number, settings)
    elif number != behavior_change.NOTHING:
        behavior_change.require_servable(connection, agent, "policy", "", number, settings)
