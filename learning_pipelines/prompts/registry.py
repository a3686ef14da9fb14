"""The registry of an agent's prompts: learnt versions going in, versions by name, as plain text, the difference of two.

Belongs here: what is done with versions by their content. Not here: SQL (storage/prompts.py), approving and rolling back (acceptance/approval.py).
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import orjson

from learning_pipelines.errors import BadInput
from learning_pipelines.prompts.prompt import content_hash
from learning_pipelines.storage import audit, prompts
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.prompts import Version
from learning_pipelines.storage.tenants import AgentRef


def add_learnt(
    connection: Connection, agent: AgentRef, *, messages: Sequence[Mapping[str, Any]], serving: Mapping[str, Any], parent: int | None, strategy: str,
    dataset_id: UUID | None, model: str | None, scores: Mapping[str, Any], training_run_id: UUID | None, actor: str = "pipeline",
) -> int:  # fmt: skip
    """Stores a learnt prompt as the agent's next version and returns its number. It serves nobody until it is approved.

    The same content as an existing version: that one is returned, unchanged. `scores.score` (0–1) is what lists of versions show.
    """
    kept = [dict(message) for message in messages]
    with connection.transaction():
        number, new = prompts.add_learnt(
            connection, agent, messages=kept, serving=dict(serving), content_hash=content_hash(kept, serving), parent=parent, strategy=strategy,
            dataset_id=dataset_id, model=model, scores=dict(scores), training_run_id=training_run_id,
        )  # fmt: skip
        if new:
            audit.record(
                connection, agent.organization_id, actor=actor, action="learnt", kind="prompt_version", subject=f"{agent.agent}/{number}",
                fields=["messages", "serving"], after=[kept, dict(serving)],
            )  # fmt: skip
    return number


def named_version(connection: Connection, agent: AgentRef, name: str = "serving") -> Version:
    """The version that is meant by a number, by `serving` (what is handed out: the label production, or the base prompt while learning is switched off) or
    by another label. Raises BadInput naming what there is."""
    if name.isdecimal():
        number: int | None = int(name) if len(name) < 10 else None
        missing = f"{agent.partition} has no prompt version {name}."
    else:
        label = prompts.PRODUCTION if name == "serving" else name
        if name == "serving":
            serving = prompts.served(connection, agent)
            number = None if serving is None else serving.version
        else:
            number = prompts.label_target(connection, agent, label)
        missing = f"No version of {agent.partition}'s prompt has the label {label}."
    found = None if number is None else prompts.version(connection, agent, number)
    if found is None:
        if number is not None and prompts.was_deleted(connection, agent, number):
            missing = f"{agent.partition}'s prompt version {number} was deleted: it was old, nothing had used it and no other version came from it."
        known = [f"{row['version']}{' (' + ', '.join(row['labels']) + ')' if row['labels'] else ''}" for row in prompts.list_versions(connection, agent)]
        there = f"There are: {', '.join(known[:20])}." if known else "It has no prompt yet: import one (kind agents, system_prompt), or write one."
        raise BadInput(missing, there)
    if found.erased:
        erased = prompts.Tombstone(found.version, found.successor)
        raise BadInput(erased.cause, erased.advice)
    return found


def plain_text(found: Version) -> str:
    """A version as one text that a person reads and compares: each message under its role, then what is done for each input."""
    parts = [f"[{message['role']}]\n{message['content']}" for message in found.messages]
    if found.serving:
        parts.append(f"[for each input]\n{orjson.dumps(found.serving, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2).decode()}")
    return "\n\n".join(parts) + "\n"


def difference(old: Version, new: Version) -> str:
    """The unified diff of two versions' plain text; empty if they are the same."""
    before, after = (plain_text(one).splitlines() for one in (old, new))
    return "\n".join(difflib.unified_diff(before, after, f"version {old.version}", f"version {new.version}", lineterm=""))
