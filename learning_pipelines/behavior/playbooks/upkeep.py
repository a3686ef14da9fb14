"""What serves is kept true: a playbook whose evidence went is stated anew where it still holds, and taken out of service where it rests on withdrawn rights.

Belongs here: both, before a run tests anything. Not here: counting the evidence (evidence.py), new advice (gate.py), labels (acceptance/).

Stated anew: the demonstrations that teach now give the very advice that a person approved, so its counts, texts and evidence are renewed and nothing else;
that needs no approval. Anything else does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from learning_pipelines.acceptance.retiring import retire
from learning_pipelines.behavior.playbooks import evidence
from learning_pipelines.behavior.playbooks.gate import KIND, Candidate, config_of
from learning_pipelines.storage import audit, behavior_demonstrations, behavior_versions
from learning_pipelines.storage.behavior_versions import BehaviorVersion
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.prompts import lock_agent
from learning_pipelines.storage.tenants import AgentRef


@dataclass(frozen=True, slots=True)
class Kept:
    """Task types whose serving playbook was stated anew (with the number that serves now), and was taken out of service (with the number that did)."""

    restated: Mapping[str, int]
    retired: Mapping[str, int]


NOTHING_KEPT = Kept({}, {})


def keep_true(connection: Connection, agent: AgentRef, candidates: Mapping[str, Candidate], run_id: UUID | None) -> Kept:
    """`candidates`: by task type, what the demonstrations that teach now give; a type may have none any more."""
    serving = behavior_versions.labelled(connection, agent.organization_id, agent.agent_id, KIND, "serving")
    if not serving:
        return NOTHING_KEPT
    theirs = behavior_demonstrations.withdrawn(connection, agent)
    broken = {one.version for one in evidence.unbacked(connection, agent)[1]}
    restated, retired = dict[str, int](), dict[str, int]()
    for one in serving:
        candidate = candidates.get(one.topic)
        rests = not theirs.isdisjoint(one.config.get("learnt_from", []))
        if (rests or one.number in broken) and candidate is not None and candidate.playbook.advice() == one.config.get("advice"):
            restated[one.topic] = _restate(connection, agent, one, candidate, run_id)
        elif rests:
            retired[one.topic] = retire(connection, agent, KIND, one.topic, "retired")
    return Kept(restated, retired)


def _restate(connection: Connection, agent: AgentRef, serving: BehaviorVersion, candidate: Candidate, run_id: UUID | None) -> int:
    """The version that serves now. What a rollback would bring back stays: the one that is renewed must not be it."""
    with connection.transaction():
        lock_agent(connection, agent)
        metrics = serving.metrics | {"restates": serving.number}
        number = behavior_versions.add(
            connection, agent, KIND, topic=serving.topic, parent=serving.number, config=config_of(candidate), metrics=metrics, training_run_id=run_id
        )  # fmt: skip
        behavior_versions.point(connection, agent, KIND, "serving", number, None, serving.topic)
        audit.record(
            connection, agent.organization_id, actor="pipeline", action="restated", kind="behavior_label",
            subject=f"{agent.agent}/{KIND}/{serving.topic}/serving", fields=["version"], before=serving.number, after=number,
        )  # fmt: skip
    return number
