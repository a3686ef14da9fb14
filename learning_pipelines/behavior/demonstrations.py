"""An agent's demonstrations as learning sees them: scrubbed, only those that count now, with their splits.

Belongs here: from stored demonstrations to values. Not here: which count (storage/behavior_demonstrations.py), splits (demonstration_splits.py), learning.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, cast

from learning_pipelines.behavior.task import END, Action, Outcome, Shown
from learning_pipelines.storage import behavior_demonstrations as storage
from learning_pipelines.storage.behavior_demonstrations import StoredDemonstration
from learning_pipelines.storage.database import Connection, database_errors
from learning_pipelines.storage.tenants import AgentRef


def load(connection: Connection, agent: AgentRef) -> list[Shown]:
    """Every demonstration that counts now, failures too, oldest first; the texts are those of its example, as scrubbed (and corrected in review)."""
    with database_errors(f"reading the demonstrations of {agent.partition}"):
        return list(_read(connection, agent))


def teachers(connection: Connection, agent: AgentRef) -> list[Shown]:
    """Those that a policy may learn from, choose by or be tested on, each on its own side of the split: successes that have a split."""
    return [one for one in load(connection, agent) if one.outcome == "success" and one.split is not None]


def _read(connection: Connection, agent: AgentRef) -> Iterator[Shown]:
    for one in storage.that_count(connection, agent):
        shown = as_shown(one)
        if shown is not None:
            yield shown


def as_shown(one: StoredDemonstration) -> Shown | None:
    """The value of a stored demonstration; None where it has no sequence of actions to learn from: none, a blank type, or the type END
    (capture refuses these; they may have been stored before it did).
    """
    actions = tuple(Action(str(step.get("type", "")).strip(), step.get("arguments"), step.get("context")) for step in one.actions)
    if not actions or any(action.type in ("", END) for action in actions):
        return None
    return Shown(
        id=one.id, task=one.task, actions=actions, final_output=one.final_output, task_type=one.task_type, given=as_text(one.given),
        reasoning=one.reasoning, expert=one.expert, split=one.split, cluster=one.cluster, outcome=cast(Outcome, one.outcome), approved=one.approved,
    )  # fmt: skip


def as_text(given: Any) -> str:
    """What an agent was given, as a State holds it: text as it is, JSON as compact text, nothing as ''."""
    if given is None or isinstance(given, str):
        return given or ""
    return json.dumps(given, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
