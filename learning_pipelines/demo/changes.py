"""Running a learning job for one of the demo's agents and approving what it found better, as an operator would.

Belongs here: what the demo's prompts (improve.py) and its retrieval (retrain.py) share. Not here: gate and approval themselves (acceptance/).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from learning_pipelines.acceptance.approval import Refused, Reviewer, approve
from learning_pipelines.defs.runner import launch, proposals_of
from learning_pipelines.errors import LearningError
from learning_pipelines.storage import tenants
from learning_pipelines.storage.store import Store
from learning_pipelines.storage.tenants import AgentRef

WHO = Reviewer("the demo's operator")
Say = Callable[[str], None]


def demo_agent(store: Store, organization: str, agent: str) -> AgentRef:
    with store.pipeline() as connection:
        (found,) = tenants.agents(connection, organization, agent)
    return found


def run_and_approve(store: Store, agent: AgentRef, job: str, say: Say, tags: Mapping[str, str] | None = None) -> str:
    """Runs the job through Dagster; approves its proposals one after the other. Returns why there was none ('' if it did all its work).

    A proposal that was measured against what an approval just replaced is refused and stays open, as it would be for everybody.
    """
    request = {"job": job, "partition": agent.partition, "agent": agent.agent, "organization": agent.organization, "tags": dict(tags or {})}
    reason = ""
    for answer in launch(store, [request]):
        say(f"  {answer['job']} {answer['partition']}: {answer['status']}{' – ' + answer['reason'] if answer['reason'] else ''}")
        if answer["status"] == "failure":
            raise LearningError(f"{job} failed: {answer['reason']}.", "Run the demo again: what was computed is kept.")
        reason = answer["reason"] or ""
        for proposal in proposals_of(store, agent.organization, [answer]):
            _approve(store, agent, proposal, say)
    return reason


def _approve(store: Store, agent: AgentRef, proposal: Mapping[str, Any], say: Say) -> None:
    if proposal["verdict"] != "better" or proposal["state"] != "open":
        return
    with store.pipeline() as connection:
        try:
            done = approve(connection, agent.organization_id, proposal["id"], "immediate", WHO, organization=agent.organization)
        except Refused as refused:
            say(f"  not approved ({proposal['kind']}): {refused}")
        else:
            say(f"  approved ({proposal['kind']}): version {done.version} serves now")
