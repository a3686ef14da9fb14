"""The patterns of an agent, task type by task type: found in its demonstrations and stored.

Belongs here: which demonstrations make a group, limits of what is stored, the steps of a refresh. Not here: the mining itself, SQL (storage/).

Only demonstrations of the split train are looked at: what is made of patterns is measured on those of test. Without a task type they are one group, ''.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from learning_pipelines.behavior.demonstrations import load
from learning_pipelines.behavior.patterns.anti import AntiPattern, anti_patterns
from learning_pipelines.behavior.patterns.sequences import Mined, mine
from learning_pipelines.behavior.patterns.transitions import Transition, transitions
from learning_pipelines.behavior.task import END, Action, Shown
from learning_pipelines.storage import behavior_patterns as storage
from learning_pipelines.storage.behavior_patterns import StoredPattern
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef

MOST_TYPES = 200
"""Task types that are looked at: those with most demonstrations."""
MOST_PATTERNS, MOST_TRANSITIONS, MOST_ANTI = 100, 300, 50
"""So many of each are stored per task type."""
MOST_WRONG, MOST_ACTIONS = 5_000, 1_000
EXAMPLE = "example "
"""What the id of a failure that is no demonstration begins with."""


@dataclass(frozen=True, slots=True)
class Group:
    """Demonstrations of one task type, of the split train: what succeeded, what failed (examples of failures among them), and what was found."""

    task_type: str
    succeeded: tuple[Shown, ...]
    failed: tuple[Shown, ...]
    mined: Mined
    transitions: tuple[Transition, ...]
    anti: tuple[AntiPattern, ...]

    def rows(self) -> Iterator[StoredPattern]:
        """What is stored of it."""
        ids = [one.id for one in self.succeeded]
        for pattern in self.mined.patterns[:MOST_PATTERNS]:
            of = pattern.confidence
            yield StoredPattern(
                "pattern", self.task_type, "done", list(pattern.types), pattern.support.count, pattern.support.of, of.count, of.of, of.low, of.high,
                pattern.lift, None, None, [ids[place] for place in pattern.named],
            )  # fmt: skip
        for one in sorted(self.transitions, key=lambda one: -one.confidence.count)[:MOST_TRANSITIONS]:
            of = one.confidence
            yield StoredPattern(
                "transition", self.task_type, "done", [one.before, one.after], one.demonstrations, len(ids), of.count, of.of, of.low, of.high, one.lift,
                None, None, list(one.named),
            )  # fmt: skip
        for wrong in self.anti[:MOST_ANTI]:
            failed, succeeded = wrong.failed, wrong.succeeded
            yield StoredPattern(
                "anti", self.task_type, wrong.how, list(wrong.types), failed.count, failed.of, succeeded.count, succeeded.of, failed.low, failed.high,
                wrong.lift, wrong.p, wrong.q, list(wrong.named),
            )  # fmt: skip


def find(shown: Sequence[Shown], wrong: Sequence[Shown] = ()) -> list[Group]:
    """One group per task type that has a demonstration of the split train, the largest first. `wrong`: failures beside demonstrations."""
    succeeded, failed = defaultdict[str, list[Shown]](list), defaultdict[str, list[Shown]](list)
    for one in shown:
        if one.split == "train":
            (succeeded if one.outcome == "success" else failed)[one.task_type].append(one)
    for one in wrong:
        failed[one.task_type].append(one)
    kinds = sorted({*succeeded, *failed}, key=lambda kind: (-len(succeeded[kind]), -len(failed[kind]), kind))[:MOST_TYPES]
    return [_group(kind, succeeded[kind], failed[kind]) for kind in kinds]


def refresh(connection: Connection, agent: AgentRef, computed_by: str | None) -> list[Group]:
    """Finds the agent's patterns anew and stores them in place of the former ones."""
    groups = read(connection, agent)
    storage.replace(connection, agent, (row for group in groups for row in group.rows()), computed_by)
    return groups


def read(connection: Connection, agent: AgentRef, shown: Sequence[Shown] | None = None) -> list[Group]:
    """The groups as they are now; stores nothing. `shown`: the agent's demonstrations, if they are at hand."""
    return find(load(connection, agent) if shown is None else shown, _gone_wrong(connection, agent))


def _group(task_type: str, succeeded: list[Shown], failed: list[Shown]) -> Group:
    succeeded, failed = (sorted(some, key=lambda one: one.id) for some in (succeeded, failed))
    mined = mine([[action.type for action in one.actions] for one in succeeded], shortest=2)
    return Group(task_type, tuple(succeeded), tuple(failed), mined, tuple(transitions(succeeded)), tuple(anti_patterns(succeeded, failed)))


def _gone_wrong(connection: Connection, agent: AgentRef) -> list[Shown]:
    """Examples of failures whose context holds a sequence of actions; what is no such sequence is left aside."""
    found = []
    for name, task, task_type, stored in storage.gone_wrong(connection, agent, MOST_WRONG):
        actions = [_action(one) for one in stored[:MOST_ACTIONS]]
        if actions and None not in actions:
            found.append(Shown(EXAMPLE + name, task, tuple(one for one in actions if one is not None), task_type=task_type, outcome="failure"))
    return found


def _action(stored: Any) -> Action | None:
    kind = stored.get("type") if isinstance(stored, dict) else None
    if not isinstance(kind, str) or kind.strip() in ("", END):
        return None
    return Action(kind.strip(), stored.get("arguments"), stored.get("context"))
