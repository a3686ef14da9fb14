"""A playbook as the gate stores it, without its test.

Belongs here: what tests of routes and verbs plant. Not here: assertions.
"""

from __future__ import annotations

from learning_pipelines.acceptance.approval import open_proposal
from learning_pipelines.behavior.patterns.flow import flowchart
from learning_pipelines.behavior.patterns.transitions import transitions
from learning_pipelines.behavior.playbooks import learning, render
from learning_pipelines.behavior.task import Shown
from learning_pipelines.storage import behavior_versions
from learning_pipelines.storage.behavior_versions import Label
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.tenants import AgentRef
from learning_pipelines_tests.behavior.patterns.made import many

TESTED = {"test": {"candidate_mean": 0.8, "incumbent_mean": 0.3, "n": 60}}


def stored_playbook(connection: Connection, agent: AgentRef, task_type: str, label: Label = "serving", shown: list[Shown] | None = None) -> int:
    """Number of a new version with the label; a candidate is proposed."""
    shown = shown or [*many(8, "ab"), *many(4, "ac")]
    playbook = learning.make(task_type, shown)
    config = playbook.as_json() | {"text": render.text(playbook), "markdown": render.markdown(playbook), "mermaid": flowchart(transitions(shown))}
    with connection.transaction():
        number = behavior_versions.add(connection, agent, "playbook", topic=task_type, config=config, metrics=TESTED)
        if label == "candidate":
            subject = {"kind": "playbook", "topic": task_type, "version": number}
            open_proposal(connection, agent, kind="playbook", verdict="better", subject=subject, incumbent={"version": 0}, evidence={})
        else:
            behavior_versions.point(connection, agent, "playbook", label, number, None, task_type)
    return number
