"""What serves for an agent now, part by part, and what a rollback of each part would bring back.

Belongs here: from labels and the switch to plain values. Not here: SQL (storage/), doing it (approval.py).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from learning_pipelines.acceptance.behavior_change import KINDS as BEHAVIOR
from learning_pipelines.acceptance.behavior_change import NOTHING
from learning_pipelines.acceptance.promotion import subject_of
from learning_pipelines.storage import experiments, prompts, served_parts, tenants
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.experiment_rows import Experiment
from learning_pipelines.storage.served_parts import Labels
from learning_pipelines.storage.tenants import AgentRef

KINDS = ("prompt", "index", *BEHAVIOR)


@dataclass(frozen=True, slots=True)
class Part:
    """`serves`: what is handed out now outside experiments (0: the base index, nothing learnt; None: the agent has no prompt); `labelled`: what the label
    points at, which serves as soon as learning is on. `rollback_to`: what a rollback makes serve; None: there is nothing to take back."""

    kind: str
    topic: str
    serves: int | None
    labelled: int | None
    candidate: int | None
    previous: int | None
    rollback_to: int | None
    moved_at: str | None


def shown(connection: Connection, agent: AgentRef) -> dict[str, Any]:
    """{agent, learning_enabled, model, parts, experiments}: every kind at least once; experiments that run or are paused, rollouts first."""
    enabled = not tenants.switched_off(connection, agent.organization_id, agent.agent_id)
    under_way = [one for subject in ("prompt", "index", "policy") for one in experiments.unfinished(connection, agent, subject)]
    known = served_parts.of_agent(connection, agent)
    labels = [*known, *(Labels(kind, "", None, None, None, None) for kind in KINDS if kind not in {one.kind for one in known})]
    base = prompts.served(connection, agent)
    parts = [part(one, under_way, enabled=enabled, base=None if base is None else base.version) for one in labels]
    return {
        "agent": agent.agent, "learning_enabled": enabled, "model": tenants.model_of(connection, agent),
        "parts": [asdict(one) for one in sorted(parts, key=lambda one: (KINDS.index(one.kind), one.topic))],
        "experiments": [_experiment(one) for one in sorted(under_way, key=lambda one: one.kind != "rollout")],
    }  # fmt: skip


def part(labels: Labels, under_way: list[Experiment], *, enabled: bool, base: int | None) -> Part:
    """One part. `base`: the prompt that is handed out, which is the base prompt while learning is off.

    A rollout under way is what a rollback takes back: then the control serves everybody.
    """
    of_prompt = labels.kind == "prompt"
    labelled = labels.serving if of_prompt else labels.serving or NOTHING
    rollout = next((one for one in under_way if one.kind == "rollout" and one.subject == subject_of(labels.kind)), None)
    if rollout is not None:
        back: int | None = rollout.control.version
    else:
        back = labels.previous if labels.serving is not None and labels.previous != labels.serving else None
    serves = labelled if enabled else base if of_prompt else NOTHING
    moved = None if labels.moved_at is None else labels.moved_at.isoformat()
    return Part(labels.kind, labels.topic, serves, labelled, labels.candidate, labels.previous, back, moved)


def _experiment(one: Experiment) -> dict[str, Any]:
    return {
        "id": str(one.id), "name": one.name, "kind": one.kind, "subject": one.subject, "state": one.status,
        "percent": one.steps[one.step] if one.steps else None, "arms": [arm.as_json() for arm in one.arms],
    }  # fmt: skip
