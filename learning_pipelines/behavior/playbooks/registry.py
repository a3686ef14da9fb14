"""The playbooks of an agent as people and programs read them: those that serve, that are proposed, or one by its number.

Belongs here: which versions are meant, and what is told of each. Not here: making and testing them, HTTP, the command line.
"""

from __future__ import annotations

from typing import Any, Literal

from learning_pipelines.behavior.playbooks.gate import KIND
from learning_pipelines.errors import BadInput
from learning_pipelines.storage import behavior_versions, proposals, tenants
from learning_pipelines.storage.behavior_versions import BehaviorVersion
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef

Which = Literal["serving", "candidate"]
NONE = "No playbook serves for {agent}: `learning-pipelines run behavior_learning --agent {agent}` proposes what tested better, which serves once approved."
OFF = "Learning is switched off for {agent}: no playbook serves. `learning-pipelines enable --agent {agent}` brings back what did."
WAITING = "No playbook serves for {agent}; {count} proposed (--version candidate): approve what should serve."
_TOLD = ("demonstrations", "experts", "lengths", "failures", "steps", "avoid", "seldom", "text", "markdown", "mermaid")


def playbooks(connection: Connection, agent: AgentRef, which: Which | int = "serving", task_type: str | None = None) -> list[BehaviorVersion]:
    """The versions meant, in the order of their task types. Raises BadInput for a number that is none."""
    if isinstance(which, int):
        found = behavior_versions.version(connection, agent, KIND, which)
        if found is None:
            raise BadInput(f"{agent.agent} has no version {which} of a playbook.", "`--version serving` and `--version candidate` name those there are.")
        return [found]
    meant = proposed(connection, agent) if which == "candidate" else behavior_versions.serving(connection, agent.organization_id, agent.agent_id, KIND)
    return [one for one in meant if task_type is None or one.topic == task_type]


def proposed(connection: Connection, agent: AgentRef) -> list[BehaviorVersion]:
    """The versions that somebody may approve now: those of open proposals (the label candidate stays on what was approved or rejected)."""
    open_ones = proposals.listed(connection, agent.organization_id, agent_id=agent.agent_id, state="open")
    numbers = [int(one.subject["version"]) for one in open_ones if one.kind == KIND and one.subject.get("kind") == KIND]
    found = [behavior_versions.version(connection, agent, KIND, number) for number in numbers]
    return sorted((one for one in found if one is not None), key=lambda one: one.topic)


def told(version: BehaviorVersion) -> dict[str, Any]:
    """A version as JSON: its text, the chart, and each step with the evidence behind it. `accuracy`: of the held-out steps what it advised rightly, beside
    what served before (`against` 0: the most frequent action)."""
    test = version.metrics.get("test", {})
    accuracy = {name: test.get(key) for name, key in (("playbook", "candidate_mean"), ("before", "incumbent_mean"), ("held_out", "n"))}
    return {
        "task_type": version.topic, "version": version.number, "against": version.parent or 0, "created_at": version.created_at.isoformat(),
        "accuracy": accuracy, **{name: version.config[name] for name in _TOLD},
    }  # fmt: skip


def hint(connection: Connection, agent: AgentRef, which: Which | int) -> str:
    """What to do where there is none."""
    if which == "serving" and tenants.switched_off(connection, agent.organization_id, agent.agent_id):
        return OFF.format(agent=agent.agent)
    if which == "serving" and (waiting := playbooks(connection, agent, "candidate")):
        return WAITING.format(agent=agent.agent, count=len(waiting))
    return NONE.format(agent=agent.agent)
