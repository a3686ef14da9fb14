"""What experiments compare versions of, and taking the place of what serves: prompts, indexes and policies by one set of functions.

Belongs here: from an experiment's subject to the change of that kind. Not here: the changes themselves (prompt_change.py, index_change.py,
behavior_change.py), experiments.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from learning_pipelines.acceptance import behavior_change, index_change, prompt_change
from learning_pipelines.acceptance.reviewing import Reviewer
from learning_pipelines.retrieval.index import KINDS as INDEX_KINDS
from learning_pipelines.settings import Settings
from learning_pipelines.storage import guidance
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.experiment_rows import Subject
from learning_pipelines.storage.tenants import AgentRef

_POLICY: Mapping[str, Any] = {"kind": "policy", "topic": ""}


def subject_of(kind: str) -> Subject | None:
    """What an experiment about a proposal, or a rollback, of this kind compares; None: it is nothing that two arms can serve side by side."""
    if kind in INDEX_KINDS:
        return "index"
    return "prompt" if kind == "prompt" else "policy" if kind == "policy" else None


def as_served(connection: Connection, agent: AgentRef, subject: Subject, version: int) -> dict[str, Any]:
    """What an experiment's control was, as the changes ask for it: a prompt is served with the guidance that serves."""
    return {"version": version, "guidance": guidance.serving(connection, agent).guidance} if subject == "prompt" else {"version": version}


def require(connection: Connection, agent: AgentRef, subject: Subject, version: int, incumbent: Mapping[str, Any], settings: Settings) -> None:
    """Raises Refused unless the version may take the place of what serves, which has to be what it was measured against."""
    if subject == "prompt":
        prompt_change.require(connection, agent, version, incumbent)
    elif subject == "index":
        index_change.require(connection, agent, version, incumbent, settings)
    else:
        behavior_change.require(connection, agent, "policy", "", version, incumbent, settings)


def serve(
    connection: Connection, agent: AgentRef, subject: Subject, version: int, incumbent: Mapping[str, Any], who: Reviewer, settings: Settings
) -> tuple[int, int | None]:  # fmt: skip
    """(version that serves now, version before), in the caller's transaction and under the lock of the agent's row. Raises Refused as `require` does."""
    if subject == "prompt":
        return prompt_change.serve(connection, agent, version, incumbent, who)
    if subject == "index":
        return index_change.serve(connection, agent, version, incumbent, who, settings)
    return behavior_change.serve(connection, agent, "policy", {**_POLICY, "version": version}, incumbent, who, settings)
