"""One run of playbooks: for each task type one is made, and put to the gate.

Belongs here: the order of things, which task types are worth a playbook, the training run. Not here: making one (learning.py), testing it (gate.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

import orjson

from learning_pipelines.behavior.demonstrations import load
from learning_pipelines.behavior.patterns import finding
from learning_pipelines.behavior.patterns.finding import Group
from learning_pipelines.behavior.patterns.flow import flowchart
from learning_pipelines.behavior.playbooks import learning
from learning_pipelines.behavior.playbooks.gate import Candidate, Tested, meet
from learning_pipelines.behavior.playbooks.playbook import Playbook
from learning_pipelines.behavior.playbooks.upkeep import NOTHING_KEPT, Kept, keep_true
from learning_pipelines.behavior.task import Shown
from learning_pipelines.errors import LearningError
from learning_pipelines.settings import Settings
from learning_pipelines.storage import training_runs
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef

FEWEST = 5
"""Demonstrations that teach, without which a task type gets no playbook."""
MOST = 50
"""Task types that get one: those with most demonstrations."""
PART = "playbooks"
RULES = "1"
"""Part of the fingerprint: bumped when playbooks are made differently."""


@dataclass(frozen=True, slots=True)
class Made:
    """What a run did. `training_run`: None where there was no demonstration to learn from. `thin`: task types with too few demonstrations; `kept`: what
    became of playbooks that serve."""

    training_run: UUID | None
    playbooks: tuple[Playbook, ...]
    tested: tuple[Tested, ...]
    thin: int = 0
    kept: Kept = NOTHING_KEPT

    @property
    def proposed(self) -> list[Tested]:
        return [one for one in self.tested if one.state == "proposed"]


def make_all(
    connection: Connection, agent: AgentRef, settings: Settings, dagster_run_id: str | None, progress: Callable[[float, str], None] = lambda share, line: None
) -> Made:
    """Makes, tests and proposes the playbooks of an agent. A run that ended early is gone on with: its tests count once."""
    shown = load(connection, agent)
    groups = finding.read(connection, agent, shown)
    enough = [group for group in groups if len(group.succeeded) >= FEWEST][:MOST]
    if not enough:
        return Made(None, (), (), len(groups), keep_true(connection, agent, {}, None))
    config = {"fingerprint": _fingerprint(shown, groups), "part": PART, "task_types": len(enough)}
    run = training_runs.begin(connection, agent, "behavior_learning", dataset_id=None, config=config, dagster_run_id=dagster_run_id)
    training_runs.cancel_others(connection, agent, "behavior_learning", PART, run.id)
    error, tested = "It ended early.", list[Tested]()
    try:
        candidates = {group.task_type: candidate_of(group, shown) for group in enough}
        kept = keep_true(connection, agent, candidates, run.id)
        for number, (task_type, candidate) in enumerate(candidates.items(), start=1):
            held_out = [one for one in shown if one.split == "test" and one.outcome == "success" and one.task_type == task_type]
            tested.append(meet(connection, agent, settings, candidate, held_out, run.id, dagster_run_id))
            training_runs.progressed(connection, agent, run.id, number / (len(enough) + 1))
            progress(number / len(enough), f"playbook {number} of {len(enough)}: {tested[-1].state}")
        error = ""
    except LearningError as cause:
        error = str(cause)
        raise
    finally:
        if error:
            training_runs.failed(connection, agent, run.id, error)
    made = Made(run.id, tuple(one.playbook for one in candidates.values()), tuple(tested), len(groups) - len(enough), kept)
    accuracy = [one.numbers["candidate"] for one in tested if "candidate" in one.numbers]
    best = {"playbooks": len(made.playbooks), "proposed": len(made.proposed)} | ({"step_accuracy": sum(accuracy) / len(accuracy)} if accuracy else {})
    training_runs.completed(connection, agent, run.id, best=best, requires_review=bool(made.proposed))
    return made


def candidate_of(group: Group, shown: Sequence[Shown]) -> Candidate:
    """The playbook of a group, and what its version keeps beside it."""
    ids = tuple(one.id for one in group.succeeded)
    return Candidate(playbook_of(group, shown), flowchart(group.transitions), ids, learning.most_frequent(group.succeeded))


def playbook_of(group: Group, shown: Sequence[Shown]) -> Playbook:
    """The playbook of a group; of `shown` those of its type in the split validation decide about conditions."""
    checked = [one for one in shown if one.split == "validation" and one.outcome == "success" and one.task_type == group.task_type]
    return learning.make(group.task_type, group.succeeded, checked, group.anti, len(group.failed))


def _fingerprint(shown: Sequence[Shown], groups: Sequence[Group]) -> str:
    """What the outcome of a run depends on: the demonstrations as they are now, and the failures beside them."""
    parts = [RULES, sorted((one.id, one.split or "", one.task_type, one.outcome, one.approved, len(one.actions)) for one in shown)]
    parts.append(sorted(one.id for group in groups for one in group.failed))
    return hashlib.sha256(orjson.dumps(parts)).hexdigest()
