"""Whether an agent's policy can learn now, and from what: or the reason why not.

Belongs here: thresholds, the fingerprint of a run. Not here: learning (policy/), its test and proposal (policy_gate.py), SQL.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from learning_pipelines.acceptance.beginning import DISABLED, NotNow, needed
from learning_pipelines.acceptance.gate import Rules
from learning_pipelines.acceptance.meeting import next_plan
from learning_pipelines.behavior.demonstrations import teachers
from learning_pipelines.behavior.task import Shown
from learning_pipelines.settings import Settings
from learning_pipelines.storage import behavior_versions, proposals, retraining, training_runs
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef

TRAINING: Final = "behavior_learning"
PART: Final = "behavior_policy"
KIND: Final = "policy"
NOTHING = 0
SPLITS = ("train", "validation", "test")
RULES = "1"
"""Part of the fingerprint: bumped when learning or testing changes, so that repeating a run can find something else."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What one run begins with. `shown`: demonstrations by split; `content`: equal if these and the encoder are; `incumbent`: number of the policy that
    serves, 0 if none does."""

    shown: Mapping[str, Sequence[Shown]]
    incumbent: int
    encoder: str
    content: str

    @property
    def fingerprint(self) -> str:
        """Equal: the same learning, compared with the same."""
        return hashlib.sha256(f"{self.content}/{self.incumbent}".encode()).hexdigest()

    @property
    def seed(self) -> int:
        return int(self.content[:8], 16)

    @property
    def counts(self) -> dict[str, int]:
        return {split: len(self.shown[split]) for split in SPLITS}

    @property
    def config(self) -> dict[str, Any]:
        """What the training run keeps of it."""
        return {
            "part": PART, "fingerprint": self.fingerprint, "seed": self.seed, "encoder": self.encoder, "incumbent": self.incumbent,
            "demonstrations": self.counts,
        }  # fmt: skip


def prepare(connection: Connection, agent: AgentRef, settings: Settings, encoder_name: Callable[[], str]) -> Prepared | NotNow:
    """The run that would be made now; examples and splits are up to date. A run that ended early is gone on with whatever the thresholds say.
    `encoder_name` is called only where there are demonstrations."""
    if not proposals.may_learn(connection, agent):
        return NotNow(DISABLED)
    shown = teachers(connection, agent)
    if not shown:
        return NotNow("there are no demonstrations to learn from: import them (kind demonstrations)")
    encoder = encoder_name()
    serving = next(iter(behavior_versions.labelled(connection, agent.organization_id, agent.agent_id, KIND)), None)
    sides = {split: [one for one in shown if one.split == split] for split in SPLITS}
    prepared = Prepared(sides, NOTHING if serving is None else serving.number, encoder, content_of(shown, encoder))
    fingerprint = prepared.fingerprint
    again = retraining.due(connection, agent, PART) is not None
    if not again and serving is not None and serving.config.get("content") == prepared.content:
        return NotNow(f"nothing changed: version {serving.number}, which serves, was learnt from the same demonstrations")
    if not again and (before := training_runs.completed_with(connection, agent, TRAINING, fingerprint)) is not None:
        return NotNow(f"nothing changed since training run {before}: the same demonstrations, encoder and policy; its verdict stands")
    if training_runs.unfinished_with(connection, agent, TRAINING, fingerprint):
        return prepared  # its test may be reserved, and counts for the next one only
    if missing := _untestable(connection, agent, prepared, settings):
        return NotNow(missing)
    return prepared


def content_of(shown: Sequence[Shown], encoder: str) -> str:
    """Equal: the same demonstrations with the same sides, and texts encoded alike, so the same policy."""
    made = hashlib.sha256(json.dumps([PART, RULES, encoder]).encode())
    for one in sorted(shown, key=lambda each: each.id):
        actions = [[action.type, action.arguments, action.context] for action in one.actions]
        made.update(json.dumps([one.id, one.split, one.cluster, one.task, one.task_type, one.given, actions], sort_keys=True).encode())
    return made.hexdigest()


def _untestable(connection: Connection, agent: AgentRef, prepared: Prepared, settings: Settings) -> str | None:
    """Why nothing could be learnt, or seen by the gate; None if it could."""
    counts = prepared.counts
    planned = next_plan(connection, agent, KIND, [one.id for one in prepared.shown["test"]], Rules.of(settings))
    if not planned.enough:
        return (
            f"too few demonstrations: {counts['test']} of {sum(counts.values())} are for the test, {needed(planned, 'these')}: "
            f"about {planned.missing_examples} more demonstrations bring them"
        )
    if not counts["train"]:
        return "no demonstration is in the split train: more of other tasks are needed"
    return None

